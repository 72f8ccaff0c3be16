"""
Check before sending whether a filter is an expression of LangSmith's filter language.

The grammar is as wide as LangSmith's may be: calls, bare words, numbers, strings in either quote with any escapes,
lists. No version of LangSmith can read what it refuses. The server checks whether a name exists.
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
_MAX_DEPTH = 100
_CLOSING = {"(": ")", "[": "]"}
_BEFORE_VALUE = ("(", "[", ",")

# The attributes in LangSmith's documentation: for suggestions, not to refuse others.
ATTRIBUTES = (
    *("id", "name", "run_type", "status", "is_root", "start_time", "end_time", "latency", "error", "tags"),
    *("trace_id", "parent_run_id", "thread_id", "total_tokens", "inputs", "outputs", "metadata"),
    *("metadata_key", "metadata_value", "input_key", "input_value", "output_key", "output_value"),
    *("feedback_key", "feedback_score", "feedback_value", "feedback_source"),
)

Token = tuple[str, str, int]  # kind (a mark is its own), text, position


def check(filter_: str, name: str = "filter") -> None:
    """Refuse a text that is no filter, with a mark under the position."""
    try:
        _read(filter_)
    except _Misplaced as error:
        problem, position = error.args
        raise ConfigurationError(
            f"{name} is no expression of LangSmith's filter language: {problem}\n{mark_position(filter_, position)}\n"
            'Expressions look like and(eq(run_type, "llm"), gt(latency, "5s")); '
            "airflow_langsmith.filters writes them."
        ) from None


def attributes(filter_: str) -> Iterator[str]:
    """
    Yield the attributes that a filter compares.

    >>> list(attributes('and(eq(name, "x"), has(tags, "eq(y, 1)"))'))
    ['name', 'tags']
    """
    tokens = list(_tokens(filter_))
    for opening, name, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if (opening[0], name[0], after[0]) == ("(", "name", ","):
            yield name[1]


def hint(filters: Iterable[str], detail: str) -> str:
    """
    Return which attribute of a refused filter does not exist, if the server's message is about one.

    >>> hint(['eq(runtype, "llm")'], "Unknown attribute: runtype")
    "there is no attribute 'runtype'. Did you mean 'run_type'?"
    """
    unknown = (name for filter_ in filters for name in attributes(filter_) if name not in ATTRIBUTES)
    name = next((name for name in unknown if re.search(rf"\b{re.escape(name)}\b", detail)), None)
    return f"there is no attribute {name!r}. {did_you_mean(name, ATTRIBUTES)}".strip() if name else ""


class _Misplaced(Exception):  # noqa: N818  # becomes a ConfigurationError above
    pass


def _tokens(text: str) -> Iterator[Token]:
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            raise _Misplaced("a text that is not closed" if text[start] in "\"'" else f"{text[start]!r} here", start)
        kind = str(match.lastgroup)
        yield match[kind] if kind == "mark" else kind, match[kind], match.start(kind)
        position = match.end()
    yield "end", "", end


def _read(text: str) -> None:
    closing: list[str] = []  # what closes each open bracket
    before = ""  # the kind of the token before
    for kind, token, position in _tokens(text):
        if (kind == "(" and before == "name") or (kind == "[" and before in _BEFORE_VALUE):
            closing.append(_CLOSING[kind])
        elif closing and kind == closing[-1] and before != ",":
            closing.pop()
        elif problem := _problem(before, kind, token, closing[-1:]):
            raise _Misplaced(problem, position)
        if len(closing) > _MAX_DEPTH:
            raise _Misplaced(f"nested deeper than {_MAX_DEPTH} brackets", position)
        before = kind


def _problem(before: str, kind: str, token: str, closing: list[str]) -> str:
    """Return why a token may not follow another one; empty if it may."""
    if not before:
        return "" if kind == "name" else "it begins with no comparison such as eq(...)"
    if not closing:
        return "a '(' is missing" if before == "name" else f"{token!r} after its end" if token else ""
    if before in _BEFORE_VALUE:
        return "" if kind in ("string", "number", "name") else "a value is missing"
    return "" if kind == "," else f"a ',' or {closing[0]!r} is missing"
