"""
What flat columns are called: by their path alone, so that a name means the same on every day.

A plain key is written out; it has lower-case letters, digits and single underscores. Any other key is made readable,
and a digest of the whole path tells it from its likes::

    metadata.user_id              metadata__user_id
    outputs.documents[0].text     outputs__documents__0__text
    metadata.user-id              metadata__user_id___324c2100
    metadata.User_ID              metadata__User_ID___25e62088

No two paths have one name, for readers who tell capitals apart and for those who do not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256

MAX_BYTES = 63  # PostgreSQL cuts names after so many
_STEP, _MARK = "__", "___"  # three underscores in a row are nowhere but before a digest
_PLAIN = re.compile("[a-z0-9]+(?:_[a-z0-9]+)*")
_DIGITS = 8


def column_name(column: str, steps: Sequence[str | int]) -> str:
    """
    Name the column that holds what is at a path.

    >>> column_name("inputs", ["customer", "id"])
    'inputs__customer__id'
    """
    name = _STEP.join(map(str, (column, *steps)))
    if len(name) <= MAX_BYTES and all(map(_is_plain, (column, *steps))):
        return name
    digest = sha256(json.dumps([column, *steps]).encode()).hexdigest()[:_DIGITS]
    readable = _STEP.join(filter(None, map(_readable, (column, *steps))))
    start = readable.encode()[: MAX_BYTES - len(_MARK) - _DIGITS].decode("utf-8", "ignore").rstrip("_")
    return f"{start}{_MARK}{digest}"


def _is_plain(step: str | int) -> bool:
    """Whether a step stands in a name as it is; a key of digits would look like an index."""
    return isinstance(step, int) or (bool(_PLAIN.fullmatch(step)) and not step.isdecimal())


def _readable(step: str | int) -> str:
    letters = [letter if f"_{letter}".isidentifier() else "_" for letter in str(step)]
    return re.sub("_+", "_", "".join(letters)).strip("_")
