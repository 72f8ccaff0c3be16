"""A task that Airflow kills sends no more requests, publishes nothing and leaves no files."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from threading import enumerate as enumerate_threads
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from airflow_langsmith.airflow_errors import LangSmithException
from airflow_langsmith.export.checkpoints import CheckpointPolicy
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.operators import (
    LangSmithExportOperator,
    LangSmithListRunsOperator,
    LangSmithReadRunOperator,
)
from airflow_langsmith.testing import LangSmithStandIn

KILLED = str(Path(__file__).with_name("killed.py"))
START = datetime(2026, 3, 1, tzinfo=UTC)
Run = Callable[..., Any]


@pytest.fixture
def shop(langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> LangSmithStandIn:
    """A project with a day of runs, and a connection to it."""
    connection = langsmith.connection(max_retries=0, requests_per_10s=100_000, verify=False)
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", connection)
    for minute in range(100):
        start = START + timedelta(minutes=minute)
        langsmith.add_run(project="shop", start_time=start, end_time=start)
    return langsmith


def export(lake: Path) -> LangSmithExportOperator:
    """Export the day."""
    where: Any = {"destination": f"file://{lake}", "format": "jsonl"}
    return LangSmithExportOperator(task_id="export", project="shop", max_rows_per_file=40, **where)


def objects(lake: Path) -> dict[str, bytes]:
    """Return the content of each object in the partition."""
    partition = lake / "runs" / "project=shop" / "date=2026-03-01"
    return {path.name: path.read_bytes() for path in partition.iterdir()}


def published(lake: Path) -> set[str]:
    """Return the names of the parts in the manifest, after a check of their digests."""
    manifest = read_manifest(f"file://{lake}/runs/project=shop/date=2026-03-01")
    content = objects(lake)
    assert all(hashlib.sha256(content[file.name]).hexdigest() == file.sha256 for file in manifest.files)
    return {file.name for file in manifest.files}


@pytest.mark.parametrize(("sent", "step"), [("SIGTERM", 1), ("SIGKILL", 9)])
def test_killed_at_any_moment(shop: LangSmithStandIn, tmp_path: Path, run: Run, sent: str, step: int) -> None:
    """
    An export that is killed before any of its file system calls has published all or nothing.

    After SIGTERM it has removed its files, also on the worker's disk. After SIGKILL the next export does.
    """
    run(export(tmp_path / "before"))
    before = objects(tmp_path / "before")
    shop.add_run(project="shop", start_time=START + timedelta(hours=20), end_time=START + timedelta(hours=20))
    command = [sys.executable, KILLED, sent, str(step), str(tmp_path)]
    subprocess.run(command, check=True, timeout=300, env={**os.environ, "AIRFLOW__CORE__UNIT_TEST_MODE": "True"})
    *deaths, finished = sorted(path for path in tmp_path.iterdir() if path.name != "before")
    changed = published(finished / "lake")
    assert changed != published(tmp_path / "before")
    rows = {objects(finished / "lake")[name] for name in changed}
    seen = []
    for death in deaths:
        seen.append(published(death / "lake") == changed)
        if sent == "SIGTERM":
            assert not list((death / "tmp").iterdir())
            ending = (death / "ended").read_text()
            assert ending == "published" if seen[-1] else "killed this task" in ending
            landed = objects(death / "lake").items()
            assert seen[-1] or {name: content for name, content in landed if not name.startswith("_probe")} == before
    assert seen == sorted(seen)
    assert seen.count(False) > 2
    if sent == "SIGKILL":
        left = [death for death in deaths if list((death / "tmp").iterdir())]
        assert left
        for death in left:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(tempfile, "tempdir", str(death / "tmp"))
                run(export(death / "lake"))
            assert not list((death / "tmp").iterdir())
            mended = objects(death / "lake")  # names have more digits of the digest if a name was taken
            assert published(death / "lake") == set(mended) - {"_manifest.json"}
            assert {mended[name] for name in published(death / "lake")} == rows


@pytest.fixture
def slow(langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> LangSmithStandIn:
    """Add a day of forty slow pages of v1."""
    monkeypatch.setattr(LangSmithExportOperator, "checkpoint_policy", CheckpointPolicy(min_pages=1))
    connection = langsmith.connection(max_retries=0, api_version="v1", requests_per_10s=100_000)
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", connection)
    for minute in range(4000):
        start = START + timedelta(seconds=20 * minute)
        langsmith.add_run(id=str(UUID(int=minute)), project="shop", start_time=start, end_time=start)
    langsmith.misbehave("delay", seconds=0.1, times=None)
    return langsmith


def killed_after(operator: Any, langsmith: LangSmithStandIn, requests: int, state: str = "failed") -> None:
    """Kill a task by a signal after some requests, as Airflow does, and check that it ends quickly."""
    states = {"r": {"task": state}}
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="task", map_index=-1, try_number=1, max_tries=2)
    ti.get_task_states = lambda **_: states
    over = Event()
    killed_at = []

    def kill() -> None:
        while len(langsmith.requests) < requests and not over.wait(0.01):
            pass
        killed_at.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGUSR1)

    context: Any = {"ti": ti, "dag_run": SimpleNamespace(start_date=START, clear_number=0)}
    before = signal.signal(signal.SIGUSR1, lambda *_: operator.on_kill())
    thread = Thread(target=kill)
    thread.start()
    try:
        with pytest.raises(LangSmithException, match="killed this task"):
            operator.execute(context)
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert time.monotonic() - killed_at[0] < 4  # Airflow waits for five seconds
    requests_before = len(langsmith.requests)
    assert not [thread for thread in enumerate_threads() if thread.name.startswith("langsmith-cursor")]
    assert requests_before == len(langsmith.requests)
    operator.on_kill()  # again, as after an execution_timeout


WINDOW: dict[str, Any] = {"task_id": "task", "project": "shop", "start_time": START, "end_time": START + timedelta(1)}


@pytest.mark.parametrize("cursors", [1, 4])
@pytest.mark.parametrize("state", ["failed", "running"])
def test_checkpoints_stay_for_a_retry_only(
    slow: LangSmithStandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture, state: str, cursors: int
) -> None:
    """Checkpoints stay for a retry if the worker stops, not if a user marks or clears the task. The log says so."""
    caplog.set_level("INFO")
    where: Any = {"destination": f"file://{tmp_path}/lake", "concurrency": cursors, "retries": 2}
    killed_after(LangSmithExportOperator(**WINDOW, **where), slow, 12, state)
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert all(name.startswith("_checkpoint-") for name in left)
    if state == "failed":
        assert not left
        assert "No checkpoint stays: a retry or a clear reads the whole window." in caplog.text
    else:
        assert left
        assert re.search(
            r"Checkpoints of [1-4]\d % of the window stay: a retry reads the rest, a clear all", caplog.text
        )


def test_every_operator_ends(slow: LangSmithStandIn, tmp_path: Path) -> None:
    """Each operator ends when Airflow kills it."""
    root = slow.add_run(project="tree", start_time=START, end_time=START)
    for _ in range(2000):
        slow.add_run(project="tree", parent_run_id=root, start_time=START, end_time=START)
    read: Any = {"task_id": "task", "run_id": root, "project": "tree", "load_children": True}
    for operator in (
        LangSmithListRunsOperator(**WINDOW, limit=10_000, select=["run_id"]),
        LangSmithReadRunOperator(**read),
        LangSmithExportOperator(**WINDOW, view="traces", destination=f"file://{tmp_path}/lake"),
    ):
        slow.requests.clear()
        killed_after(operator, slow, 6)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_requests_under_way_together_end(langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed task does not wait for payloads that it fetches in parallel."""
    connection = langsmith.connection(max_retries=0, api_version="v1", requests_per_10s=100_000)
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", connection)
    for _ in range(10):
        run_id = langsmith.add_run(project="shop", start_time=START, inputs={"q": 1})
        langsmith.offload(run_id, "inputs")
    langsmith.misbehave("delay", path="/inputs", seconds=5, times=None)
    listed = LangSmithListRunsOperator(**WINDOW, select=["run_id", "inputs"])
    killed_after(listed, langsmith, 4)


def test_a_task_that_does_not_run_is_not_killed() -> None:
    """``on_kill`` does nothing if the task does not run: Airflow also calls it after ``execution_timeout``."""
    LangSmithExportOperator(**WINDOW, destination="file:///lake").on_kill()
    LangSmithReadRunOperator(task_id="read", run_id="x").on_kill()
