"""Data move while they are read: no key lands twice, and what stays in its place lands."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.errors import ServerError
from airflow_langsmith.export.checkpoints import CheckpointPolicy, TaskAttempt
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.export import Export, Exported, OutputOptions
from airflow_langsmith.export.pages import PageSource
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.views import VIEWS, view_of
from tests.conftest import ClientOf
from tests.queries import run_query

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])
KEYS = {view.name: view.key for view in VIEWS.values()}

ReadRows = Callable[..., list[dict[str, Any]]]


def exported(client: LangSmithClient, where: Path, view: str = "runs", page: int = 100, **source: Any) -> Exported:
    """Export the day's roots, as Parquet."""
    chosen = view_of(view, with_feedback=False)
    narrowed: dict[str, Any] = {} if view == "feedback" else {"is_root": True, "page_size": page}
    query = run_query(project=client.project("shop"), start=START, end=START + DAY, fields=chosen.fields, **narrowed)
    output = OutputOptions(destination=f"file://{where}", format=format_of("parquet"))
    return Export(PageSource(client, **source), query, chosen, output).run()


def fill(langsmith: LangSmithStandIn, count: int) -> tuple[list[str], list[str]]:
    """Put in roots, each a thread of its own, with a retriever and feedback; give the ids of both, oldest first."""
    roots, pieces = [], []
    for number in range(count):
        start = START + number * (DAY / count)
        thread = {"metadata": {"thread_id": f"thread {number}"}}
        roots.append(langsmith.add_run(project="shop", start_time=start, end_time=start, extra=thread))
        langsmith.add_run(project="shop", start_time=start, parent_run_id=roots[-1], run_type="retriever")
        pieces.append(langsmith.add_feedback(roots[-1], score=1, created_at=start.isoformat()))
    return roots, pieces


@BOTH
def test_a_run_that_is_corrected_meanwhile_lands_once(
    langsmith: LangSmithStandIn,
    client_of: ClientOf,
    read_rows: ReadRows,
    tmp_path: Path,
    version: str,
) -> None:
    """If one of 500 runs is moved from the first page to the last one, 500 rows land, the first copy of each."""
    runs = [langsmith.add_run(project="shop", start_time=START + number * MINUTE) for number in range(500)]
    langsmith.misbehave(
        "meanwhile",
        action=lambda: langsmith.update_run(runs[-1], start_time=START + MINUTE / 2, end_time=START + DAY),
        after=2,
    )
    done = exported(client_of(langsmith, version), tmp_path)
    rows = read_rows(done.uri)
    assert sorted(row["run_id"] for row in rows) == sorted(runs)
    assert next(row["start_time"] for row in rows if row["run_id"] == runs[-1]) == START + 499 * MINUTE
    assert (done.manifest.rows, done.progress.runs) == (500, 500)
    assert done.manifest.pending == 500, "the copy that was left out had ended"
    assert done.progress.repeated == 1


@BOTH
def test_a_page_that_comes_again_lands_once(
    langsmith: LangSmithStandIn, client_of: ClientOf, read_rows: ReadRows, tmp_path: Path, version: str
) -> None:
    """Runs that a later page repeats, however long after, are left out, and counted once as pending."""
    runs = [langsmith.add_run(project="shop", start_time=START + number * MINUTE) for number in range(60)]

    def again() -> None:  # the newest ten come once more, as the oldest
        for number, run in enumerate(runs[-10:]):
            langsmith.update_run(run, start_time=START - number * MINUTE)

    langsmith.misbehave("meanwhile", action=again, after=4)
    done = exported(client_of(langsmith, version), tmp_path, page=10)
    assert sorted(row["run_id"] for row in read_rows(done.uri)) == sorted(runs)
    assert done.manifest.pending == done.progress.runs == 60


