"""Conversations and feedback as rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_langsmith.api.flow import Response
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.records import Project
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.views import view_of
from tests.conftest import ExportRows
from tests.queries import run_query

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])


def turn(langsmith: LangSmithStandIn, at: datetime, key: str, thread: Any, **fields: Any) -> str:
    """Log a turn of a conversation: a root, and a model below it that spends ten tokens."""
    root = langsmith.add_run(
        project="shop",
        start_time=at,
        end_time=at + 2 * SECOND,
        extra={"metadata": {key: thread}},
        **{"inputs": {"at": at.isoformat()}, "outputs": {"said": at.isoformat()}, **fields},
    )
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10, "total_cost": 0.5}
    langsmith.add_run(
        project="shop",
        run_type="llm",
        start_time=at + SECOND,
        end_time=at + SECOND,
        parent_run_id=root,
        outputs={"usage_metadata": usage},
    )
    return root


@BOTH
def test_a_conversation_over_days(langsmith: LangSmithStandIn, version: str, export_rows: ExportRows) -> None:
    """A thread with a turn in the window is there with all its turns up to the window's end, under any of its keys."""
    before = turn(langsmith, START - 3 * DAY, "thread_id", "t1")
    inside = turn(langsmith, START + HOUR, "session_id", "t1", error="gave up", outputs=None)
    again = turn(langsmith, START + 2 * HOUR, "conversation_id", "t1")
    after = turn(langsmith, START + DAY, "thread_id", "t1")
    turn(langsmith, START - DAY, "thread_id", "only before")
    turn(langsmith, START + HOUR, "thread_id", 7)
    langsmith.add_run(project="shop", start_time=START + HOUR, name="no thread")
    langsmith.add_feedback(before, key="user_score", score=1)
    langsmith.add_feedback(before, key="user_score", score=0)
    langsmith.add_feedback(again, key="user_score", score=1)
    rows = {row["thread_id"]: row for row in export_rows(langsmith, version, "threads")}
    assert rows.keys() == {"t1", "7"}
    row = rows["t1"]
    assert row["trace_ids"] == [before, inside, again]
    assert (row["turns"], row["errored_turns"], row["last_error"], row["status"]) == (3, 1, "gave up", "success")
    assert (row["start_time"], row["last_start_time"]) == (START - 3 * DAY, START + 2 * HOUR)
    assert row["duration_seconds"] == (3 * DAY + 2 * HOUR + 2 * SECOND).total_seconds()
    assert json.loads(row["first_inputs"]) == {"at": (START - 3 * DAY).isoformat()}
    assert json.loads(row["last_outputs"]) == {"said": (START + 2 * HOUR).isoformat()}
    assert (row["run_count"], row["total_tokens"], row["prompt_tokens"], row["total_cost"]) == (6, 30, 21, 1.5)
    assert json.loads(row["feedback_stats"]) == {"user_score": {"n": 3, "avg": pytest.approx(2 / 3)}}
    later = {row["thread_id"]: row for row in export_rows(langsmith, version, "threads", START + DAY)}
    assert later["t1"]["trace_ids"] == [before, inside, again, after]


@BOTH
def test_many_conversations_come_once(langsmith: LangSmithStandIn, version: str, export_rows: ExportRows) -> None:
    """Threads whose turns lie on several pages are one row each."""
    for number in range(330):
        turn(langsmith, START + number * SECOND, "thread_id", f"t{number % 110}")
    rows = export_rows(langsmith, version, "threads")
    assert sorted(row["thread_id"] for row in rows) == sorted(f"t{number}" for number in range(110))
    assert {row["turns"] for row in rows} == {3}
    assert {row["total_tokens"] for row in rows} == {30}


@BOTH
def test_a_conversation_counts_every_piece(langsmith: LangSmithStandIn, version: str, export_rows: ExportRows) -> None:
    """Labels, objects, remarks, and pieces with a score and a label are counted; the mean is that of the scores."""
    first, second = (turn(langsmith, START + hour * HOUR, "thread_id", "t") for hour in (0, 1))
    pieces: list[tuple[str, dict[str, Any]]] = [
        (first, {"key": "category", "value": "good"}),
        (first, {"key": "category", "score": 1, "value": "good"}),
        (second, {"key": "category", "score": 0}),
        (second, {"key": "category", "value": {"clarity": 3}}),
        (second, {"key": "a label", "value": "bad"}),
        (second, {"key": "a remark", "comment": "fine"}),
    ]
    for run, fields in pieces:
        langsmith.add_feedback(run, **fields)
    (row,) = export_rows(langsmith, version, "threads")
    assert json.loads(row["feedback_stats"]) == {
        "category": {"n": 4, "avg": 0.5},
        "a label": {"n": 1, "avg": None},
        "a remark": {"n": 1, "avg": None},
    }


