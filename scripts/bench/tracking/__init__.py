"""Regression tracking: recorded runs and baselines, the gate, and where the history changed."""

HERE = "here"
"""This machine, where the name of a device is asked for."""
