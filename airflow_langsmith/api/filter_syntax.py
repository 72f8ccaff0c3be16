"""
What can be said of a filter before it is sent: whether it is an expression at all.

The grammar is as wide as LangSmith's may be: calls, bare words, numbers, strings in either quote with any escapes,
lists. What it refuses no version of LangSmith can read; what a name means is the server's to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import did_you_mean, mark_position

_TOKEN = re.compile(
    r"""
    \s*(?:
        (?P<string> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
      | (?P<number> [-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)? )
      | (?P<name> [A-Za-z_][\w.]* )
      | (?P<mark> [(),\[\]] )
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_DEEPEST = 100

# What LangSmith's documentation says a filter can be about; to suggest from, not to refuse by.
ATTRIBUTES = (
    *("id", "name", "run_type", "status", "is_root", "start_time", "end_time", "latency", "error", "tags"),
    *("trace_id", "parent_run_id", "thread_id", "total_tokens", "inputs", "outputs", "metadata"),
    *("metadata_key", "metadata_value", "input_key", "input_value", "output_key", "output_value"),
    *("feedback_key", "feedback_score", "feedback_value", "feedback_source"),
)

Token = tuple[str, str, int]  # its kind (a mark is its own), text and place


def check(filter_: str, name: str = "filter") -> None:
    """
    Refuse what cannot be a filter, with a mark under the place.

    :raises ConfigurationError: showing where.
    """
    try:
        _Reader(filter_).read()
    except _Misplaced as error:
        what, place = error.args
        raise ConfigurationError(
            f"{name} is no expression of LangSmith's filter language: {what}\n{mark_position(filter_, place)}\n"
            'Expressions look like and(eq(run_type, "llm"), gt(latency, "5s")); '
            "airflow_langsmith.filters writes them."
        ) from None


def attributes(filter_: str) -> Iterator[str]:
    """
    Name what the comparisons of a filter are about.

    >>> list(attributes('and(eq(name, "x"), has(tags, "eq(y, 1)"))'))
    ['name', 'tags']
    """
    tokens = list(_tokens(filter_))
    for opening, name, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (opening[0], name[0], after[0]) == ("(", "name", ","):
            yield name[1]


def hint(filters: Iterable[str], detail: str) -> str:
    """
    Say which attribute of a refused filter does not exist, if the server's words are about one.

    >>> hint(['eq(runtype, "llm")'], "Unknown attribute: runtype")
    "there is no attribute 'runtype'. Did you mean 'run_type'?"
    """
    unknown = (name for filter_ in filters for name in attributes(filter_) if name not in ATTRIBUTES)
    name = next((name for name in unknown if re.search(rf"\b{re.escape(name)}\b", detail)), None)
    return f"there is no attribute {name!r}. {did_you_mean(name, ATTRIBUTES)}".strip() if name else ""


class _Misplaced(Exception):  # noqa: N818  # becomes a ConfigurationError above
    """What is wrong, and at which character."""


def _tokens(text: str) -> Iterator[Token]:
    place, end = 0, len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place)
        if found is None:
            start = place + len(text[place:]) - len(text[place:].lstrip())
            raise _Misplaced("a text that is not closed" if text[start] in "\"'" else f"{text[start]!r} here", start)
        kind = str(found.lastgroup)
        yield found[kind] if kind == "mark" else kind, found[kind], found.start(kind)
        place = found.end()
    yield "end", "", end


class _Reader:
    def __init__(self, text: str) -> None:
        self._depth = 0
        self._tokens = _tokens(text)
        self._kind, self._text, self._place = next(self._tokens)

    def read(self) -> None:
        if self._kind != "name":
            raise _Misplaced("it begins with no comparison such as eq(...)", self._place)
        self._next()
        self._expect("(", "a '(' is missing")
        self._items(")")
        if self._kind != "end":
            raise _Misplaced(f"{self._text!r} after its end", self._place)

    def _items(self, closing: str) -> None:
        """Read what stands between brackets, of which the first is behind."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Misplaced(f"nested deeper than {_DEEPEST} brackets", self._place)
        while self._kind != closing:
            self._item()
            if self._kind == closing:
                break
            self._expect(",", f"a ',' or {closing!r} is missing")
            if self._kind == closing:
                raise _Misplaced("a value is missing", self._place)
        self._depth -= 1
        self._next()

    def _item(self) -> None:
        kind = self._kind
        if kind not in ("string", "number", "name", "["):
            raise _Misplaced("a value is missing", self._place)
        self._next()
        if kind == "[":
            self._items("]")
        elif kind == "name" and self._kind == "(":
            self._next()
            self._items(")")

    def _expect(self, kind: str, otherwise: str) -> None:
        if self._kind != kind:
            raise _Misplaced(otherwise, self._place)
        self._next()

    def _next(self) -> None:
        if self._kind != "end":
            self._kind, self._text, self._place = next(self._tokens)
