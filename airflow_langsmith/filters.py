"""
LangSmith's filter language as small functions, for DAGs and for Python.

``str()`` of a filter is the expression that LangSmith documents. Every value is written as JSON, so no value can be
read as anything else than a value::

    and_(eq("run_type", "llm"), metadata("user_id", "{{ params.user }}"), gt("latency", timedelta(seconds=5)))

As an operator's argument a filter may have templates in its values: they are rendered, then escaped. A string may
replace any filter; templates in it are rendered without escaping. A filter is the text of its expression, so Airflow
stores it as it is in a serialised DAG and in an XCom.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.templates import render

__all__ = [
    "Expression",
    "Filter",
    "Value",
    "and_",
    "eq",
    "failed",
    "feedback",
    "gt",
    "gte",
    "has",
    "in_",
    "inputs",
    "like",
    "lt",
    "lte",
    "metadata",
    "neq",
    "or_",
    "outputs",
    "search",
    "tag",
    "thread",
]

Value = str | int | float | bool | datetime | timedelta | None

THREAD_KEYS = ("session_id", "thread_id", "conversation_id")


ANY: Any = object()  # any value

# The beginning of a Jinja template. Jinja ignores the same brace in JSON's own spelling, so a value that is text stays
# text in any field that Airflow renders.
_OPENING = re.compile(r"\{(?=[{%#])")


class Filter(str):
    """An expression: a function of LangSmith's language and its arguments. Filters join with ``&`` and ``|``."""

    __slots__ = ("arguments", "function")

    function: str
    arguments: tuple[Any, ...]

    def __new__(cls, function: str, arguments: tuple[Any, ...]) -> Self:
        """Print the expression; templates stay as they are."""
        made = super().__new__(cls, _print_call(function, arguments, lambda text: text))
        made.function, made.arguments = function, arguments
        return made

    def __reduce__(self) -> tuple[type[Filter], tuple[str, tuple[Any, ...]]]:
        """Copy and pickle it by its parts; Airflow copies the arguments of operators."""
        return Filter, (self.function, self.arguments)

    def __call__(self, context: Any, jinja_env: Any) -> str:
        """Render the templates in it and print it; Airflow calls this for a template field."""
        return _print_call(self.function, self.arguments, lambda text: str(render(text, context, jinja_env)))

    @property
    def has_template(self) -> bool:
        """Whether a value in it is a template, which the text spells so that Jinja ignores it."""
        return r"\u007b" in self

    def __and__(self, other: Expression) -> Filter:
        return and_(self, other)

    def __or__(self, other: Expression) -> Filter:
        return or_(self, other)


Expression = Filter | str


@dataclass(frozen=True)
class _Word:
    """An attribute, or an expression written as a string: printed as it is."""

    text: str


def _print_call(function: str, arguments: tuple[Any, ...], rendered: Callable[[str], str]) -> str:
    printed = [_print(argument, rendered) for argument in arguments]
    if function in ("and", "or"):  # a template that renders to nothing is no condition
        printed = [expression for expression in printed if expression.strip()]
    return f"{function}({', '.join(printed)})" if printed else ""


def _print(argument: Any, rendered: Callable[[str], str]) -> str:
    match argument:
        case Filter():
            return _print_call(argument.function, argument.arguments, rendered)
        case _Word():
            return rendered(argument.text)
        case tuple():
            return f"[{', '.join(_print(item, rendered) for item in argument)}]"
        case str():
            return _OPENING.sub(r"\\u007b", json.dumps(rendered(argument), ensure_ascii=False))
        case _:
            return json.dumps(argument)


def eq(attribute: str, value: Value) -> Filter:
    r"""
    Is equal.

    >>> print(eq("name", 'say "hi"'))
    eq(name, "say \"hi\"")
    """
    return _compare("eq", attribute, value)


def neq(attribute: str, value: Value) -> Filter:
    """Is not equal."""
    return _compare("neq", attribute, value)


def gt(attribute: str, value: Value) -> Filter:
    """
    Is greater; lengths of time are timedeltas or seconds.

    >>> str(gt("latency", timedelta(seconds=5)))
    'gt(latency, "5s")'
    """
    return _compare("gt", attribute, value)


def gte(attribute: str, value: Value) -> Filter:
    """Is greater or equal."""
    return _compare("gte", attribute, value)


def lt(attribute: str, value: Value) -> Filter:
    """Is less."""
    return _compare("lt", attribute, value)


def lte(attribute: str, value: Value) -> Filter:
    """Is less or equal."""
    return _compare("lte", attribute, value)


def has(attribute: str, value: Value) -> Filter:
    """Has a value: ``has("tags", "prod")``."""
    return _compare("has", attribute, value)


def in_(attribute: str, values: Iterable[Value]) -> Filter:
    """
    Is one of some values.

    >>> str(in_("status", ["success", "error"]))
    'in(status, ["success", "error"])'
    """
    if isinstance(values, str):
        raise ConfigurationError(f"in_({attribute!r}, ...) takes a list of values, not one text.")
    return Filter("in", (_attribute(attribute), tuple(_value(value) for value in values)))


