"""
The directory on the local disk in which an export works. It is removed when the export ends, however it ends.

Its owner locks a file in it. The system releases the lock when the process dies, also by SIGKILL. So a directory whose
lock is free belongs to no living process, and the next export on the host removes it::

    /tmp/langsmith-export-k3v0q1xz/lock     locked: its export is running
    /tmp/langsmith-export-8mz2_c4d/lock     free: its worker was killed
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from airflow_langsmith.errors import StorageError
from airflow_langsmith.problems import Problem

log = logging.getLogger(__name__)

PREFIX = "langsmith-export-"
LOCK = "lock"


@contextmanager
def working_directory(problem: Problem = Problem.LOCAL_DISK_FULL) -> Iterator[Path]:
    """
    Make a directory below ``TMPDIR``, and remove those that killed exports and loads have left there.

    :raises StorageError: for whatever the local disk refuses meanwhile: it looks like an error of the destination.
    """
    parent = Path(tempfile.tempdir or os.environ.get("TMPDIR", "/tmp"))  # noqa: S108  # named in an error, no more
    try:
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            with suppress(OSError):  # it is locked, has no lock yet, or was removed this moment
                _remove_if_free(path)
        directory, lock = Path(tempfile.mkdtemp(prefix=PREFIX)), None
        try:
            lock = _lock(directory)
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)  # the next export removes the rest: the lock is free then
            if lock is not None:
                os.close(lock)
    except OSError as error:
        raise StorageError(
            f"Could not work in the local {parent}: {error}. What was there before stands. A retry may help; if "
            "it does not, give the worker more room there, set TMPDIR to a larger disk, or let the task's user write "
            "there."
        ).of(problem) from error


def _lock(directory: Path) -> int:
    """Lock a file; it has its name only once it is locked, so that nobody finds it free before."""
    new = directory / f"{LOCK}.new"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT, 0o600)
    with suppress(OSError):  # a file system without locks: nobody removes the directory but its owner
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        new.rename(directory / LOCK)
    return descriptor


def _remove_if_free(directory: Path) -> None:
    if directory.lstat().st_uid != os.geteuid():
        return
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size_bytes = sum(path.lstat().st_size for path in directory.iterdir())
        shutil.rmtree(directory)
    finally:
        os.close(descriptor)
    log.info("Removed %s, which a killed export had left: %.1f MB", directory, size_bytes / 1e6)
