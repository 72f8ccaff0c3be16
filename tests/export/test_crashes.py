"""A worker that is killed leaves the last good export readable, wherever it was."""

from __future__ import annotations

import errno
import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_langsmith.errors import StorageError
from airflow_langsmith.export.destination import StoragePath, path_at
from airflow_langsmith.export.layout import MANIFEST
from airflow_langsmith.export.publication import Publication
from airflow_langsmith.export.storage import Store
from airflow_langsmith.manifest import read_manifest
from tests.export.turns import Task

KILLED = Path(__file__).with_name("killed.py")


def published(partition: Path) -> set[str]:
    """Name the parts and attachments that a reader finds, each of them whole."""
    manifest = read_manifest(f"file://{partition}")
    digests = {file.name: file.sha256 for file in manifest.files} | {
        attachment.name: attachment.sha256 for attachment in manifest.attachments
    }
    for name, size in manifest.sizes.items():
        content = (partition / name).read_bytes()
        assert len(content) == size
        assert hashlib.sha256(content).hexdigest() == digests[name]
    return set(manifest.sizes)


def test_killed_at_any_moment_the_last_good_export_is_whole(
    tmp_path: Path, publish: Callable[..., dict[str, bytes]]
) -> None:
    """Killed before any of its file system calls, an export has changed nothing or all; the next one cleans up."""

    def place(name: str) -> StoragePath:
        return path_at(f"file://{tmp_path}") / name

    before = publish(place("before"), "kept", "old", "older", attached=("kept photo", "old photo"))
    after = publish(place("after"), "kept", "new", attached=("kept photo", "new photo"))
    directories = [str(tmp_path / name) for name in ("before", "after", "deaths")]
    subprocess.run([sys.executable, str(KILLED), *directories], check=True, timeout=60)

    *deaths, finished = sorted((tmp_path / "deaths").iterdir())
    states = [published(partition) for partition in deaths]
    changed = states.index(set(after))
    assert states == [set(before)] * changed + [set(after)] * (len(states) - changed)
    assert changed > 2  # parts were on their way
    assert len(states) - changed >= 2  # and old ones still there
    assert {path.name for path in finished.iterdir()} == {*after, MANIFEST}
    for partition in deaths:  # what the killed one left lies in the way: names may have more digits of the digest
        parts = publish(place(f"deaths/{partition.name}"), "kept", "new", attached=("kept photo", "new photo"))
        assert {path.name for path in partition.iterdir()} == {*parts, MANIFEST}
        assert published(partition) == set(parts)


def test_whichever_call_of_the_store_fails(
    tmp_path: Path, publish: Callable[..., dict[str, bytes]], make_part: Any, make_manifest: Any
) -> None:
    """If any one call fails, readers find the export before or the new one, and the next export leaves no strays."""

    def export(place: StoragePath) -> None:
        with Publication(place) as publication:
            publication.probe()
            publication.upload(make_part(0, "new"))
            publication.commit(make_manifest(publication.files))

    failures = 0
    for calls in range(100):
        partition = path_at(f"file://{tmp_path}/{calls}")
        before = publish(partition, "old")
        task = Task(partition, export)
        task.steps(calls)
        if task.ended:
            break
        task.fail(OSError(errno.EIO, "the store is out of order"))
        task.finish()
        failures += task.error is not None
        assert task.error is None or (isinstance(task.error, StorageError) and task.error.retriable)
        names = set(Store(partition).sizes()) - {MANIFEST}
        listed = set(read_manifest(partition).sizes)
        assert listed <= names
        assert task.error or listed == names != set(before)
        parts = publish(partition, "newer")
        assert set(Store(partition).sizes()) == {*parts, MANIFEST}
    assert failures > 8
