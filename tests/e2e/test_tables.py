"""Loads on real Airflow, with all its processes and our wheel."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from airflow_langsmith.testing import LangSmithStandIn, sample_runs
from tests.documentation import PAGES
from tests.e2e.running_airflow import ROOT, Airflow
from tests.versions import AIRFLOW

DAY = timedelta(days=1)
TODAY = datetime(2026, 3, 4, tzinfo=UTC)
LOADS = "langsmith_load_tables"
HOURS, OF_A_DAY = "langsmith_hours", "langsmith_day"  # of the page
HAS_ROLLUPS = AIRFLOW >= (3, 3)


@pytest.fixture(scope="module")
def langsmith() -> Iterator[LangSmithStandIn]:
    """Three days of traces."""
    with LangSmithStandIn() as server:
        server.load_sample(start=TODAY - 3 * DAY, days=3, project="shop")
        yield server


@pytest.fixture(scope="module")
def airflow(langsmith: LangSmithStandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """An Airflow with the example DAG and, if it has rollups, the DAGs of their page."""
    home = tmp_path_factory.mktemp("airflow")
    airflow = Airflow(home, [], langsmith_default=langsmith.connection(max_retries=0))
    example = (ROOT / "example_dags" / f"{LOADS}.py").read_text()
    (home / "dags" / "example.py").write_text(example.replace("timedelta(minutes=10)", "timedelta(seconds=1)"))
    dags = {LOADS}
    if HAS_ROLLUPS:
        (snippet,) = PAGES["docs/how-to/roll-up-hours.md"].snippets("python")
        code = snippet.text.replace("s3://aws_default@lake", f"file://{home}/lake")
        code = code.replace("iceberg://lake/langsmith.runs", table(airflow, "runs_by_hour"))
        (home / "dags" / "rollup.py").write_text(code)
        dags |= {HOURS, OF_A_DAY}
    try:
        airflow.boot(dags)
        yield airflow
    finally:
        for component in list(airflow.processes):
            airflow.kill(component)
        airflow.api.close()


def table(airflow: Airflow, name: str) -> str:
    """Return the URI of a table."""
    return f"duckdb://{airflow.home}/lake.duckdb?table=langsmith.{name}"


def rows(airflow: Airflow, query: str) -> list[tuple[Any, ...]]:
    """Return what a query returns."""
    with duckdb.connect(str(airflow.home / "lake.duckdb"), read_only=True) as connection:
        return connection.sql(query).fetchall()


def test_the_example_has_each_row_once(airflow: Airflow, langsmith: LangSmithStandIn) -> None:
    """After a second run with late runs and late feedback, the tables have each row once, as it is now."""
    conf = {"project": "shop", "destination": f"file://{airflow.home}/lake"}
    conf |= {"runs_table": table(airflow, "runs"), "traces_table": table(airflow, "traces")}
    runs = list(sample_runs(start=TODAY - 3 * DAY, days=3, project="shop"))
    traces = [run for run in runs if "parent_run_id" not in run and run["start_time"] >= TODAY - DAY]
    counts = "select (select (count(*), count(distinct run_id)) from langsmith.runs), count(*) from langsmith.traces"

    airflow.trigger(LOADS, TODAY, **conf)
    for task in ("load_judged", "load_traces"):
        assert airflow.ended(LOADS, task)["state"] == "success"
    assert rows(airflow, counts) == [((len(runs), len(runs)), len(traces))]

    late = langsmith.add_run(project="shop", start_time=TODAY - 2 * DAY)
    old = langsmith.add_run(project="shop", start_time=TODAY - 9 * DAY)  # of no day that is exported again
    for run in (late, old):
        langsmith.add_feedback(run, key="user_score", score=1, created_at=TODAY - DAY)
    airflow.trigger(LOADS, TODAY + timedelta(hours=1), "again", **conf)
    for task in ("load_judged", "load_traces"):
        assert airflow.ended(LOADS, task, "again")["state"] == "success"
    assert airflow.xcom(LOADS, "load_days", "again")["rows_deleted"] == len(runs)
    assert airflow.xcom(LOADS, "load_traces", "again")["is_changed"] is False
    assert rows(airflow, counts) == [((len(runs) + 2, len(runs) + 2), len(traces))]
    judged = f"from langsmith.runs where run_id in ('{late}', '{old}') and feedback_stats like '%user_score%'"
    assert rows(airflow, f"select count(*) {judged}") == [(2,)]


@pytest.mark.skipif(not HAS_ROLLUPS, reason="Airflow has rollups of partitions since 3.3")
def test_a_day_is_loaded_when_its_hours_are_exported(airflow: Airflow) -> None:
    """The DAGs of the page export 24 hours, and load the day once, when the last hour has landed."""
    day = TODAY - 3 * DAY
    hours = [day + timedelta(hours=hour) for hour in range(24)]
    for hour in reversed(hours):
        airflow.trigger_partition(HOURS, f"{hour:%Y-%m-%dT%H:%M:%S}")
    (run,) = airflow.until(lambda: airflow.get(f"/dags/{OF_A_DAY}/dagRuns")["dag_runs"])
    assert airflow.ended(OF_A_DAY, "load", run["dag_run_id"])["state"] == "success"
    runs = list(sample_runs(start=day, days=1, project="shop"))
    result = airflow.xcom(OF_A_DAY, "load", run["dag_run_id"])
    assert (result["exports"], result["rows_added"]) == (24, len(runs))
    assert rows(airflow, "select count(distinct run_id) from langsmith.runs_by_hour") == [(len(runs),)]
