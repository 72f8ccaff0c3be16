"""
The parser of conditions: a text becomes a tree of comparisons, or an error with a mark under the place.

Python's own parser reads the structure. It sees no word, number or text of the condition: each is the name ``_`` to it,
on a line of its own, so that the line of a node leads back to the token. Nothing is evaluated::

    not avg(user-score) < .8    becomes    not _ ( _ ) < _    on 7 lines
"""

from __future__ import annotations

import ast
import math
import re
from bisect import bisect_left
from collections.abc import Container
from typing import Final, NamedTuple

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import did_you_mean, mark_position
from airflow_langsmith.waiting.condition import (
    BARE_KEY,
    KINDS,
    OPERATORS,
    OPPOSITE,
    And,
    Comparison,
    Condition,
    Measure,
    Node,
    Or,
    join,
)

MAX_CHARACTERS: Final = 4000
MAX_DEPTH: Final = 50  # brackets within brackets

_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"  # a condition is logged in one line
_TOKEN = re.compile(
    rf"""
    \s*(?:
        (?P<text> "(?:[^"\\{_CONTROL}]|\\[^{_CONTROL}])*" | '(?:[^'\\{_CONTROL}]|\\[^{_CONTROL}])*' )
      | (?P<number> [-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?![\w.]) )
      | (?P<word> {BARE_KEY.pattern} )
      | (?P<sign> [<>=!]=|[<>(),] )
    )
    """,
    re.VERBOSE,
)
_BOOLEANS = {"true": 1.0, "false": 0.0}
_SYNONYMS = {"average": "avg", "mean": "avg"}  # by its letters alone, average is closest to coverage


class Token(NamedTuple):
    """A part of the text: ``Token("number", "0.9", 24)``. Signs, ``and``, ``or`` and ``not`` are their own kind."""

    kind: str
    text: str
    place: int


def parse(text: str, name: str = "condition") -> Condition:
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
        return Condition(_Reader(_tokens(text)).read())
    except _Mistake as error:
        what, place = error.args
        raise ConfigurationError(
            f"{name} cannot be read: {what}\n{mark_position(text, place)}\nConditions look "
            "like coverage(user_score) >= 0.9 and avg(user_score) >= 0.8."
        ) from None


class _Mistake(Exception):  # noqa: N818  # becomes a ConfigurationError above
    """What is wrong, and at which character."""


def _tokens(text: str) -> list[Token]:
    """Split a text, up to the first part that is no token. The kind of that is ``?``, and its text says why."""
    tokens: list[Token] = []
    brackets: list[str] = []  # the open ones: "group", or "call" for those of a measure
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            place = end - len(text[place:end].lstrip())
            tokens.append(Token("?", _unknown_token(text[place:end]), place))
            break
        kind = str(match.lastgroup)
        token = Token(kind, match[kind], match.start(kind))
        before = tokens[-1].kind if tokens else ""
        is_key = before == "(" and brackets[-1] == "call"
        if kind == "sign" or (token.text.lower() in ("and", "or", "not") and not is_key):
            token = token._replace(kind=token.text.lower())
        if token.kind == "(":
            brackets.append("call" if before == "word" else "group")
            if brackets.count("group") > MAX_DEPTH:
                tokens.append(Token("?", f"nested deeper than {MAX_DEPTH} brackets", token.place))
                break
        elif token.kind == ")" and brackets:
            brackets.pop()
        tokens.append(token)
        place = match.end()
    return [*tokens, Token("end", "", end)]


def _unknown_token(rest: str) -> str:
    if rest[0] in "\"'":
        return "a text that is not closed on its line"
    if rest[0] == "=":
        return "a single '='; equal is written =="
    if re.match(r"[-+.0-9]", rest):
        return "this is no number; a key that begins like one goes in quotes"
    return f"{rest[0]!r} has no meaning here"


def _python_tree(kinds: list[str]) -> ast.expr | None:
    """Return Python's tree of an expression, or None if Python cannot parse it."""
    words = ("_" if kind in ("word", "number", "text") else kind for kind in kinds)
    try:
        return ast.parse(" \\\n".join(words), mode="eval").body
    except (SyntaxError, RecursionError, MemoryError):  # the last two for hundreds of brackets
        return None


def _completed_tree(kinds: list[str]) -> ast.expr | None:
    """Return the tree of the beginning of an expression; the name and the brackets that it needs are added."""
    brackets = [")"] * (kinds.count("(") - kinds.count(")"))
    return _python_tree([*kinds, *brackets]) or _python_tree([*kinds, "word", *brackets])


