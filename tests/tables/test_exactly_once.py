"""
Any sequence of exports and loads leaves what the manifests say: one model for four kinds of table.

The model is a list of rows in memory. After each load, each table has these rows, read by an engine that did not write
them. In the end, loads of all days, in any order and twice, leave the rows of one export of everything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.export.row_transforms import RowTransforms
from airflow_langsmith.manifest import Manifest, read_manifest
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.views import view_of
from tests.conftest import ClientOf, RunExport
from tests.tables.conftest import KINDS, Kind, LoadInto, Rows, read_parquet

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAYS = timedelta(hours=1), 2
PROJECTS = ("shop", "desk")
EXAMPLES = int(os.environ.get("LOAD_EXAMPLES", "3"))

hours = st.integers(0, 24 * DAYS - 1)
projects = st.sampled_from(PROJECTS)
# From when, in hours; how long. Days, hours, and windows that share no bound with either.
windows = st.one_of(
    st.tuples(st.integers(0, DAYS - 1).map(lambda day: 24 * day), st.just(24)),
    st.tuples(hours, st.just(1)),
    st.tuples(hours, st.integers(2, 40)),
)
steps = st.one_of(
    st.tuples(st.just("add"), projects, hours, st.sampled_from(["", "red", "blue"]), st.integers(0, 2)),
    st.tuples(st.just("end"), st.integers(0, 99)),
    st.tuples(st.just("remove"), st.integers(0, 99)),
    st.tuples(st.just("judge"), st.integers(0, 99), hours),
    st.tuples(st.just("load"), projects, windows, st.booleans()),
    st.tuples(st.just("load"), projects, windows, st.booleans()),
    st.tuples(st.just("refresh"), projects, windows, st.booleans()),
    st.tuples(st.just("threads"), projects, windows),
    st.tuples(st.just("again"), st.integers(0, 99)),
    st.tuples(st.just("both"), windows),
)


class World:
    """A workspace, the exports of it, a table of each kind, and the rows that these tables should have."""

    def __init__(
        self,
        langsmith: LangSmithStandIn,
        client: LangSmithClient,
        export: RunExport,
        load: LoadInto,
        kinds: list[Kind],
        end: str,
    ) -> None:
        self._langsmith, self._client, self._export = langsmith, client, export
        self._load, self._kinds, self._end = load, kinds, end  # of the tables' names
        self._model: dict[str, Rows] = {}
        self._exports: list[tuple[str, dict[str, Any]]] = []  # table, and what the export returned
        self._runs: list[str] = []
        for project in PROJECTS:
            langsmith.add_project(project)

    def add(self, project: str, hour: int, color: str, thread: int) -> None:
        """Log a run, a root that has not ended; its metadata has a colour, or not."""
        metadata = {"thread_id": f"thread-{thread}", **({"color": color} if color else {})}
        start = START + hour * HOUR + timedelta(minutes=17 * len(self._runs) % 60)
        fields: dict[str, Any] = {
            "start_time": start,
            "extra": {"metadata": metadata},
            "inputs": {"n": len(self._runs)},
        }
        self._runs.append(self._langsmith.add_run(project=project, name="agent", tags=["a", "b"], **fields))

    def end(self, place: int) -> None:
        """End a run."""
        for run_id in self._pick(self._runs, place):
            self._langsmith.update_run(run_id, end_time=START + DAYS * 24 * HOUR, outputs={"text": "it's \\ done\n"})

    def remove(self, place: int) -> None:
        """Delete a run, as LangSmith does when its time is over."""
        for run_id in self._pick(self._runs, place):
            self._langsmith._workspace._remove_run(self._langsmith._workspace.runs[run_id])
            self._runs.remove(run_id)

    def judge(self, place: int, hour: int) -> None:
        """Add feedback on a run."""
        for run_id in self._pick(self._runs, place):
            self._langsmith.add_feedback(run_id, score=0.5, created_at=START + hour * HOUR)

    def load(self, project: str, window: tuple[int, int], flatten: bool) -> None:
        """Export a window, with a flat column or without, and load it."""
        self._load_exports("runs", [self._exported(project, window, flatten=flatten)])

    def refresh(self, project: str, window: tuple[int, int], narrow: bool) -> None:
        """Export the runs that got feedback in a window, all columns or a few, and merge them."""
        columns = ["run_id", "project_id", "start_time", "feedback_stats"] if narrow else None
        self._load_exports("runs", [self._exported(project, window, columns=columns, refresh="feedback")])

    def threads(self, project: str, window: tuple[int, int]) -> None:
        """Export the threads of a window, and merge them."""
        self._load_exports("threads", [self._exported(project, window, view="threads")])

    def both(self, window: tuple[int, int]) -> None:
        """Export a window of both projects, and load them in one transaction."""
        self._load_exports("runs", [self._exported(project, window) for project in PROJECTS])

    def again(self, place: int) -> None:
        """Load what some earlier export's place has now."""
        for table, exported in self._pick(self._exports, place):
            self._load_exports(table, [exported])

    def finish(self, order: Iterable[int]) -> None:
        """Load all days, twice and in any order: the tables have what one export of everything has."""
        everything = {view: self._everything(view) for view in ("runs", "threads")}
        for day in order:
            for view in everything:
                self._load_exports(view, [self._exported(project, (24 * day, 24), view=view) for project in PROJECTS])
        assert rows_by_key(self._model["runs"]) == rows_by_key(everything["runs"])
        threads = rows_by_key(self._model["threads"])
        assert {key: threads[key] for key in rows_by_key(everything["threads"])} == rows_by_key(everything["threads"])

    def _everything(self, view: str) -> Rows:
        exports = [self._exported(project, (0, 24 * DAYS), view=view) for project in PROJECTS]
        del self._exports[-len(exports) :]
        return [row for exported in exports for row in landed(read_manifest(exported))]

    def _exported(
        self, project: str, window: tuple[int, int], *, view: str = "runs", flatten: bool = False, **options: Any
    ) -> dict[str, Any]:
        start = START + window[0] * HOUR
        exported = self._export(
            self._client,
            project,
            start,
            start + window[1] * HOUR,
            view=view_of(view, **options),
            transforms=RowTransforms(flatten=("metadata.color",) if flatten else ()),
            max_rows_per_file=3,
        ).summary()
        self._exports.append((view, exported))
        return exported

    def _load_exports(self, table: str, exports: list[dict[str, Any]]) -> None:
        rows = self._model.setdefault(table, [])
        for exported in exports:
            apply(rows, read_manifest(exported))
        name = f"{table}{self._end}"
        for kind in self._kinds:
            self._load(exports, kind.uri(name))
            columns = {name for row in rows for name in row}
            assert rows_by_key(kind.rows(name)) == rows_by_key([{**dict.fromkeys(columns), **row} for row in rows])

    @staticmethod
    def _pick(things: list[Any], place: int) -> list[Any]:
        return [things[place % len(things)]] if things else []


