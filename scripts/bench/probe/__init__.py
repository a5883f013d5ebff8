"""What measures inside the image: mounted into the container and run as `python -m probe`.

It is self-contained (relative imports, the standard library, torch and, if there is one,
xformers), because the image holds nothing that was put there for measuring.
"""
