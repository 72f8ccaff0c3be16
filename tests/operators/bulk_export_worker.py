"""
A worker that runs tries of a bulk export task, each in a process of its own, and kills them at a moment.

It reads a line of JSON for each try, with the fields of :class:`Try`, and writes a line for each end, into the file
whose descriptor is its argument::

    {"number": 1, "kill_at": 12, "signal": "SIGKILL", ...}  ->  {"ended": "died", "moment": "POST is sent"}
    {"number": 2, ...}                                      ->  {"ended": "published", "moment": ""}

A moment is a file system call below the place of the task, which has its lake and its stored state, or a step of a
request to LangSmith: it is sent next, it is sent, it is answered.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_langsmith.airflow_errors import LangSmithException
from airflow_langsmith.airflow_sdk import AirflowFailException, TaskDeferred
from airflow_langsmith.export import arrow, parquet_read  # noqa: F401  # so that each process has them at once
from airflow_langsmith.export.destination import path_at
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.operators import LangSmithBulkExportOperator

START = datetime(2026, 3, 1, tzinfo=UTC)
STEPS = {
    "send_request_headers.started": "is next",
    "receive_response_headers.started": "is sent",
    "response_closed.started": "is answered",
}


@dataclass(frozen=True, kw_only=True)
class Try:
    """
    A try of a task.

    ``max_tries`` grows by each clear. ``state`` is what Airflow says of the task when it is killed. ``event`` is the
    trigger's, if the task was deferred.
    """

    place: str
    bucket: str
    destination_id: str
    filter: str
    number: int
    max_tries: int
    stores_state: bool
    deferrable: bool = False
    reuse: Any = "running"
    timeout: float = 60.0
    kill_at: int | None = None
    signal: str = "SIGKILL"
    state: str = "running"
    event: dict[str, Any] | None = None


class Store:
    """The state of a task, in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def get(self, key: str) -> Any:
        """Return a value."""
        return self._read().get(key)

    def set(self, key: str, value: Any) -> None:
        """Store a value."""
        self._write(self._read() | {key: value})

    def delete(self, key: str) -> None:
        """Delete a value."""
        self._write({name: value for name, value in self._read().items() if name != key})

    def _read(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {}
        return state

    def _write(self, state: dict[str, Any]) -> None:
        written = self._file.with_suffix(".new")
        written.write_text(json.dumps(state))
        written.replace(self._file)


class Killer(logging.Handler):
    """Sends this process a signal before the n-th moment, whose name it writes down."""

    def __init__(self, task: Try) -> None:
        super().__init__()
        self.left, self.active = task.kill_at, True
        self._signal, self._below = signal.Signals[task.signal], task.place
        self._note = os.open(Path(task.place).with_suffix(".moment"), os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        sys.addaudithook(self._watch)
        http = logging.getLogger("httpcore")
        http.setLevel(logging.DEBUG)
        http.propagate = False
        http.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Count a step of a request, which the HTTP library logs."""
        event, _, details = record.getMessage().partition(" ")
        if event in STEPS:
            method = details.partition("[b'")[2].partition("'")[0]
            self._count(f"{method} {STEPS[event]}".strip())

    def _watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.active and arguments and str(arguments[0]).startswith(f"{self._below}/"):
            self._count(event)

    def _count(self, moment: str) -> None:
        if self.left is None or not self.active:
            return
        self.left -= 1
        if self.left == -1:
            os.write(self._note, moment.encode())
            os.kill(os.getpid(), self._signal)


def run(task: Try) -> dict[str, Any]:
    """Run a try, as Airflow's worker does, and return how it ended."""
    place = Path(task.place)
    operator = LangSmithBulkExportOperator(
        task_id="bulk",
        project="shop",
        bulk_destination_id=task.destination_id,
        filter=task.filter,
        files_at=f"file://{task.bucket}",
        destination=f"file://{place}/lake",
        start_time=START,
        end_time=START + timedelta(days=1),
        max_rows_per_file=40,
        reuse=task.reuse,
        deferrable=task.deferrable,
        poll_interval=0.001,
        timeout=task.timeout,
        retries=2,
    )
    states = {"run": {"bulk": task.state}}
    names = {"dag_id": "dag", "run_id": "run", "task_id": "bulk", "map_index": -1, "stats_tags": {}}
    ti = SimpleNamespace(**names, try_number=task.number, max_tries=task.max_tries)
    ti.get_task_states = lambda **_: states
    context: Any = {"ti": ti, "dag_run": SimpleNamespace(start_date=START, clear_number=0)}
    if task.stores_state:
        context["task_state_store"] = Store(place / "state.json")
    signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    killer = Killer(task)
    try:
        result = operator.execute_complete(context, task.event) if task.event else operator.execute(context)
    except TaskDeferred as deferred:
        return {"ended": "deferred", "trigger": deferred.trigger.serialize()}
    except (LangSmithException, AirflowFailException) as error:
        return {"ended": str(error), "retriable": isinstance(error, LangSmithException)}
    finally:
        killer.active = False
    return {"ended": "published", "result": result}


def run_in_process(task: Try) -> dict[str, Any]:
    """Run a try in a process of its own, and return how it ended."""
    place = Path(task.place)
    (place / "tmp").mkdir(parents=True, exist_ok=True)
    answer = place.with_suffix(".answer")
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        tempfile.tempdir = str(place / "tmp")
        try:
            answer.write_text(json.dumps(run(task)))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    ended = json.loads(answer.read_text()) if answer.exists() else {"ended": "died"}
    return {**ended, "moment": place.with_suffix(".moment").read_text()}


if __name__ == "__main__":
    imports = path_at("file:///"), LangSmithHook().settings  # what each process needs
    with os.fdopen(int(sys.argv[1]), "w") as answers:
        for line in sys.stdin:
            print(json.dumps(run_in_process(Try(**json.loads(line)))), file=answers, flush=True)
