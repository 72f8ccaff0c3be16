"""Where an export lands, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.export.destination import StoragePath
from airflow_langsmith.export.encoders import Format
from airflow_langsmith.export.layout import partition
from airflow_langsmith.messages import suggest
from airflow_langsmith.windows import TimeWindow

OnEmpty = Literal["write", "skip", "fail"]
SchemaChanges = Literal["evolve", "fail"]
MAX_ROWS_PER_FILE = 100_000  # of 5 KB each, that is a file of about 70 MB
MAX_BYTES_PER_FILE = 512 * 1024**2  # of values; what Iceberg writes, and no file is over what engines like to read
_MIN_FILE_BYTES = 1024**2  # less is most likely meant as megabytes, and would make a file of every few rows
_A_DAY = TimeWindow(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """
    Where and how an export lands.

    ``schema_manifest`` is a manifest to compare the columns with, instead of the one that is replaced.
    """

    destination: str | StoragePath
    format: Format
    partition: str = "auto"
    max_rows_per_file: int = MAX_ROWS_PER_FILE
    max_bytes_per_file: int = MAX_BYTES_PER_FILE
    on_empty: OnEmpty = "write"
    schema_changes: SchemaChanges = "evolve"
    schema_manifest: str | StoragePath | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, known in (("on_empty", OnEmpty), ("schema_changes", SchemaChanges)):
            value = getattr(self, name)
            if value not in get_args(known):
                raise ConfigurationError(f"{name} is {value!r}. {suggest(value, get_args(known))}")
        if self.max_rows_per_file < 1:
            raise ConfigurationError(f"max_rows_per_file is {self.max_rows_per_file}; it is 1 or more.")
        if self.max_bytes_per_file < _MIN_FILE_BYTES:
            raise ConfigurationError(
                f"max_bytes_per_file is {self.max_bytes_per_file} bytes; it is {_MIN_FILE_BYTES} (1 MiB) or more. "
                f"The default is {MAX_BYTES_PER_FILE} (512 MiB)."
            )
        partition("view", "project", _A_DAY, self.partition)  # a pattern that no window can fill in
