"""Build the image of a profile with BuildKit, and keep a record of what was built."""
