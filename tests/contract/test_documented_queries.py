"""docs/reference/queries.md is right: both columns of its table find the same runs, over both versions of the API."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
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

# The SDK warns of whatever leads to v1, which is what its column of the table is about.
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
SINCE = START + 150 * PACE  # one trace begins at this very moment
UNTIL = START + 200 * PACE  # and one at this
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

Ask = Callable[[str], list[str]]


def metadata_of(number: int) -> dict[str, Any]:
    """Tell what the runs of a trace bear: a user, an environment, and the thread under one of its three keys."""
    found: dict[str, Any] = {"environment": "production" if number % 4 < 2 else "staging"}
    if number % 3 == 1:
        found["user_id"] = USER if number % 12 == 1 else f"user-{number}"
    if number % 30 in THREAD_KEYS:
        found[THREAD_KEYS[number % 30]] = THREAD
    elif number % 5 == 3:
        found["thread_id"] = f"thread-{number}"
    elif number % 30 == 14:
        found["forwarded_to"] = THREAD
    return found


def tags_of(number: int, *, inner: bool) -> list[str]:
    """Tell the tags of a run; the git hash is on exactly a hundred, which fill a page of v1 and end with it."""
    found = ["experimental"] if number % 6 == 0 else ["beta"] if number % 6 == 1 else []
    return [*found, "2aa1cf4"] if number % 6 == 2 and not inner else found


def add_trace(langsmith: LangSmithStandIn, project: str, number: int) -> str:
    """Put in an assistant's turn: it retrieves and asks a model, and may use tools before and extract after that."""
    begins = START + number * PACE
    seconds = number % 9  # some took exactly 5, some exactly 2
    pending, broken = number % 29 == 7, number % 10 == 3
    told = {"metadata": metadata_of(number)}
    question = "Where is my late parcel?" if number % 8 == 0 else "Do you have these boots?"

    def add(name: str, run_type: str, after: float, lasts: float, **fields: Any) -> str:
        starts = begins + timedelta(seconds=after)
        ends = {} if pending and run_type == "chain" else {"end_time": starts + timedelta(seconds=lasts)}
        return langsmith.add_run(
            project=project, name=name, run_type=run_type, start_time=starts, **{"extra": told, **ends, **fields}
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
    said = {"error": "RateLimitError"} if broken else {"outputs": {"answer": "Yes."}}
    model = add("ChatOpenAI", "llm", 0.7, seconds / 2, **{**inner, "tags": tags_of(number, inner=False)}, **said)
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
    """A week of traces in which every question has an answer, and another project that has the same."""
    with LangSmithStandIn() as langsmith:
        for number in range(TRACES):
            add_trace(langsmith, "shop", number)
        for number in range(TRACES - 60, TRACES):
            add_trace(langsmith, "elsewhere", number)
        yield langsmith


@pytest.fixture(scope="module")
def ids(shop: LangSmithStandIn) -> dict[str, Any]:
    """The ids that the table speaks of: a root, a child and one more."""
    runs = [run for run in sorted(shop._workspace.runs.values(), key=lambda run: run.key) if run.name != "assistant"]
    return {"run_id": runs[7].id, "run_ids": [runs[3].id, runs[8].trace_id, runs[400].id]}


@pytest.fixture(scope="module")
def theirs(shop: LangSmithStandIn, ids: dict[str, Any]) -> Iterator[Ask]:
    """Evaluate a cell with the official SDK, each once."""
    client = sdk.Client(api_url=shop.url, api_key=shop.api_key)
    known: dict[str, list[str]] = {}

    def ask(cell: str) -> list[str]:
        if cell not in known:
            known[cell] = found(eval(cell, {**WORDS, **ids, "client": client}))
        return known[cell]

    yield ask
    client.close()


@pytest.fixture(scope="module", params=["v1", "v2"])
def version(request: pytest.FixtureRequest) -> str:
    """Each version of the API."""
    return str(request.param)


@pytest.fixture(scope="module")
def hook(shop: LangSmithStandIn, version: str) -> Iterator[LangSmithHook]:
    """A hook that knows its project already, so that all it asks is the question."""
    with pytest.MonkeyPatch.context() as environment:
        connection = shop.connection(api_version=version, requests_per_10s=100_000)
        environment.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", connection)
        with LangSmithHook() as made:
            made.get_conn().project("shop")
            yield made


@pytest.fixture(scope="module")
def ours(hook: LangSmithHook, ids: dict[str, Any]) -> Ask:
    """Evaluate a cell with our hook."""
    return lambda cell: found(eval(cell, {**WORDS, **ids, "hook": hook}))


def found(answer: Any) -> list[str]:
    """List the ids of an answer, be it one run or many."""
    return [str(run.id) for run in ([answer] if hasattr(answer, "id") else answer)]


def test_the_whole_table_is_read() -> None:
    """No line of the table escapes these tests, and no question is asked twice."""
    assert len(ROWS) == len(re.findall(r"^\|", PAGE, re.MULTILINE)) - 2  # its head
    assert len(set(QUESTIONS)) == len(ROWS) > 30


@pytest.mark.parametrize(("question", "left", "right"), ROWS, ids=QUESTIONS)
def test_both_columns_find_the_same(
    shop: LangSmithStandIn, version: str, theirs: Ask, ours: Ask, question: str, left: str, right: str
) -> None:
    """The same runs in the same order as the SDK, for no more requests than they fill pages."""
    expected = theirs(left)
    before = len(shop.requests)
    assert ours(right) == expected
    made = [(request.method, request.path, request.status) for request in shop.requests[before:]]
    if "read_run" in right:
        assert made == [("GET", f"/api/{version}/runs/{expected[0]}", 200)]
        return
    assert set(made) == {("POST", f"/api/{version}/runs/query", 200)}
    size = PAGE_SIZES[version]
    spare = len(expected) % size == 0  # a full last page looks like any other
    assert 0 <= len(made) - ceil(len(expected) / size) <= spare


@pytest.mark.parametrize(("question", "left"), [row[:2] for row in ROWS], ids=QUESTIONS)
def test_every_question_is_a_real_one(shop: LangSmithStandIn, theirs: Ask, question: str, left: str) -> None:
    """There are runs that answer it and runs of the project that do not: all or nothing would prove nothing."""
    project = shop.project_id("shop")
    runs = {run.id for run in shop._workspace.runs.values() if run.project_id == project}
    answer = theirs(left)
    assert len(set(answer)) == len(answer) > 0
    assert runs.issuperset(answer)
    assert (runs == set(answer)) is (question == ALL)


def test_the_questions_differ(theirs: Ask) -> None:
    """No two questions have the same answer, so none passes for another, but for the two that mean the same."""
    same = {
        (one, other) for (one, left, _), (other, right, _) in combinations(ROWS, 2) if theirs(left) == theirs(right)
    }
    assert same == {("Runs without errors", "Runs with any status but error")}


def test_answers_take_several_pages(theirs: Ask) -> None:
    """Some answers are longer than a page of v1, one than a page of v2, and one ends with its page."""
    lengths = {question: len(theirs(left)) for question, left, _ in ROWS}
    assert sum(length > PAGE_SIZES["v1"] for length in lengths.values()) >= 10
    assert lengths[ALL] > PAGE_SIZES["v2"]
    assert lengths["Runs tagged with a git hash"] == PAGE_SIZES["v1"]


def test_a_thread_is_found_under_each_of_its_keys(shop: LangSmithStandIn, theirs: Ask) -> None:
    """The thread's roots bear it under three different keys of their metadata."""
    (left,) = [left for question, left, _ in ROWS if question == "Root runs of a thread"]
    found_in = [shop._workspace.runs[run_id].metadata for run_id in theirs(left)]
    keys = {key for metadata_ in found_in for key, value in metadata_.items() if value == THREAD}
    assert keys == set(THREAD_KEYS.values())


@pytest.mark.parametrize("right", [right for _, _, right in ROWS if "query_runs" in right], ids=lambda cell: cell[16:])
def test_operators_take_the_same_arguments(right: str) -> None:
    """What a query is narrowed by here narrows an export too; what of a run is wanted is the view's to say."""
    call = ast.parse(right, mode="eval").body
    assert isinstance(call, ast.Call)
    assert {str(keyword.arg) for keyword in call.keywords} <= {*LangSmithExportOperator.template_fields, "select"}


def test_errors_are_not_compared_with_null(version: str, theirs: Ask, ours: Ask) -> None:
    """The older form is refused on both sides, as the page says."""
    with pytest.raises(sdk.utils.LangSmithError, match="not accepted"):
        theirs("client.list_runs(project_name=project, filter='neq(error, null)')")
    reason = {"v1": "cannot filter by error", "v2": "not supported on error"}[version]
    with pytest.raises(LangSmithError, match=says(reason)):
        ours("hook.query_runs(project=project, filter='neq(error, null)')")
