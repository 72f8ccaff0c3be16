"""Loads that are killed: the table has the old rows or the new ones, and the next load puts in the new ones."""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random

import pytest
from deltalake import DeltaTable

from tests.tables.conftest import Delta, Iceberg, Kind
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


def listed_files(kind: Iceberg | Delta) -> set[str]:
    """Return the names of the data files that the table lists."""
    if isinstance(kind, Iceberg):
        return {Path(task.file.file_path).name for task in kind.table("runs").scan().plan_files()}
    return {Path(uri).name for uri in DeltaTable(str(kind.directory / "runs")).file_uris()}


@pytest.mark.parametrize("lake", ["iceberg", "delta"])
def test_files_of_a_killed_load_are_beside_the_table(
    lake: str, tmp_path: Path, loader_process: Loader, request: pytest.FixtureRequest
) -> None:
    """What a killed load leaves in the table's folder no reader sees; a full vacuum removes it from a Delta table."""
    kind: Iceberg | Delta = request.getfixturevalue(lake)
    table = kind.uri("runs")
    old, new = land(tmp_path / "old", "old", ONE), land(tmp_path / "new", "new", TWO)
    loader_process.run(Job(exported=old, table=table))
    before = {path.name for path in kind.directory.rglob("*.parquet")}
    strays: set[str] = set()
    for number in range(40):  # Delta writes and commits in one step: the moment between is short
        (end,) = loader_process.run(Job(exported=new, table=table, kill=("commit", number * 0.004)))
        strays = {path.name for path in kind.directory.rglob("*.parquet")} - before
        if end.ended != "killed" or strays:
            break
    assert contents(kind) in (sorted(versions("old", ONE).items()), sorted(versions("new", TWO).items()))
    loader_process.run(Job(exported=new, table=table))
    assert contents(kind) == sorted(versions("new", TWO).items())
    assert strays
    if isinstance(kind, Delta):
        DeltaTable(str(kind.directory / "runs")).vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
        assert {path.name for path in kind.directory.rglob("*.parquet")} == listed_files(kind)
