"""Compute lockfiles/ from workspace.toml and requirements/."""
