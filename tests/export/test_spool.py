"""Rows on the local disk come back as they were, and a disk that is full is named."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from airflow_langsmith.errors import StorageError
from airflow_langsmith.export.spool import Backlog, Spool
from airflow_langsmith.views import Rows
from tests.wording import says

BATCHES = [
    Rows([[f"{batch}-{row}" for row in range(50)], [b"%d" % row * 100 for row in range(50)]], 50) for batch in range(5)
]


@pytest.fixture
def little_room() -> Iterator[int]:
    """A disk that takes so many bytes of a file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    yield 10_000
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_rows_come_back_sorted_or_as_they_came(tmp_path: Path) -> None:
    """With a key they are sorted by it, without one they keep their order."""
    came = [row for batch in BATCHES for row in zip(*batch.columns, strict=True)]
    for key, expected in ((None, came), (0, sorted(came))):
        with Spool(tmp_path) as spool:
            for batch in reversed(BATCHES) if key is not None else BATCHES:
                spool.add(batch, key)
            assert [row for rows in spool.rows() for row in zip(*rows.columns, strict=True)] == expected


@pytest.mark.usefixtures("little_room")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """When the worker's disk takes no more, the error says that it was this disk, and may be retried."""
    told = rf"the local {tmp_path}: .*A retry may help; .* TMPDIR"
    with Spool(tmp_path) as spool, pytest.raises(StorageError, match=says(rf"until all are there on {told}.*flatten")):
        list(map(spool.add, BATCHES))
    told = rf"until their turn on {told}.*concurrency=1"
    with closing(Backlog(tmp_path / "backlog")) as backlog, pytest.raises(StorageError, match=says(told)):
        list(map(backlog.add, BATCHES))


def test_a_disk_that_takes_half_of_a_batch_is_full(tmp_path: Path, little_room: int) -> None:
    """The batch that goes over the edge is told of at once, not when it is read, and no other goes astray."""
    whole = Rows([["x" * (little_room + 100)]], 1)
    with closing(Backlog(tmp_path / "backlog")) as backlog:
        with pytest.raises(StorageError):
            backlog.add(whole)
        assert len(backlog) == 0
    with Spool(tmp_path) as spool, pytest.raises(StorageError):
        spool.add(whole)
