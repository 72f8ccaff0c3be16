"""Airflow kills a task: it stops asking, publishes nothing any more, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith.export import read_manifest
from airflow_langsmith.operators import LangSmithExportOperator
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
    """Read all that is in the partition."""
    partition = lake / "runs" / "project=shop" / "date=2026-03-01"
    return {path.name: path.read_bytes() for path in partition.iterdir()}


def published(lake: Path) -> set[str]:
    """Name the parts that a reader finds, each of them whole."""
    manifest = read_manifest(f"file://{lake}/runs/project=shop/date=2026-03-01")
    content = objects(lake)
    assert all(hashlib.sha256(content[file.name]).hexdigest() == file.sha256 for file in manifest.files)
    return {file.name for file in manifest.files}


@pytest.mark.parametrize(("sent", "step"), [("SIGTERM", 1), ("SIGKILL", 9)])
def test_killed_at_any_moment(shop: LangSmithStandIn, tmp_path: Path, run: Run, sent: str, step: int) -> None:
    """
    Killed before any of its file system calls, an export has published all or nothing.

    By SIGTERM it has taken back what it began, on the worker's disk too. After SIGKILL the next export does that.
    """
    run(export(tmp_path / "before"))
    before = objects(tmp_path / "before")
    shop.add_run(project="shop", start_time=START + timedelta(hours=20), end_time=START + timedelta(hours=20))
    command = [sys.executable, KILLED, sent, str(step), str(tmp_path)]
    subprocess.run(command, check=True, timeout=300, env={**os.environ, "AIRFLOW__CORE__UNIT_TEST_MODE": "True"})
    *deaths, finished = sorted(path for path in tmp_path.iterdir() if path.name != "before")
    changed = published(finished / "lake")
    assert changed != published(tmp_path / "before")
    seen = []
    for death in deaths:
        seen.append(published(death / "lake") == changed)
        if sent == "SIGTERM":
            assert not list((death / "tmp").iterdir())
            told = (death / "ended").read_text()
            assert told == "published" if seen[-1] else "killed this task" in told
            kept = objects(death / "lake").items()
            assert seen[-1] or {name: content for name, content in kept if not name.startswith("_probe")} == before
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
            assert published(death / "lake") == changed == set(objects(death / "lake")) - {"_manifest.json"}
