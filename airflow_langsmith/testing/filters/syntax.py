"""
The grammar of LangSmith's filter language.

``call = name "(" [argument ("," argument)*] ")"`` and ``argument = call | name | literal``, where a literal is a
number, ``true``, ``false``, ``null``, a list of literals, or a string in double or single quotes with JSON's
escapes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Argument", "Call", "FilterSyntaxError", "Literal", "Name", "Scalar", "parse"]

Scalar = str | int | float | bool | None

_MAX_DEPTH = 64  # bounds the recursion; no filter by hand is so deep
_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_PLAIN = {'"': re.compile(r'[^"\\\x00-\x1f]+'), "'": re.compile(r"[^'\\\x00-\x1f]+")}
_ESCAPES = {'"': '"', "'": "'", "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_UNICODE = re.compile(r"u([0-9a-fA-F]{4})")
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None}


class FilterSyntaxError(ValueError):
    """
    A text that is not a filter. ``position`` counts characters from 0.

    >>> parse('eq(name "x")')
    Traceback (most recent call last):
    airflow_langsmith.testing.filters.syntax.FilterSyntaxError: expected ',' or ')' at position 8
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message, position)
        self.message = message
        self.position = position

    def __str__(self) -> str:
        return f"{self.message} at position {self.position}"


@dataclass(frozen=True, slots=True)
class Name:
    """An attribute."""

    text: str
    position: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A value."""

    value: Scalar | list[Scalar]
    position: int


@dataclass(frozen=True, slots=True)
class Call:
    """An operator or a comparator, with its arguments."""

    operator: str
    arguments: tuple[Argument, ...]
    position: int


Argument = Call | Name | Literal


def parse(text: str) -> Call:
    r"""
    Parse a filter.

    >>> parse('eq(name, "caf\\u00e9")').arguments[1].value
    'café'
    """
    reader = _Reader(text)
    expression = reader.argument(depth=0)
    reader.skip_space()
    if reader.place < len(text):
        raise FilterSyntaxError(f"unexpected {text[reader.place]!r}", reader.place)
    if not isinstance(expression, Call):
        raise FilterSyntaxError("expected a call such as eq(name, ...)", expression.position)
    return expression


class _Reader:
    """A position in the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def argument(self, depth: int) -> Argument:
        self.skip_space()
        start = self.place
        word = _NAME.match(self.text, start)
        if word is None:
            return Literal(self._literal(depth), start)
        self.place = word.end()
        if self._next_is("("):
            return Call(word[0], self._arguments(depth + 1), start)
        if word[0] in _WORDS:
            return Literal(_WORDS[word[0]], start)
        return Name(word[0], start)

    def skip_space(self) -> None:
        space = _SPACE.match(self.text, self.place)
        self.place = space.end() if space else self.place

    def _arguments(self, depth: int) -> tuple[Argument, ...]:
        if depth > _MAX_DEPTH:
            raise FilterSyntaxError(f"nested deeper than {_MAX_DEPTH}", self.place)
        if self._next_is(")"):
            return ()
        arguments = [self.argument(depth)]
        while not self._closes(")"):
            arguments.append(self.argument(depth))
        return tuple(arguments)

    def _closes(self, bracket: str) -> bool:
        if self._next_is(bracket):
            return True
        if self._next_is(","):
            return False
        raise FilterSyntaxError(f"expected ',' or {bracket!r}", self.place)

    def _next_is(self, mark: str) -> bool:
        self.skip_space()
        if not self.text.startswith(mark, self.place):
            return False
        self.place += len(mark)
        return True

    def _literal(self, depth: int) -> Scalar | list[Scalar]:
        if self.place >= len(self.text):
            raise FilterSyntaxError("unexpected end", self.place)
        first = self.text[self.place]
        if first in _PLAIN:
            return self._string(first)
        if first == "[":
            if depth == 0:
                raise FilterSyntaxError("expected a call such as eq(name, ...)", self.place)
            return self._list()
        number = _NUMBER.match(self.text, self.place)
        if number is None:
            raise FilterSyntaxError(f"unexpected {first!r}", self.place)
        self.place = number.end()
        return float(number[0]) if number[1] or number[2] else int(number[0])

    def _list(self) -> list[Scalar]:
        self.place += 1
        values: list[Scalar] = []
        if self._next_is("]"):
            return values
        while True:
            start = self.place
            item = self.argument(depth=0)
            if not isinstance(item, Literal) or isinstance(item.value, list):
                raise FilterSyntaxError("expected a value", start)
            values.append(item.value)
            if self._closes("]"):
                return values

    def _string(self, quote: str) -> str:
        start = self.place
        self.place += 1
        pieces: list[str] = []
        while self.place < len(self.text):
            plain = _PLAIN[quote].match(self.text, self.place)
            if plain is not None:
                pieces.append(plain[0])
                self.place = plain.end()
            elif self.text[self.place] == quote:
                self.place += 1
                return _join_surrogates("".join(pieces))
            elif self.text[self.place] == "\\":
                pieces.append(self._escape())
            else:
                raise FilterSyntaxError("unescaped control character in a string", self.place)
        raise FilterSyntaxError("string is not closed", start)

    def _escape(self) -> str:
        start = self.place
        unicode = _UNICODE.match(self.text, start + 1)
        if unicode is not None:
            self.place = unicode.end()
            return chr(int(unicode[1], 16))
        letter = self.text[start + 1 : start + 2]
        if letter not in _ESCAPES or not letter:
            raise FilterSyntaxError(f"unknown escape '\\{letter}'", start)
        self.place += 2
        return _ESCAPES[letter]


def _join_surrogates(text: str) -> str:
    """Join escaped surrogate pairs to characters. A lone half stays as it is."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
