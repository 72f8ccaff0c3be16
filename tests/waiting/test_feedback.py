"""The figures of a condition equal a count of single pieces of feedback."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.waiting import FeedbackWatch, Selection, parse
from airflow_langsmith.waiting.condition import measures
from airflow_langsmith.windows import TimeWindow

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEYS = ("category", "cot accuracy", 'say "so"')

PIECES = st.fixed_dictionaries(
    {"key": st.sampled_from(KEYS)},
    optional={
        "score": st.sampled_from([0, 1, 0.5, 0.1, True, False, math.nan, math.inf]),
        "value": st.sampled_from(["good", "bad", {"clarity": 3}, 7, True]),
        "comment": st.just("so it is"),
    },
)
RUNS = st.lists(st.lists(PIECES, max_size=4), min_size=1, max_size=6)
MEASURES = [
    f'{name}("{key}"{value})'.replace('say "so"', 'say \\"so\\"')
    for key in KEYS
    for name, value in [
        ("count", ""),
        ("runs", ""),
        ("coverage", ""),
        ("avg", ""),
        ("min", ""),
        ("max", ""),
        ("share", ', "good"'),
        ("share", ", 1"),
    ]
]


@pytest.fixture(scope="module")
def langsmith() -> Iterator[LangSmithStandIn]:
    """A LangSmith for all examples, each with its own project."""
    with LangSmithStandIn() as server:
        yield server


def measured(measure: str, runs: list[list[dict[str, Any]]]) -> float | None:
    """Count the pieces of feedback by hand."""
    (parsed,) = measures(parse(f"{measure} >= 0.5"))
    pieces = [[piece for piece in run if piece["key"] == parsed.key] for run in runs]
    everything = [piece for run in pieces for piece in run]
    numbers = [float(piece["score"]) for piece in everything if "score" in piece]
    scores = [Fraction(str(score)) for score in numbers if math.isfinite(score)]
    judged = sum(map(bool, pieces))
    matching = sum(
        piece.get("value") == parsed.value
        if isinstance(parsed.value, str)
        else "score" in piece and float(piece["score"]) == parsed.value
        for piece in everything
    )
    figures: dict[str, Fraction | int | None] = {
        "count": len(everything),
        "runs": judged,
        "coverage": Fraction(judged, len(runs)),
        "avg": sum(scores, Fraction(0)) / len(scores) if scores else None,
        "min": min(scores, default=None),
        "max": max(scores, default=None),
        "share": Fraction(matching, len(everything)) if everything else None,
    }
    figure = figures[parsed.name]
    return None if figure is None else float(figure)


@settings(max_examples=25, deadline=None)
@given(runs=RUNS, texts=st.lists(st.sampled_from(MEASURES), min_size=1, max_size=4, unique=True))
def test_figures_are_those_of_the_pieces(
    langsmith: LangSmithStandIn, runs: list[list[dict[str, Any]]], texts: list[str]
) -> None:
    """v1 and v2 give exact figures of any feedback: scores, labels, objects or NaN."""
    project = str(uuid4())
    for pieces in runs:
        run = langsmith.add_run(project=project, start_time=START, end_time=START)
        for piece in pieces:
            langsmith.add_feedback(run, **piece)
    selection = Selection(project=project, window=TimeWindow(START, START + DAY), closes=START + DAY)
    condition = " and ".join(f"{measure} > 0.3" for measure in texts)
    expected = {str(measures(parse(f"{measure} >= 0.5"))[0]): measured(measure, runs) for measure in texts}
    for version in ("v1", "v2"):
        server: Any = {"api_url": langsmith.url, "api_key": langsmith.api_key, "api_version": version}
        watch = FeedbackWatch(selection=selection, condition=condition)
        with LangSmithClient(Settings(**server, requests_per_10s=100_000)) as client:
            figures = client.drive(watch.look(client.negotiator)).figures["figures"]
            assert figures == pytest.approx(expected), version


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_each_look_sees_new_changed_and_deleted_feedback(langsmith: LangSmithStandIn, version: str) -> None:
    """A look reads all feedback as it is now."""
    project = str(uuid4())
    runs = [langsmith.add_run(project=project, start_time=START, end_time=START) for _ in range(2)]
    first = langsmith.add_feedback(runs[0], score=1, created_at=START.isoformat(), modified_at=START.isoformat())
    watch = FeedbackWatch(
        selection=Selection(project=project, window=TimeWindow(START, START + DAY), closes=START + DAY),
        condition="coverage(user_score) == 1 and min(user_score) == 1",
    )
    server: Any = {"api_url": langsmith.url, "api_key": langsmith.api_key, "api_version": version}
    with LangSmithClient(Settings(**server, requests_per_10s=100_000)) as client:

        def figures() -> list[float]:
            return list(client.drive(watch.look(client.negotiator)).figures["figures"].values())

        assert figures() == [0.5, 1]
        second = langsmith.add_feedback(runs[1], score=1)
        assert figures() == [1, 1]
        langsmith.update_feedback(first, score=0)
        assert figures() == [1, 0]
        langsmith.withdraw_feedback(second)
        assert figures() == [0.5, 0]
