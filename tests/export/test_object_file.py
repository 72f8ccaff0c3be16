"""An object is read in ranges like a local file, by few requests."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from airflow_langsmith.errors import StorageError
from airflow_langsmith.export.destination import StoragePath, path_at
from airflow_langsmith.export.object_file import READ_BYTES, ObjectFile
from airflow_langsmith.export.storage import Store

CONTENT = random.Random(7).randbytes(3 * READ_BYTES + 12345)


class CountingStore(Store):
    """A store that remembers which ranges it has read."""

    def __init__(self, path: StoragePath) -> None:
        super().__init__(path)
        self.ranges: list[tuple[int, int]] = []

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Read a range, and remember it."""
        self.ranges.append((start, end))
        return super().read_range(name, start, end)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    """A local store with an object of some blocks."""
    (tmp_path / "object").write_bytes(CONTENT)
    return CountingStore(path_at(f"file://{tmp_path}"))


def test_reads_are_those_of_a_local_file(place: StoragePath) -> None:
    """Wherever a reader goes, in a file or on S3, it gets the bytes that are there."""
    store = Store(place)
    store.write(CONTENT, "object")
    file, local, chance = ObjectFile(store, "object", len(CONTENT)), io.BytesIO(CONTENT), random.Random(1)
    for _ in range(50):
        position, size = chance.randrange(len(CONTENT) + 10), chance.choice((1, 1000, READ_BYTES, 2 * READ_BYTES, -1))
        assert file.seek(position) == local.seek(position)
        assert file.read(size) == local.read(size)
        assert file.tell() == max(local.tell(), position)
    assert file.seek(-8, io.SEEK_END) == local.seek(-8, io.SEEK_END)
    assert file.seek(3, io.SEEK_CUR) == local.seek(3, io.SEEK_CUR)
    assert file.read() == local.read()
    assert file.readable()
    assert file.seekable()


def test_small_reads_share_a_request(store: CountingStore) -> None:
    """Reads near each other cost one request, and one across two blocks costs two; no block is read twice."""
    file = ObjectFile(store, "object", len(CONTENT))
    for position in range(0, READ_BYTES - 1000, 50_000):
        file.seek(position)
        file.read(1000)
    assert store.ranges == [(0, READ_BYTES)]
    file.seek(READ_BYTES - 10)
    file.read(20)
    assert store.ranges == [(0, READ_BYTES), (READ_BYTES, 2 * READ_BYTES)]


def test_a_long_read_is_one_request(store: CountingStore) -> None:
    """A read by a reader with a buffer is one request of the same range, and does not stay in memory."""
    file = ObjectFile(store, "object", len(CONTENT))
    file.seek(17)
    assert len(file.read(READ_BYTES)) == READ_BYTES
    assert len(file.read(READ_BYTES + 1)) == READ_BYTES + 1
    assert store.ranges == [(17, 17 + READ_BYTES), (17 + READ_BYTES, 18 + 2 * READ_BYTES)]


def test_an_object_that_goes_away_is_an_error(store: CountingStore, tmp_path: Path) -> None:
    """An object that is deleted while it is read is no end of file, and neither is a store that refuses."""
    file = ObjectFile(store, "object", len(CONTENT))
    file.read(10)
    (tmp_path / "object").unlink()
    file.seek(2 * READ_BYTES)
    with pytest.raises(FileNotFoundError):
        file.read(10)
    (tmp_path / "object").mkdir()
    with pytest.raises(StorageError):
        file.read(10)
