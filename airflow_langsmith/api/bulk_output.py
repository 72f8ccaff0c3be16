"""What a completed bulk export wrote into the user's bucket."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_langsmith.windows import TimeWindow


@dataclass(frozen=True, kw_only=True)
class BulkPart:
    """
    What one run of a bulk export wrote: the rows of a part of its window.

    ``files`` are keys below the bucket's root: ``langsmith/bulk/export_id=.../runs.parquet``. ``backend`` is the store
    that LangSmith read, ``clickhouse`` or ``smithdb``, if it says so.
    """

    run_id: str
    window: TimeWindow
    rows: int
    files: tuple[str, ...]
    backend: str | None = None


@dataclass(frozen=True, kw_only=True)
class BulkOutput:
    """What a bulk export wrote. Its parts are in the order of their windows, which tile the window of the export."""

    export_id: str
    format_version: str
    parts: tuple[BulkPart, ...]

    @property
    def rows(self) -> int:
        """The rows of all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def files(self) -> tuple[str, ...]:
        """The files of all parts."""
        return tuple(file for part in self.parts for file in part.files)
