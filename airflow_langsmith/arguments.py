"""
Readers of arguments: a template makes text of a value, and a reader makes the value of the text.

Blank text means "not set", so ``"{{ params.filter or '' }}"`` works; only empty run ids mean no runs. ``"None"`` is
what a template makes of a missing value. Every reader of text refuses it.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar, get_args

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import shorten, suggest

# Returns the value of what a user wrote for an argument, whose name is for errors.
T = TypeVar("T")

Reader = Callable[[Any, str], Any]

# What reading JSON, or a value as Python prints it, raises; some texts are nested too deeply.
_UNREADABLE = (ValueError, SyntaxError, TypeError, RecursionError, MemoryError)


def is_literal(value: object) -> bool:
    """
    Return whether a value is final when the DAG is parsed: it holds no template, and nothing that a task returns.

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


def as_is(value: Any, name: str) -> Any:  # noqa: ARG001  # a reader
    """Return a value that needs no reading, or that is read elsewhere."""
    return value


def optional(read: Reader) -> Reader:
    """Return a reader for which blank text is None."""
    return lambda value, name: None if text(value, name) is None else read(value, name)


def text(value: object, name: str, empty: str = "the default") -> str | None:
    """Read text, or what prints as text, as filters do. Blank text is None."""
    if value is None or not str(value).strip():
        return None
    if str(value).strip() == "None":
        raise refusal(name, value, "a text", empty)
    return str(value)


def required(value: object, name: str) -> str:
    """Read text that must not be blank."""
    written = text(value, name, empty="")
    if written is None:
        raise ConfigurationError(f"{name} is empty. Give it a value, or correct its template.")
    return written


def or_default(value: T, default: T) -> T:
    """Return an argument, or its default if it is blank text."""
    return default if isinstance(value, str) and not value.strip() else value


def moment(value: object, name: str) -> datetime | None:
    """Read a datetime; blank text is None. The query refuses one without a time zone."""
    if isinstance(value, datetime):
        return value
    if value is None or (isinstance(value, str) and text(value, name) is None):
        return None
    raise refusal(name, value, "a datetime with a time zone")


def flag(value: bool | str | None, name: str) -> bool | None:
    """
    Read true or false.

    >>> flag("True", "is_root"), flag("", "is_root")
    (True, None)
    """
    if value is None or isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else "?"
    if word in ("true", "false"):
        return word == "true"
    if word:
        raise refusal(name, value, "true, false")
    return None


def one_of(words: Any) -> Reader:
    """Return a reader of the words of a ``Literal``."""
    known = get_args(words)

    def read(value: Any, name: str) -> Any:
        if value not in known:
            raise ConfigurationError(f"{name} is {value!r}. {suggest(value, known)}")
        return value

    return read


def whole_number(value: int | str, name: str, minimum: int | None = None) -> int:
    """Read a whole number, ``minimum`` or more."""
    try:
        number = int(str(value))  # neither 3.9 nor True is a whole number
    except ValueError:
        raise refusal(name, value, "a whole number", "") from None
    if abs(number) > sys.maxsize:
        raise refusal(name, value, "a whole number that can be counted to", "")
    if minimum is not None and number < minimum:
        raise ConfigurationError(f"{name} is {number}; it has to be {minimum} or more.")
    return number


def names(value: str | Iterable[str] | None, name: str, empty: str = "the default") -> tuple[str, ...] | None:
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
    items = tuple(item.strip() if isinstance(item, str) else item for item in value)
    if not all(isinstance(item, str) and item for item in items):
        raise refusal(name, items, "a list of texts", empty)
    return items


def ids(value: str | Iterable[str] | None, name: str) -> tuple[str, ...] | None:
    """
    Read a list of ids as :func:`names` does, but an empty one is no ids, and not None.

    >>> ids("", "run_ids"), ids([], "run_ids"), ids(None, "run_ids")
    ((), (), None)
    """
    return None if value is None else names(value, name, "no runs") or ()


def redaction_rules(value: object, name: str) -> Any:
    """
    Read redaction rules: themselves, JSON, what a template prints of them, or names of patterns with commas between.

    Any other text is refused. As a pattern it would match nothing, so that nothing would be redacted.

    >>> redaction_rules('{"inputs.user": "drop"}', "redact"), redaction_rules("email, card", "redact")
    ({'inputs.user': 'drop'}, ['email', 'card'])
    """
    if value is None or (isinstance(value, Iterable) and not isinstance(value, str)):
        return value
    written = text(value, name)
    if written is None:
        return None
    patterns = [word.strip() for word in written.split(",")]
    if all(word.isidentifier() for word in patterns):
        return patterns
    rules = literal(written)
    if isinstance(rules, dict | list | tuple):
        return rules
    raise refusal(name, value, "rules like {'inputs.user': 'drop'}, a list of such, or names of patterns")


def export_reference(value: str | Mapping[str, Any] | None, name: str) -> str | Mapping[str, Any] | None:
    """
    Read a reference to an export: its manifest's URI, what its operator returned, or what a template prints of that.

    >>> export_reference("{'manifest': 's3://lake/_manifest.json'}", "schema_manifest")
    {'manifest': 's3://lake/_manifest.json'}
    """
    reference = value
    if isinstance(value, str):
        written = text(value, name)
        result = literal(written) if written else None
        reference = result if isinstance(result, dict) else written
    if isinstance(reference, Mapping):
        is_valid = isinstance(reference.get("manifest"), str)
    else:
        is_valid = isinstance(reference, str) or hasattr(reference, "fs")
    if reference and not is_valid:
        raise refusal(name, value, "the URI of a manifest, or what an export returned")
    return reference or None


def export_references(value: Any, name: str) -> list[str | Mapping[str, Any]]:
    """
    Read references to exports: one, or a list of them, as a mapped export returns it or a template prints it.

    >>> export_references("[{'manifest': 's3://lake/_manifest.json'}]", "exported")
    [{'manifest': 's3://lake/_manifest.json'}]
    """
    if isinstance(value, str):
        value = required(value, name)
    values = (literal(value) if isinstance(value, str) and value.strip().startswith(("[", "(")) else None) or value
    is_list = isinstance(values, Iterable) and not isinstance(values, str | Mapping)
    references = [export_reference(each, name) for each in (values if is_list else [values])]
    if not references or not all(references):
        raise ConfigurationError(
            f"{name} is {shorten(repr(value), 200)}, which is no export. Give it what an export returned, "
            "export.output, or the URI of a manifest."
        )
    return references  # type: ignore[return-value]  # none is None


def literal(written: str) -> Any:
    """Return the value of a text that is JSON, or that Python prints; None for any other text."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(written.strip())
        except _UNREADABLE:
            continue
    return None


def refusal(name: str, value: object, expected: str, empty: str = "the default") -> ConfigurationError:
    """Return the error for an argument that cannot be read."""
    expected += f", or empty for {empty}" if empty else ""
    return ConfigurationError(
        f"{name} is {shorten(repr(value), 200)}; it has to be {expected}. Correct the DAG, or the template that gave "
        "this."
    )
