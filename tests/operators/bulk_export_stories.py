"""Stories of a bulk export task: what happens to it, from its first try to its success, and what has to hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from airflow_langsmith.manifest import Manifest, read_manifest
from airflow_langsmith.testing import LangSmithStandIn
from tests.operators.bulk_export_worker import START, Try

WORKER = str(Path(__file__).with_name("bulk_export_worker.py"))
DAY = timedelta(days=1)
RETRIES = 2
RUNS = 100


class Ticks:
    """A clock that goes on by a second each time that it is read, so that exports end after a few requests."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        self.time += timedelta(seconds=1)
        return self.time


class Worker:
    """A process that runs the tries of tasks."""

    def __init__(self, log: Any) -> None:
        environment = {**os.environ, "AIRFLOW__CORE__UNIT_TEST_MODE": "True"}
        answers, writing = os.pipe()
        command = [sys.executable, WORKER, str(writing)]
        plain: Any = {"stdin": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, pass_fds=[writing], **plain)
        os.close(writing)
        self._answers = os.fdopen(answers)

    def run(self, task: Try) -> dict[str, Any]:
        """Run a try, and return how it ended."""
        assert self._process.stdin
        print(json.dumps(asdict(task)), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._answers.readline())
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)
        self._answers.close()


@dataclass
class Shop:
    """A LangSmith with a day of runs and a bucket, and a worker."""

    langsmith: LangSmithStandIn
    folder: Path
    worker: Worker
    stories: int = 0
    destination_id: str = field(init=False)

    def __post_init__(self) -> None:
        """Add the runs and the bucket."""
        for minute in range(RUNS):
            start = START + timedelta(minutes=10 * minute)
            self.langsmith.add_run(project="shop", name=str(minute), start_time=start, end_time=start)
        self.destination_id = self.langsmith.add_bulk_destination(self.folder / "bucket")

    def story(self, **task: Any) -> Story:
        """Return a new task, whose exports no other task has."""
        self.stories += 1
        return Story(self, self.stories, task)


class Story:
    """A task from its first try on, and its exports in LangSmith."""

    def __init__(self, shop: Shop, number: int, task: dict[str, Any]) -> None:
        self.shop, self.place = shop, shop.folder / f"task-{number:03d}"
        self.number, self.max_tries = 1, RETRIES
        self.others: set[str] = set()
        self._filter = f'neq(name, "nobody {number}")'
        self._task = {"stores_state": True, **task}
        self.place.mkdir()

    def run(self, **changes: Any) -> dict[str, Any]:
        """Run a try, and check what has to hold after each."""
        task = Try(
            place=str(self.place),
            bucket=str(self.shop.folder / "bucket"),
            destination_id=self.shop.destination_id,
            filter=self._filter,
            number=self.number,
            max_tries=self.max_tries,
            **{**self._task, **changes},
        )
        ended = self.shop.worker.run(task)
        self.check()
        return ended

    @property
    def may_retry(self) -> bool:
        """Whether Airflow tries again by itself."""
        return self.number <= self.max_tries

    def retry(self) -> None:
        """Let the next try be the next one that Airflow makes."""
        self.number += 1

    def clear(self) -> None:
        """Let the next try be the first one after a user cleared the task."""
        self.number += 1
        self.max_tries = self.number - 1 + RETRIES

    def another(self) -> str:
        """Let somebody else start the same export."""
        export_id = self.shop.langsmith.add_bulk_export(
            project="shop",
            start_time=START,
            end_time=START + DAY,
            filter=self._filter,
            destination_id=self.shop.destination_id,
            format_version="v2_beta",
            compression="zstandard",
        )
        self.others.add(export_id)
        return export_id

    @property
    def exports(self) -> list[dict[str, Any]]:
        """The exports that the task started, the oldest first."""
        return [
            export
            for export in self.shop.langsmith.bulk_exports
            if export["filter"] == self._filter and export["id"] not in self.others
        ]

    @property
    def live(self) -> list[str]:
        """The ids of those that have not ended."""
        return [export["id"] for export in self.exports if export["status"] in ("Created", "Running")]

    def check(self) -> None:
        """Check that no two exports of the task were live together, others' are not cancelled, and rows are whole."""
        for earlier, later in pairwise(self.exports):
            assert earlier["finished_at"]
            assert earlier["finished_at"] < later["created_at"]
        for export in self.shop.langsmith.bulk_exports:
            assert export["id"] not in self.others or export["status"] != "Cancelled"
        partition = self.place / "lake" / "runs" / "project=shop" / "date=2026-03-01"
        if (partition / "_manifest.json").exists():
            manifest = read_manifest(f"file://{partition}")
            assert manifest.rows == RUNS
            assert all((partition / file.name).stat().st_size == file.bytes for file in manifest.files)

    def check_published(self, ended: dict[str, Any], read_rows: Any) -> Manifest:
        """Check that each row of the window is published once, from a completed export, and that nothing is live."""
        assert ended["ended"] == "published"
        manifest = read_manifest(ended["result"])
        assert sorted(row["name"] for row in read_rows(ended["result"]["manifest"])) == sorted(map(str, range(RUNS)))
        statuses = {export["id"]: export["status"] for export in self.shop.langsmith.bulk_exports}
        assert statuses[manifest.bulk_export_id or ""] == "Completed"
        assert self.live == []
        return manifest


@contextmanager
def shop_of(folder: Path, monkeypatch: Any) -> Iterator[Shop]:
    """Open a shop: its exports end after some requests."""
    with LangSmithStandIn(now=Ticks()) as langsmith, (folder / "worker.log").open("w") as log:
        monkeypatch.setenv(
            "AIRFLOW_CONN_LANGSMITH_DEFAULT",
            langsmith.connection(max_retries=1, requests_per_10s=100_000, verify=False),
        )
        langsmith.bulk.max_creations_per_hour = None
        langsmith.bulk.max_running = 1_000
        langsmith.bulk.queued_seconds, langsmith.bulk.running_seconds = 4, 30
        with Worker(log) as worker:
            yield Shop(langsmith, folder, worker)
