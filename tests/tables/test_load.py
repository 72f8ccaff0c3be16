"""What a load does, the same for each kind of table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT
from airflow_langsmith.views import view_of
from tests.conftest import ClientOf, RunExport
from tests.tables.conftest import Kind, LoadInto

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)

ExportDay = Callable[..., dict[str, Any]]


@pytest.fixture
def langsmith() -> Any:
    """A workspace with two days of traces."""
    with LangSmithStandIn() as server:
        server.load_sample(start=START, days=2, traces_per_day=10)
        yield server


@pytest.fixture
def exported(langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport) -> ExportDay:
    """Export a day, and return what the operator returns."""
    client = client_of(langsmith)

    def run(day: float = 0, view: str = "runs", length: timedelta = DAY, **options: Any) -> dict[str, Any]:
        start = START + day * DAY
        return export_runs(client, PROJECT, start, start + length, view=view_of(view, **options)).summary()

    return run


def test_a_load_says_what_it_did(kind: Kind, load: LoadInto, exported: ExportDay) -> None:
    """A load returns how many rows it deleted and added; one that finds its rows in the table changes nothing."""
    day = exported()
    first = load(day, kind.uri("runs"))
    assert (first["rows_deleted"], first["rows_added"]) == (0, day["rows"])
    assert (first["mode"], first["view"]) == ("replace", "runs")
    again = load(day, kind.uri("runs"))
    assert (again["rows_deleted"], again["rows_added"], again["is_changed"]) == (0, 0, False)
    assert again["version"] == first["version"]
    load(exported(1), kind.uri("runs"))
    third = load(day, kind.uri("runs"))
    assert (third["rows_deleted"], third["rows_added"], third["is_changed"]) == (day["rows"], day["rows"], True)
    assert third["exports"] == 1
    assert len(str(third)) < 2048


@pytest.mark.parametrize("options", [{}, {"refresh": "feedback"}], ids=["replace", "merge"])
def test_rows_that_somebody_deleted_come_back(
    kind: Kind, load: LoadInto, exported: ExportDay, options: dict[str, Any]
) -> None:
    """A load whose rows were deleted from the table since adds them again."""
    day = exported(**options)
    load(day, kind.uri("runs"))
    kind.clear("runs")
    assert kind.rows("runs") == []
    load(day, kind.uri("runs"))
    assert len(kind.rows("runs")) == day["rows"] > 0


def test_a_window_over_midnight(kind: Kind, load: LoadInto, exported: ExportDay) -> None:
    """A day of another time zone, which lies in two days of UTC, replaces its rows alone."""
    days = exported(0)["rows"] + exported(1)["rows"]
    for day in (exported(0), exported(1), exported(0.5)):
        load(day, kind.uri("runs"))
    assert len(kind.rows("runs")) == days
    assert len({row["run_id"] for row in kind.rows("runs")}) == days


def test_an_empty_window(kind: Kind, load: LoadInto, exported: ExportDay) -> None:
    """A window without rows makes the table, and changes nothing if the table has none there, either."""
    assert load(exported(7), kind.uri("runs"))["rows_added"] == 0
    load(exported(0), kind.uri("runs"))
    before = len(kind.rows("runs"))
    assert load(exported(8), kind.uri("runs"))["is_changed"] is False
    assert len(kind.rows("runs")) == before


def test_a_list_is_one_transaction(kind: Kind, load: LoadInto, exported: ExportDay) -> None:
    """Hours of a day, loaded as a list, replace each its window, and make one version of the table."""
    hours = [exported(hour / 24, length=timedelta(hours=1)) for hour in range(24)]
    loaded = load(hours, kind.uri("runs"))
    assert (loaded["rows_added"], loaded["exports"]) == (exported(0)["rows"], 24)
    assert load(exported(0), kind.uri("runs"))["rows_deleted"] == loaded["rows_added"]


def test_a_duckdb_schema_may_have_the_name_of_its_file(load: LoadInto, exported: ExportDay, tmp_path: Path) -> None:
    """A schema that has the name of its file, which is also that of the database, is no ambiguity."""
    table = f"duckdb://{tmp_path}/langsmith.duckdb?table=langsmith.runs"
    assert [load(exported(), table)["is_changed"] for _ in range(2)] == [True, False]
