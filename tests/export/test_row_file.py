"""Rows on the local disk come back as they were, in order, also from a disk that is full."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from airflow_langsmith.errors import PayloadError
from airflow_langsmith.export.row_file import BATCH_ROWS, RowCodec, RowFile, read_batches
from airflow_langsmith.views import Column, ColumnType, Rows, View
from tests.wording import says

VIEW = View("runs", (Column("number", "integer", ""), Column("text", "string", "")))
START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def little_room() -> Iterator[int]:
    """A disk that takes so many bytes of a file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    yield 10_000
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[RowFile]:
    """A file of numbers and texts."""
    file = RowFile(tmp_path / "rows", RowCodec(VIEW))
    yield file
    file.remove()
    assert not file.path.exists()


def rows(*numbers: int) -> Rows:
    """Make rows of some numbers."""
    return Rows([list(numbers), [f"{number}" for number in numbers]], len(numbers))


def test_batches_are_taken_in_order_while_others_are_appended(file: RowFile) -> None:
    """The oldest batch is taken first, and a file whose batches were all taken takes no room."""
    file.append(rows(1))
    file.append(rows(2))
    taken = [file.take()]
    file.append(rows(3))
    file.append(rows(4))
    taken += [file.take() for _ in range(file.waiting)]
    assert taken == [rows(1), rows(2), rows(3), rows(4)]
    assert file.size_bytes == file.path.stat().st_size == 0
    file.append(rows(5))
    assert file.take() == rows(5)


def test_a_page_becomes_several_batches(file: RowFile) -> None:
    """What takes memory to be written and read is a batch, however large the page."""
    file.append(rows(*range(250)))
    taken = [file.take() for _ in range(file.waiting)]
    assert [batch.count for batch in taken] == [100, 100, 50]
    assert [value for batch in taken for value in batch.columns[0]] == list(range(250))


def test_half_an_emoji_is_named(file: RowFile) -> None:
    """A text that UTF-8 cannot write fails by the name of its column."""
    with pytest.raises(PayloadError, match=says("Column 'text' has a text with half an emoji")):
        file.append(Rows([[1], ["\ud83d"]], 1))


def test_a_disk_that_takes_half_of_a_batch_is_full(file: RowFile, little_room: int) -> None:
    """The batch that does not fit fails at once, not when it is read, and no other one is lost."""
    file.append(rows(1))
    with pytest.raises(OSError, match="File too large"):
        file.append(Rows([[2], ["x" * (little_room + 100)]], 1))
    file.append(rows(3))
    assert [file.take() for _ in range(file.waiting)] == [rows(1), rows(3)]


VALUES: dict[ColumnType, st.SearchStrategy[Any]] = {
    "string": st.text(),
    "boolean": st.booleans(),
    "integer": st.integers(),
    "number": st.floats(allow_nan=False) | st.integers(0, 2**53),
    "timestamp": st.datetimes(timezones=st.just(UTC)),
    "strings": st.lists(st.text()),
    "json": st.binary().map(Raw),
}
DRAWN = st.fixed_dictionaries({type_: st.lists(st.none() | values, min_size=1) for type_, values in VALUES.items()})


@given(DRAWN, st.booleans(), st.integers(0, 250))
def test_rows_come_back_as_they_were(drawn: dict[ColumnType, list[Any]], compresses: bool, count: int) -> None:
    """Whatever a column of its type can hold comes back from a file: every digit, every letter, every null."""
    columns = {type_: [values[row % len(values)] for row in range(count)] for type_, values in drawn.items()}
    view = View("runs", tuple(Column(type_, type_, "") for type_ in columns))
    starts = [START + timedelta(row) for row in range(count)]
    keys, pending = [str(row) for row in range(count)], [value is None for value in columns["timestamp"]]
    codec = RowCodec(view, compresses=compresses)
    with TemporaryDirectory() as directory:
        file = RowFile(Path(directory) / "rows", codec)
        file.append(Rows(list(columns.values()), count, keys, pending, starts))
        file.finish()
        content = file.path.read_bytes()
        taken = [file.take() for _ in range(file.waiting)]
        file.remove()
    batches = [codec.decode(batch) for batch in read_batches(BytesIO(content))]
    assert len(taken) == len(batches) == -(-count // BATCH_ROWS)
    for place, type_ in enumerate(columns):
        values = [value for batch in batches for value in batch.columns[place]]
        assert list(map(plain, values)) == list(map(plain, columns[type_]))
    assert [start for batch in batches for start in batch.times or ()] == starts
    assert [id_ for batch in batches for id_ in batch.keys or ()] == keys
    assert [is_pending for batch in batches for is_pending in batch.pending or ()] == pending


def plain(value: Any) -> Any:
    """Make values comparable: JSON is not, and a number may be minus nothing."""
    return bytes(value) if isinstance(value, Raw) else repr(value) if isinstance(value, float) else value
