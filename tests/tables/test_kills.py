"""Loads that are killed: the table has the old rows or the new ones, and the next load puts in the new ones."""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random

import pytest
from deltalake import DeltaTable

from airflow_langsmith.errors import ConcurrentLoadError
from tests.tables.conftest import Delta, Iceberg, Kind
from tests.tables.interrupted import load
from tests.tables.landed import COLUMNS, DAY, START, land, minutes, versions
from tests.tables.processes import ROUNDS, Job, Loader

log = logging.getLogger(__name__)

ONE, TWO = minutes(START, 6), minutes(START, 8)[2:]
KILLS = max(ROUNDS, 4)
STEPS = ("session", "commit")


def contents(kind: Kind) -> list[tuple[str, str]]:
    """Return what the table has, sorted."""
    return sorted((row["run_id"], row["name"]) for row in kind.rows("runs"))


def test_killed_at_any_moment_the_table_is_whole(
    any_kind: Kind, tmp_path: Path, loader_process: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A load is killed at moments from a seed, half of them after the table is read, and half of them during the commit.

    The table has the rows from before or the new ones, the next load lands the new ones, and its local files are gone.
    """
    local = tmp_path / "local"
    local.mkdir()
    monkeypatch.setenv("TMPDIR", str(local))
    table, random = any_kind.uri("runs"), Random(f"{any_kind}")
    loader_process.run(Job(exported=land(tmp_path / "other", "other", [START + DAY], start=START + DAY), table=table))
    old = versions("other", [START + DAY])
    ends: list[str] = []
    longest = dict.fromkeys(STEPS, 0.0)
    for number in range(KILLS):
        times, columns = (ONE, TWO)[number % 2], (*COLUMNS, "inputs") if number else COLUMNS
        exported = land(tmp_path / f"{number}", f"{number}", times, columns=columns, max_rows=3)
        new = {**versions("other", [START + DAY]), **versions(f"{number}", times)}
        if number > 1:
            step = STEPS[number % 2]
            (end,) = loader_process.run(
                Job(exported=exported, table=table, kill=(step, random.uniform(0, 0.9 * longest[step])))
            )
            assert end.ended in ("killed", "landed"), end
            rows = contents(any_kind)
            assert rows in (sorted(old.items()), sorted(new.items()))
            ends.append("landed" if end.ended == "landed" else "new" if rows == sorted(new.items()) else "old")
        (end,) = loader_process.run(Job(exported=exported, table=table))
        assert end.ended in ("landed", "nothing"), end
        assert contents(any_kind) == sorted(new.items())
        assert not list(local.iterdir())
        if end.ended == "landed":
            longest = {step: end.seconds - end.steps[step] for step in STEPS}
        old = new
    counts = {name: ends.count(name) for name in ("old", "new", "landed")}
    log.info("%s: killed with the old rows %s, with the new %s; landed before %s", type(any_kind), *counts.values())
    assert ROUNDS == 1 or ends.count("old") > 1


def test_files_of_a_killed_load_are_beside_the_table(iceberg: Iceberg, tmp_path: Path, loader_process: Loader) -> None:
    """Files that a killed load has copied into an Iceberg table's location no reader sees, and no later load."""
    table = iceberg.uri("runs")
    loader_process.run(Job(exported=land(tmp_path / "old", "old", ONE), table=table))
    before = {path.name for path in iceberg.directory.rglob("*.parquet")}
    new = land(tmp_path / "new", "new", TWO)
    (end,) = loader_process.run(Job(exported=new, table=table, kill=("commit", 0.0)))
    strays = {path.name for path in iceberg.directory.rglob("*.parquet")} - before
    assert strays
    loader_process.run(Job(exported=new, table=table))
    assert contents(iceberg) == sorted(versions("new", TWO).items())
    if end.ended == "killed":
        listed = {Path(task.file.file_path).name for task in iceberg.table("runs").scan().plan_files()}
        assert listed <= strays or not listed & strays  # the commit that was killed landed, or it did not


def test_files_of_a_load_that_did_not_land_go_by_a_full_vacuum(delta: Delta, tmp_path: Path) -> None:
    """Files of a load that lost a race, like those of a killed one, no reader sees; a full vacuum removes them."""
    table, place = delta.uri("runs"), delta.directory / "runs"
    load(land(tmp_path / "old", "old", ONE), table)
    lost, new = land(tmp_path / "lost", "lost", ONE), land(tmp_path / "new", "new", TWO)
    with pytest.raises(ConcurrentLoadError):
        load(lost, table, meanwhile=lambda: load(new, table))
    assert contents(delta) == sorted(versions("new", TWO).items())
    DeltaTable(str(place)).vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
    listed = {Path(uri).name for uri in DeltaTable(str(place)).file_uris()}
    assert {path.name for path in place.rglob("*.parquet")} == listed
    assert contents(delta) == sorted(versions("new", TWO).items())