@BOTH
def test_a_run_that_moves_to_where_was_read_lands_if_others_show_that_runs_move(
    langsmith: LangSmithStandIn, client_of: ClientOf, read_rows: ReadRows, tmp_path: Path, version: str
) -> None:
    """If a run comes twice, the window is looked over again, and a run that was moved the other way is found."""
    runs = [langsmith.add_run(project="shop", start_time=START + number * MINUTE) for number in range(500)]

    def correct() -> None:
        langsmith.update_run(runs[-1], start_time=START + MINUTE / 2)
        langsmith.update_run(runs[0], start_time=START + 499 * MINUTE)

    langsmith.misbehave("meanwhile", action=correct, after=2)
    done = exported(client_of(langsmith, version), tmp_path)
    assert sorted(row["run_id"] for row in read_rows(done.uri)) == sorted(runs)
    assert done.manifest.rows == done.progress.runs == done.manifest.pending == 500


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("view", ["runs", "traces", "retrievals"])
def test_runs_that_move_once_all_land(
    langsmith: LangSmithStandIn, client_of: ClientOf, read_rows: ReadRows, tmp_path: Path, view: str, seed: int
) -> None:
    """However many runs move within the window, once each, no run is left out if one of them came twice."""
    chance, lock = random.Random(seed), threading.Lock()
    roots, _ = fill(langsmith, 60)
    moving = chance.sample(roots, 12)

    def move() -> None:
        with lock:
            for run in [moving.pop() for _ in range(min(len(moving), 3))]:
                langsmith.update_run(run, start_time=START + chance.random() * DAY)

    langsmith.misbehave("meanwhile", action=move, after=1, times=4)
    langsmith.misbehave("delay", seconds=0.05, times=8)
    done = exported(client_of(langsmith, chance.choice(["v1", "v2"])), tmp_path, view, page=5, concurrency=1 + seed % 3)
    keys = [row[KEYS[view]] for row in read_rows(done.uri)]
    assert len(keys) == len(set(keys)) == done.manifest.rows == done.progress.runs
    assert done.progress.repeated == 0 or set(keys) == set(roots)


def test_a_quiet_window_is_not_looked_over_again(
    langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path
) -> None:
    """If no run comes twice, pages are all there is to ask for."""
    for number in range(250):
        langsmith.add_run(project="shop", start_time=START + number * MINUTE)
    exported(client_of(langsmith), tmp_path)
    assert len(langsmith.requests_to("/runs/query")) == 3


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("cursors", [1, 3])
@pytest.mark.parametrize("view", KEYS)
def test_whatever_moves_no_key_lands_twice(
    langsmith: LangSmithStandIn,
    client_of: ClientOf,
    read_rows: ReadRows,
    tmp_path: Path,
    view: str,
    cursors: int,
    seed: int,
) -> None:
    """
    Before each answer some runs are moved, anywhere in the window or out of it, and some feedback is withdrawn.

    No key lands twice. Each run, thread and piece of feedback that stays in its place lands. One cursor reads newest
    first, and so finds each run that is only moved to an earlier place in the window.
    """
    chance, lock = random.Random(seed), threading.Lock()
    roots, pieces = fill(langsmith, 80)
    moving = chance.sample(range(80), 20)
    earlier, anywhere = moving[:10], moving[10:]
    starts = {number: number * (DAY / 80) for number in earlier}
    gone, withdrawn = chance.sample(pieces, 15), set[str]()

    def move() -> None:
        with lock:
            for number in chance.sample(anywhere, 3):
                langsmith.update_run(roots[number], start_time=START + chance.uniform(-0.2, 1.2) * DAY)
            number = chance.choice(earlier)
            starts[number] *= chance.random()
            langsmith.update_run(roots[number], start_time=START + starts[number])
            if gone and chance.random() < 0.5:
                withdrawn.add(gone[-1])
                langsmith.withdraw_feedback(gone.pop())

    for path in ("/runs/query", "/feedback"):
        langsmith.misbehave("meanwhile", action=move, path=path, times=None)
    if cursors > 1:
        langsmith.misbehave("delay", seconds=0.05, times=8)
    client = client_of(langsmith, chance.choice(["v1", "v2"]))
    done = exported(client, tmp_path, view, page=7, concurrency=cursors)
    keys = [row[KEYS[view]] for row in read_rows(done.uri)]
    assert len(keys) == len(set(keys)) == done.manifest.rows
    names = [f"thread {number}" for number in range(80)] if view == "threads" else roots
    staying = set(pieces) - withdrawn if view == "feedback" else {names[n] for n in range(80) if n not in moving}
    assert staying <= set(keys)
    if cursors == 1 and view in ("runs", "traces", "retrievals"):
        assert {names[number] for number in earlier} <= set(keys)


