"""The generation parameters as the web UI writes them into pictures and replies."""

from __future__ import annotations

import json
from collections.abc import Mapping

# The web UI puts its release here; this says which program it really was.
VERSION = "sdkiln-standin"


def quote(value: object) -> str:
    """A value, quoted as JSON when it holds a separator of the parameter line."""
    text = str(value)
    if any(separator in text for separator in ",\n:"):
        return json.dumps(text, ensure_ascii=False)
    return text


def infotext(prompt: str, negative_prompt: str, parameters: Mapping[str, object]) -> str:
    """The prompt, the negative prompt if there is one, and `Name: value, ...`, on a line each.

    Parameters that are None are left out.
    """
    line = ", ".join(
        f"{name}: {quote(value)}" for name, value in parameters.items() if value is not None
    )
    negative = f"\nNegative prompt: {negative_prompt}" if negative_prompt else ""
    return f"{prompt}{negative}\n{line}".strip()
