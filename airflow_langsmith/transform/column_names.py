"""
The names of flat columns. They depend on the path alone, so that a name means the same on every day.

Plain keys have lower-case letters, digits and single underscores, and stay as they are. Any other key is made readable,
and a digest of the path tells it from similar ones::

    metadata.user_id              metadata__user_id
    outputs.documents[0].text     outputs__documents__0__text
    metadata.user-id              metadata__user_id___324c2100
    metadata.User_ID              metadata__User_ID___25e62088

No two paths share a name, even if capitals are not told apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256

MAX_BYTES = 63  # of a name in PostgreSQL
_STEP, _MARK = "__", "___"  # three underscores are only before a digest
_PLAIN = re.compile(r"(?![0-9]+\Z)[a-z0-9]+(?:_[a-z0-9]+)*")  # a key of digits would look like an index
_DIGITS = 8


def column_name(column: str, steps: Sequence[str | int]) -> str:
    """
    Name the column that holds what is at a path.

    >>> column_name("inputs", ["customer", "id"])
    'inputs__customer__id'
    """
    name = _STEP.join(map(str, (column, *steps)))
    if len(name) <= MAX_BYTES and all(isinstance(step, int) or _PLAIN.fullmatch(step) for step in (column, *steps)):
        return name
    digest = sha256(json.dumps([column, *steps]).encode()).hexdigest()[:_DIGITS]
    readable = _STEP.join(filter(None, map(_readable, (column, *steps))))
    start = readable.encode()[: MAX_BYTES - len(_MARK) - _DIGITS].decode("utf-8", "ignore").rstrip("_")
    return f"{start}{_MARK}{digest}"


def _readable(step: str | int) -> str:
    letters = [letter if f"_{letter}".isidentifier() else "_" for letter in str(step)]
    return re.sub("_+", "_", "".join(letters)).strip("_")