@BOTH
def test_a_retry_lands_no_run_twice(
    langsmith: LangSmithStandIn,
    client_of: ClientOf,
    read_rows: ReadRows,
    tmp_path: Path,
    version: str,
) -> None:
    """A run that an earlier try has kept, and that was moved to where the retry reads, lands as it was kept."""
    policy = CheckpointPolicy(min_pages=3)
    runs = [langsmith.add_run(project="shop", start_time=START + number * MINUTE) for number in range(100)]
    langsmith.misbehave("status", after=12, times=None)
    with pytest.raises(ServerError):
        exported(
            client_of(langsmith, version, max_retries=0),
            tmp_path,
            page=5,
            attempt=TaskAttempt("task", may_retry=True),
            checkpoint_policy=policy,
        )
    langsmith.behave()
    assert list(tmp_path.rglob("_checkpoint-*"))
    langsmith.update_run(runs[-1], start_time=START + MINUTE / 2)
    done = exported(
        client_of(langsmith, version),
        tmp_path,
        page=5,
        attempt=TaskAttempt("task", may_retry=False),
        checkpoint_policy=policy,
    )
    rows = read_rows(done.uri)
    assert sorted(row["run_id"] for row in rows) == sorted(runs)
    assert next(row["start_time"] for row in rows if row["run_id"] == runs[-1]) == START + 99 * MINUTE
    assert done.manifest.pending == done.progress.runs == 100


@BOTH
def test_what_was_read_before_a_failure_is_not_taken_for_read_by_the_retry(
    langsmith: LangSmithStandIn,
    client_of: ClientOf,
    read_rows: ReadRows,
    tmp_path: Path,
    version: str,
) -> None:
    """A run that moves from a page that is not kept to a page that is kept lands, though the first try saw it twice."""
    policy = CheckpointPolicy(min_pages=8)
    starts = [number * MINUTE for number in range(95)] + [hours * 60 * MINUTE for hours in (4, 8, 12, 16, 20)]
    runs = [langsmith.add_run(project="shop", start_time=START + start) for start in starts]  # looks short at first
    moved = START + 92 * MINUTE + MINUTE / 2  # onto the second page
    langsmith.misbehave("meanwhile", action=lambda: langsmith.update_run(runs[-1], start_time=moved), after=1)
    langsmith.misbehave("status", after=16, times=None)
    with pytest.raises(ServerError):
        exported(
            client_of(langsmith, version, max_retries=0),
            tmp_path,
            page=5,
            attempt=TaskAttempt("task", may_retry=True),
            checkpoint_policy=policy,
        )
    langsmith.behave()
    assert list(tmp_path.rglob("_checkpoint-*"))
    done = exported(
        client_of(langsmith, version),
        tmp_path,
        page=5,
        attempt=TaskAttempt("task", may_retry=False),
        checkpoint_policy=policy,
    )
    assert sorted(row["run_id"] for row in read_rows(done.uri)) == sorted(runs)


def test_a_run_that_moves_counts_once(langsmith: LangSmithStandIn, client_of: ClientOf) -> None:
    """Lists, counts and traces take a run that moves meanwhile once, too."""
    runs = [langsmith.add_run(project="shop", start_time=START + number * MINUTE) for number in range(500)]
    client = client_of(langsmith, "v1")
    query = run_query(project=client.project("shop"), start=START, end=START + DAY)
    langsmith.misbehave("status", path="/runs/stats", status=501, times=None)

    def move(place: int) -> None:
        langsmith.update_run(runs[-place], start_time=START + MINUTE / 2)

    langsmith.misbehave("meanwhile", action=partial(move, 1), after=2)
    assert len(list(client.runs(query))) == 500
    langsmith.misbehave("meanwhile", action=partial(move, 2), after=2)
    assert client.count(query) == 500
