"""Feedback that is created or modified after the window of its run."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_langsmith.airflow_sdk import AirflowFailException
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.operators import LangSmithExportOperator
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ReadRows
from tests.wording import says

START = datetime(2026, 3, 10, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])

Land = Callable[..., dict[str, Any]]


@pytest.fixture
def land(langsmith: LangSmithStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Land:
    """Export a day."""

    def export(version: str = "v2", start: datetime = START, **arguments: Any) -> dict[str, Any]:
        connection = langsmith.connection(requests_per_10s=1000, api_version=version)
        monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", connection)
        day: Any = {"start_time": start, "end_time": start + DAY}
        operator = LangSmithExportOperator(
            task_id="export", project="shop", destination=f"file://{tmp_path}/{version}", **day, **arguments
        )
        return operator.execute({})

    return export


def judged(langsmith: LangSmithStandIn, started: datetime, created: datetime, modified: datetime, **fields: Any) -> str:
    """Add a run with feedback that was created at one time and modified at another."""
    run = langsmith.add_run(project="shop", start_time=started, end_time=started + HOUR, inputs={"q": 1}, **fields)
    langsmith.add_feedback(run, score=1, created_at=created.isoformat(), modified_at=modified.isoformat())
    return run


@BOTH
def test_edited_feedback_comes_with_include_modified(
    langsmith: LangSmithStandIn, version: str, land: Land, read_rows: ReadRows
) -> None:
    """``include_modified`` adds feedback that was modified in ``[start, end)`` and created within ``lookback``."""
    end = START + DAY
    edited = judged(langsmith, START - 9 * DAY, START - 8 * DAY, START)
    new = judged(langsmith, START - DAY, START + HOUR, end + HOUR)
    judged(langsmith, START - 2 * DAY, START - DAY, end)
    judged(langsmith, START - 2 * DAY, START - DAY, START - HOUR)
    long_ago = judged(langsmith, START - 41 * DAY, START - 40 * DAY, START + HOUR)

    assert {row["run_id"] for row in read_rows(land(version, view="feedback")["manifest"])} == {new}
    more = land(version, view="feedback", include_modified=True, partition="modified/{start:%d}")
    assert {row["run_id"] for row in read_rows(more["manifest"])} == {new, edited}
    most = land(version, view="feedback", include_modified="True", lookback="41d", partition="all/{start:%d}")
    assert {row["run_id"] for row in read_rows(most["manifest"])} == {new, edited, long_ago}
    assert read_manifest(most).query == {"feedback_lookback_seconds": 41 * 86_400.0}


@BOTH
def test_rows_come_again_when_their_feedback_changed(
    langsmith: LangSmithStandIn, version: str, land: Land, read_rows: ReadRows
) -> None:
    """A refresh has exactly the rows whose feedback changed in the window, with all of their feedback."""
    old = judged(langsmith, START - 29 * DAY, START + HOUR, START + HOUR, name="old")
    edited = judged(langsmith, START - 3 * DAY, START - 2 * DAY, START + 2 * HOUR, name="edited")
    new = judged(langsmith, START + HOUR, START + 3 * HOUR, START + 3 * HOUR, name="new")
    judged(langsmith, START - 31 * DAY, START + HOUR, START + HOUR, name="too old")
    judged(langsmith, START - 3 * DAY, START - 2 * DAY, START - DAY, name="not changed")
    langsmith.add_run(project="shop", start_time=START - 3 * DAY, name="no feedback")
    result = land(version, refresh="feedback")
    assert {row["run_id"] for row in read_rows(result["manifest"])} == {old, edited, new}
    assert result["manifest"].endswith("/runs_refreshed/project=shop/date=2026-03-10/_manifest.json")
    assert all("user_score" in json.loads(row["feedback_stats"]) for row in read_rows(result["manifest"]))
    named = land(version, refresh="feedback", filter='eq(name, "edited")', partition="named/{start:%d}")
    assert {row["run_id"] for row in read_rows(named["manifest"])} == {edited}


@BOTH
def test_traces_and_threads_come_again_whole(
    langsmith: LangSmithStandIn, version: str, land: Land, read_rows: ReadRows
) -> None:
    """A refreshed trace has all of its runs, a refreshed thread all turns up to the window's end."""
    expected = {}
    for number in range(230):
        started = START - 20 * DAY + number * HOUR
        root = judged(
            langsmith, started, START + HOUR, START + HOUR, extra={"metadata": {"thread_id": f"t{number % 3}"}}
        )
        for tool in ("search", "fetch"):
            langsmith.add_run(
                project="shop", run_type="tool", name=tool, parent_run_id=root, start_time=started, end_time=started
            )
        langsmith.add_run(project="shop", run_type="retriever", parent_run_id=root, start_time=started)
        expected[root] = ["search", "fetch"]
    other = langsmith.add_run(project="shop", start_time=START - DAY, extra={"metadata": {"thread_id": "t0"}})
    traces = read_rows(land(version, view="traces", refresh="feedback")["manifest"])
    assert {row["trace_id"]: sorted(row["tools_involved"], reverse=True) for row in traces} == expected
    assert {row["run_count"] for row in traces} == {4}
    retrievals = read_rows(land(version, view="retrievals", refresh="feedback")["manifest"])
    assert {row["trace_id"] for row in retrievals} == set(expected)
    threads = {
        row["thread_id"]: row for row in read_rows(land(version, view="threads", refresh="feedback")["manifest"])
    }
    assert sum(row["turns"] for row in threads.values()) == 231
    assert threads["t0"]["trace_ids"][-1] == other


