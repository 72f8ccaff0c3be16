"""Reading messages in tests: they are laid out in lines, and a test is about their words."""

from __future__ import annotations

import re


def says(pattern: str) -> re.Pattern[str]:
    """Make a pattern for ``match`` in which a blank is any white space: line breaks, and capitals, do not matter."""
    return re.compile(re.sub(r"\\? ", r"\\s+", pattern), re.DOTALL | re.IGNORECASE)


def words(message: object) -> str:
    """Return a message in one line."""
    return " ".join(str(message).split())
