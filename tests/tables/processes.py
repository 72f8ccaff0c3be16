"""Loads in other processes, as workers run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

LOADER = Path(__file__).with_name("loader.py")
ROUNDS = int(os.environ.get("RACE_ROUNDS", "1"))  # make races has fifty


@dataclass(frozen=True, kw_only=True)
class Job:
    """A load of one export. ``kill`` is a step, and how many seconds after it the process is killed."""

    exported: str
    table: str
    mode: str | None = None
    kill: tuple[str, float] | None = None


@dataclass(frozen=True)
class End:
    """
    How a job ended: ``landed``, ``nothing``, ``killed``, or an error that is ``retriable: ...`` or not.

    ``steps`` and ``seconds`` say when it did its steps and ended, in seconds since its start.
    """

    ended: str
    steps: dict[str, float]
    seconds: float

    @property
    def is_retriable(self) -> bool:
        """Whether it failed, and a retry may help."""
        return self.ended.startswith("retriable")


@dataclass(frozen=True)
class Loader:
    """A process that forks one for each job."""

    process: subprocess.Popen[str]

    def run(self, *jobs: Job) -> list[End]:
        """Run jobs together, and return how each ended."""
        environment = {
            name: value for name, value in os.environ.items() if name.startswith(("AIRFLOW_CONN_", "TMPDIR"))
        }
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([{**asdict(job), "environment": environment} for job in jobs]) + "\n")
        self.process.stdin.flush()
        return [End(**end) for end in json.loads(self.process.stdout.readline())]


@contextmanager
def loader() -> Iterator[Loader]:
    """Run the process of jobs."""
    command = [sys.executable, str(LOADER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Loader(process)
        process.communicate(timeout=60)
