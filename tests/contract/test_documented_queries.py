"""Both columns of the table in docs/reference/queries.md list the same runs, with both versions of the API."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import combinations
from math import ceil
from pathlib import Path
from typing import Any

import langsmith as sdk
import pytest

from airflow_langsmith.errors import LangSmithError
from airflow_langsmith.filters import (
    and_,
    eq,
    failed,
    feedback,
    gt,
    inputs,
    metadata,
    neq,
    or_,
    outputs,
    search,
    tag,
    thread,
)
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.operators import LangSmithExportOperator
from airflow_langsmith.testing import LangSmithStandIn
from tests.wording import says

# The SDK warns of each use of v1.
pytestmark = pytest.mark.filterwarnings("ignore::langsmith._internal._beta_decorator.LangSmithDeprecationWarning")

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "queries.md").read_text()
ROWS = re.findall(r"^\| ([^`|]+) \| `([^`|]+)` \| `([^`|]+)` \|$", PAGE, re.MULTILINE)
QUESTIONS = [question for question, _, _ in ROWS]
ALL = "All runs of a project"
PAGE_SIZES = {"v1": 100, "v2": 1000}

START = datetime(2025, 3, 1, tzinfo=UTC)
PACE = timedelta(minutes=35)
TRACES = 300
NOW = START + timedelta(days=7, hours=12)
SINCE = START + 150 * PACE  # a trace starts at this time
UNTIL = START + 200 * PACE  # and at this time
THREAD = "a1b2c3d4-e5f6-7890"
USER = "4070f233-f61e-44eb-bff1-da3c163895a3"
THREAD_KEYS = {0: "session_id", 10: "thread_id", 20: "conversation_id"}

FUNCTIONS = (and_, eq, failed, feedback, gt, neq, or_, search, tag, thread)
WORDS: dict[str, Any] = {
    **{function.__name__: function for function in FUNCTIONS},
    "inputs": inputs,
    "metadata": metadata,
    "outputs": outputs,
    "timedelta": timedelta,
    "project": "shop",
    "thread_id": THREAD,
    "now": NOW,
    "since": SINCE,
    "until": UNTIL,
}

ReadIds = Callable[[str], list[str]]


def metadata_of(number: int) -> dict[str, Any]:
    """Return the metadata of a trace: a user, an environment, and the thread by one of its three keys."""
    fields: dict[str, Any] = {"environment": "production" if number % 4 < 2 else "staging"}
    if number % 3 == 1:
        fields["user_id"] = USER if number % 12 == 1 else f"user-{number}"
    if number % 30 in THREAD_KEYS:
        fields[THREAD_KEYS[number % 30]] = THREAD
    elif number % 5 == 3:
        fields["thread_id"] = f"thread-{number}"
    elif number % 30 == 14:
        fields["forwarded_to"] = THREAD
    return fields


def tags_of(number: int, *, inner: bool) -> list[str]:
    """Return the tags of a run. A hundred runs have the git hash: exactly a page of v1."""
    tags = ["experimental"] if number % 6 == 0 else ["beta"] if number % 6 == 1 else []
    return [*tags, "2aa1cf4"] if number % 6 == 2 and not inner else tags


def add_trace(langsmith: LangSmithStandIn, project: str, number: int) -> str:
    """Add a trace of an assistant with a retriever and a model, and with tools and an extractor in some traces."""
    begin = START + number * PACE
    seconds = number % 9  # exactly 5 or 2 in some traces
    pending, broken = number % 29 == 7, number % 10 == 3
    extra = {"metadata": metadata_of(number)}
    question = "Where is my late parcel?" if number % 8 == 0 else "Do you have these boots?"

    def add(name: str, run_type: str, after: float, lasts: float, **fields: Any) -> str:
        start = begin + timedelta(seconds=after)
        ends = {} if pending and run_type == "chain" else {"end_time": start + timedelta(seconds=lasts)}
        return langsmith.add_run(
            project=project, name=name, run_type=run_type, start_time=start, **{"extra": extra, **ends, **fields}
        )

    root = add(
        "assistant",
        "chain",
        0,
        seconds,
        inputs={"question": question, **({"language": "en" if number % 4 == 1 else "de"} if number % 2 else {})},
        outputs=None if pending else {"answer": "Yes."},
        error="gave up" if number % 20 == 3 else None,
        tags=tags_of(number, inner=False),
    )
    inner: dict[str, Any] = {"parent_run_id": root, "tags": tags_of(number, inner=True)}
    if number % 3 == 0 or number % 15 == 1:
        add("ExpandQuery", "tool" if number % 3 == 0 else "chain", 0.1, 0.2, inputs={"query": question}, **inner)
    if number % 7 == 3:
        add("CheckStock", "tool", 0.2, 0.1, inputs={"query": question}, **inner)
    documents = ["All about image classification."] if number % 16 == 4 else ["All about boots."]
    add("RetrieveDocs", "retriever", 0.3, 0.3, outputs={"documents": documents}, **inner)
    result = {"error": "RateLimitError"} if broken else {"outputs": {"answer": "Yes."}}
    model = add("ChatOpenAI", "llm", 0.7, seconds / 2, **{**inner, "tags": tags_of(number, inner=False)}, **result)
    if number % 2 == 0:
        extractor = add("extractor", "chain", 0.8, 0.1, extra={}, **inner)
        langsmith.add_feedback(extractor, key="user_score", score=int(number % 8 == 2))
    if number % 4 < 3:
        langsmith.add_feedback(root, key="user_score", score=int(number % 4 == 0))
    langsmith.add_feedback(root, key="star_rating", score=number % 5 + 1)
    langsmith.add_feedback(root, key="seconds_saved", score=60)
    langsmith.add_feedback(model, key="star_rating", score=2)
    if number % 7 < 2:
        langsmith.add_feedback(root if number % 2 else model, key="Correctness", score=number % 7)
    return root


@pytest.fixture(scope="module")
def shop() -> Iterator[LangSmithStandIn]:
    """A week of traces in which each query has matches, and another project with the same runs."""
    with LangSmithStandIn() as langsmith:
        for number in range(TRACES):
            add_trace(langsmith, "shop", number)
        for number in range(TRACES - 60, TRACES):
            add_trace(langsmith, "other", number)
        yield langsmith


@pytest.fixture(scope="module")
def ids(shop: LangSmithStandIn) -> dict[str, Any]:
    """The ids in the table."""
    runs = [run for run in sorted(shop._workspace.runs.values(), key=lambda run: run.key) if run.name != "assistant"]
    return {"run_id": runs[7].id, "run_ids": [runs[3].id, runs[8].trace_id, runs[400].id]}


@pytest.fixture(scope="module")
def read_with_sdk(shop: LangSmithStandIn, ids: dict[str, Any]) -> Iterator[ReadIds]:
    """Evaluate a cell with the SDK, each cell once."""
    client = sdk.Client(api_url=shop.url, api_key=shop.api_key)
    yield cache(lambda cell: ids_of(eval(cell, {**WORDS, **ids, "client": client})))
    client.close()


@pytest.fixture(scope="module", params=["v1", "v2"])
def version(request: pytest.FixtureRequest) -> str:
    """Each version of the API."""
    return str(request.param)


@pytest.fixture(scope="module")
def hook(shop: LangSmithStandIn, version: str) -> Iterator[LangSmithHook]:
    """A hook that has read its project, so that it sends queries only."""
    with pytest.MonkeyPatch.context() as environment:
        connection = shop.connection(api_version=version, requests_per_10s=100_000)
        environment.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", connection)
        with LangSmithHook() as hook:
            hook.get_conn().project("shop")
            yield hook


@pytest.fixture(scope="module")
def read_with_hook(hook: LangSmithHook, ids: dict[str, Any]) -> ReadIds:
    """Evaluate a cell with the hook."""
    return lambda cell: ids_of(eval(cell, {**WORDS, **ids, "hook": hook}))


def ids_of(result: Any) -> list[str]:
    """Return the ids of a run or of several runs."""
    return [str(run.id) for run in ([result] if hasattr(result, "id") else result)]


def test_all_rows_are_tested() -> None:
    """These tests read each row of the table, and no question is in two rows."""
    assert len(ROWS) == len(re.findall(r"^\|", PAGE, re.MULTILINE)) - 2  # head
    assert len(set(QUESTIONS)) == len(ROWS) > 30


@pytest.mark.parametrize(("question", "left", "right"), ROWS, ids=QUESTIONS)
def test_both_columns_list_the_same_runs(
    shop: LangSmithStandIn,
    version: str,
    read_with_sdk: ReadIds,
    read_with_hook: ReadIds,
    question: str,
    left: str,
    right: str,
) -> None:
    """The hook lists the same runs in the same order as the SDK, with a request for each page."""
    expected = read_with_sdk(left)
    before = len(shop.requests)
    assert read_with_hook(right) == expected
    requests = [(request.method, request.path, request.status) for request in shop.requests[before:]]
    if "read_run" in right:
        assert requests == [("GET", f"/api/{version}/runs/{expected[0]}", 200)]
        return
    assert set(requests) == {("POST", f"/api/{version}/runs/query", 200)}
    size = PAGE_SIZES[version]
    extra = len(expected) % size == 0  # a full last page needs another request
    assert 0 <= len(requests) - ceil(len(expected) / size) <= extra


@pytest.mark.parametrize(("question", "left"), [row[:2] for row in ROWS], ids=QUESTIONS)
def test_each_question_selects_runs(shop: LangSmithStandIn, read_with_sdk: ReadIds, question: str, left: str) -> None:
    """Each question matches runs of the project, but not all: otherwise equal results would prove nothing."""
    project = shop.project_id("shop")
    runs = {run.id for run in shop._workspace.runs.values() if run.project_id == project}
    matches = read_with_sdk(left)
    assert len(set(matches)) == len(matches) > 0
    assert runs.issuperset(matches)
    assert (runs == set(matches)) is (question == ALL)


def test_the_questions_differ(read_with_sdk: ReadIds) -> None:
    """No two questions list the same runs, except for the two that mean the same."""
    same = {
        (first, second)
        for (first, left, _), (second, right, _) in combinations(ROWS, 2)
        if read_with_sdk(left) == read_with_sdk(right)
    }
    assert same == {("Runs without errors", "Runs with any status but error")}


def test_results_have_several_pages(read_with_sdk: ReadIds) -> None:
    """Some results are longer than a page of v1, one is longer than a page of v2, and one is exactly a page."""
    lengths = {question: len(read_with_sdk(left)) for question, left, _ in ROWS}
    assert sum(length > PAGE_SIZES["v1"] for length in lengths.values()) >= 10
    assert lengths[ALL] > PAGE_SIZES["v2"]
    assert lengths["Runs tagged with a git hash"] == PAGE_SIZES["v1"]


def test_a_thread_is_found_under_each_of_its_keys(shop: LangSmithStandIn, read_with_sdk: ReadIds) -> None:
    """The query for a thread finds it by each of its three keys."""
    (left,) = [left for question, left, _ in ROWS if question == "Root runs of a thread"]
    runs = [shop._workspace.runs[run_id] for run_id in read_with_sdk(left)]
    keys = {key for run in runs for key, value in run.metadata.items() if value == THREAD}
    assert keys == set(THREAD_KEYS.values())


@pytest.mark.parametrize("right", [right for _, _, right in ROWS if "query_runs" in right], ids=lambda cell: cell[16:])
def test_operators_take_the_same_arguments(right: str) -> None:
    """An export takes the arguments that narrow a query; ``select`` is the view's."""
    call = ast.parse(right, mode="eval").body
    assert isinstance(call, ast.Call)
    assert {str(keyword.arg) for keyword in call.keywords} <= {*LangSmithExportOperator.template_fields, "select"}


def test_errors_are_not_compared_with_null(version: str, read_with_sdk: ReadIds, read_with_hook: ReadIds) -> None:
    """``neq(error, null)`` is refused by the SDK and by the hook, as the page says."""
    with pytest.raises(sdk.utils.LangSmithError, match="not accepted"):
        read_with_sdk("client.list_runs(project_name=project, filter='neq(error, null)')")
    reason = {"v1": "cannot filter by error", "v2": "not supported on error"}[version]
    with pytest.raises(LangSmithError, match=says(reason)):
        read_with_hook("hook.query_runs(project=project, filter='neq(error, null)')")
