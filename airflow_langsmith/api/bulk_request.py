"""The request of a bulk export, and how its export is recognised: it has no name, and no key of the request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal, Self

from msgspec import UNSET

from airflow_langsmith import arguments
from airflow_langsmith.api.bulk_records import BulkExport
from airflow_langsmith.api.bulk_rows import EXPORT_FIELDS
from airflow_langsmith.api.run_filter import RunFilter
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.filters import Expression, and_, eq, format_time, in_, neq
from airflow_langsmith.messages import suggest
from airflow_langsmith.windows import TimeWindow

FormatVersion = Literal["v1", "v2_beta"]
Compression = Literal["none", "gzip", "snappy", "zstandard"]

DEFAULT_FIELDS = tuple(name for name in EXPORT_FIELDS if name != "feedbacks")


@dataclass(frozen=True, kw_only=True)
class BulkExportRequest:
    """
    What makes a bulk export: one with the same fields has the same rows, no matter who created it.

    ``export_fields`` None are LangSmith's 29 default columns.

    :raises ConfigurationError: for a format, a compression or a column that LangSmith does not have.
    """

    destination_id: str
    project_id: str
    window: TimeWindow
    filter: str | None = None
    export_fields: tuple[str, ...] | None = None
    format_version: FormatVersion = "v2_beta"
    compression: Compression = "zstandard"

    def __post_init__(self) -> None:
        """Refuse what LangSmith would refuse."""
        arguments.one_of(FormatVersion)(self.format_version, "format_version")
        arguments.one_of(Compression)(self.compression, "compression")
        check_export_fields(self.export_fields)

    @property
    def body(self) -> dict[str, Any]:
        """The body of the request."""
        body = {
            "bulk_export_destination_id": self.destination_id,
            "session_id": self.project_id,
            "start_time": format_time(self.window.start),
            "end_time": format_time(self.window.end),
            "format": "Parquet",
            "format_version": self.format_version,
            "compression": self.compression,
            "filter": self.filter,
            "export_fields": self.export_fields and sorted(self.export_fields),
        }
        return {name: value for name, value in body.items() if value is not None}

    @property
    def digest(self) -> str:
        """A digest of the body."""
        return sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def of_body(cls, body: Mapping[str, Any]) -> Self:
        """Return the request that has this :attr:`body`."""
        start, end = (datetime.fromisoformat(body[name]) for name in ("start_time", "end_time"))
        return cls(
            destination_id=body["bulk_export_destination_id"],
            project_id=body["session_id"],
            window=TimeWindow(start, end),
            filter=body.get("filter"),
            export_fields=tuple(body["export_fields"]) if "export_fields" in body else None,
            format_version=body["format_version"],
            compression=body["compression"],
        )

    def matches(self, export: BulkExport, *, is_new: bool = False) -> bool:
        """
        Return whether an export is exactly this one.

        :param is_new: Whether it appeared since this request was sent: a field that an old server leaves out may be
            the requested one then. Otherwise it counts as LangSmith's default.
        """
        shown = export.filter, export.format_version, export.export_fields
        own = self.filter, self.format_version, self.export_fields
        return (
            export.bulk_export_destination_id == self.destination_id
            and export.session_id == self.project_id
            and export.bounds == (self.window.start, self.window.end)
            and export.compression == self.compression
            and not export.all_experiments
            and not export.is_schedule
            and all(
                (is_new and theirs is UNSET) or _normal(theirs, default) == _normal(ours, default)
                for theirs, ours, default in zip(shown, own, (None, "v1", DEFAULT_FIELDS), strict=True)
            )
        )


def check_export_fields(names: Iterable[str] | None) -> None:
    """
    Refuse a column that Bulk Export does not have.

    :raises ConfigurationError: naming the column that may be meant.
    """
    if unknown := sorted(set(names or ()) - set(EXPORT_FIELDS)):
        raise ConfigurationError(f"Bulk Export has no column {unknown[0]!r}. {suggest(unknown[0], EXPORT_FIELDS)}")


def filter_of(run_filter: RunFilter) -> str | None:
    """
    Return the filter of a bulk export for these runs; a sample is taken when its files are read.

    >>> filter_of(RunFilter(is_root=True, filter='has(tags, "prod")'))
    'and(eq(is_root, true), has(tags, "prod"))'

    :raises ConfigurationError: for what Bulk Export cannot narrow by.
    """
    for name in ("trace_filter", "tree_filter", "reference_example_id"):
        if getattr(run_filter, name) is not None:
            raise ConfigurationError(
                f"Bulk Export cannot narrow by {name}. Export the window through the API, which can, or leave it out."
            )
    conditions: list[Expression] = []
    if run_filter.run_type is not None:
        conditions.append(eq("run_type", run_filter.run_type.lower()))
    if run_filter.is_root is not None:
        conditions.append(eq("is_root", run_filter.is_root))
    if run_filter.error is not None:
        conditions.append((eq if run_filter.error else neq)("status", "error"))
    if run_filter.trace_id is not None:
        conditions.append(eq("trace_id", run_filter.trace_id))
    if run_filter.run_ids is not None:
        conditions.append(in_("id", run_filter.run_ids))
    conditions += run_filter.conditions
    return str(and_(*conditions)) if len(conditions) > 1 else str(*conditions) or None


def _normal(value: Any, default: Any) -> Any:
    """Return a field, or its default if it is null or left out; of a list of columns, the set."""
    value = default if value is UNSET or value is None else value
    return frozenset(value) if isinstance(value, list | tuple) else value
