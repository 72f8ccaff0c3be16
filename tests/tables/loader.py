"""
Loads in processes of their own, which start together or are killed.

Each line of the standard input is a list of jobs, and is answered by a line with the list of how they ended::

    [{"exported": "file:///day", "table": "delta:///runs", "mode": null, "environment": {}, "kill": ["commit", 0.02]}]
    [{"ended": "killed", "steps": ["begin", "session", "commit"], "seconds": 0.021}]

``kill`` is the step after which a job is killed, and how many seconds after it. The steps are ``begin``, ``session``,
once the table is read, and ``commit``, right before the commit. ``seconds`` are those since the last step. The libraries
are loaded once: a job is a fork, as in Airflow.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError
from typing import Any

from airflow_langsmith.errors import LangSmithError
from airflow_langsmith.tables import table_at
from airflow_langsmith.tables.load import Load, LoadOptions
from airflow_langsmith.tables.table import Session, Table

TIMEOUT = 60  # seconds; a test that hangs says so


@dataclass
class Job:
    """A load of a job, in its process. It tells each step, and waits there for the other jobs."""

    arguments: dict[str, Any]
    barrier: Barrier
    pipe: int

    def step(self, name: str) -> None:
        """Tell a step, and wait until all jobs are there. Databases have one session at a time: nobody waits in one."""
        os.write(self.pipe, f"{name}\n".encode())
        if name == "begin" or self.is_lake:
            with suppress(BrokenBarrierError):  # another job has ended
                self.barrier.wait(TIMEOUT)

    @property
    def is_lake(self) -> bool:
        """Whether the table has several sessions at a time."""
        return str(self.arguments["table"]).startswith(("iceberg", "delta"))

    def load(self) -> str:
        """Load, and return how it ended."""
        os.environ.update(self.arguments["environment"])
        options = LoadOptions(mode=self.arguments["mode"])
        table = _Stepping(table_at(self.arguments["table"]), self)
        load = Load([self.arguments["exported"]], table, options, before_commit=lambda: self.step("commit"))
        try:
            _, loaded = load.run()
        except LangSmithError as error:
            return f"{'retriable' if error.retriable else 'final'}: {error}"
        finally:
            self.barrier.abort()
        return "landed" if loaded.is_changed else "nothing"


@dataclass
class _Stepping:
    """A table that tells its steps."""

    table: Table
    job: Job

    @contextmanager
    def session(self) -> Iterator[Session]:
        self.job.step("begin")
        with self.table.session() as session:
            self.job.step("session")
            yield session


def start(arguments: dict[str, Any], barrier: Barrier) -> tuple[int, int]:
    """Fork a job; return its process, and the pipe of its steps."""
    reading, writing = os.pipe()
    if process := os.fork():
        os.close(writing)
        return process, reading
    try:
        outcome = Job(arguments, barrier, writing).load()
    except BaseException as error:  # noqa: BLE001  # the test shows it
        outcome = f"broken: {type(error).__name__}: {error}"
    os.write(writing, json.dumps(outcome).encode())
    os._exit(0)


def wait(process: int, pipe: int, kill: tuple[str, float] | None) -> dict[str, Any]:
    """Wait for a job, or kill it; return how it ended, and how many seconds after its last step."""
    text, began, left = "", time.monotonic(), None
    while select.select([pipe], [], [], left)[0]:
        if not (received := os.read(pipe, 65536)):
            break
        text += received.decode()
        if received.startswith((b"begin", b"session", b"commit")):
            began = time.monotonic()
        if kill and f"{kill[0]}\n" in text:
            left = kill[1]
            kill = None
    else:
        os.kill(process, signal.SIGKILL)
    seconds = time.monotonic() - began
    os.close(pipe)
    _, status = os.waitpid(process, 0)
    *steps, outcome = text.rstrip("\n").split("\n")
    ended = "killed" if os.WIFSIGNALED(status) else json.loads(outcome)
    return {"ended": ended, "steps": steps, "seconds": seconds}


if __name__ == "__main__":
    for kind in ("delta", "duckdb", "iceberg", "postgres"):
        import_module(f"airflow_langsmith.tables.{kind}")
    import_module("airflow.providers.apache.iceberg.hooks.iceberg")
    answers, sys.stdout = sys.stdout, sys.stderr  # Airflow logs to the standard output
    for line in sys.stdin:
        jobs = json.loads(line)
        together = multiprocessing.get_context("fork").Barrier(len(jobs))
        processes = [start(job, together) for job in jobs]
        ends = [wait(*each, job["kill"]) for each, job in zip(processes, jobs, strict=True)]
        print(json.dumps(ends), file=answers, flush=True)  # noqa: T201
