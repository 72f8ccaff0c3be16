"""Exports that go on call by call, in whatever order a test wants: each waits before each call of its store."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from airflow_langsmith.export.destination import StoragePath

TIMEOUT = 60  # seconds; a test that hangs says so
CALLS = ("cat_file", "info", "pipe_file", "put_file", "ls", "rm_file", "call")
EVENTS = ("open", "os.scandir", "os.rename", "os.remove")  # of Python's audit: what a local disk is asked for


class Killed(BaseException):
    """Nothing that a process would do at its end is done."""


class Task:
    """
    Something that uses a store, in a thread of its own: it goes on as far as :meth:`step` lets it.

    :param work: What it does at a place; ``error`` is what that raises.
    """

    def __init__(self, place: StoragePath, work: Callable[[StoragePath], object]) -> None:
        self.error: BaseException | None = None
        self.ended = False
        self.calls = 0
        self._failure: BaseException | None = None
        self._on, self._stopped, self._calling = threading.Semaphore(0), threading.Semaphore(0), threading.RLock()
        self._directory = place.path if "file" in place.fs.protocol else None
        where: Any = place if self._directory else Place(Watched(place.fs, self), place.path)
        self._thread = threading.Thread(target=self._run, args=(work, where), daemon=True)
        self._thread.start()
        self.step()

    def step(self) -> None:
        """Let it make the call that it waits before, and all that it does until the next one."""
        if not self.ended:
            self._on.release()
            if not self._stopped.acquire(timeout=TIMEOUT):
                raise TimeoutError("a task waits for another one")

    def steps(self, number: int) -> None:
        """Let it make so many calls."""
        for _ in range(number):
            self.step()

    def finish(self) -> None:
        """Let it go on to its end."""
        while not self.ended:
            self.step()

    def fail(self, error: BaseException) -> None:
        """Let the call that it waits before fail."""
        self._failure = error
        self.step()

    def kill(self) -> None:
        """Let it do nothing any more."""
        while not self.ended:
            self.fail(Killed())

    @contextmanager
    def call(self) -> Iterator[None]:
        """Make a call, once it is let."""
        with self._calling:  # one at a time, whichever thread makes it
            self._wait()
            yield

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Wait before an event in the task's directory, unless others could do nothing now, because it is locked."""
        directory = self._directory
        if directory and event in EVENTS and str(arguments[0]).startswith(directory) and not _is_locked(directory):
            self._wait()

    def _wait(self) -> None:
        self.calls += 1
        self._stopped.release()
        self._on.acquire()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _run(self, work: Callable[[StoragePath], object], place: StoragePath) -> None:
        self._on.acquire()
        _local.task = self
        try:
            work(place)
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            self.error = error
        _local.task = None
        self.ended = True
        self._stopped.release()


@dataclass(frozen=True)
class Watched:
    """The client of a store, for one task."""

    fs: Any
    task: Task

    def __getattr__(self, name: str) -> Any:
        """Return what the client has; its calls wait."""
        attribute = getattr(self.fs, name)
        if name not in CALLS:
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.task.call():
                return attribute(*args, **kwargs)

        return call


@dataclass(frozen=True)
class Place:
    """A place in a store."""

    fs: Any
    path: str

    @property
    def name(self) -> str:
        """The last step."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> Self:
        """One step up."""
        return type(self)(self.fs, self.path.rpartition("/")[0])

    def __truediv__(self, name: str) -> Self:
        """Go down."""
        return type(self)(self.fs, f"{self.path}/{name}")

    def __str__(self) -> str:
        """Print it."""
        return f"watched://{self.path}"


_local = threading.local()


def _is_locked(directory: str) -> bool:
    if not Path(directory).is_dir():
        return False
    task, _local.task = _local.task, None
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
        _local.task = task
    return False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if (task := getattr(_local, "task", None)) is not None:
        task.audit(event, arguments)


sys.addaudithook(_audit)