def like(attribute: str, pattern: str) -> Filter:
    """Matches a pattern with ``%`` for any text and ``_`` for any character."""
    return _compare("like", attribute, pattern)


def search(text: str) -> Filter:
    """
    Has the words in its inputs or outputs; the budget for full text is smaller on v1.

    >>> str(search("late parcel"))
    'search("late parcel")'
    """
    return Filter("search", (_value(text),))


def and_(*filters: Expression) -> Filter:
    """
    All of them; conditions on a key and on a value, next to each other, mean one pair.

    >>> str(and_('has(tags, "a")', eq("is_root", True)))
    'and(has(tags, "a"), eq(is_root, true))'
    """
    return _join("and", filters)


def add_condition(condition: Filter, filter_: str | None) -> str:
    """Return a filter with a condition added, or the condition alone."""
    return str(and_(condition, filter_) if filter_ else condition)


def or_(*filters: Expression) -> Filter:
    """Any of them."""
    return _join("or", filters)


@dataclass(frozen=True)
class Pairs:
    """
    Conditions on the keys and values of a run's metadata, inputs or outputs.

    >>> str(metadata("user_id", "u1"))
    'and(eq(metadata_key, "user_id"), eq(metadata_value, "u1"))'
    >>> str(metadata.other("user_id", "u1")), str(metadata.absent("user_id"))
    ('and(eq(metadata_key, "user_id"), neq(metadata_value, "u1"))', 'and(neq(metadata_key, "user_id"))')
    """

    family: str

    def __call__(self, key: str, value: Value = ANY) -> Filter:
        """The key is there, with this value, or with any."""
        has_key = eq(f"{self.family}_key", key)
        return has_key if value is ANY else and_(has_key, eq(f"{self.family}_value", value))

    def other(self, key: str, value: Value) -> Filter:
        """The key is there, with another value."""
        return and_(eq(f"{self.family}_key", key), neq(f"{self.family}_value", value))

    def absent(self, key: str) -> Filter:
        """The key is not there."""
        return and_(neq(f"{self.family}_key", key))


metadata = Pairs("metadata")
inputs = Pairs("input")
outputs = Pairs("output")


def feedback(
    key: str,
    value: float | bool | str = ANY,
    *,
    gt: float | None = None,
    gte: float | None = None,
    lt: float | None = None,
    lte: float | None = None,
) -> Filter:
    """
    Has feedback under a key: any, with a score, with a label, or with a score between bounds.

    >>> print(feedback("star_rating", gt=4))
    and(eq(feedback_key, "star_rating"), gt(feedback_score, 4))
    >>> print(feedback("verdict", "good"))
    and(eq(feedback_key, "verdict"), eq(feedback_value, "good"))
    """
    conditions = [eq("feedback_key", key)]
    if value is not ANY:
        conditions.append(eq("feedback_value" if isinstance(value, str) else "feedback_score", _score(value)))
    for function, bound in (("gt", gt), ("gte", gte), ("lt", lt), ("lte", lte)):
        if bound is not None:
            conditions.append(_compare(function, "feedback_score", _score(bound)))
    return and_(*conditions) if len(conditions) > 1 else conditions[0]


def tag(name: str) -> Filter:
    """Has a tag."""
    return has("tags", name)


def thread(thread_id: str) -> Filter:
    """Belongs to a thread, under any of the three metadata keys that name one."""
    return and_(in_("metadata_key", THREAD_KEYS), eq("metadata_value", thread_id))


def failed() -> Filter:
    """Ended in an error, by its status: LangSmith refuses ``neq(error, null)``, which its older documentation shows."""
    return eq("status", "error")


def format_time(moment: datetime) -> str:
    """Format a moment for both API versions: ``2025-03-01T00:00:00.000000Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _compare(function: str, attribute: str, value: Value) -> Filter:
    return Filter(function, (_attribute(attribute), _value(value)))


def _join(function: str, filters: tuple[Expression, ...]) -> Filter:
    if not filters:
        raise ConfigurationError(f"{function}_() needs at least one filter.")
    return Filter(function, tuple(f if isinstance(f, Filter) else _Word(f) for f in filters))


def _attribute(name: str) -> _Word:
    if not name.replace("_", "a").isalnum() or not name.isascii():
        raise ConfigurationError(f"{name!r} is no attribute of a run; attributes are words like name or metadata_key.")
    return _Word(name)


def _value(value: Value) -> str | int | float | bool | None:
    match value:
        case datetime():
            if value.tzinfo is None:
                raise ConfigurationError(f"{value.isoformat()} has no time zone; write one, e.g. tzinfo=UTC.")
            return format_time(value)
        case timedelta():
            return f"{value.total_seconds():f}".rstrip("0").rstrip(".") + "s"
        case str() | bool() | int() | None if not isinstance(value, Filter):
            return value
        case float() if math.isfinite(value):
            return value
    raise ConfigurationError(f"{value!r} is no value of LangSmith's filter language.")


def _score(value: float | bool | str) -> float | str:
    return int(value) if isinstance(value, bool) else value
