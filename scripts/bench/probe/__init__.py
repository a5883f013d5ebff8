"""What measures inside the image: mounted into the container and run as `python -m probe`.

It is self-contained (relative imports, the standard library, torch and, if they are there, xformers
and diffusers), because the image holds nothing that was put there for measuring.
"""
