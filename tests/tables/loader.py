"""
Loads in processes of their own, which start together or are killed.

Each line of the standard input is a list of jobs, and is answered by a line with the list of how they ended::

    [{"exported": "file:///day", "table": "delta:///runs", "mode": null, "environment": {}, "kill": ["commit", 0.02]}]
    [{"ended": "killed", "steps": {"begin": 0.0, "session": 0.1, "commit": 0.3}, "seconds": 0.32}]

``kill`` is the step after which a job is killed, and how many seconds after it. The steps are ``begin``, ``session``,
once the table is read, and ``commit``, right before the commit. The libraries are loaded once: a job is a fork, as in
Airflow.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from airflow_langsmith.errors import LangSmithError
from airflow_langsmith.tables import table_at
from airflow_langsmith.tables.load import Load, LoadOptions
from tests.tables.interrupted import Interrupted

LAKES = ("iceberg", "delta")  # several loads have a session at a time; those of databases wait for each other


@dataclass
class Job:
    """A load in its process: it reports each step, and waits for the other jobs there."""

    arguments: dict[str, Any]
    steps: int
    permits: int

    def step(self, name: str) -> None:
        """Report a step, and wait until all jobs are there; within a session only if others may be there, too."""
        waits = name == "begin" or str(self.arguments["table"]).startswith(LAKES)
        os.write(self.steps, f"{name}{'?' * waits}\n".encode())
        if waits:
            os.read(self.permits, 1)

    def load(self) -> str:
        """Load, and return how it ended."""
        os.environ.update(self.arguments["environment"])
        options = LoadOptions(mode=self.arguments["mode"])
        table = Interrupted(table_at(self.arguments["table"]), lambda: self.step("session"))
        load = Load([self.arguments["exported"]], table, options, before_commit=lambda: self.step("commit"))
        try:
            self.step("begin")
            _, loaded = load.run()
        except LangSmithError as error:
            return f"{'retriable' if error.retriable else 'final'}: {error}"
        return "landed" if loaded.is_changed else "nothing"


@dataclass
class Child:
    """The process of a job, as its parent sees it."""

    arguments: dict[str, Any]
    process: int = 0
    steps_pipe: int = 0
    permits_pipe: int = 0
    text: str = ""
    steps: dict[str, float] = field(default_factory=dict)
    waits: bool = False
    seconds: float | None = None  # since the start, once it has ended
    began: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        """Fork it."""
        self.steps_pipe, steps = os.pipe()
        permits, self.permits_pipe = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            modules = set(sys.modules)
            try:
                ended = Job(self.arguments, steps, permits).load()
            except BaseException:  # noqa: BLE001  # the test shows it
                ended = f"broken: {traceback.format_exc()}"
            with os.fdopen(steps, "wb") as pipe:
                pipe.write(json.dumps([ended, sorted(set(sys.modules) - modules)]).encode())
                pipe.flush()
                os._exit(0)
        os.close(steps)
        os.close(permits)

    @property
    def seconds_to_kill(self) -> float | None:
        """How many seconds it may live; None for ever."""
        step, seconds = self.arguments["kill"] or ("", 0.0)
        return max(self.steps[step] + seconds - self._age, 0.0) if step in self.steps else None

    def read(self) -> None:
        """Read what it reports."""
        if not (received := os.read(self.steps_pipe, 65536)):
            self.seconds = self._age
            return
        self.text += received.decode()
        for step in self.text.split("\n")[:-1]:
            self.steps.setdefault(step.rstrip("?"), self._age)
        self.waits = self.text.endswith("?\n")

    def permit(self) -> None:
        """Let it go on."""
        self.waits = False
        os.write(self.permits_pipe, b".")

    def end(self) -> dict[str, Any]:
        """Return how it ended."""
        os.close(self.steps_pipe)
        os.close(self.permits_pipe)
        _, status = os.waitpid(self.process, 0)
        ended, modules = "killed", []
        if not os.WIFSIGNALED(status):
            ended, modules = json.loads(self.text.rpartition("\n")[2])
        for name in modules:  # so that no later child has to load them
            with suppress(ImportError):
                import_module(name)
        return {"ended": ended, "steps": self.steps, "seconds": self.seconds}

    @property
    def _age(self) -> float:
        return time.monotonic() - self.began


def run(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run jobs, and return how each ended."""
    children = [Child(job) for job in jobs]
    for child in children:
        child.start()
    while running := [child for child in children if child.seconds is None]:
        if all(child.waits for child in running):
            for child in running:
                child.permit()
        times = [child.seconds_to_kill for child in running if child.seconds_to_kill is not None]
        readable, _, _ = select.select([child.steps_pipe for child in running], [], [], min(times, default=None))
        for child in running:
            if child.steps_pipe in readable:
                child.read()
            elif child.seconds_to_kill == 0:
                os.kill(child.process, signal.SIGKILL)
    return [child.end() for child in children]


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Airflow logs to the standard output
    for kind in ("delta", "duckdb", "iceberg", "postgres"):
        import_module(f"airflow_langsmith.tables.{kind}")
    import_module("airflow.providers.apache.iceberg.hooks.iceberg")
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), file=answers, flush=True)