def test_a_refresh_merged_over_the_days_changes_what_changed(
    langsmith: LangSmithStandIn, land: Land, read_rows: ReadRows
) -> None:
    """Days merged with later refreshes equal an export of all days now."""
    runs = [langsmith.add_run(project="shop", start_time=START + hour * HOUR, inputs={"q": 1}) for hour in range(48)]
    first, second = land(), land(start=START + DAY)
    for run in runs[::5]:
        langsmith.add_feedback(run, score=0, created_at=(START + 2 * DAY).isoformat())
    refreshed = land(start=START + 2 * DAY, refresh="feedback")
    with duckdb.connect() as database:
        for result in (first, second, refreshed, refreshed):
            directory = Path(result["manifest"].removeprefix("file://")).parent
            parts = [str(directory / file.name) for file in read_manifest(result).files]
            database.execute("create table if not exists runs as from read_parquet($parts) limit 0", {"parts": parts})
            database.execute(
                "merge into runs using (from read_parquet($parts)) as new on runs.run_id = new.run_id "
                "when matched then update when not matched then insert",
                {"parts": parts},
            )
        rows = database.execute("select run_id, feedback_stats is not null from runs").fetchall()
    assert sorted(rows) == sorted((run, number % 5 == 0) for number, run in enumerate(runs))


def test_nothing_changed(langsmith: LangSmithStandIn, land: Land, read_rows: ReadRows) -> None:
    """A window without feedback is an empty refresh, without a request for runs."""
    judged(langsmith, START - 3 * DAY, START - 2 * DAY, START - DAY)
    result = land(refresh="feedback")
    assert read_rows(result["manifest"]) == []
    assert langsmith.requests_to("/runs/query") == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"refresh": "runs"}, "it is 'feedback'"),
        ({"view": "feedback", "refresh": "feedback"}, "include_modified=True"),
        ({"include_modified": True}, "refresh='feedback'"),
        ({"refresh": "feedback", "lookback": "a while"}, "lookback"),
        ({"refresh": "feedback", "lookback": None}, "lookback is None"),
    ],
)
def test_what_cannot_be_meant(langsmith: LangSmithStandIn, land: Land, arguments: Any, why: str) -> None:
    """A wrong argument fails the task, and the error has the right one."""
    langsmith.add_run(project="shop", start_time=START)
    with pytest.raises(AirflowFailException, match=says(why)):
        land(**arguments)


def test_columns_compared_with_those_of_another_export(langsmith: LangSmithStandIn, land: Land, tmp_path: Path) -> None:
    """``schema_manifest`` compares the columns with those of another export, also for a new partition."""
    langsmith.add_run(project="shop", start_time=START, inputs={"a": 1})
    langsmith.add_run(project="shop", start_time=START + DAY, inputs={"a": 1, "b": 2})
    model = land(flatten="*")
    for reference in (model["manifest"], model, str(model), json.dumps(model)):
        with pytest.raises(AirflowFailException, match=says(r"of the other manifest \(\+ inputs__b integer")):
            land(start=START + DAY, flatten="*", schema_changes="fail", schema_manifest=reference)
    evolved = land(start=START + DAY, flatten="*", schema_manifest=model)
    assert read_manifest(evolved).schema_changes == ("+ inputs__b integer",)
    with pytest.raises(AirflowFailException, match=says("nothing was published there")):
        land(schema_manifest=f"file://{tmp_path}/nowhere")
