"""
What templates make of arguments: text. Read back here, the same way for every operator, sensor and the hook.

An empty text means "not given", so ``"{{ params.filter or '' }}"`` does; only of run ids an empty list means none.
``"None"`` is what a template makes of a value that is not there, and is never taken for one.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import shorten

# What reading JSON, or a value as Python prints it, raises; some texts are nested too deeply.
_UNREADABLE = (ValueError, SyntaxError, TypeError, RecursionError, MemoryError)


def is_literal(value: object) -> bool:
    """
    Tell whether a value is final when the DAG is parsed: it holds no template, and nothing that a task returns.

    >>> is_literal({"inputs.email": "drop"}), is_literal(["{{ params.column }}"])
    (True, False)
    """
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    if isinstance(value, Mapping):
        return all(is_literal(item) for pair in value.items() for item in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(is_literal, value))
    return value is None or isinstance(value, bool | int | float | timedelta | datetime)


def text(value: object, name: str, empty: str = "not given") -> str | None:
    """Read a text, or what prints as one, as filters do; empty is None."""
    if value is None or not str(value).strip():
        return None
    if str(value).strip() == "None":
        raise refusal(name, value, "a text", empty)
    return str(value)


def needed(value: object, name: str) -> str:
    """Read a text that has to be given."""
    found = text(value, name)
    if found is None:
        raise ConfigurationError(f"{name} is empty. Give it a value, or correct its template.")
    return found


def moment(value: object, name: str) -> datetime | None:
    """Read a moment; blank is None. Whether it has a time zone, the query asks."""
    if isinstance(value, datetime):
        return value
    if value is None or (isinstance(value, str) and text(value, name) is None):
        return None
    raise refusal(name, value, "a datetime with a time zone")


def flag(value: bool | str | None, name: str) -> bool | None:
    """
    Read a yes or no.

    >>> flag("True", "is_root"), flag("", "is_root")
    (True, None)
    """
    if value is None or isinstance(value, bool):
        return value
    spelled = value.strip().lower() if isinstance(value, str) else "?"
    if spelled in ("true", "false"):
        return spelled == "true"
    if spelled:
        raise refusal(name, value, "true, false")
    return None


def whole(value: int | str, name: str, least: int | None = None) -> int:
    """Read a whole number, ``least`` or more."""
    try:
        number = int(str(value))  # neither 3.9 nor True is a whole number
    except ValueError:
        raise refusal(name, value, "a whole number", "") from None
    if abs(number) > sys.maxsize:
        raise refusal(name, value, "a whole number that can be counted to", "")
    if least is not None and number < least:
        raise ConfigurationError(f"{name} is {number}; it has to be {least} or more.")
    return number


def names(value: str | Iterable[str] | None, name: str, empty: str = "not given") -> tuple[str, ...] | None:
    """
    Read a list of texts: a list, what a template prints of one, or texts with commas between them.

    >>> names("['run_id', 'name']", "columns"), names("run_id, name", "columns")
    (('run_id', 'name'), ('run_id', 'name'))
    """
    if value is None:
        return None
    if isinstance(value, str):
        listed = text(value, name, empty)
        if listed is None:
            return None
        try:
            value = ast.literal_eval(listed) if listed.strip().startswith(("[", "(")) else listed.split(",")
        except _UNREADABLE:
            raise refusal(name, listed, "a list of texts", empty) from None
    if not isinstance(value, Iterable):
        raise refusal(name, value, "a list of texts", empty)
    found = tuple(item.strip() if isinstance(item, str) else item for item in value)
    if not all(isinstance(item, str) and item for item in found):
        raise refusal(name, found, "a list of texts", empty)
    return found


def ids(value: str | Iterable[str] | None, name: str) -> tuple[str, ...] | None:
    """
    Read a list of ids as :func:`names` does, but an empty one is a list of nothing.

    >>> ids("", "run_ids"), ids([], "run_ids"), ids(None, "run_ids")
    ((), (), None)
    """
    return None if value is None else names(value, name, "no runs") or ()


def rules(value: object, name: str) -> Any:
    """
    Read rules as they are, as JSON, as a template prints them, or as names of patterns with commas between them.

    A text of another kind is refused: taken for a pattern, it would be found nowhere, and nothing would be redacted.

    >>> rules('{"inputs.user": "drop"}', "redact"), rules("email, card", "redact")
    ({'inputs.user': 'drop'}, ['email', 'card'])
    """
    if value is None or (isinstance(value, Iterable) and not isinstance(value, str)):
        return value
    written = text(value, name)
    if written is None:
        return None
    named = [word.strip() for word in written.split(",")]
    if all(word.isidentifier() for word in named):
        return named
    found = literal(written)
    if isinstance(found, dict | list | tuple):
        return found
    raise refusal(name, value, "rules like {'inputs.user': 'drop'}, a list of such, or names of patterns")


def exported(value: str | Mapping[str, Any] | None, name: str) -> str | Mapping[str, Any] | None:
    """
    Read what names an export: its manifest's URI, what its operator returned, or what a template prints of that.

    >>> exported("{'manifest': 's3://lake/_manifest.json'}", "schema_manifest")
    {'manifest': 's3://lake/_manifest.json'}
    """
    given = value
    if isinstance(value, str):
        written = text(value, name)
        found = literal(written) if written else None
        given = found if isinstance(found, dict) else written
    is_named = isinstance(given.get("manifest"), str) if isinstance(given, Mapping) else hasattr(given, "fs")
    if given and not isinstance(given, str) and not is_named:
        raise refusal(name, value, "the URI of a manifest, or what an export returned")
    return given or None


def literal(written: str) -> Any:
    """Return the value of a text that is JSON, or that Python prints; None for any other text."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(written.strip())
        except _UNREADABLE:
            continue
    return None


def refusal(name: str, value: object, wanted: str, empty: str = "not given") -> ConfigurationError:
    """Return the error for an argument that cannot be read."""
    wanted += f", or empty for {empty}" if empty else ""
    return ConfigurationError(
        f"{name} is {shorten(repr(value), 200)}; it has to be {wanted}. Correct the DAG, or the template that gave "
        "this."
    )
