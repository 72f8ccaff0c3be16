"""
The parser of conditions: a text becomes a tree of comparisons, or an error with a mark under the place.

Each comparison is read from left to right. Python's own parser reads what joins them, with a name for each comparison.
Nothing is evaluated::

    not (avg(user-score) < .8 or total() < 9)    becomes    not ( _0 or _1 )
"""

from __future__ import annotations

import ast
import math
import re
from itertools import chain
from typing import Final

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import did_you_mean, mark_position
from airflow_langsmith.waiting.condition import OPERATORS, Comparison, Condition, Group
from airflow_langsmith.waiting.figures import BARE_KEY, KINDS, Measure

MAX_CHARACTERS: Final = 4000
MAX_DEPTH: Final = 50  # brackets within brackets

_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"  # a condition is logged in one line
_TEXT = rf""""(?:[^"\\{_CONTROL}]|\\[^{_CONTROL}])*"|'(?:[^'\\{_CONTROL}]|\\[^{_CONTROL}])*'"""
_NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?![\w.])"
_OPERATOR = r"[<>=!]=|[<>]"
_NAME = rf"(?!(?i:and|or|not)(?![\w.-])){BARE_KEY}"
_TOKEN = rf"{_TEXT}|{_NUMBER}|{BARE_KEY}|{_OPERATOR}|[(),]"

_BOOLEANS = {"true": 1.0, "false": 0.0}
_SYNONYMS = {"average": "avg", "mean": "avg"}  # by its letters alone, average is closest to coverage


def parse(text: object, name: str = "condition") -> Condition:
    """
    Parse a condition.

    >>> str(parse("not (avg(user_score) < .8 OR count('user_score') < 10)"))
    'avg(user_score) >= 0.8 and count(user_score) >= 10'

    :param name: The name of the argument, for the error.
    :raises ConfigurationError: if the text is no condition, or a comparison in it always or never holds.
    """
    text = str(text)
    if len(text) > MAX_CHARACTERS:
        raise ConfigurationError(
            f"{name} is too long: {len(text)} characters, of {MAX_CHARACTERS} at most. Shorten it."
        )
    try:
        return _Reader(text).read()
    except _Mistake as error:
        what, place = error.args
        raise ConfigurationError(
            f"{name} cannot be read: {what}\n{mark_position(text, place)}\nConditions look "
            "like coverage(user_score) >= 0.9 and avg(user_score) >= 0.8."
        ) from None


class _Mistake(Exception):  # noqa: N818  # becomes a ConfigurationError above
    """What is wrong, and at which character."""


