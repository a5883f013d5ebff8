"""Failures that a person can act on, each with the exit code that DESIGN gives its kind."""


class Failure(Exception):
    """A fault of the program or the machine (exit code 1).

    `message` says what happened and where, `hint` what to do next.
    """

    code = 1

    def __init__(self, message: str, *, hint: str = "", code: int | None = None) -> None:
        """Keep the message and the hint; `code` overrides the kind's exit code."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code


class BadInput(Failure):
    """Wrong usage or bad input (exit code 2)."""

    code = 2


class CheckFailed(Failure):
    """A check said no: drift, a mismatch, a regression (exit code 3)."""

    code = 3


class Inconclusive(Failure):
    """A measurement that could not decide (exit code 4)."""

    code = 4
