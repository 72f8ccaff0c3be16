"""What can be done to a value: drop, hash, call; and to the texts in it: pattern, truncate."""

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
from airflow_langsmith.transform.json_tree import DROPPED, grown, plain
from airflow_langsmith.transform.lazy_json import first
from airflow_langsmith.transform.patterns import Pattern, pattern


class ActionError(Exception):
    """An action could not be done. Says why, and never what the value was."""


class Turn(IntEnum):
    """
    The order of actions.

    Drop, hash and call see the whole value. Then come patterns, then truncation, because a truncated address would
    escape its pattern.
    """

    WHOLE = 0
    PATTERN = 1
    CUT = 2


@dataclass(frozen=True)
class Action:
    """A change: of a value as a whole, or, of the later turns, of each text and number in it."""

    turn: Turn
    change: Callable[[Any], Any]
    calls: bool = False  # a function of the user's

    @property
    def drops(self) -> bool:
        """Whether it leaves nothing."""
        return self.change is _drop


def actions(spec: Any, key: str | None, *, texts: bool) -> list[Action]:  # noqa: PLR0911  # one for each action
    """
    Read what a rule says to do.

    :param spec: ``"drop"``, ``"hash"``, ``{"truncate": 200}``, ``{"pattern": "email", "with": "..."}`` (or a regular
        expression), ``{"patterns": [...]}``, ``{"call": "package.module.function"}``, or a list of such.
    :param key: The key of hashes.
    :param texts: Whether only texts may come of it.
    :raises ConfigurationError: for anything else.
    """
    match spec:
        case "drop":
            return [Action(Turn.WHOLE, _drop)]
        case "hash":
            if not key:
                raise ConfigurationError(
                    "Rule 'hash' needs a key, or anybody could hash guesses and compare: let redact_conn_id name a "
                    "connection whose password is one."
                )
            return [Action(Turn.WHOLE, _hashing(key.encode()))]
        case {"truncate": int(length), **rest} if not rest and length >= 0 and not isinstance(length, bool):
            return [Action(Turn.CUT, lambda value: value[:length] if isinstance(value, str) else value)]
        case {"pattern": one, **rest} if not rest.keys() - {"with"}:
            return [Action(Turn.PATTERN, _replacing(pattern(one, _text(rest.get("with")))))]
        case {"patterns": [*several], **rest} if several and not rest.keys() - {"with"}:
            each = (one if isinstance(one, Mapping) else {"pattern": one} for one in several)
            return [action for one in each for action in actions({**rest, **one}, key, texts=texts)]
        case {"call": str(name), **rest} if not rest:
            return [Action(Turn.WHOLE, _calling(name, texts=texts), calls=True)]
        case [*several] if several:
            return [action for one in several for action in actions(one, key, texts=texts)]
    raise ConfigurationError(
        f"{spec!r} is nothing that redact= can do. {did_you_mean(spec, ('drop', 'hash', 'keep'))} It can do 'drop', "
        "'hash', {'truncate': 200}, {'pattern': 'email', 'with': '[email]'}, {'patterns': ['email', 'card']}, "
        "{'call': 'package.module.function'}, lists of these, and 'keep' for a whole column."
    )


def _text(replacement: Any) -> str | None:
    if replacement is not None and not isinstance(replacement, str):
        raise ConfigurationError(f"'with' is {replacement!r}; it has to be a text.")
    return replacement


def _drop(_: Any) -> Any:
    return DROPPED


def _hashing(key: bytes) -> Callable[[Any], Any]:
    def change(value: Any) -> Any:
        if value is None or is_final(value):
            return value
        text = value.encode() if isinstance(value, str) else msgspec.json.encode(plain(value), order="sorted")
        return _final(hmac.digest(key, text, "sha256").hex())

    return change


def _final(text: str) -> Raw:
    """Keep a text from the rules that follow: a hash with a pattern in it would no longer join."""
    return Raw(f'"{text}"')


def is_final(value: Any) -> bool:
    """Tell a text that is final from a number."""
    return isinstance(value, Raw) and first(value) == b'"'


def _replacing(one: Pattern) -> Callable[[Any], Any]:
    """Replace in texts, and in the digits of numbers: a card written as a number is a card."""

    def change(value: Any) -> Any:
        if isinstance(value, str):
            return one.replace(value)
        if value is None or isinstance(value, bool) or is_final(value):
            return value
        digits = bytes(value).decode() if isinstance(value, Raw) else str(value)
        return value if (replaced := one.replace(digits)) == digits else replaced

    return change


def _calling(name: str, *, texts: bool) -> Callable[[Any], Any]:
    try:
        function = pkgutil.resolve_name(name)
    except Exception as error:
        raise ConfigurationError(f"{name!r} cannot be imported: {type(error).__name__}: {error}.") from error
    if not callable(function):
        raise ConfigurationError(f"{name!r} is no function.")

    def change(value: Any) -> Any:
        try:
            made = grown(msgspec.json.encode(function(plain(value))))
        except Exception as error:  # noqa: BLE001  # whatever a user's function raises
            problem = f"raised {type(error).__name__}"
        else:
            if not texts or made is None or isinstance(made, str):
                return made
            problem = "gave something other than text, and only text can be there"
        raise ActionError(f"{name} {problem}")  # outside of the handler: that error may quote the value

    return change