class _Reader:
    """Reads a text token by token, and the white space after each."""

    def __init__(self, text: str) -> None:
        self._text = text.rstrip()
        self._place = len(self._text) - len(self._text.lstrip())
        self._depth = 0
        self._comparisons: list[Comparison] = []
        self._expression: list[str] = []

    def read(self) -> Condition:
        if not self._text:
            raise _Mistake("it is empty", 0)
        self._operand()
        while joint := self._peek(r"(?i:and|or)(?![\w.-])"):
            self._expression.append(self._take(joint).lower())
            self._operand()
        if self._peek(_OPERATOR):
            raise self._mistake("comparisons do not chain; join two with 'and'")
        if self._depth:
            raise self._mistake("expected 'and', 'or' or ')'")
        if self._place < len(self._text):
            raise self._mistake(f"expected 'and', 'or' or the end instead of {self._peek(_TOKEN)!r}")
        return _condition(ast.parse(" ".join(self._expression), mode="eval").body, self._comparisons)

    def _operand(self) -> None:
        """Read a comparison, with the brackets and each ``not`` around it."""
        while prefix := self._peek(r"(?i:not)(?![\w.-])|\(").lower():
            self._depth += prefix == "("
            if self._depth > MAX_DEPTH:
                raise _Mistake(f"nested deeper than {MAX_DEPTH} brackets", self._place)
            self._take(_TOKEN)
            if prefix == "not" and self._expression[-1:] == ["not"]:
                self._expression.pop()  # hundreds of them are too much for Python
            else:
                self._expression.append(prefix)
        self._expression.append(f"_{len(self._comparisons)}")
        self._comparisons.append(self._comparison())
        while self._depth and self._peek(r"\)"):
            self._expression.append(self._take(r"\)"))
            self._depth -= 1

    def _peek(self, pattern: str) -> str:
        match = re.compile(pattern).match(self._text, self._place)
        return match[0] if match else ""

    def _take(self, pattern: str, otherwise: str = "") -> str:
        """Return the token, and go to the next one."""
        token = self._peek(pattern)
        if not token:
            raise self._mistake(otherwise)
        self._place += len(token)
        self._place += len(self._peek(r"\s+"))
        return token

    def _mistake(self, what: str, place: int | None = None) -> _Mistake:
        rest = self._text[self._place :]
        if rest and not self._peek(_TOKEN):
            return _Mistake(_unknown_token(rest), self._place)
        return _Mistake(what, self._place if place is None else place)

    def _comparison(self) -> Comparison:
        measure = self._measure()
        operator = self._take(_OPERATOR, f"expected a comparison ({' '.join(OPERATORS)}) after {measure}")
        place = self._place
        comparison = Comparison(measure, operator, self._number(f"expected the number that {measure} is compared with"))
        if comparison.constant is not None:
            always = "always" if comparison.constant else "never"
            raise self._mistake(f"{comparison} {always} holds, because {measure} is {measure.kind}", place)
        return comparison

    def _measure(self) -> Measure:
        place = self._place
        name = self._take(_NAME, "expected a measure, such as coverage(user_score)").lower()
        if name not in KINDS:
            raise self._mistake(_unknown_measure(name, is_call=bool(self._peek(r"\("))), place)
        arguments = KINDS[name].arguments
        signature = f"{name}({', '.join(arguments)})"
        self._take(r"\(", f"expected '('; it is {signature}")
        key = self._key(signature) if "key" in arguments else ""
        value: float | str = 0.0
        if "value" in arguments:
            self._take(",", f"expected ',' and a value; it is {signature}")
            value = self._value()
        self._take(r"\)", f"expected ')'; it is {signature}")
        return Measure(name, key, value)

    def _key(self, signature: str) -> str:
        place = self._place
        key = _unquoted(self._take(f"{BARE_KEY}|{_TEXT}", f"expected a key; it is {signature}"))
        if not key:
            raise _Mistake("the key is empty", place)
        return key

    def _value(self) -> float | str:
        if self._peek(_TEXT):
            return _unquoted(self._take(_TEXT))
        if self._peek(BARE_KEY).lower() in _BOOLEANS:
            return _BOOLEANS[self._take(BARE_KEY).lower()]
        return self._number("expected a score (a number, true, false) or a label in quotes")

    def _number(self, otherwise: str) -> float:
        place = self._place
        number = float(self._take(_NUMBER, otherwise)) + 0.0  # -0.0 becomes 0.0
        if math.isinf(number):
            raise _Mistake("too large a number", place)
        return number


def _condition(node: ast.expr, comparisons: list[Comparison], *, negated: bool = False) -> Condition:
    """Return the condition of a node. Under ``not`` each part becomes its opposite, so that no ``not`` is left."""
    if isinstance(node, ast.UnaryOp):
        return _condition(node.operand, comparisons, negated=not negated)
    if isinstance(node, ast.BoolOp):
        word = "or" if isinstance(node.op, ast.Or) != negated else "and"
        parts = [_condition(value, comparisons, negated=negated) for value in node.values]
        flat = (part.parts if isinstance(part, Group) and part.word == word else [part] for part in parts)
        return Group(word, tuple(chain.from_iterable(flat)))
    comparison = comparisons[int(ast.unparse(node).removeprefix("_"))]
    return comparison.negated() if negated else comparison


def _unknown_token(rest: str) -> str:
    if rest[0] in "\"'":
        return "a text that is not closed on its line"
    if rest[0] == "=":
        return "a single '='; equal is written =="
    if re.match(r"[-+.0-9]", rest):
        return "this is no number; a key that begins like one goes in quotes"
    return f"{rest[0]!r} has no meaning here"


def _unknown_measure(name: str, *, is_call: bool) -> str:
    measures = f"there is {', '.join(KINDS)}"
    if not is_call:
        return f"{name!r} is no measure; a key stands in the brackets of one, such as avg(key) ({measures})"
    question = did_you_mean(_SYNONYMS.get(name, name), KINDS).replace("Did", ", did")
    return f"there is no measure {name!r}{question} ({measures})"


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[0] in "\"'" else text
