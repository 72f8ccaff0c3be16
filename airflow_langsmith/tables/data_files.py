"""Data files of an Iceberg table: copies of parts, and files of rows that have to be written again."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import partial
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.table import Table

from airflow_langsmith.export.arrow import ROW_GROUP_BYTES
from airflow_langsmith.tables.parts import Part
from airflow_langsmith.tables.table import Change

_MAX_WAITING_BYTES = 64 * 1024**2  # of rows that wait for their row group to fill, over all days


class DataFiles:
    """
    The files that a load writes into the table's location, under names that nobody else uses.

    If the table is partitioned, the UTC day of the view's time column decides a row's file.
    """

    def __init__(self, table: Table, change: Change) -> None:
        self.paths: list[str] = []
        self._io, self._places, self._required = table.io, table.location_provider(), change.required
        self._time = None if table.spec().is_unpartitioned() else change.view.time

    def add(self, part: Part) -> bool:
        """Copy a part as it is; return whether that is possible: its rows are of one day, and its keys never null."""
        is_of_one_day = self._time is None or part.days(self._time) == 1
        if not is_of_one_day or not all(map(part.is_never_null, self._required)):
            return False
        with self._io.new_output(self._new_path()).create() as file:
            part.copy_to(file.write)
        return True

    def write(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Write rows, those of each day into a file of their own."""
        with ExitStack() as files:
            days: defaultdict[dt.date | None, _DayFile] = defaultdict(
                lambda: _DayFile(partial(self._new_writer, files))
            )
            for batch in batches:
                for day, rows in self._by_day(batch):
                    days[day].add(rows)
                if sum(file.size for file in days.values()) > _MAX_WAITING_BYTES:
                    max(days.values(), key=lambda file: file.size).flush()
            for file in days.values():
                file.flush()

    def discard(self) -> None:
        """Delete the files, which no snapshot lists."""
        for path in self.paths:
            with suppress(Exception):  # the error that led here is the one to show; Iceberg's clean-up finds the rest
                self._io.delete(path)

    def _by_day(self, batch: pa.RecordBatch) -> Iterable[tuple[dt.date | None, pa.RecordBatch]]:
        if self._time is None or not batch.num_rows:
            return [(None, batch)] if batch.num_rows else []
        days = batch.column(self._time).cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
        return [(day.as_py(), batch.filter(pc.equal(days, day))) for day in pc.unique(days)]

    def _new_path(self) -> str:
        path = self._places.new_data_location(f"{uuid4()}.parquet")
        self.paths.append(path)
        return path

    def _new_writer(self, files: ExitStack, schema: pa.Schema) -> pq.ParquetWriter:
        sink = files.enter_context(self._io.new_output(self._new_path()).create())
        return files.enter_context(pq.ParquetWriter(sink, schema, compression="zstd"))


class _DayFile:
    """A file of the rows of one day, which is opened when its first row group is full."""

    def __init__(self, new_writer: Callable[[pa.Schema], pq.ParquetWriter]) -> None:
        self._new_writer = new_writer
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.RecordBatch] = []
        self.size = 0

    def add(self, rows: pa.RecordBatch) -> None:
        self._waiting.append(rows)
        self.size += rows.nbytes
        if self.size >= ROW_GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the waiting rows as a row group."""
        if not self._waiting:
            return
        table = pa.Table.from_batches(self._waiting)
        self._writer = self._writer or self._new_writer(table.schema)
        self._writer.write_table(table, row_group_size=max(table.num_rows, 1))
        self._waiting, self.size = [], 0
