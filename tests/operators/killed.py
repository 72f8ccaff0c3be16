"""
Run an export again and again, each time killed one file system call later, until one gets to its end.

Run as ``killed.py SIGNAL STEP OUT``: OUT holds a lake, and gets a directory for every death, with a lake and a TMPDIR.
SIGTERM calls ``on_kill`` in the middle of the work, as for a task. SIGKILL calls nothing.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_langsmith.airflow_errors import LangSmithException
from airflow_langsmith.operators import LangSmithExportOperator

START = datetime(2026, 3, 1, tzinfo=UTC)


class Killer:
    """Sends this process a signal before the n-th file system call below a directory."""

    def __init__(self, number: int, sent: signal.Signals, below: Path) -> None:
        self.left, self.active = number, True
        self._sent, self._below = sent, str(below)
        sys.addaudithook(self._watch)

    def _watch(self, _: str, arguments: tuple[Any, ...]) -> None:
        if self.active and arguments and str(arguments[0]).startswith(self._below):
            if self.left == 0:
                os.kill(os.getpid(), self._sent)
            self.left -= 1


def export(lake: Path, number: int, sent: signal.Signals) -> str:
    """Export the day, as a worker does, and write how it ended."""
    operator = LangSmithExportOperator(
        task_id="export",
        project="shop",
        destination=f"file://{lake}",
        start_time=START,
        end_time=START + timedelta(days=1),
        max_rows_per_file=40,
        format="jsonl",
    )
    signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    killer = Killer(number, sent, lake.parent)
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="export", map_index=-1, try_number=1, max_tries=2)
    context: Any = {"ti": ti, "dag_run": SimpleNamespace(start_date=START, clear_number=0)}
    try:
        operator.execute(context)
    except LangSmithException as error:
        return str(error)
    finally:
        killer.active = False
    return "published" if killer.left < 0 else "never killed"


if __name__ == "__main__":
    sent, step, out = signal.Signals[sys.argv[1]], int(sys.argv[2]), Path(sys.argv[3])
    for number in itertools.count(0, step):
        death = out / f"{number:03d}"
        shutil.copytree(out / "before", death / "lake")
        (death / "tmp").mkdir()
        child = os.fork()
        if child == 0:
            tempfile.tempdir = str(death / "tmp")
            (death / "ended").write_text(export(death / "lake", number, sent))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) and (death / "ended").read_text() == "never killed":
            break
