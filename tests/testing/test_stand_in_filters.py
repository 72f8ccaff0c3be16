"""The filter language: each documented form, pairs, and the refusals of each version."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.filters import Dialect, FilterSyntaxError, compile_filter, parse
from airflow_langsmith.testing.filters.syntax import Literal
from airflow_langsmith.testing.records import Run
from airflow_langsmith.testing.timeline import Bounds
from airflow_langsmith.testing.times import to_micros

START = datetime(2026, 3, 1, 11, tzinfo=UTC)
PROD, FAILED, STEP = (f"{number}0000000-0000-4000-8000-000000000000" for number in "abc")
ALL = {"plain", "prod", "failed", "step"}

Matches = Callable[[str], set[str]]


@pytest.fixture
def shop(langsmith: LangSmithStandIn) -> str:
    """A pending run, a successful run with a child, and a failed run."""
    langsmith.add_run(project="shop", name="plain", start_time=START)
    langsmith.add_run(
        project="shop",
        name="prod",
        id=PROD,
        start_time=START + timedelta(minutes=1),
        end_time=START + timedelta(minutes=1, seconds=10),
        tags=["prod", "eu"],
        extra={"metadata": {"user_id": "u1", "thread_id": "t1", "size": 3}},
        inputs={"messages": [{"role": "user", "content": "Hello world"}]},
        outputs={"answer": {"text": "yes", "sure": True}},
    )
    langsmith.add_run(project="shop", name="step", id=STEP, parent_run_id=PROD, start_time=START + timedelta(minutes=2))
    langsmith.add_run(
        project="shop",
        name="failed",
        id=FAILED,
        run_type="llm",
        start_time=START + timedelta(minutes=3),
        end_time=START + timedelta(minutes=3, seconds=1.5),
        error="boom",
        extra={"metadata": {"user_id": "u2"}},
        outputs={"usage_metadata": {"input_tokens": 7, "output_tokens": 3}},
    )
    langsmith.add_feedback(PROD, key="correctness", score=0.9, feedback_source={"type": "app"})
    langsmith.add_feedback(FAILED, key="correctness", score=0.2)
    langsmith.add_feedback(FAILED, key="label", value="bad", score=0.8)
    return langsmith.project_id("shop")


def query(http: httpx.Client, version: int, project: str, text: str) -> httpx.Response:
    """Send a filter to either version."""
    if version == 1:
        return http.post("/api/v1/runs/query", json={"session": [project], "filter": text})
    return http.post("/api/v2/runs/query", json={"project_ids": [project], "filter": text, "selects": ["NAME"]})


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def version(request: pytest.FixtureRequest) -> int:
    """Each version of the API."""
    number: int = request.param
    return number


@pytest.fixture
def matches(http: httpx.Client, version: int, shop: str) -> Matches:
    """Return the names of the runs that match a filter."""

    def names(text: str) -> set[str]:
        answer = query(http, version, shop, text)
        assert answer.status_code == 200, answer.text
        return {run["name"] for run in answer.json()["runs" if version == 1 else "items"]}

    return names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('eq(name, "prod")', {"prod"}),
        ("eq(name, 'prod')", {"prod"}),
        ('neq(name, "prod")', ALL - {"prod"}),
        ('in(name, ["prod", "plain"])', {"prod", "plain"}),
        ('like(name, "%pro%")', {"prod"}),
        ('like(name, "pro")', set()),
        ('like(name, "p_od")', {"prod"}),
        ('notlike(name, "p%")', {"failed", "step"}),
        ('eq(run_type, "llm")', {"failed"}),
        ('eq(run_type, "LLM")', set()),
        ('eq(status, "error")', {"failed"}),
        ('neq(status, "pending")', {"prod", "failed"}),
        (f'eq(id, "{PROD.upper()}")', {"prod"}),
        (f'in(id, ["{PROD}", "{FAILED}"])', {"prod", "failed"}),
        (f'in(trace_id, ["{PROD}"])', {"prod", "step"}),
        (f'eq(parent_run_id, "{PROD}")', {"step"}),
        ("eq(parent_run_id, null)", ALL - {"step"}),
        ("eq(is_root, true)", ALL - {"step"}),
        ("eq(is_root, false)", {"step"}),
        ('eq(thread_id, "t1")', {"prod"}),
        ('gt(start_time, "2026-03-01T11:02:00Z")', {"failed"}),
        ('gte(start_time, "2026-03-01T12:02:00+01:00")', {"step", "failed"}),
        ('and(gte(start_time, "2026-03-01T11:01:00Z"), lt(start_time, "2026-03-01T11:03:00Z"))', {"prod", "step"}),
        ('lte(end_time, "2026-03-01T11:01:10Z")', {"prod"}),
        ('gt(latency, "5s")', {"prod"}),
        ('gte(latency, "1.5s")', {"prod", "failed"}),
        ("lt(latency, 2)", {"failed"}),
        ('has(tags, "prod")', {"prod"}),
        ('has(tags, "pro")', set()),
        ("""has(metadata, '{"user_id": "u1", "size": 3}')""", {"prod"}),
        ('search("hello WORLD")', {"prod"}),
        ('search("null")', set()),
        ('notlike(inputs, "%Hello%")', ALL - {"prod"}),
        ('or(eq(name, "plain"), eq(name, "step"))', {"plain", "step"}),
        ('and(eq(name, "prod"))', {"prod"}),
        ('and(or(eq(name, "prod"), eq(name, "step")), eq(is_root, true))', {"prod"}),
    ],
)
def test_comparisons(matches: Matches, text: str, names: set[str]) -> None:
    """Each documented comparison matches the same runs on both versions."""
    assert matches(text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('and(eq(metadata_key, "user_id"), eq(metadata_value, "u1"))', {"prod"}),
        ('and(eq(metadata_key, "thread_id"), eq(metadata_value, "u1"))', set()),
        ('and(in(metadata_key, ["session_id", "thread_id"]), eq(metadata_value, "t1"))', {"prod"}),
        ('and(eq(metadata_key, "size"), gt(metadata_value, 2))', {"prod"}),
        ('eq(input_key, "messages.content")', {"prod"}),
        ('and(eq(input_key, "messages.content"), eq(input_value, "Hello world"))', {"prod"}),
        ('and(eq(output_key, "answer.sure"), eq(output_value, true))', {"prod"}),
        ('eq(feedback_key, "correctness")', {"prod", "failed"}),
        ('and(eq(feedback_key, "correctness"), lt(feedback_score, 0.5))', {"failed"}),
        ('and(eq(feedback_key, "label"), eq(feedback_value, "bad"))', {"failed"}),
        ('and(eq(feedback_key, "label"), lt(feedback_score, 0.5))', set()),
        ('and(eq(feedback_key, "correctness"), eq(feedback_source, "app"))', {"prod"}),
    ],
)
def test_conditions_in_an_and_apply_to_the_same_pair(matches: Matches, text: str, names: set[str]) -> None:
    """A key and a value in an ``and`` are those of one pair of metadata, of a payload, or of feedback."""
    assert matches(text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("and(neq(metadata_key, 'thread_id'))", ALL - {"prod"}),
        ("neq(metadata_key, 'thread_id')", ALL - {"prod"}),
        ("and(eq(metadata_key, 'user_id'), neq(metadata_value, 'u1'))", {"failed"}),
        ("and(neq(metadata_key, 'thread_id'), neq(metadata_value, 'u2'))", {"plain", "step"}),
        ("and(neq(metadata_key, 'thread_id'), eq(metadata_value, 'u2'))", {"failed"}),
        ("and(neq(metadata_key, 'user_id'), eq(metadata_value, 'u2'))", set()),
    ],
)
def test_the_negative_forms_of_a_pair(matches: Matches, text: str, names: set[str]) -> None:
    """The key is absent; the key has another value; both are absent; another key has the value."""
    assert matches(text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [("gt(total_tokens, 5)", {"failed"}), ("eq(total_tokens, 10)", {"failed"}), ('like(error, "%oo%")', {"failed"})],
)
def test_some_attributes_are_for_v2_only(http: httpx.Client, shop: str, text: str, names: set[str]) -> None:
    """Tokens and errors cannot be filtered on v1."""
    runs = query(http, 2, shop, text).json()["items"]
    assert {run["name"] for run in runs} == names
    assert query(http, 1, shop, text).status_code == 400


@pytest.mark.parametrize(
    "text",
    [
        'search(name, "x")',
        "search(name)",
        "search(5)",
        "neq(error, null)",
        "eq(execution_order, 1)",
        'eq(colour, "red")',
        "eq(name, null)",
        "eq(name, 5)",
        "eq(name, x)",
        "eq(name)",
        'eq("name", "x")',
        'like(start_time, "2026%")',
        'eq(start_time, "2026-03-01T00:00:00Z")',
        "gt(start_time, 5)",
        'gt(start_time, "yesterday")',
        'gt(latency, "5m")',
        'gt(latency, "1h")',
        'gt(latency, "5")',
        "gt(latency, true)",
        'eq(tags, "prod")',
        'has(name, "x")',
        'has(metadata, "k")',
        'in(name, "x")',
        'eq(name, ["x"])',
        'eq(is_root, "true")',
        'lt(feedback_score, "0.5")',
        'not(eq(name, "x"))',
        'contains(name, "x")',
        "and()",
        "and(true)",
        "",
        "name",
        '"x"',
        'eq(name, "x"',
        'eq(name, "x"))',
        'eq(name "x")',
        'eq(name, "x\\q")',
        'eq(name, "x\n")',
        'eq(name, "x)',
        "eq(name, ['x', ['y']])",
        "and(" * 100 + 'eq(name, "x")' + ")" * 100,
    ],
)
def test_an_invalid_filter_is_400(http: httpx.Client, version: int, shop: str, text: str) -> None:
    """A syntax error, an unknown name or a literal of another type fails the query."""
    answer = query(http, version, shop, text)
    assert answer.status_code == 400
    start = (
        ("Failed to parse filter: ", "Comparison comparator=") if version == 1 else "invalid request: Failed to parse"
    )
    assert answer.json()["detail"].startswith(start)


def test_refusals_are_in_the_words_of_langsmith(http: httpx.Client, shop: str) -> None:
    """The refusal that is known for both versions has the same text."""
    v1, v2 = (query(http, version, shop, 'search(name, "x")').json() for version in (1, 2))
    comparator = "<Comparator.SEARCH: 'search'>"
    assert v1 == {"detail": f"Comparison comparator={comparator} attribute='name' value='x' multi=False not accepted."}
    count = 'Invalid argument count: "search" requires 1 arguments, got 2'
    assert v2 == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": f"invalid request: Failed to parse filter: {count}",
        "instance": "/v2/runs/query",
    }


def test_a_time_without_a_zone_is_for_v1_only(http: httpx.Client, shop: str) -> None:
    """v1 reads it as UTC, and v2 refuses it."""
    text = 'gt(start_time, "2026-03-01T11:02:30")'
    assert [run["name"] for run in query(http, 1, shop, text).json()["runs"]] == ["failed"]
    assert query(http, 2, shop, text).status_code == 400


def test_filters_on_the_root_and_on_the_trace(http: httpx.Client, shop: str) -> None:
    """``filter``, ``trace_filter`` and ``tree_filter`` must all match."""
    body = {"session": [shop], "filter": 'eq(name, "step")', "trace_filter": 'has(tags, "eu")'}
    assert [run["name"] for run in http.post("/runs/query", json=body).json()["runs"]] == ["step"]
    body = {"session": [shop], "filter": "eq(is_root, true)", "tree_filter": 'eq(name, "step")'}
    assert [run["name"] for run in http.post("/runs/query", json=body).json()["runs"]] == ["prod"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('gt(start_time, "2026-03-01T11:01:00Z")', {"failed", "failed step"}),
        ('gte(start_time, "2026-03-01T12:01:00+01:00")', {"prod", "step", "failed", "failed step"}),
        ('lt(start_time, "2026-03-01T11:01:00Z")', {"plain"}),
        ('lte(start_time, "2026-03-01T11:01:00Z")', {"plain", "prod", "step"}),
        (
            'and(gt(start_time, "2026-03-01T11:00:00Z"), and(lt(start_time, "2026-03-01T11:03:00Z")))',
            {"prod", "step"},
        ),
        ('and(gt(start_time, "2026-03-01T11:00:00Z"), eq(name, "failed"))', {"failed", "failed step"}),
        ('or(lt(start_time, "2026-03-01T11:00:30Z"), has(tags, "eu"))', {"plain", "prod", "step"}),
        ('and(gt(start_time, "2026-03-01T11:03:00Z"), lt(start_time, "2026-03-01T11:00:00Z"))', set()),
    ],
)
def test_filters_on_the_start_of_the_root(
    http: httpx.Client, langsmith: LangSmithStandIn, version: int, shop: str, text: str, names: set[str]
) -> None:
    """The start of the root selects all runs of its trace in the project, at any time."""
    early = START - timedelta(minutes=1)
    langsmith.add_run(project="shop", name="failed step", parent_run_id=FAILED, start_time=early)
    langsmith.add_run(project="cellar", name="elsewhere", parent_run_id=FAILED, start_time=START)
    langsmith.add_run(project="shop", name="rootless", parent_run_id="d" * 32, start_time=START)
    if version == 1:
        runs = http.post("/api/v1/runs/query", json={"session": [shop], "trace_filter": text}).json()["runs"]
    else:
        body = {"project_ids": [shop], "trace_filter": text, "selects": ["NAME"]}
        runs = http.post("/api/v2/runs/query", json=body).json()["items"]
    assert sorted(run["name"] for run in runs) == sorted(names)


_SECONDS = st.integers(0, 9)
_STARTS = st.builds(
    lambda comparator, second: f'{comparator}(start_time, "2026-03-01T11:00:0{second}Z")',
    st.sampled_from(["gt", "gte", "lt", "lte"]),
    _SECONDS,
)
_EXPRESSIONS = st.recursive(
    _STARTS | st.sampled_from(['eq(name, "run")', "eq(is_root, false)"]),
    lambda inner: st.builds(
        lambda operator, parts: f"{operator}({', '.join(parts)})",
        st.sampled_from(["and", "or"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
)


@given(text=_EXPRESSIONS, second=_SECONDS)
def test_each_match_is_within_the_start_bounds_of_its_filter(text: str, second: int) -> None:
    """A run that matches a filter started within the bounds that are read from the filter."""
    start = START + timedelta(seconds=second)
    run = Run("r", "r", "p", "run", "chain", start, "", start)
    filter_ = compile_filter(text, Dialect.V2, lambda _: [])
    if filter_.matches(run):
        assert filter_.starts.intersect(Bounds(low=to_micros(start), high=to_micros(start) + 1)) == Bounds(
            to_micros(start), to_micros(start) + 1
        )


def value_of(text: str) -> object:
    """Return the value of a comparison."""
    literal = parse(text).arguments[1]
    assert isinstance(literal, Literal)
    return literal.value


@given(value=st.text(), ascii_only=st.booleans())
def test_each_string_of_json_is_read(value: str, ascii_only: bool) -> None:
    """A filter reads each string that ``json.dumps`` writes."""
    assert value_of(f"eq(name, {json.dumps(value, ensure_ascii=ascii_only)})") == value


@given(values=st.lists(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_and_words_of_json_are_read(values: list[object]) -> None:
    """A filter reads lists of numbers, booleans and null that ``json.dumps`` writes."""
    assert value_of(f"in(name, {json.dumps(values)})") == values


@given(text=st.text())
def test_any_text_is_a_filter_or_a_syntax_error(text: str) -> None:
    """The parser raises no other error."""
    with suppress(FilterSyntaxError):
        parse(text)
