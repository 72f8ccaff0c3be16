"""The parts that a manifest lists, where they landed, and what their footers say about the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Self

from airflow_langsmith.errors import LoadError, ManifestError, PartMissingError
from airflow_langsmith.export.destination import StoragePath
from airflow_langsmith.export.storage import Store
from airflow_langsmith.manifest import Manifest, ManifestFile


@dataclass(frozen=True)
class Bounds:
    """The smallest and the largest value of a column in a part, and how many values are null."""

    min: Any
    max: Any
    nulls: int


@dataclass(frozen=True)
class Footer:
    """
    What a Parquet footer says: the ``bounds`` of columns with statistics, and which columns are ``required``.

    A load keeps this of every part. The footer itself is a hundred times as large.
    """

    bounds: Mapping[str, Bounds]
    required: frozenset[str]

    @classmethod
    def of(cls, metadata: Any) -> Self:
        """Read the metadata of a Parquet file that has rows."""
        schema = metadata.schema
        leaves = {schema.column(number).path: schema.column(number) for number in range(len(schema))}
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        bounds = {path: _bounds([group.column(number) for group in groups]) for number, path in enumerate(leaves)}
        return cls(
            {path: known for path, known in bounds.items() if known},
            frozenset(path for path, leaf in leaves.items() if leaf.max_definition_level == 0),
        )


def _bounds(chunks: Sequence[Any]) -> Bounds | None:
    """Return the bounds of a column from its chunks; None if one has no statistics."""
    statistics = [chunk.statistics for chunk in chunks]
    if not all(each is not None and each.has_null_count for each in statistics):
        return None
    known = [each for each in statistics if each.has_min_max]
    nulls = sum(each.null_count for each in statistics)
    if not known:
        return Bounds(None, None, nulls)
    return Bounds(min(each.min for each in known), max(each.max for each in known), nulls)


@dataclass(frozen=True)
class Part:
    """One Parquet file of an export, with rows."""

    folder: StoragePath
    file: ManifestFile
    manifest: Manifest

    @property
    def name(self) -> str:
        """Its name beside the manifest."""
        return self.file.name

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(column.name for column in self.manifest.columns)

    @property
    def place(self) -> str:
        """Where it lies."""
        return str(self.folder / self.name)

    @cached_property
    def footer(self) -> Footer:
        """
        What its Parquet footer says.

        :raises PartMissingError: if the part is gone.
        """
        metadata = Store(self.folder).read_from(self.name, _read_metadata)
        if metadata is None:
            raise self._missing()
        if isinstance(metadata, Exception):
            raise self._differs("it is no Parquet file") from metadata
        if metadata.num_rows != self.file.rows:
            raise ManifestError(
                f"{self.place} has {metadata.num_rows:,} rows, and its manifest says {self.file.rows:,}. "
                "Export the window again."
            )
        if absent := set(self.columns) - set(metadata.schema.to_arrow_schema().names):
            raise ManifestError(
                f"{self.place} lacks the column {min(absent)!r}, which its manifest lists. Export the window again."
            )
        return Footer.of(metadata)

    def bounds(self, column: str) -> Bounds:
        """
        Return the bounds of a column, from the footer.

        :raises ManifestError: if the footer does not have them.
        """
        bounds = self.footer.bounds.get(column)
        if bounds is None:
            raise ManifestError(
                f"{self.place} has no statistics of its column {column!r}. Export the window again with this version."
            )
        return bounds

    def is_never_null(self, column: str) -> bool:
        """Return whether the file itself says that a column has no nulls; earlier versions did not say so."""
        return column in self.footer.required

    def days(self, column: str) -> int:
        """Return how many UTC days the values of a time column lie in, from the first to the last."""
        bounds = self.bounds(column)
        return int((bounds.max.date() - bounds.min.date()).days) + 1

    def read(self, columns: Sequence[str]) -> Any:
        """Read some columns, as an Arrow table."""
        import pyarrow.parquet as pq  # noqa: PLC0415  # as above

        table = Store(self.folder).read_from(self.name, lambda file: pq.read_table(file, columns=list(columns)))
        if table is None:
            raise self._missing()
        return table

    def copy_to(self, write: Callable[[bytes], object]) -> None:
        """
        Pass the bytes of the part to ``write``, and check them against the manifest.

        :raises PartMissingError: if the part is gone.
        :raises LoadError: if the bytes are others.
        """
        digest = hashlib.sha256()
        try:
            for chunk in Store(self.folder).chunks(self.name, self.file.bytes):
                digest.update(chunk)
                write(chunk)
        except FileNotFoundError:
            raise self._missing() from None
        if digest.hexdigest() != self.file.sha256:
            raise self._differs("its digest differs")

    @contextmanager
    def local(self, directory: Path) -> Iterator[Path]:
        """Yield a copy on the local disk, which is removed afterwards."""
        path = directory / self.name
        try:
            with path.open("wb") as file:
                self.copy_to(file.write)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _differs(self, difference: str) -> LoadError:
        return LoadError(
            f"{self.place} is not what its manifest lists: {difference}. A retry may help; if it does not, export the "
            "window again."
        )

    def _missing(self) -> PartMissingError:
        return PartMissingError(
            f"{self.place} is gone, though the manifest lists it: another export of the window replaced it, or "
            "somebody deleted it. A retry reads the manifest again; if it does not help, export the window again."
        )


def _read_metadata(file: BinaryIO) -> Any:
    """Return the metadata of a Parquet file, or the error if it is none."""
    import pyarrow as pa  # noqa: PLC0415  # an extra
    import pyarrow.parquet as pq  # noqa: PLC0415  # as above

    try:
        return pq.read_metadata(file)
    except pa.ArrowInvalid as error:
        return error


@dataclass(frozen=True)
class LandedExport:
    """An export as it landed: its manifest, and the folder of it."""

    folder: StoragePath
    manifest: Manifest

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The parts that have rows."""
        return tuple(Part(self.folder, file, self.manifest) for file in self.manifest.files if file.rows)
