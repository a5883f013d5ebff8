"""Check types: mypy --strict."""
