"""The filter language: LangSmith reads each printed filter as it is meant, for any value."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from airflow_langsmith.api import filter_syntax
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.filters import (
    Filter,
    and_,
    eq,
    failed,
    feedback,
    gt,
    gte,
    has,
    in_,
    inputs,
    like,
    lt,
    lte,
    metadata,
    neq,
    or_,
    outputs,
    search,
    tag,
    thread,
)
from airflow_langsmith.operators import LangSmithExportOperator
from airflow_langsmith.testing.filters import FilterSyntaxError, parse

HOSTILE = '")),or(eq(is_root, true),eq(name, "'
TEXTS = st.text() | st.sampled_from([HOSTILE, '"', "\\", "\\\\", "'", "\n", "\x00", "\u2028", "😀", "{{ x }}", "%"])


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        (eq("run_type", "llm"), 'eq(run_type, "llm")'),
        (neq("name", "x"), 'neq(name, "x")'),
        (eq("is_root", value=True), "eq(is_root, true)"),
        (eq("parent_run_id", None), "eq(parent_run_id, null)"),
        (gt("latency", 5), "gt(latency, 5)"),
        (gte("latency", timedelta(minutes=2)), 'gte(latency, "120s")'),
        (lt("latency", timedelta(milliseconds=1500)), 'lt(latency, "1.5s")'),
        (lt("latency", timedelta(days=14)), 'lt(latency, "1209600s")'),
        (gt("latency", timedelta(microseconds=10)), 'gt(latency, "0.00001s")'),
        (lte("start_time", datetime(2025, 3, 1, tzinfo=UTC)), 'lte(start_time, "2025-03-01T00:00:00.000000Z")'),
        (has("tags", "a"), 'has(tags, "a")'),
        (tag("größe"), 'has(tags, "größe")'),
        (in_("trace_id", ["a", "b"]), 'in(trace_id, ["a", "b"])'),
        (like("name", "%x_"), 'like(name, "%x_")'),
        (search("late parcel"), 'search("late parcel")'),
        (and_(tag("a"), 'eq(name, "b")'), 'and(has(tags, "a"), eq(name, "b"))'),
        (tag("a") & tag("b") | tag("c"), 'or(and(has(tags, "a"), has(tags, "b")), has(tags, "c"))'),
        (metadata("k"), 'eq(metadata_key, "k")'),
        (metadata("k", "v"), 'and(eq(metadata_key, "k"), eq(metadata_value, "v"))'),
        (metadata("k", None), 'and(eq(metadata_key, "k"), eq(metadata_value, null))'),
        (inputs.other("k", 1), 'and(eq(input_key, "k"), neq(input_value, 1))'),
        (outputs.absent("k"), 'and(neq(output_key, "k"))'),
        (feedback("k"), 'eq(feedback_key, "k")'),
        (feedback("k", 1), 'and(eq(feedback_key, "k"), eq(feedback_score, 1))'),
        (feedback("k", True), 'and(eq(feedback_key, "k"), eq(feedback_score, 1))'),
        (feedback("k", "good"), 'and(eq(feedback_key, "k"), eq(feedback_value, "good"))'),
        (feedback("k", gte=0.5, lt=1), 'and(eq(feedback_key, "k"), gte(feedback_score, 0.5), lt(feedback_score, 1))'),
        (
            thread("t"),
            'and(in(metadata_key, ["session_id", "thread_id", "conversation_id"]), eq(metadata_value, "t"))',
        ),
        (failed(), 'eq(status, "error")'),
        (or_(eq("name", "a")), 'or(eq(name, "a"))'),
    ],
    ids=str,
)
def test_filters_print_as_langsmith_documents(written: Filter, printed: str) -> None:
    """A filter prints the documented expression, which our check and a strict reader accept."""
    assert str(written) == printed
    assert parse(printed).operator
    filter_syntax.check(printed)


def test_filters_are_plain_values() -> None:
    """Filters are equal if their texts are."""
    assert metadata("k", "v") == and_(eq("metadata_key", "k"), eq("metadata_value", "v"))
    assert eq("name", "a") != eq("name", "b")
    assert len({tag("a"), tag("a"), tag("b")}) == 2


@given(TEXTS)
def test_any_text_comes_through_as_the_value_it_is(text: str) -> None:
    """Any text, also one that looks like an expression, is read back as the same value."""
    (_, value), same = parse(str(eq("name", text))).arguments, parse(str(in_("name", [text]))).arguments[1]
    assert getattr(value, "value", None) == text
    assert getattr(same, "value", None) == [text]


@given(TEXTS)
def test_a_templated_value_cannot_widen_a_query(text: str) -> None:
    """Any value from a template stays one value."""
    rendered = and_(eq("run_type", "llm"), metadata("user", "{{ user }}"))(
        {"user": text}, Environment(autoescape=False)
    )
    assert rendered == str(and_(eq("run_type", "llm"), metadata("user", text)))
    assert [part.operator for part in parse(rendered).arguments] == ["eq", "and"]  # type: ignore[union-attr]


def test_templates_in_an_operator_s_filter() -> None:
    """Airflow renders the templates in a filter's values before they are escaped, in each task instance."""
    with DAG("d", schedule=None):
        task = LangSmithExportOperator(
            task_id="t",
            project="shop",
            destination="file:///x",
            filter=and_("{{ params.plain }}", eq("name", "{{ params.name }}")),
        )
    for name in (HOSTILE, "harmless"):
        operator: Any = task.prepare_for_execution()
        operator.render_template_fields({"params": {"name": name, "plain": 'has(tags, "a")'}})
        assert operator.filter == f'and(has(tags, "a"), eq(name, {json.dumps(name)}))'


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: eq("name) or (x", "v"),
        lambda: eq("", "v"),
        lambda: eq("näme", "v"),
        lambda: eq("start_time", datetime(2025, 3, 1)),  # noqa: DTZ001  # what is refused
        lambda: eq("x", float("nan")),
        lambda: eq("x", ["a"]),  # type: ignore[arg-type]
        lambda: in_("x", "abc"),
        and_,
        or_,
    ],
)
def test_what_is_no_filter(wrong: Any) -> None:
    """Invalid attributes, times without a zone and values of unsupported types are refused at once."""
    with pytest.raises(ConfigurationError):
        wrong()


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ('eq(name "x")', 8),
        ('eq(name, "x"', 12),
        ('eq(name, "x', 9),
        ("eq(name, 'x)", 9),
        ('eq(name, "x"))', 13),
        ('and(eq(name, "x"),)', 18),
        ("name", 4),
        ('"name"', 0),
        ("eq(name, $)", 9),
        ("", 0),
        ("in(name, [1, 2)", 14),
    ],
)
def test_a_mark_under_the_place(text: str, marked: int) -> None:
    """The error of a wrong filter marks the position of the mistake."""
    with pytest.raises(ConfigurationError, match="no expression of LangSmith's filter language") as caught:
        filter_syntax.check(text)
    lines = str(caught.value).split("\n")
    assert f"  {text}\n  {' ' * marked}^" in "\n".join(lines)


def test_the_mark_is_under_the_line_it_is_about() -> None:
    """The error shows only the line with the mistake."""
    with pytest.raises(ConfigurationError) as caught:
        filter_syntax.check('and(\n  eq(name, "x")\n  eq(name, "y")\n)')
    assert '\n    eq(name, "y")\n    ^\n' in str(caught.value)


SOUP = st.lists(st.sampled_from([*"(),[]", "eq", "and", " ", '"x"', "'y'", "1", "-2.5e3", "true", "null", "\\", '"']))


@given(SOUP.map("".join))
def test_the_check_refuses_nothing_that_can_be_read(text: str) -> None:
    """The check accepts each expression that a reader of the language accepts."""
    try:
        parse(text)
    except FilterSyntaxError:
        return
    filter_syntax.check(text)


def test_attributes_of_a_filter() -> None:
    """The attributes of a filter are those that it compares, not names in its texts."""
    text = 'and(eq(name, "gt(latency, 1)"), or(gt(total_tokens, 5), in(status, ["a"])), search("x"))'
    assert list(filter_syntax.attributes(text)) == ["name", "total_tokens", "status"]
