"""Loads that run at the same time: all rows land, each once."""

from __future__ import annotations

import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from airflow_langsmith.errors import ConcurrentLoadError
from airflow_langsmith.tables.table import Loaded, Mode
from tests.tables.conftest import DuckDb, Iceberg, Kind, Postgres
from tests.tables.interrupted import Moment
from tests.tables.interrupted import load as load_into
from tests.tables.landed import COLUMNS, DAY, HOUR, START, land, minutes, versions
from tests.tables.processes import ROUNDS, Job, Loader

log = logging.getLogger(__name__)

TIMEOUT = 60  # seconds; a test that hangs says so
Rows = dict[str, str]  # the texts that runs were exported with, by their ids


@pytest.fixture(params=["iceberg", "delta", *(("iceberg_on_s3", "delta_on_s3") if ROUNDS > 1 else ())])
def lake_kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of table whose loads do not wait for each other; also on S3, if there are many rounds."""
    kind: Kind = request.getfixturevalue(request.param)
    return kind


@pytest.fixture(params=["duckdb_file", "postgres"])
def database_kind(request: pytest.FixtureRequest) -> DuckDb | Postgres:
    """Each kind of table whose loads wait for each other."""
    kind: DuckDb | Postgres = request.getfixturevalue(request.param)
    return kind


def load(kind: Kind, exported: str, *, table: str = "runs", **arguments: Any) -> Loaded:
    """Load an export, with what happens in the middle of that."""
    return load_into(exported, kind.uri(table), **arguments)


def contents(kind: Kind) -> list[tuple[str, str]]:
    """Return what the table has, sorted."""
    return sorted((row["run_id"], row["name"]) for row in kind.rows("runs"))


def run_to_end(loader: Loader, *jobs: Job) -> int:
    """Run jobs together, and those that fail again, as Airflow does; return how many failures there were."""
    failures = 0
    while jobs:
        ends = loader.run(*jobs)
        assert all(end.ended in ("landed", "nothing") or end.is_retriable for end in ends), ends
        jobs = tuple(job for job, end in zip(jobs, ends, strict=True) if end.is_retriable)
        failures += len(jobs)
        assert failures < 100, ends
    return failures


OTHER = minutes(START + DAY, 3)
ONE, TWO = minutes(START, 3), minutes(START, 5)[1:]
MOMENTS: tuple[Moment, ...] = ("session", "commit")
PAIRS: list[tuple[Mode, Mode]] = [(first, second) for first in get_args(Mode) for second in get_args(Mode)]

CASES = [
    pytest.param(*pair, before, moment, columns, id="-".join((*pair, before, moment, columns)))
    for pair in PAIRS
    for before in ("rows", "empty window")
    for moment in MOMENTS
    for columns in ("same columns", "a new column")
]


def after(rows: Rows, mode: Mode, text: str, times: list[datetime]) -> Rows:
    """Return what a table has after a load of the first hour."""
    other_rows = rows if mode == "merge" else {key: rows[key] for key in rows.keys() - versions("", ONE + TWO).keys()}
    return {**other_rows, **versions(text, times)}


def prepare(kind: Kind, folder: Path, before: str) -> Rows:
    """Load what is in the table before a race for its first hour; return its rows."""
    rows: Rows = {}
    if before != "no table":
        load(kind, land(folder / "other", "other", OTHER, start=START + DAY))
        rows |= versions("other", OTHER)
    if before == "rows":
        load(kind, land(folder / "old", "old", ONE))
        rows |= versions("old", ONE)
    return rows


@pytest.mark.parametrize(
    ("first", "second", "before", "moment", "columns"), CASES if ROUNDS > 1 else CASES[:: len(CASES) // 6]
)
def test_of_two_loads_of_one_window_one_fails(
    lake_kind: Kind, tmp_path: Path, first: Mode, second: Mode, before: str, moment: Moment, columns: str
) -> None:
    """A load whose rows another one changes meanwhile fails and changes nothing; its retry lands."""
    rows = prepare(lake_kind, tmp_path, before)
    exported_columns = (*COLUMNS, "inputs") if columns == "a new column" else COLUMNS
    left = land(tmp_path / "one", "one", ONE, columns=exported_columns)
    right = land(tmp_path / "two", "two", TWO, columns=exported_columns)
    with pytest.raises(ConcurrentLoadError, match="A retry will help"):
        load(lake_kind, left, mode=first, meanwhile=lambda: load(lake_kind, right, mode=second), moment=moment)
    rows = after(rows, second, "two", TWO)
    assert contents(lake_kind) == sorted(rows.items())
    load(lake_kind, left, mode=first)
    assert contents(lake_kind) == sorted(after(rows, first, "one", ONE).items())


def test_of_two_first_loads_that_are_made_together_one_fails(lake_kind: Kind, tmp_path: Path) -> None:
    """If two loads make the table, the one that commits later fails, and its retry lands."""
    left, right = land(tmp_path / "one", "one", ONE), land(tmp_path / "two", "two", TWO)
    with pytest.raises(ConcurrentLoadError, match="A retry will help"):
        load(lake_kind, left, meanwhile=lambda: load(lake_kind, right))
    assert contents(lake_kind) == sorted(versions("two", TWO).items())
    load(lake_kind, left)
    assert contents(lake_kind) == sorted(versions("one", ONE).items())


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("before", ["rows", "no table"])
@pytest.mark.parametrize("difference", ["hour", "day", "project"])
def test_loads_of_other_windows_and_projects_all_land(
    lake_kind: Kind, tmp_path: Path, difference: str, before: str, moment: Moment
) -> None:
    """Loads whose rows are not of one window and project do not see each other, also if they make the table."""
    rows = prepare(lake_kind, tmp_path, before)
    start = START + {"hour": HOUR, "day": 2 * DAY, "project": 0 * DAY}[difference]
    project = "other shop" if difference == "project" else "shop"
    times = minutes(start, 4)
    left, right = land(tmp_path / "one", "one", ONE), land(tmp_path / "two", "two", times, start=start, project=project)
    load(lake_kind, left, meanwhile=lambda: load(lake_kind, right), moment=moment)
    rows |= versions("one", ONE) | versions("two", times, project)
    assert contents(lake_kind) == sorted(rows.items())


def test_a_load_counts_its_own_rows(lake_kind: Kind, tmp_path: Path) -> None:
    """What a load returns is right, however many loads of other windows land before it."""
    prepare(lake_kind, tmp_path, "rows")
    exported = land(tmp_path / "new", "new", TWO)
    starts = [START + hour * HOUR for hour in (1, 2, 3)]
    others = [land(tmp_path / f"{start:%H}", "hour", minutes(start, 7), start=start) for start in starts]
    loaded = load(lake_kind, exported, meanwhile=lambda: [load(lake_kind, other) for other in others])
    assert (loaded.rows_deleted, loaded.rows_added) == (3, 4)


@pytest.mark.parametrize("moment", MOMENTS)
def test_hours_that_share_a_file_are_not_doubled(lake_kind: Kind, tmp_path: Path, moment: Moment) -> None:
    """Two loads that each replace an hour of a day's file write its other rows once."""
    hours = [START + hour * HOUR for hour in range(4)]
    times = [time for hour in hours for time in minutes(hour, 2)]
    load(lake_kind, land(tmp_path / "day", "day", times, length=DAY))
    left, right = (
        land(tmp_path / f"hour {start.hour}", "hour", minutes(start, 3), start=start) for start in (hours[1], hours[2])
    )
    with pytest.raises(ConcurrentLoadError, match="A retry will help"):
        load(lake_kind, left, meanwhile=lambda: load(lake_kind, right), moment=moment)
    rows = versions("day", times) | versions("hour", minutes(hours[2], 3))
    assert contents(lake_kind) == sorted(rows.items())
    load(lake_kind, left)
    rows |= versions("hour", minutes(hours[1], 3))
    assert contents(lake_kind) == sorted(rows.items())


