"""
The language of conditions, read by hand: ``coverage(user_score) >= 0.9 and avg(user_score) >= 0.8``.

A condition is data from the first character to the last: nothing in it is evaluated, no name in it means anything but
a measure or a key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from airflow_langsmith.api.errors import ConfigurationError
from airflow_langsmith.api.messages import did_you_mean, marked
from airflow_langsmith.waiting.comparing import OPERATORS, OPPOSITE
from airflow_langsmith.waiting.condition import (
    BARE_KEY,
    KINDS,
    And,
    Comparison,
    Condition,
    Measure,
    Node,
    Or,
    joined,
)

LONGEST: Final = 4000  # characters
DEEPEST: Final = 50  # brackets

_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"  # a condition is printed in one line of a log
_TOKEN = re.compile(
    rf"""
    \s*(?:
        (?P<text> "(?:[^"\\{_CONTROL}]|\\[^{_CONTROL}])*" | '(?:[^'\\{_CONTROL}]|\\[^{_CONTROL}])*' )
      | (?P<number> [-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?![\w.]) )
      | (?P<word> {BARE_KEY.pattern} )
      | (?P<mark> [<>=!]=|[<>(),] )
    )
    """,
    re.VERBOSE,
)
_SCORES = {"true": 1.0, "false": 0.0}
_MEANT = {"average": "avg", "mean": "avg"}  # by its letters alone, an average would be a coverage

Token = tuple[str, str, int]  # its kind (a mark is its own, and so are and, or, not), text and place


def parse(text: str, name: str = "condition") -> Condition:
    """
    Read a condition.

    >>> str(parse("not (avg(user_score) < .8 OR count('user_score') < 10)"))
    'avg(user_score) >= 0.8 and count(user_score) >= 10'

    :param name: what the argument is called, for the error.
    :raises ConfigurationError: for what is none, and for comparisons that always or never hold, showing where.
    """
    text = str(text)
    if len(text) > LONGEST:
        raise ConfigurationError(f"{name} is too long: {len(text)} characters, of {LONGEST} at most. Shorten it.")
    try:
        return Condition(_Reader(text).read())
    except _Misplaced as error:
        what, place = error.args
        raise ConfigurationError(
            f"{name} cannot be read: {what}\n{marked(text, place)}\nConditions look "
            "like coverage(user_score) >= 0.9 and avg(user_score) >= 0.8."
        ) from None


class _Misplaced(Exception):  # noqa: N818  # becomes a ConfigurationError above
    """What is wrong, and at which character."""


def _tokens(text: str) -> Iterator[Token]:
    place, end = 0, len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place)
        if found is None:
            start = end - len(text[place:end].lstrip())
            raise _Misplaced(_stray(text[start:end]), start)
        kind = str(found.lastgroup)
        written = found[kind]
        joins = kind == "word" and written.lower() in ("and", "or", "not")
        yield written.lower() if joins or kind == "mark" else kind, written, found.start(kind)
        place = found.end()
    yield "end", "", end


def _stray(rest: str) -> str:
    if rest[0] in "\"'":
        return "a text that is not closed on its line"
    if rest[0] == "=":
        return "a single '='; equal is written =="
    if re.match(r"[-+.0-9]", rest):
        return "this is no number; a key that begins like one goes in quotes"
    return f"{rest[0]!r} has no meaning here"


class _Reader:
    """Reads by descent. Within ``not`` everything is read as its opposite, so that no ``not`` is left in the tree."""

    def __init__(self, text: str) -> None:
        self._depth = 0
        self._tokens = _tokens(text)
        self._kind, self._text, self._place = next(self._tokens)

    def read(self) -> Node:
        if self._kind == "end":
            raise _Misplaced("it is empty", self._place)
        found = self._either(opposite=False)
        if self._kind in OPERATORS:
            raise _Misplaced("comparisons do not chain; join two with 'and'", self._place)
        if self._kind != "end":
            raise _Misplaced(f"expected 'and', 'or' or the end instead of {self._text!r}", self._place)
        return found

    def _either(self, *, opposite: bool) -> Node:
        parts = [self._both(opposite=opposite)]
        while self._kind == "or":
            self._next()
            parts.append(self._both(opposite=opposite))
        return joined(And if opposite else Or, parts)

    def _both(self, *, opposite: bool) -> Node:
        parts = [self._one(opposite=opposite)]
        while self._kind == "and":
            self._next()
            parts.append(self._one(opposite=opposite))
        return joined(Or if opposite else And, parts)

    def _one(self, *, opposite: bool) -> Node:
        while self._kind == "not":
            self._next()
            opposite = not opposite
        if self._kind != "(":
            return self._comparison(opposite=opposite)
        self._depth += 1
        if self._depth > DEEPEST:
            raise _Misplaced(f"nested deeper than {DEEPEST} brackets", self._place)
        self._next()
        found = self._either(opposite=opposite)
        if self._kind in OPERATORS:
            raise _Misplaced("comparisons do not chain; join two with 'and'", self._place)
        self._expect(")", "expected 'and', 'or' or ')'")
        self._depth -= 1
        return found

    def _comparison(self, *, opposite: bool) -> Comparison:
        measure = self._measure()
        operator = self._kind
        if operator not in OPERATORS:
            raise _Misplaced(f"expected a comparison ({' '.join(OPERATORS)}) after {measure}", self._place)
        self._next()
        place = self._place
        written = Comparison(measure, operator, self._number(f"expected the number that {measure} is compared with"))
        if written.foregone is not None:
            always = "always" if written.foregone else "never"
            raise _Misplaced(f"{written} {always} holds, because {measure} is {measure.kind}", place)
        return Comparison(measure, OPPOSITE[operator], written.number) if opposite else written

    def _measure(self) -> Measure:
        name, place = self._text.lower(), self._place
        if self._kind != "word":
            raise _Misplaced("expected a measure, such as coverage(user_score)", place)
        self._next()
        if name not in KINDS:
            raise _Misplaced(self._unknown(name), place)
        takes = KINDS[name].arguments
        signature = f"{name}({', '.join(takes)})"
        self._expect("(", f"expected '('; it is {signature}")
        key = self._key(signature) if "key" in takes else ""
        value: float | str = 0.0
        if "value" in takes:
            self._expect(",", f"expected ',' and a value; it is {signature}")
            value = self._value()
        self._expect(")", f"expected ')'; it is {signature}")
        return Measure(name, key, value)

    def _unknown(self, name: str) -> str:
        there_is = f"there is {', '.join(KINDS)}"
        if self._kind != "(":
            return f"{name!r} is no measure; a key stands in the brackets of one, such as avg(key) ({there_is})"
        near = did_you_mean(_MEANT.get(name, name), KINDS).replace("Did", ", did")
        return f"there is no measure {name!r}{near} ({there_is})"

    def _key(self, signature: str) -> str:
        if self._kind not in ("word", "text", "and", "or", "not"):
            raise _Misplaced(f"expected a key; it is {signature}", self._place)
        key = _unquoted(self._text) if self._kind == "text" else self._text
        if not key:
            raise _Misplaced("the key is empty", self._place)
        self._next()
        return key

    def _value(self) -> float | str:
        if self._kind == "text":
            label = _unquoted(self._text)
            self._next()
            return label
        if self._kind == "word" and self._text.lower() in _SCORES:
            score = _SCORES[self._text.lower()]
            self._next()
            return score
        return self._number("expected a score (a number, true, false) or a label in quotes")

    def _number(self, otherwise: str) -> float:
        if self._kind != "number":
            raise _Misplaced(otherwise, self._place)
        number = float(self._text)
        if math.isinf(number):
            raise _Misplaced("too large a number", self._place)
        self._next()
        return number + 0.0  # there is one zero

    def _expect(self, kind: str, otherwise: str) -> None:
        if self._kind != kind:
            raise _Misplaced(otherwise, self._place)
        self._next()

    def _next(self) -> None:
        if self._kind != "end":
            self._kind, self._text, self._place = next(self._tokens)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])
