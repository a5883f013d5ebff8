"""Suite `verdicts`: how often the verdicts are right, on sessions whose truth is known."""
