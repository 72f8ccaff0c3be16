"""Readers of messages in tests, which ignore line breaks."""

from __future__ import annotations

import re


def says(pattern: str) -> re.Pattern[str]:
    """Return a pattern for ``match`` that ignores line breaks and case."""
    return re.compile(re.sub(r"\\? ", r"\\s+", pattern), re.DOTALL | re.IGNORECASE)


def words(message: object) -> str:
    """Return a message in one line."""
    return " ".join(str(message).split())