@BOTH
def test_conversations_without_their_feedback(
    langsmith: LangSmithStandIn, version: str, export_rows: ExportRows
) -> None:
    """Where the column is not wanted, or no turn has feedback, nothing is asked about it."""
    quiet = turn(langsmith, START, "thread_id", "t")
    for columns in (None, ["thread_id"]):
        assert len(export_rows(langsmith, version, "threads", columns=columns)) == 1
        langsmith.add_feedback(quiet, score=1)
    assert langsmith.requests_to("/feedback") == []


@BOTH
def test_feedback_by_when_it_was_given(langsmith: LangSmithStandIn, version: str, export_rows: ExportRows) -> None:
    """Feedback of every kind has a row in the window it was given in, whenever its run was."""
    root = langsmith.add_run(project="shop", start_time=START - 30 * DAY)
    child = langsmith.add_run(project="shop", start_time=START, parent_run_id=root)
    pieces: list[dict[str, Any]] = [
        {"key": "user_score", "score": 0.5, "comment": "größe 😀", "created_at": START},
        {"key": "liked", "score": True, "created_at": START + HOUR},
        {"key": "verdict", "value": "good", "correction": {"verdict": "bad"}, "created_at": START + HOUR},
        {"key": "rubric", "value": {"clarity": 3}, "created_at": START + DAY - timedelta(microseconds=1)},
    ]
    ids = [langsmith.add_feedback(child, **piece) for piece in pieces]
    langsmith.add_feedback(child, key="late", score=1, created_at=START + DAY)
    langsmith.add_feedback(child, key="early", score=1, created_at=START - timedelta(microseconds=1))
    rows = {row["feedback_id"]: row for row in export_rows(langsmith, version, "feedback")}
    assert rows.keys() == set(ids)
    score, liked, verdict, rubric = (rows[piece] for piece in ids)
    assert (score["score"], score["comment"], score["created_at"]) == (0.5, "größe 😀", START)
    assert (score["run_id"], score["trace_id"], score["is_root"]) == (child, root, False)
    assert score["run_start_time"] == START
    assert score["project_id"] == langsmith.project_id("shop")
    assert liked["score"] == 1
    assert (json.loads(verdict["value"]), json.loads(verdict["correction"])) == ("good", {"verdict": "bad"})
    assert json.loads(rubric["value"]) == {"clarity": 3}


@BOTH
def test_much_feedback_comes_once(langsmith: LangSmithStandIn, version: str, export_rows: ExportRows) -> None:
    """Feedback over many pages is there once, and nothing but the window, the project and runs narrows it."""
    run = langsmith.add_run(project="shop", start_time=START)
    other = langsmith.add_run(project="other", start_time=START)
    ids = {langsmith.add_feedback(run, key="k", score=n, created_at=START + n * SECOND) for n in range(350)}
    langsmith.add_feedback(other, key="k", score=1, created_at=START)
    assert {row["feedback_id"] for row in export_rows(langsmith, version, "feedback")} == ids
    assert len(export_rows(langsmith, version, "feedback", query={"run_ids": (run,)})) == 350
    assert export_rows(langsmith, version, "feedback", query={"run_ids": (other,)}) == []
    assert export_rows(langsmith, version, "feedback", query={"run_ids": ()}) == []
    with pytest.raises(ConfigurationError, match="cannot be narrowed by is_root, filter"):
        export_rows(langsmith, version, "feedback", query={"filter": 'eq(name, "x")', "is_root": True})


def test_feedback_without_its_project_has_the_one_of_the_query() -> None:
    """LangSmith may leave the project's id out of feedback that it lists for a project; the row has it all the same."""
    query = run_query(project=Project(id="the shop's id", name="shop"), start=START, end=START + DAY)
    piece = {"id": "1", "key": "user_score", "created_at": START.isoformat(), "session_id": None}
    view = view_of("feedback", ["feedback_id", "project_id"])
    flow = next(view.listings(query, VersionNegotiator(Settings(api_version="v1"))))
    next(flow)
    with pytest.raises(StopIteration) as end_of_flow:
        flow.send(Response(200, {}, json.dumps([piece]).encode()))
    assert end_of_flow.value.value.columns == [["1"], ["the shop's id"]]
