"""Feedback: its stats by run, and its pieces."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from airflow_langsmith.api.feedback import FeedbackStats, feedback_stats_by_run, list_feedback
from airflow_langsmith.api.records import Project
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ClientOf
from tests.queries import DAY, START, day, run_query

BOTH = pytest.mark.parametrize("version", ["v1", "v2"])


@BOTH
def test_stats_by_run_and_key(langsmith: LangSmithStandIn, client_of: ClientOf, version: str) -> None:
    """Feedback is counted by run and key, and its pieces are there for those runs that have several."""
    run_id = langsmith.add_run(project="shop", start_time=START)
    two = langsmith.add_run(project="shop", start_time=START)
    langsmith.add_run(project="shop", start_time=START)
    other = langsmith.add_run(project="other", start_time=START)
    langsmith.add_feedback(run_id, key="user_score", score=True)
    langsmith.add_feedback(run_id, key="label", value="good")
    langsmith.add_feedback(two, key="user_score", score=0.25)
    langsmith.add_feedback(two, key="user_score", score=0.75)
    langsmith.add_feedback(two, key="note", comment="not asked for")
    langsmith.add_feedback(other, key="user_score", score=1)
    client = client_of(langsmith, version)
    query = day(client)
    result = client.drive(feedback_stats_by_run(query, ("user_score", "label"), client.negotiator))
    assert {run: {key: stats.n for key, stats in keys.items()} for run, keys in result.items()} == {
        run_id: {"user_score": 1, "label": 1},
        two: {"user_score": 2},
    }
    assert (result[run_id]["user_score"].avg, result[run_id]["label"].values) == (1.0, {"good": 1})
    pieces = client.drive(list_feedback(query, [two], ["user_score"], client.negotiator))
    assert sorted(piece.score or 0 for piece in pieces) == [0.25, 0.75]


@pytest.mark.parametrize(
    ("stats", "pieces", "tells"),
    [
        ({"n": 1, "avg": 0.0, "show_feedback_arrow": True, "values": {}}, 1, True),
        ({"n": 0, "avg": None, "show_feedback_arrow": True, "values": {"CONCEPTUAL": 1}}, 1, True),  # v1
        ({"n": 1, "avg": None, "values": {"CONCEPTUAL": 1}, "sources": ["api"]}, 1, True),  # v2
        ({"n": 9, "avg": 0.6666666666666666, "values": {"CORRECT": 6, "INCORRECT": 3}}, 9, False),
        ({"n": 1, "avg": 1, "values": {"CORRECT": 1}}, 1, False),  # v1: one piece or two
        ({"n": 0, "avg": None, "values": {}}, 0, False),  # v1: an object
        ({"n": None, "avg": None, "values": None}, 0, False),
        ({"n": 1, "avg": "NaN", "values": {}}, 1, False),  # mended: a score that is no number
        ({"n": 2, "avg": 0.5, "values": {}, "sources": ['{"type":"api","metadata":{}}']}, 2, False),
    ],
)
def test_what_stats_show(stats: dict[str, Any], pieces: int, *, tells: bool) -> None:
    """Stats count their labels, too, and tell all of one score or one label, but nothing certain of anything else."""
    result = msgspec.json.decode(json.dumps(stats), type=FeedbackStats)
    assert (result.n, result.is_one_piece) == (pieces, tells)


@pytest.mark.parametrize("many", [120, 51])
def test_pieces_of_many_runs(langsmith: LangSmithStandIn, client_of: ClientOf, many: int) -> None:
    """Pieces come for 50 runs a request, and all of them where there are more than fit a page."""
    runs = [langsmith.add_run(project="shop", start_time=START) for _ in range(many)]
    for run in runs:
        for score in range(3):
            langsmith.add_feedback(run, score=score)
    client = client_of(langsmith)
    before = client.requests
    project = Project(id=langsmith.project_id("shop"), name="shop")
    query = run_query(project=project, start=START, end=START + DAY)
    result = client.drive(list_feedback(query, runs, ["user_score"], client.negotiator))
    assert len({piece.id for piece in result}) == 3 * many
    assert client.requests - before <= 2 * -(-many // 50)
