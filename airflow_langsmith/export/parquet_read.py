"""Parquet of others, read in batches of plain values. Beside ``arrow`` the only module that imports pyarrow."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from io import RawIOBase
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_langsmith.errors import BulkExportError
from airflow_langsmith.export.destination import MAX_CAUSE
from airflow_langsmith.export.object_file import READ_BYTES
from airflow_langsmith.messages import shorten

MAX_BATCH_ROWS = 1000
MAX_BATCH_BYTES = 4 * 1024 * 1024
_MAX_STEP_ROWS = 100  # decoded at once; rows differ in size, so that a batch of 1000 may have many times the average
_UUID_BYTES = 16


class ParquetFile:
    """
    A Parquet file, however large its row groups are: its columns are read 512 KiB at a time.

    :param rows: How many rows its footer says it has.
    :raises BulkExportError: from every method, if it is no whole Parquet file.
    """

    def __init__(self, file: RawIOBase) -> None:
        with _broken_file_errors():
            self._file = pq.ParquetFile(
                pa.PythonFile(file, mode="r"),
                buffer_size=READ_BYTES,
                pre_buffer=False,
                page_checksum_verification=True,
            )
            self.rows: int = self._file.metadata.num_rows

    def batches(self, columns: Collection[str], json: Collection[str]) -> Iterator[dict[str, list[Any]]]:
        """
        Yield the rows, up to 1000 or some 4 MiB at a time: a list for each of the columns that the file has.

        Times are text in UTC, without a zone and cut to microseconds. Text of the columns in ``json`` is bytes.
        """
        names = [name for name in self._file.schema_arrow.names if name in columns]
        waiting: list[pa.RecordBatch] = []
        rows = size_bytes = 0
        for step in self._steps(names):
            waiting.append(step)
            rows, size_bytes = rows + step.num_rows, size_bytes + step.nbytes
            if rows > MAX_BATCH_ROWS - _MAX_STEP_ROWS or size_bytes >= MAX_BATCH_BYTES:
                yield _plain(waiting, json)
                waiting = []
                rows = size_bytes = 0
                pa.default_memory_pool().release_unused()  # or it keeps several times what is in use
        if waiting:
            yield _plain(waiting, json)

    def _steps(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        metadata = self._file.metadata
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        row_bytes = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
        rows = max(1, min(_MAX_STEP_ROWS, MAX_BATCH_BYTES // max(row_bytes, 1)))
        with _broken_file_errors():
            yield from self._file.iter_batches(rows, columns=names, use_threads=False)


@contextmanager
def _broken_file_errors() -> Iterator[None]:
    """Raise one error for what Arrow raises; errors of the store pass."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        cause = shorten(str(error), MAX_CAUSE).rstrip(".")
        raise BulkExportError(f"A file of the bulk export is no whole Parquet file: {cause}.") from error


def _plain(batches: list[pa.RecordBatch], json: Collection[str]) -> dict[str, list[Any]]:
    table = pa.Table.from_batches(batches)
    with _broken_file_errors():
        return {
            name: _values(column, as_bytes=name in json)
            for name, column in zip(table.column_names, table.columns, strict=True)
        }


def _values(column: pa.ChunkedArray, *, as_bytes: bool) -> list[Any]:
    type_ = column.type
    if isinstance(type_, pa.BaseExtensionType):  # JSON and UUID, as newer pyarrow reads them
        type_ = type_.storage_type
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], type_)
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
        column = column.cast(type_)
    if type_ in _TEXTS:
        return _texts(column, as_bytes=as_bytes)
    if pa.types.is_timestamp(type_):
        # By integers, which are UTC with and without a zone: to print a zone takes 20 times as long.
        microseconds = column.cast(pa.timestamp("us", type_.tz), safe=False).cast("int64")
        column = microseconds.cast(pa.timestamp("us")).cast("string")
    values: list[Any] = column.to_pylist()
    if pa.types.is_fixed_size_binary(type_) and type_.byte_width == _UUID_BYTES:
        return [id_ and str(UUID(bytes=id_)) for id_ in values]
    return values


_TEXTS = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


def _texts(column: pa.ChunkedArray, *, as_bytes: bool) -> list[Any]:
    """Return text, or its bytes. What is no UTF-8 is replaced, as in pages."""
    try:
        if not as_bytes:
            texts: list[str | None] = column.cast("string").to_pylist()
            return texts
    except (pa.ArrowInvalid, UnicodeDecodeError):
        pass
    contents: list[bytes | None] = column.cast("binary").to_pylist()
    return contents if as_bytes else [text if text is None else text.decode("utf-8", "replace") for text in contents]
