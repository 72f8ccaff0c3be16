"""From rows to bytes in a local file: JSON lines and CSV here, Parquet in ``arrow``."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.extras import pip_install
from airflow_langsmith.messages import suggest
from airflow_langsmith.views import Column, ColumnType, Rows, View

_GZIP_LEVEL = 1  # three times as fast as zlib's default 6, for files a fifth larger
_BUFFER_BYTES = 1024 * 1024  # small writes are what makes encoders slow


class Encoder(Protocol):
    """Writes one part."""

    def write(self, rows: Rows) -> None:
        """Add rows."""

    def close(self) -> None:
        """Finish the file."""


@dataclass(frozen=True)
class Format:
    """A format of parts: what their names end in, and how to open one."""

    name: str
    compression: str
    extension: str
    open: Callable[[Path, View], Encoder]

    @property
    def needs_pyarrow(self) -> bool:
        """Whether pyarrow is loaded in any case."""
        return self.name == "parquet" or self.compression == "zstd"


def format_of(name: str, compression: str | None = None) -> Format:
    """
    Return a format: ``parquet`` (zstd, snappy, gzip, none), ``jsonl`` or ``csv`` (gzip, zstd, none); first is default.

    :raises ConfigurationError: for one that does not exist.
    """
    if name not in _COMPRESSIONS:
        raise ConfigurationError(f"There is no format {name!r}. {suggest(name, _COMPRESSIONS)}")
    codec = compression or _COMPRESSIONS[name][0]
    if codec not in _COMPRESSIONS[name]:
        raise ConfigurationError(f"Format {name!r} has no compression {codec!r}. {suggest(codec, _COMPRESSIONS[name])}")
    if name == "parquet":
        level = _PARQUET_LEVELS.get(codec)
        return Format(name, codec, name, lambda path, view: load_arrow().ParquetEncoder(path, view, codec, level))
    encoder: type[_JsonLines | _Csv] = _JsonLines if name == "jsonl" else _Csv
    extension = {"gzip": f"{name}.gz", "zstd": f"{name}.zst", "none": name}[codec]
    return Format(name, codec, extension, lambda path, view: encoder(_compressed(path, codec), view))


_COMPRESSIONS = {
    "parquet": ("zstd", "snappy", "gzip", "none"),
    "jsonl": ("gzip", "zstd", "none"),
    "csv": ("gzip", "zstd", "none"),
}
# zstd is faster than gzip by five to eight times, and smaller; ids and numbers come out smaller at its first level.
_PARQUET_LEVELS: dict[str, Callable[[Column], int]] = {
    "zstd": lambda column: 3 if column.type == "json" else 1,
    "gzip": lambda _: _GZIP_LEVEL,
}


class _JsonLines:
    """One JSON object a line; JSON columns are the values themselves, as they came: not text inside text."""

    def __init__(self, file: BinaryIO, view: View) -> None:
        self._file = file
        # Hidden from the garbage collector: a thousand rows would start it, and Airflow has many objects to go through.
        self._row = msgspec.defstruct("Row", [(column.name, Any) for column in view.columns], gc=False)
        self._encode = msgspec.json.Encoder().encode_lines
        self._times = [column.type == "timestamp" for column in view.columns]

    def write(self, rows: Rows) -> None:
        columns = [
            [moment if moment is None or moment.microsecond else _iso(moment) for moment in values] if times else values
            for times, values in zip(self._times, rows.columns, strict=True)
        ]  # a time with microseconds msgspec itself prints at full length
        self._file.write(self._encode(list(map(self._row, *columns))))

    def close(self) -> None:
        self._file.close()


class _Csv:
    """
    RFC 4180 with a header; a null is an empty field, and so is an empty text.

    Lines end in CRLF, as they should: with a mere LF, Python before 3.13 leaves a CR inside a value unquoted.
    """

    def __init__(self, file: BinaryIO, view: View) -> None:
        self._file = io.TextIOWrapper(io.BufferedWriter(file, _BUFFER_BYTES), encoding="utf-8", newline="")
        self._write = csv.writer(self._file)
        self._print = [_PRINTERS.get(column.type, str) for column in view.columns]
        self._write.writerow(column.name for column in view.columns)

    def write(self, rows: Rows) -> None:
        printed = [
            [None if value is None else text(value) for value in values]
            for text, values in zip(self._print, rows.columns, strict=True)
        ]
        self._write.writerows(zip(*printed, strict=True))

    def close(self) -> None:
        self._file.close()


def _iso(moment: datetime) -> str:
    """Print UTC at one length, so that times sort as text."""
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


_PRINTERS: dict[ColumnType, Callable[[Any], str]] = {
    "json": lambda raw: bytes(raw).decode(),
    "strings": lambda values: msgspec.json.encode(values).decode(),
    "boolean": lambda value: "true" if value else "false",
    "timestamp": _iso,
}


def _compressed(path: Path, compression: str) -> BinaryIO:
    if compression == "zstd":
        return load_arrow().zstd_file(path)  # type: ignore[no-any-return]  # pyarrow has no types
    if compression == "none":
        return path.open("wb", buffering=_BUFFER_BYTES)
    inner = path.open("wb")
    file = gzip.GzipFile("", "wb", _GZIP_LEVEL, inner, mtime=0)  # no name, no time: the same rows give the same bytes
    file.myfileobj = inner  # type: ignore[assignment]  # which it closes with itself
    return file  # type: ignore[return-value]  # typeshed


def load_arrow() -> Any:
    """Load the one module that needs pyarrow, or say how to get it."""
    try:
        from airflow_langsmith.export import arrow  # noqa: PLC0415  # heavy, and an extra
    except ImportError as error:
        raise ConfigurationError(
            f"Parquet files and zstd compression need pyarrow. Install it: {pip_install('parquet')}. "
            "Or write JSONL with gzip, which needs nothing."
        ) from error
    return arrow
