"""Fetch or generate the models that the lockfiles pin, and verify them."""
