"""Tests that ask registries: the machine's own for packages, and real servers started here."""
