"""
What a completed bulk export wrote, as its runs report it.

LangSmith cuts the window of a bulk export into parts, and has a run write each::

    BulkOutput(
        export_id="42345678-...", format_version="v2_beta",
        parts=(BulkPart(run_id="62345678-...", window=<1 March>, rows=7, files=("langsmith/.../runs.parquet",)), ...),
    )
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_langsmith.windows import TimeWindow


@dataclass(frozen=True, kw_only=True)
class BulkPart:
    """
    What one run of a bulk export wrote: ``rows`` of runs that started in ``window``.

    ``files`` are keys below the root of the bucket. ``backend`` is the engine that the rows come from, if LangSmith
    says so: ``clickhouse`` or ``smithdb``.
    """

    run_id: str
    window: TimeWindow
    rows: int
    files: tuple[str, ...]
    backend: str | None = None


@dataclass(frozen=True, kw_only=True)
class BulkOutput:
    """
    What a completed bulk export wrote. Its parts are in the order of their windows, which tile that of the export.

    ``format_version`` is ``v1`` or ``v2_beta``.
    """

    export_id: str
    format_version: str
    parts: tuple[BulkPart, ...]

    @property
    def rows(self) -> int:
        """The rows of all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def files(self) -> tuple[str, ...]:
        """The files of all parts, as keys below the root of the bucket."""
        return tuple(file for part in self.parts for file in part.files)