def apply(rows: Rows, manifest: Manifest) -> None:
    """Change the model as a load of an export should change a table."""
    new, project = landed(manifest), manifest.project_id
    key, time = ("thread_id", "last_start_time") if manifest.view == "threads" else ("run_id", "start_time")
    if manifest.view == "runs" and "feedback_lookback_seconds" not in manifest.query:
        rows[:] = [
            row
            for row in rows
            if row["project_id"] != project or not manifest.window_start <= row["start_time"] < manifest.window_end
        ]
        rows += new
        return
    for row in new:
        same = [old for old in rows if (old[key], old["project_id"]) == (row[key], project)]
        for old in same:
            if row[time] >= old[time]:
                old.update(row)
        if not same:
            rows.append(row)


def landed(manifest: Manifest) -> Rows:
    """Read the rows of an export."""
    return read_parquet(manifest.uris(), [])


def rows_by_key(rows: Rows) -> dict[tuple[str, str], dict[str, Any]]:
    """Return rows by their keys, none of which comes twice, without columns that are null in all rows."""
    columns = {name for row in rows for name, value in row.items() if value is not None}
    by_key = {
        (row["project_id"], row.get("run_id") or row["thread_id"]): {name: row.get(name) for name in columns}
        for row in rows
    }
    assert len(by_key) == len(rows)
    return by_key


@pytest.fixture
def world_of(
    client_of: ClientOf, export_runs: RunExport, load: LoadInto, request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[LangSmithStandIn], World]:
    """Make a world of a workspace, with its own files and tables."""
    kinds: list[Kind] = [request.getfixturevalue(name) for name in KINDS]
    numbers = count()

    def make(langsmith: LangSmithStandIn) -> World:
        number = next(numbers)
        export = partial(export_runs, destination=f"file://{tmp_path}/lake-{number}")
        return World(langsmith, client_of(langsmith), export, load, kinds, f"_{number}")

    return make


@hypothesis.settings(
    max_examples=EXAMPLES, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], database=None
)
@hypothesis.given(st.lists(steps, min_size=6, max_size=14), st.permutations([*range(DAYS), *range(DAYS)]))
def test_any_sequence_leaves_what_the_manifests_say(
    world_of: Callable[[LangSmithStandIn], World], sequence: list[tuple[Any, ...]], order: list[int]
) -> None:
    """Exports, re-exports, refreshes and merges, loaded in any order and twice, leave the rows of their promises."""
    with LangSmithStandIn() as langsmith:
        world = world_of(langsmith)
        for hour in range(0, 24 * DAYS, 5):
            world.add(PROJECTS[hour % 2], hour, "red" * (hour % 3 == 0), hour % 3)
        for name, *arguments in sequence:
            getattr(world, name)(*arguments)
        world.finish(order)