@pytest.mark.parametrize("moment", MOMENTS)
def test_columns_of_first_loads_stay_readable(iceberg: Iceberg, tmp_path: Path, moment: Moment) -> None:
    """If two loads make an Iceberg table, its readers find the columns of both by name."""
    left = land(tmp_path / "one", "one", ONE)
    right = land(tmp_path / "two", "two", OTHER, start=START + DAY, columns=(*COLUMNS, "inputs"))
    load(iceberg, left, meanwhile=lambda: load(iceberg, right), moment=moment)
    rows = iceberg.table("runs").scan().to_arrow().to_pylist()
    assert sorted((row["name"], row["inputs"]) for row in rows) == [("one", None)] * 3 + [("two", '{"n":1}')] * 3


def test_loads_of_a_database_wait_for_each_other(database_kind: DuckDb | Postgres, tmp_path: Path) -> None:
    """A load that begins while another one is about to commit waits for it, and goes by its rows."""
    left, right, three = (
        land(tmp_path / text, text, times) for text, times in (("one", ONE), ("two", TWO), ("three", ONE))
    )
    with ThreadPoolExecutor(2) as pool:
        waiting: list[Future[Loaded]] = []

        def begin() -> None:
            waiting.extend(pool.submit(load, database_kind, exported) for exported in (right, three))
            while database_kind.waiting_loads() < 2:
                os.sched_yield()

        load(database_kind, left, meanwhile=begin)
        deleted = sorted(each.result(TIMEOUT).rows_deleted for each in waiting)
    assert deleted in ([3, 4], [3, 3])
    assert contents(database_kind) in (sorted(versions("two", TWO).items()), sorted(versions("three", ONE).items()))


