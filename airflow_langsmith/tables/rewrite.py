"""
Which data files leave an Iceberg table, and which new ones come.

The parts are copied into the table's location as they are, because an export deletes its own parts when it is replaced.
Only rows that share a file with rows that go, or a part with rows of another day, are written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.conversions import from_bytes
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.expressions.parser import parse
from pyiceberg.io.pyarrow import ArrowScan, schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.table import FileScanTask, Table

from airflow_langsmith.tables.data_files import DataFiles
from airflow_langsmith.tables.rows import (
    MergeKeys,
    arrow_schema,
    numbered_rows,
    row_groups,
    row_keys,
    row_numbers,
    with_columns,
)
from airflow_langsmith.tables.table import PROJECT, Change, ProjectWindow, literal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = "langsmith_row_number"


class Rewrite:
    """
    The data files that a change takes out and puts in.

    ``removed`` are those that leave, ``files`` has those that come, ``predicate`` says which rows the change is about.
    """

    def __init__(self, table: Table, change: Change, files: DataFiles, directory: Path) -> None:
        self._table, self._change, self._files, self._directory = table, change, files, directory
        self._schema = table.schema()
        names = {field.name for field in self._schema.fields}
        new = [column for column in change.columns if column.name not in names]
        fields = [
            field.with_type(_small(field.type)) for field in schema_to_pyarrow(self._schema, include_field_ids=False)
        ]
        self._arrow_schema = pa.schema([*fields, *arrow_schema(new, frozenset())])
        self.removed: list[DataFile] = []
        self.rows_deleted = self.rows_added = 0
        projects = ", ".join(literal(window.project_id) for window in change.windows)
        self.predicate = parse(change.in_windows if change.mode == "replace" else f"{PROJECT} in ({projects})")

    def run(self) -> None:
        """Write the files."""
        if self._change.mode == "replace":
            self._replace()
        elif self._change.parts:
            self._merge()

    def _replace(self) -> None:
        time = self._change.view.time
        for task in self._tasks():
            if any(self._is_within(task, window) for window in self._change.windows):
                self.removed.append(task.file)
                self.rows_deleted += task.file.record_count
            else:
                goes = [_in_windows(rows, self._change) for rows in self._scan(task, PROJECT, time)]
                self._take_out(task, _joined(goes))
        self._add_parts()

    def _merge(self) -> None:
        """Replace rows that have a key of the new ones, unless they are later, and add the others."""
        key, time = self._change.view.key, self._change.view.time
        keys = MergeKeys(self._change)
        new_names = {column.name for column in self._change.columns}
        absent = [field.name for field in self._schema.fields if field.name not in new_names]
        absent_values: list[pa.Table] = []  # of the rows that go, in columns that the new rows lack
        outdated: list[pa.Array] = []  # the numbers of new rows that are earlier than the table's
        for task in self._tasks():
            rows = pa.Table.from_batches(list(self._scan(task, PROJECT, key, time)))
            places = pc.index_in(row_keys(rows, key), keys.keys)
            is_new = pc.greater_equal(keys.times.take(places), rows.column(time).combine_chunks())
            numbers = keys.numbers.take(places)
            goes = pc.fill_null(is_new, False)
            outdated.append(numbers.filter(pc.fill_null(pc.invert(is_new), False)))
            if absent and pc.any(goes).as_py():
                old = pa.Table.from_batches(list(self._scan(task, *absent))).append_column(_NUMBER, numbers)
                absent_values.append(old.filter(goes))
            self._take_out(task, goes)
        late = pa.concat_arrays([pa.array([], pa.int64()), *outdated])
        if absent_values or len(late) or keys.count > len(keys.numbers):
            row_numbers_to_add = keys.numbers.filter(pc.invert(pc.is_in(keys.numbers, late)))
            self.rows_added = len(row_numbers_to_add)
            self._files.write(
                self._completed(row_numbers_to_add, pa.concat_tables(absent_values) if absent_values else None)
            )
        else:
            self._add_parts()

    def _completed(self, row_numbers_to_add: pa.Array, absent_values: pa.Table | None) -> Iterator[pa.RecordBatch]:
        """Yield the new rows with these numbers, with what the rows that they replace had in other columns."""
        for first, batch in numbered_rows(self._change, self._directory):
            numbers = row_numbers(first, batch)
            rows = with_columns(batch, self._arrow_schema)
            if absent_values is not None:
                places = pc.index_in(numbers, absent_values.column(_NUMBER).combine_chunks())
                for name in set(absent_values.column_names) - {_NUMBER}:
                    position = rows.schema.get_field_index(name)
                    values = absent_values.column(name).combine_chunks().take(places).cast(rows.schema.field(name).type)
                    rows = rows.set_column(position, rows.schema.field(name), values)
            yield rows.filter(pc.is_in(numbers, row_numbers_to_add))

    def _add_parts(self) -> None:
        """Add the parts: copies, if each has rows of one day."""
        for part in self._change.parts:
            if not self._files.add(part):
                schema = arrow_schema(part.manifest.columns, self._change.required)
                with part.local(self._directory) as path:
                    self._files.write(with_columns(rows, schema) for rows in row_groups(path, part.columns))
        self.rows_added = sum(part.file.rows for part in self._change.parts)

    def _take_out(self, task: FileScanTask, goes: pa.Array) -> None:
        """Take rows out of the table, and write those again that stay in their file."""
        deleted = pc.sum(goes).as_py() or 0
        if not deleted:
            return
        self.removed.append(task.file)
        self.rows_deleted += deleted
        if deleted < len(goes):
            self._files.write(self._staying(task, goes))

    def _staying(self, task: FileScanTask, goes: pa.Array) -> Iterator[pa.RecordBatch]:
        first = 0
        for rows in self._scan(task, *(field.name for field in self._schema.fields)):
            stays = pc.invert(goes.slice(first, rows.num_rows))
            first += rows.num_rows
            yield with_columns(rows.filter(stays), self._arrow_schema)

    def _tasks(self) -> Iterable[FileScanTask]:
        """Return the data files that may have rows that the change is about."""
        return list(self._table.scan(row_filter=self.predicate).plan_files())

    def _scan(self, task: FileScanTask, *names: str) -> Iterator[pa.RecordBatch]:
        """Read columns of a data file, without the rows that are deleted already."""
        scan = ArrowScan(self._table.metadata, self._table.io, self._schema.select(*names), AlwaysTrue())
        schema = pa.schema([self._arrow_schema.field(name) for name in names])
        return (with_columns(rows, schema) for rows in scan.to_record_batches([task]))

    def _is_within(self, task: FileScanTask, window: ProjectWindow) -> bool:
        """Return whether the metadata proves that all rows of a data file are of a window."""
        if task.delete_files:
            return False
        projects, times = self._bounds(task.file, PROJECT), self._bounds(task.file, self._change.view.time)
        if projects is None or times is None:
            return False
        start, end = ((bound - _EPOCH) // timedelta(microseconds=1) for bound in (window.start, window.end))
        return projects == (window.project_id, window.project_id) and start <= times[0] and times[1] < end

    def _bounds(self, file: DataFile, name: str) -> tuple[Any, Any] | None:
        field = self._schema.find_field(name)
        lower, upper = ((bounds or {}).get(field.field_id) for bounds in (file.lower_bounds, file.upper_bounds))
        if lower is None or upper is None:
            return None
        type_: Any = field.field_type
        return from_bytes(type_, lower), from_bytes(type_, upper)


def _in_windows(rows: pa.RecordBatch, change: Change) -> pa.Array:
    """Return for each row whether it is of a window of the change."""
    projects, times = rows.column(PROJECT), rows.column(change.view.time)
    masks = (
        pc.and_(
            pc.equal(projects, window.project_id),
            pc.and_(
                pc.greater_equal(times, pa.scalar(window.start, times.type)),
                pc.less(times, pa.scalar(window.end, times.type)),
            ),
        )
        for window in change.windows
    )
    return pc.fill_null(reduce(pc.or_kleene, masks), False)


def _small(type_: pa.DataType) -> pa.DataType:
    """Return the type as parts have it; pyiceberg says large_string for string, which is the same in a file."""
    if pa.types.is_large_list(type_):
        return pa.list_(_small(type_.value_type))
    return pa.string() if pa.types.is_large_string(type_) else type_


def _joined(masks: Iterable[pa.Array]) -> pa.Array:
    return pa.concat_arrays([pa.array([], pa.bool_()), *masks])
