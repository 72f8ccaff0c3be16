"""The files of a bulk export as a source of rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

from airflow_langsmith.api.bulk_output import BulkOutput, BulkPart
from airflow_langsmith.api.bulk_rows import JSON_FIELDS, BulkRunReader
from airflow_langsmith.api.projects import known_retention
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Project, Run
from airflow_langsmith.errors import BulkExportError, ConfigurationError, PayloadError
from airflow_langsmith.export.destination import StoragePath, path_at
from airflow_langsmith.export.distinct_rows import DistinctRows
from airflow_langsmith.export.object_file import ObjectFile
from airflow_langsmith.export.source import Reading
from airflow_langsmith.export.storage import Store
from airflow_langsmith.extras import pip_install
from airflow_langsmith.views import Rows

log = logging.getLogger(__name__)

MAX_PARALLEL_CHECKS = 8  # of footers; each is some requests

T = TypeVar("T")


class BulkSource:
    """
    The rows of what a bulk export wrote into a bucket, newest part first.

    They are the rows that pages of LangSmith would give, as far as Bulk Export has their columns. Rows outside of the
    window, and rows that come twice, are left out. The files are read in ranges, so that nothing is on the local disk
    before it is redacted. There are no checkpoints: the files are the checkpoint, and a retry reads them again.

    :param files_at: The root of the bucket, with Airflow's connection: ``s3://conn_id@bucket``.
    :raises ConfigurationError: if that names no place.
    """

    requests = 0  # to LangSmith
    waited_seconds = 0.0

    def __init__(self, bulk: BulkOutput, files_at: str | StoragePath) -> None:
        self._bulk = bulk
        self._root = path_at(files_at)

    def check(self) -> int:
        """
        Check that the files are there, and that their rows are as many as reported; return their bytes.

        :raises BulkExportError: naming the run, and the file if it is about one.
        """
        files = [(part, file) for part in self._parts for file in self._files(part)]
        with ThreadPoolExecutor(MAX_PARALLEL_CHECKS, "langsmith-bulk-check") as threads:
            sizes_and_rows = list(threads.map(lambda each: each[1].size_and_rows(), files))
        rows = dict.fromkeys(self._bulk.parts, 0)
        for (part, _), (_, count) in zip(files, sizes_and_rows, strict=True):
            rows[part] += count
        for part in self._parts:
            self._check_rows(part, rows[part])
        return sum(size for size, _ in sizes_and_rows)

    @contextmanager
    def open(self, reading: Reading) -> Iterator[Generator[Rows]]:
        """
        Begin to read.

        :raises ConfigurationError: for a view whose rows need more than runs.
        """
        if not reading.view.is_of_runs_alone:
            raise ConfigurationError(
                f"The rows of {reading.view.partition_name} cannot be made of the files of a bulk export, which has "
                "runs alone. Export the view 'runs' from them, or the rows from LangSmith's API."
            )
        with closing(self._rows(reading)) as rows:
            yield rows

    def provenance(self) -> dict[str, Any]:
        """Return the format of the files, the bulk export, and the engines that it ran on."""
        return {
            "api_version": f"bulk {self._bulk.format_version}",
            "bulk_export_id": self._bulk.export_id,
            "execution_backends": tuple(sorted({part.backend for part in self._bulk.parts if part.backend})),
        }

    def retention(self, project: Project) -> timedelta | None:
        """Return how long the traces of a project are kept, if the project itself says so."""
        return known_retention(project)

    @property
    def _parts(self) -> list[BulkPart]:
        return sorted(self._bulk.parts, key=lambda part: part.window.start, reverse=True)

    def _rows(self, reading: Reading) -> Generator[Rows]:
        yield from DistinctRows(reading.view, reading.progress).of(self._all_rows(reading))

    def _all_rows(self, reading: Reading) -> Generator[Rows]:
        query, view, progress, rows_read, rows_outside = reading.query, reading.view, reading.progress, 0, 0
        with closing(_one_ahead(self._runs(query))) as batches:
            for runs in batches:
                rows_read += len(runs)
                rows_outside += sum(not query.window.start <= run.start_time < query.window.end for run in runs)
                selected = query.select_rows(runs)
                pending = [run.end_time is None for run in selected]
                progress.count([run.start_time for run in selected], sum(pending), pages=1)
                progress.share = min(1.0, rows_read / max(self._bulk.rows, 1))
                progress.on_page(progress)
                yield reading.redact(replace(view.rows(selected), keys=[run.id for run in selected], pending=pending))
        progress.share = 1.0
        if rows_outside:
            log.warning("Left out, because they start outside of the window: %s rows", f"{rows_outside:,}")

    def _runs(self, query: RunQuery) -> Generator[list[Run]]:
        """Yield all runs in the files."""
        for part in self._parts:
            rows = 0
            reader = BulkRunReader(
                project=query.project,
                fields=query.wire_fields,
                format_version=self._bulk.format_version,
                backend=part.backend,
            )
            for file in self._files(part):
                for columns in file.batches(reader.columns, JSON_FIELDS):
                    with file.named():
                        runs = reader.runs(columns)
                    rows += len(runs)
                    yield runs
            self._check_rows(part, rows)

    def _files(self, part: BulkPart) -> list[_BulkFile]:
        place = f"Run {part.run_id} of bulk export {self._bulk.export_id}."
        return [_BulkFile(self._root / key.lstrip("/"), place) for key in part.files]

    def _check_rows(self, part: BulkPart, rows: int) -> None:
        if rows == part.rows:
            return
        what = f"has {rows:,} rows in its files" if part.files else "has no files"
        raise BulkExportError(
            f"A run of the bulk export {what}, and reports {part.rows:,} rows.\n"
            f"Run {part.run_id} of bulk export {self._bulk.export_id}, window {part.window}.\n"
            f"Place: {self._root}"
        )


@dataclass(frozen=True)
class _BulkFile:
    """A file of a run."""

    path: StoragePath
    run: str

    def size_and_rows(self) -> tuple[int, int]:
        """Return its bytes, and the rows that its footer says it has."""
        with self.named():
            size, file = self._opened()
            return size, _parquet_reader().ParquetFile(file).rows

    def batches(self, columns: Collection[str], json: Collection[str]) -> Generator[dict[str, list[Any]]]:
        """Yield its rows, column by column."""
        with self.named():
            yield from _parquet_reader().ParquetFile(self._opened()[1]).batches(columns, json)

    def _opened(self) -> tuple[int, ObjectFile]:
        store, name = Store(self.path.parent), self.path.name
        size = store.size(name)
        if size is None:
            raise FileNotFoundError(name)
        return size, ObjectFile(store, name, size)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Name the file and its run in errors about it."""
        place = f"{self.run}\nFile: {self.path}"
        try:
            yield
        except FileNotFoundError:
            raise BulkExportError(
                "A file that the bulk export reports is not there. Check that this is the bucket that LangSmith "
                f"writes to, and that nothing deletes its files.\n{place}"
            ) from None
        except BulkExportError as error:
            raise BulkExportError(f"{error.message}\n{place}") from error
        except PayloadError as error:
            raise PayloadError(f"{error.message}\n{place}") from error


def check_readable(files_at: str | StoragePath) -> None:
    """
    Check that files of a bulk export can be read, before there are any.

    :raises ConfigurationError: without pyarrow.
    :raises StorageError: if the connection may not read below the root of the bucket.
    """
    _parquet_reader()
    Store(path_at(files_at)).size(f"_probe-{uuid4().hex}")


def _parquet_reader() -> Any:
    try:
        from airflow_langsmith.export import parquet_read  # noqa: PLC0415  # heavy, and an extra
    except ImportError as error:
        raise ConfigurationError(
            f"The files of a bulk export are Parquet, which needs pyarrow. Install it: {pip_install('parquet')}."
        ) from error
    return parquet_read


def _one_ahead(items: Generator[T]) -> Generator[T]:
    """Yield items, and get the next one in a thread meanwhile: it waits for the store while rows are encoded."""
    end = object()
    get: Callable[[], Any] = partial(next, items, end)
    with closing(items), ThreadPoolExecutor(1, "langsmith-bulk-read") as thread:
        coming = thread.submit(get)
        while (item := coming.result()) is not end:
            coming = thread.submit(get)
            yield item
