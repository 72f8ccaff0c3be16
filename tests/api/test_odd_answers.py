"""Answers with a value of an odd type or text: which record and which field it is, and never what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_langsmith.api.dialect import Dialect
from airflow_langsmith.api.feedback import FeedbackPagination, feedback_stats_by_run
from airflow_langsmith.api.flow import Flow, Reply, Request, Response
from airflow_langsmith.api.negotiation import DIALECTS, VersionNegotiator
from airflow_langsmith.api.projects import find_project, list_projects, read_retention
from airflow_langsmith.api.query import FIELDS
from airflow_langsmith.api.records import Project
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.api.v1 import V1
from airflow_langsmith.errors import LangSmithError, PayloadError
from airflow_langsmith.messages import MAX_LINE
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ClientOf
from tests.queries import run_query
from tests.wording import says, words

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SHOP = Project(id="7086a3bf-30bc-4437-8537-6f1a73b90ac7", name="shop")
RUN = {"id": "0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b", "start_time": "2026-03-01T10:00:00.000000Z"}
OTHER = {"id": "1f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b", "start_time": "2026-03-01T09:00:00.000000Z"}
SECRET = "hunter2"
TIMES, COSTS = ("start_time", "end_time", "first_token_time"), ("prompt_cost", "completion_cost", "total_cost")

ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just(SECRET) | st.text(max_size=3), inner),
    max_leaves=4,
)


def page(dialect: Dialect, *runs: dict[str, Any]) -> bytes:
    """Write a page of a version."""
    return json.dumps({"runs" if dialect.name == "v1" else "items": runs}).encode()


@pytest.mark.parametrize("dialect", DIALECTS.values())
@given(name=st.sampled_from([*V1.select, "session_id", "s3_urls", "parent_run_ids"]), value=ODD)
def test_an_odd_value_is_read_or_named(dialect: Dialect, name: str, value: Any) -> None:
    """Whatever one field of one run holds, the page is read, or the error names the run and the field alone."""
    query = run_query(project=SHOP, start=START, end=START + DAY)
    said = ""
    try:
        runs = query.select_rows(
            dialect.read_page(page(dialect, OTHER, {**RUN, name: value}), SHOP, FIELDS, "a page").runs
        )
        assert [run.id for run in runs][:1] == [OTHER["id"]]
    except PayloadError as error:
        said = str(error)
    if said:
        assert name in said
        assert RUN["id"] in said or name == "id"
        assert all(len(line) <= MAX_LINE for line in said.splitlines())


@pytest.mark.parametrize("dialect", DIALECTS.values())
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start_time", ""),
        *((name, text) for name in TIMES for text in (SECRET, "2026-13-45T00:00:00Z", "0001-01-01T00:00:00+23:59")),
        *((name, text) for name in COSTS for text in (SECRET, "1,5")),
    ],
)
def test_a_text_that_is_no_time_or_no_number(dialect: Dialect, name: str, value: str) -> None:
    """A time and a cost that cannot be read are told by the run's id and the field's name; their text is not told."""
    with pytest.raises(PayloadError, match=says(f"the {name} of run {RUN['id']} is no (time|number)")) as caught:
        dialect.read_page(page(dialect, OTHER, {**RUN, name: value}), SHOP, FIELDS, "a page")
    assert SECRET not in str(caught.value)
    assert not caught.value.retriable


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_run_without_a_start_fails_its_page(langsmith: LangSmithStandIn, version: str, client_of: ClientOf) -> None:
    """An empty start of a run fails the read with our own error: nobody can say which window the run is in."""
    client = client_of(langsmith, version, max_retries=0)
    project = LangSmithStandIn.add_project(langsmith, "shop")
    body = json.loads(page(DIALECTS[version], OTHER, {**RUN, "start_time": ""}))
    langsmith.misbehave("status", status=200, body=body)
    with pytest.raises(PayloadError, match=says("the start_time of run")) as caught:
        list(client.runs(run_query(project=client.project(project), start=START, end=START + DAY)))
    assert f"LangSmith at {langsmith.url}" in words(caught.value)


@pytest.mark.parametrize(
    ("field", "value"), [("created_at", SECRET), ("start_time", "9999-12-31T23:59:59-23:59"), ("modified_at", "x")]
)
def test_feedback_with_an_odd_time(langsmith: LangSmithStandIn, client_of: ClientOf, field: str, value: str) -> None:
    """A piece of feedback with a time that is none is told by its id and the field's name."""
    body = [{"id": RUN["id"], "key": "score", field: value}]
    langsmith.misbehave("status", status=200, path="/feedback", body=body, times=None)
    with pytest.raises(PayloadError, match=says(f"the {field} of feedback {RUN['id']} is no time")) as caught:
        list(client_of(langsmith, max_retries=0).feedback())
    assert SECRET not in str(caught.value)


def answered(flow: Flow[Any], body: bytes) -> Any:
    """Answer each question of a flow by one body, but not for ever."""
    reply: Reply = None
    for _ in range(30):
        try:
            step = flow.send(reply)
        except StopIteration as end:
            return end.value
        reply = Response(200, {}, body) if isinstance(step, Request) else None
    return None


QUERY = run_query(project=SHOP, start=START, end=START + DAY)
BACKEND = VersionNegotiator(Settings(api_url="http://127.0.0.1:1", api_version="v2", max_retries=0))
FLOWS: dict[str, Callable[[], Flow[Any]]] = {
    "info": lambda: VersionNegotiator(Settings(api_url="http://127.0.0.1:1", max_retries=0)).choose(),
    "project": lambda: find_project("shop", BACKEND.backoff),
    "projects": lambda: list_projects(None, BACKEND.backoff).next_page(),
    "feedback": lambda: FeedbackPagination(BACKEND.backoff).next_page(),
    "retention": lambda: read_retention(SHOP, BACKEND.backoff),
    "judged": lambda: feedback_stats_by_run(QUERY, ["score"], BACKEND),
}


@pytest.mark.parametrize("flow", FLOWS)
@given(
    name=st.sampled_from(
        ["version", "instance_flags", "id", "name", "longlived_ttl_days", "tenant_id", "score", "key"]
    ),
    value=ODD | st.sampled_from(["\u00b2", "9" * 5000, 10**30, 10**12, 1e308]),
    wrap=st.sampled_from([lambda record: record, lambda record: [record], lambda record: list(record.values())[-1]]),
)
def test_every_answer_may_be_odd(flow: str, name: str, value: Any, wrap: Callable[[Any], Any]) -> None:
    """Whatever an answer holds in place of what is documented, it is read or refused by an error of ours."""
    body = wrap({"id": RUN["id"], "key": "k", "name": "shop", name: value})
    with suppress(LangSmithError):
        answered(FLOWS[flow](), json.dumps(body).encode())


@given(stats=st.dictionaries(st.just("score"), ODD | st.fixed_dictionaries({"n": ODD, "avg": ODD, "values": ODD})))
def test_feedback_stats_may_be_odd(stats: dict[str, Any]) -> None:
    """Whatever the stats of a run's feedback hold, they are counted or refused by an error of ours."""
    with suppress(LangSmithError):
        answered(
            feedback_stats_by_run(QUERY, ["score"], BACKEND), page(DIALECTS["v2"], {**RUN, "feedback_stats": stats})
        )
