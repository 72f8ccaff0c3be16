"""The directory of an export is its own while it lives, and goes with it or with the next export on the host."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from airflow_langsmith.errors import StorageError
from airflow_langsmith.export.workdir import LOCK, PREFIX, working_directory
from tests.wording import says

HOLD = """
import sys
from airflow_langsmith.export.workdir import working_directory
with working_directory() as directory:
    (directory / "rows").write_bytes(bytes(1000))
    print(directory, flush=True)
    sys.stdin.read()
"""
AGAIN_AND_AGAIN = """
from airflow_langsmith.export.workdir import working_directory
for _ in range(100):
    with working_directory() as directory:
        (directory / "rows").write_bytes(b"mine")
        with working_directory() as other:
            (other / "rows").write_bytes(b"mine, too")
        assert (directory / "rows").read_bytes() == b"mine"
"""


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TMPDIR of the test's own, for its processes too."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def hold(local: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], Path]]]:
    """Start processes that hold a directory each."""
    with ExitStack() as stack:

        def start() -> tuple[subprocess.Popen[str], Path]:
            command = [sys.executable, "-c", HOLD]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            return process, Path(process.stdout.readline().strip())

        yield start


def test_it_goes_with_its_export(local: Path) -> None:
    """However an export ends, its directory goes."""
    with pytest.raises(KeyboardInterrupt), working_directory() as directory:  # noqa: PT012  # that is the story
        assert directory.parent == local
        (directory / "rows").touch()
        raise KeyboardInterrupt
    assert not list(local.iterdir())


def test_what_a_killed_export_left_goes_with_the_next(
    local: Path, hold: Callable[[], tuple[subprocess.Popen[str], Path]], caplog: pytest.LogCaptureFixture
) -> None:
    """The next export removes what a killed one has left, tells so, and leaves alone what belongs to a living one."""
    (killed, orphan), (_, living) = hold(), hold()
    killed.kill()
    killed.wait()
    assert (orphan / "rows").stat().st_size == 1000
    with caplog.at_level("INFO"), working_directory() as own:
        assert set(local.iterdir()) == {own, living}
        assert (living / "rows").exists()
    assert f"Removed {orphan}, which a killed export had left" in caplog.text


def test_directories_of_others_are_left_alone(local: Path) -> None:
    """Neither another program's directory nor one whose export begins at this moment is touched."""
    names = ["langsmith-of-somebody", f"{PREFIX}begins", "other"]
    for name in names:
        (local / name).mkdir()
    (local / names[0] / LOCK).touch()
    (local / f"{PREFIX}link").symlink_to(local / names[0], target_is_directory=True)
    (local / f"{PREFIX}file").touch()
    (local / names[1] / f"{LOCK}.new").touch()
    before = set(local.rglob("*"))
    with working_directory():
        pass
    assert (local / names[0] / LOCK).exists()
    assert set(local.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make directories of others")
def test_another_user_s_orphans_are_his(local: Path) -> None:
    """An orphan of another user is left for that user's next export, though root could remove it."""
    local.chmod(0o777)
    orphan = local / f"{PREFIX}theirs"
    orphan.mkdir()
    (orphan / LOCK).touch()
    os.chown(orphan, 65534, 65534)
    with working_directory():
        pass
    assert (orphan / LOCK).exists()


def test_many_at_once_leave_each_other_alone(local: Path) -> None:
    """Exports that begin and end at the same time never take each other's directory for an orphan."""
    command = [sys.executable, "-c", AGAIN_AND_AGAIN]
    with ThreadPoolExecutor(4) as threads:
        ended = list(threads.map(lambda _: subprocess.run(command, check=False).returncode, range(4)))
    assert ended == [0] * 4
    assert not list(local.iterdir())


def test_a_temporary_directory_that_is_gone_is_named(local: Path) -> None:
    """Without its temporary directory an export says which one it is, and what to do; another worker may have one."""
    local.rmdir()
    with pytest.raises(StorageError, match=says(f"the local {local}.* set TMPDIR to")) as caught, working_directory():
        pass
    assert caught.value.retriable


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_temporary_directory_that_is_read_only_is_named(local: Path) -> None:
    """A temporary directory that takes nothing from the task's user is named."""
    local.chmod(0o555)
    os.seteuid(65534)
    try:
        with pytest.raises(StorageError, match=says("let the task's user write there")), working_directory():
            pass
    finally:
        os.seteuid(0)


def test_a_full_disk_is_named_whoever_meets_it(local: Path) -> None:
    """What goes wrong in the directory, and nobody has named, is the disk's fault, not the destination's."""
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StorageError, match=says(f"the local {local}: .*No space left")), working_directory():
        raise full
    assert not list(local.iterdir())