def test_first_loads_of_two_tables(database_kind: DuckDb | Postgres, tmp_path: Path) -> None:
    """Loads that make two tables of a new schema at the same time both land."""
    exported = land(tmp_path / "one", "one", ONE)
    with ThreadPoolExecutor(1) as pool:
        others: list[Future[Loaded]] = []

        def begin() -> None:
            others.append(pool.submit(load, database_kind, exported, table="other"))
            while not database_kind.waiting_loads():
                os.sched_yield()

        load(database_kind, exported, meanwhile=begin)
        assert [other.result(TIMEOUT).rows_added for other in others] == [3]
    assert len(database_kind.rows("runs")) == len(database_kind.rows("other")) == 3


def test_processes(any_kind: Kind, tmp_path: Path, loader_process: Loader) -> None:
    """
    Processes that load at the same time never double and never lose rows.

    First two of different days make the table, then hours of one day come at once, and two bring a new column. In each
    round two replace an hour, or a merge comes beside a replace. Those that fail can be tried again, and land then.
    """
    table = any_kind.uri("runs")

    def job(text: str, times: list[datetime], mode: Mode | None = None, **export: Any) -> Job:
        return Job(exported=land(tmp_path / f"{text}-{times[0]:%d-%H}", text, times, **export), table=table, mode=mode)

    run_to_end(loader_process, job("other", OTHER, start=START + DAY), job("old", ONE))
    rows = versions("other", OTHER) | versions("old", ONE)
    assert contents(any_kind) == sorted(rows.items())

    hours = [START + hour * HOUR for hour in range(1, 9 if ROUNDS > 1 else 4)]
    failures = run_to_end(loader_process, *(job("hour", minutes(hour, 3), start=hour) for hour in hours))
    for hour in hours:
        rows |= versions("hour", minutes(hour, 3))
    assert contents(any_kind) == sorted(rows.items())
    log.info("%s: %s hours, %s failures", any_kind, len(hours), failures)

    failures = 0
    for number in range(ROUNDS + 1):
        columns = COLUMNS if number else (*COLUMNS, "inputs")
        mode: Mode = "merge" if number % 2 else "replace"
        left, right = f"{number} replaced", f"{number} {mode}d too"
        failures += run_to_end(loader_process, job(left, ONE, columns=columns), job(right, TWO, mode, columns=columns))
        orders = (
            after(after(rows, "replace", left, ONE), mode, right, TWO),
            after(after(rows, mode, right, TWO), "replace", left, ONE),
        )
        assert contents(any_kind) in [sorted(order.items()) for order in orders]
        rows = dict(contents(any_kind))
    log.info("%s: %s rounds of two loads of one hour, %s failures", any_kind, ROUNDS + 1, failures)
