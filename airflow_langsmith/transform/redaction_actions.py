"""Actions on a value (drop, hash, call), and on the texts in it (pattern, truncate)."""

from __future__ import annotations

import hmac
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import msgspec
from msgspec import Raw

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import did_you_mean
from airflow_langsmith.problems import Problem
from airflow_langsmith.transform.json_tree import DROPPED, read_tree, to_python
from airflow_langsmith.transform.lazy_json import first_byte
from airflow_langsmith.transform.patterns import Pattern, pattern


class ActionError(Exception):
    """An action failed. The message never quotes the value."""


class Order(IntEnum):
    """
    The order of actions.

    Drop, hash and call see the whole value. Then come patterns, then truncation, because a truncated address would
    escape its pattern.
    """

    WHOLE = 0
    PATTERN = 1
    TRUNCATE = 2


@dataclass(frozen=True)
class Action:
    """A change of a whole value, or after ``WHOLE`` of each text and number in it."""

    order: Order
    change: Callable[[Any], Any]
    calls: bool = False  # a function of the user's


DROP = Action(Order.WHOLE, lambda _: DROPPED)


def actions(spec: Any, key: str | None, *, texts_only: bool) -> list[Action]:  # noqa: PLR0911  # one for each action
    """
    Read the actions of a rule.

    :param spec: ``"drop"``, ``"hash"``, ``{"truncate": 200}``, ``{"pattern": "email", "with": "..."}`` (or a regular
        expression), ``{"patterns": [...]}``, ``{"call": "package.module.function"}``, or a list of these.
    :param key: The key of hashes.
    :param texts_only: Whether a function may return nothing but text.
    :raises ConfigurationError: for anything else.
    """
    match spec:
        case "drop":
            return [DROP]
        case "hash":
            if not key:
                raise ConfigurationError("Rule 'hash' needs a key, or anybody could hash guesses and compare.").of(
                    Problem.HASH_KEY_MISSING
                )
            return [Action(Order.WHOLE, _hash_with(key.encode()))]
        case {"truncate": int(length), **rest} if not rest and length >= 0 and not isinstance(length, bool):
            return [Action(Order.TRUNCATE, lambda value: value[:length] if isinstance(value, str) else value)]
        case {"pattern": name, **rest} if not rest.keys() - {"with"}:
            replacement = rest.get("with")
            if replacement is not None and not isinstance(replacement, str):
                raise ConfigurationError(f"'with' is {replacement!r}; it has to be a text.")
            return [Action(Order.PATTERN, _replace(pattern(name, replacement)))]
        case {"patterns": [*names], **rest} if names and not rest.keys() - {"with"}:
            specs = (name if isinstance(name, Mapping) else {"pattern": name} for name in names)
            return [action for each in specs for action in actions({**rest, **each}, key, texts_only=texts_only)]
        case {"call": str(name), **rest} if not rest:
            return [Action(Order.WHOLE, _call(name, texts_only=texts_only), calls=True)]
        case [*specs] if specs:
            return [action for each in specs for action in actions(each, key, texts_only=texts_only)]
    raise ConfigurationError(
        f"{spec!r} is no action of redact. {did_you_mean(spec, ('drop', 'hash', 'keep'))} Actions are 'drop', "
        "'hash', {'truncate': 200}, {'pattern': 'email', 'with': '[email]'}, {'patterns': ['email', 'card']}, "
        "{'call': 'package.module.function'}, lists of these, and 'keep' for a whole column."
    )


def _hash_with(key: bytes) -> Callable[[Any], Any]:
    def change(value: Any) -> Any:
        if value is None or _is_final(value):
            return value
        text = value.encode() if isinstance(value, str) else msgspec.json.encode(to_python(value), order="sorted")
        # Raw, so that later rules do not change it: a hash must join, even if a pattern matches it.
        return Raw(f'"{hmac.digest(key, text, "sha256").hex()}"')

    return change


def _is_final(value: Any) -> bool:
    """Return whether a value is a hash; other Raw values are numbers."""
    return isinstance(value, Raw) and first_byte(value) == b'"'


def _replace(pattern_: Pattern) -> Callable[[Any], Any]:
    """Return a change of texts, and of numbers, because a card number may be one."""

    def change(value: Any) -> Any:
        if isinstance(value, str):
            return pattern_.replace(value)
        if value is None or isinstance(value, bool) or _is_final(value):
            return value
        digits = bytes(value).decode() if isinstance(value, Raw) else str(value)
        return value if (replaced := pattern_.replace(digits)) == digits else replaced

    return change


def _call(name: str, *, texts_only: bool) -> Callable[[Any], Any]:
    try:
        function = pkgutil.resolve_name(name)
    except Exception as error:
        raise ConfigurationError(f"{name!r} cannot be imported: {type(error).__name__}: {error}.") from error
    if not callable(function):
        raise ConfigurationError(f"{name!r} is no function.")

    def change(value: Any) -> Any:
        try:
            result = read_tree(msgspec.json.encode(function(to_python(value))))
        except Exception as error:  # noqa: BLE001  # whatever a user's function raises
            problem = f"raised {type(error).__name__}"
        else:
            if not texts_only or result is None or isinstance(result, str):
                return result
            problem = "returned a value other than text, and only text can be there"
        raise ActionError(f"{name} {problem}")  # not in the handler, because its error may quote the value

    return change
