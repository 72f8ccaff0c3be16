"""The rows of a change as Arrow, a row group at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_langsmith.export.arrow import TYPES
from airflow_langsmith.manifest import ManifestColumn
from airflow_langsmith.tables.table import PROJECT, Change
from airflow_langsmith.views import ColumnType


def arrow_schema(columns: Iterable[ManifestColumn], required: frozenset[str]) -> pa.Schema:
    """Return columns as an Arrow schema."""
    return pa.schema(
        [
            pa.field(column.name, TYPES[cast("ColumnType", column.type)], nullable=column.name not in required)
            for column in columns
        ]
    )


def row_groups(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the row groups of a local Parquet file."""
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield from file.read_row_group(number, columns=list(columns)).combine_chunks().to_batches()


def with_columns(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with the columns of a schema; those that it lacks are null."""
    names = set(batch.schema.names)
    values = [
        batch.column(field.name).cast(field.type) if field.name in names else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(values, schema=schema)


def row_keys(rows: pa.Table | pa.RecordBatch, key: str) -> pa.Array:
    """Return what identifies rows: the project with the key, because two projects may have a thread of one id."""
    keys = pc.binary_join_element_wise(rows.column(PROJECT), rows.column(key), "\0")
    return keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys


class MergeKeys:
    """
    The keys of the rows that a merge brings.

    ``keys`` and ``times`` are those of ``numbers``: of rows with the same key only the last one counts, which is of the
    newest window. Rows are numbered in the order of the exports and their parts.
    """

    def __init__(self, change: Change) -> None:
        key, time = change.view.key, change.view.time
        rows = pa.concat_tables([part.read([PROJECT, key, time]) for part in change.parts])
        keys = row_keys(rows, key)
        numbered = pa.table({"key": keys, "number": pa.array(range(len(keys)), pa.int64())})
        last = numbered.group_by("key").aggregate([("number", "max")])
        self.count = len(keys)
        self.keys = last.column("key").combine_chunks()
        self.numbers = last.column("number_max").combine_chunks()
        self.times = rows.column(time).combine_chunks().take(self.numbers)


class RowReader:
    """
    The rows that a change brings, with all its columns, as a stream that downloads a part when it is its turn.

    An error on the way is kept in ``error``, because libraries that read Arrow's streams pass on its text alone.
    """

    def __init__(self, change: Change, directory: Path) -> None:
        self.error: Exception | None = None
        self._change, self._directory = change, directory
        self._schema = arrow_schema(change.columns, change.required)
        is_merge_of_many = change.mode == "merge" and len(change.exports) > 1
        self._numbers = MergeKeys(change).numbers if is_merge_of_many else None

    def reader(self) -> pa.RecordBatchReader:
        """Return the stream."""
        return pa.RecordBatchReader.from_batches(self._schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for first, batch in numbered_rows(self._change, self._directory):
                rows = with_columns(batch, self._schema)
                if self._numbers is not None:
                    rows = rows.filter(pc.is_in(row_numbers(first, rows), self._numbers))
                yield rows
        except Exception as error:
            self.error = error
            raise


def numbered_rows(change: Change, directory: Path) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the rows of all parts, in batches with the number of the first row of each."""
    number = 0
    for part in change.parts:
        with part.local(directory) as path:
            for batch in row_groups(path, part.columns):
                yield number, batch
                number += batch.num_rows


def row_numbers(first: int, rows: pa.RecordBatch) -> pa.Array:
    """Return the numbers of the rows of a batch."""
    return pa.array(range(first, first + rows.num_rows), pa.int64())