class _Reader:
    """
    Reads the tree: ``and``, ``or``, ``not`` from Python's nodes, each comparison from the tokens of its node.

    Under ``not`` every comparison is read as its opposite, so that no ``not`` is left in the tree.
    """

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._index = 0

    def read(self) -> Node:
        if self._token.kind == "end":
            raise self._mistake("it is empty")
        kinds = [token.kind for token in self._tokens]
        if tree := _python_tree(kinds[:-1]):
            return self._node(tree)
        # The mistake is the first token with which Python can complete no expression, unless there is one before it.
        stop = bisect_left(range(len(kinds) - 1), 1, key=lambda n: _completed_tree(kinds[: n + 1]) is None)
        if beginning := _completed_tree(kinds[:stop]):
            self._node(beginning)
        self._index = stop
        raise self._surplus()

    @property
    def _token(self) -> Token:
        return self._tokens[min(self._index, len(self._tokens) - 1)]

    def _mistake(self, what: str, place: int | None = None) -> _Mistake:
        token = self._token
        if token.kind == "?":
            return _Mistake(token.text, token.place)
        return _Mistake(what, token.place if place is None else place)

    def _node(self, node: ast.expr, *, negated: bool = False) -> Node:
        while isinstance(node, ast.UnaryOp):
            node, negated = node.operand, not negated
        if isinstance(node, ast.BoolOp):
            kind = Or if isinstance(node.op, ast.Or) != negated else And
            return join(kind, [self._node(value, negated=negated) for value in node.values])
        first = _leftmost(node)
        if isinstance(first, ast.BoolOp | ast.UnaryOp):
            self._node(first)
        else:
            self._index = first.lineno - 1 + isinstance(first, ast.Tuple)  # which is (), and the mistake is inside
            comparison = self._comparison(negated=negated)
            if self._index == node.end_lineno:
                return comparison
        while self._token.kind == ")":
            self._index += 1
        raise self._surplus()

    def _surplus(self) -> _Mistake:
        """Return the mistake of a token that follows a complete comparison."""
        if self._token.kind in OPERATORS:
            return self._mistake("comparisons do not chain; join two with 'and'")
        kinds = [token.kind for token in self._tokens[: self._index]]
        if kinds.count("(") > kinds.count(")"):
            return self._mistake("expected 'and', 'or' or ')'")
        return self._mistake(f"expected 'and', 'or' or the end instead of {self._token.text!r}")

    def _comparison(self, *, negated: bool) -> Comparison:
        measure = self._measure()
        operator = self._token.kind
        self._expect(OPERATORS, f"expected a comparison ({' '.join(OPERATORS)}) after {measure}")
        place = self._token.place
        comparison = Comparison(measure, operator, self._number(f"expected the number that {measure} is compared with"))
        if comparison.constant is not None:
            always = "always" if comparison.constant else "never"
            raise self._mistake(f"{comparison} {always} holds, because {measure} is {measure.kind}", place)
        return Comparison(measure, OPPOSITE[operator], comparison.number) if negated else comparison

    def _measure(self) -> Measure:
        place = self._token.place
        name = self._expect(["word"], "expected a measure, such as coverage(user_score)").lower()
        if name not in KINDS:
            raise self._mistake(_unknown_measure(name, is_call=self._token.kind == "("), place)
        arguments = KINDS[name].arguments
        signature = f"{name}({', '.join(arguments)})"
        self._expect(["("], f"expected '('; it is {signature}")
        key = self._key(signature) if "key" in arguments else ""
        value: float | str = 0.0
        if "value" in arguments:
            self._expect([","], f"expected ',' and a value; it is {signature}")
            value = self._value()
        self._expect([")"], f"expected ')'; it is {signature}")
        return Measure(name, key, value)

    def _key(self, signature: str) -> str:
        kind, text, _ = self._token
        key = _unquoted(text) if kind == "text" else text
        if not key and kind == "text":
            raise self._mistake("the key is empty")
        self._expect(["word", "text"], f"expected a key; it is {signature}")
        return key

    def _value(self) -> float | str:
        kind, text, _ = self._token
        if kind == "text" or (kind == "word" and text.lower() in _BOOLEANS):
            self._index += 1
            return _unquoted(text) if kind == "text" else _BOOLEANS[text.lower()]
        return self._number("expected a score (a number, true, false) or a label in quotes")

    def _number(self, otherwise: str) -> float:
        if self._token.kind == "number" and math.isinf(float(self._token.text)):
            raise self._mistake("too large a number")
        return float(self._expect(["number"], otherwise)) + 0.0  # -0.0 becomes 0.0

    def _expect(self, kinds: Container[str], otherwise: str) -> str:
        """Return the text of the token, and go to the next one."""
        if self._token.kind not in kinds:
            raise self._mistake(otherwise)
        self._index += 1
        return self._tokens[self._index - 1].text


def _leftmost(node: ast.expr) -> ast.expr:
    """Return the node that a comparison, a call or a pair begins with."""
    while True:
        match node:
            case ast.Compare(left=first) | ast.Call(func=first) | ast.Tuple(elts=[first, *_]):
                node = first
            case _:
                return node


def _unknown_measure(name: str, *, is_call: bool) -> str:
    measures = f"there is {', '.join(KINDS)}"
    if not is_call:
        return f"{name!r} is no measure; a key stands in the brackets of one, such as avg(key) ({measures})"
    question = did_you_mean(_SYNONYMS.get(name, name), KINDS).replace("Did", ", did")
    return f"there is no measure {name!r}{question} ({measures})"


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])
