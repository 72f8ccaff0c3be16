"""Runs as Parquet, with what is peculiar about each version of the format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from airflow_langsmith.testing.bulk.columns import COSTS, JSON, PAYLOAD_OBJECTS, TIMES, TOKENS, UUIDS, RunValues
from airflow_langsmith.testing.http_messages import json_text
from airflow_langsmith.testing.records import Run

__all__ = ["COMPRESSIONS", "FORMAT_VERSIONS", "encode"]

COMPRESSIONS = {"none": "none", "gzip": "gzip", "snappy": "snappy", "zstandard": "zstd"}  # LangSmith's -> pyarrow's
FORMAT_VERSIONS = ("v1", "v2_beta")


def encode(
    runs: Sequence[Run], fields: Sequence[str], values: RunValues, *, version: str, compression: str, structs: bool
) -> bytes:
    """
    Write runs as a Parquet file.

    ``v1`` has times in nanoseconds without a zone. ``v2_beta`` has times in UTC, UUIDs as JSON strings, one more layer
    of JSON around ``inputs.input``, and payloads in which each object has the members of all objects of its column.
    """
    import pyarrow as pa  # noqa: PLC0415 (the stand-in works without it)
    import pyarrow.parquet as pq  # noqa: PLC0415

    is_v1 = version == "v1"
    types = {
        **dict.fromkeys(TIMES, pa.timestamp("ns") if is_v1 else pa.timestamp("us", "UTC")),
        **dict.fromkeys(TOKENS, pa.int64()),
        **dict.fromkeys(COSTS, pa.float64()),
        "is_root": pa.bool_(),
    }

    def array_of(field: str) -> Any:
        column = list(map(values.reader(field), runs))
        if field in types:
            has_zone = field not in TIMES or not is_v1
            return pa.array(column if has_zone else list(map(_without_zone, column)), types[field])
        if field in PAYLOAD_OBJECTS and not is_v1:
            column = _with_all_members(list(map(_input_as_text, column)) if field == "inputs" else column)
            array = _struct_array(column) if structs else None
            if array is not None:
                return array
        is_json = field in JSON or (field in UUIDS and not is_v1)
        return pa.array([_text(value, is_json=is_json) for value in column], pa.string())

    table = pa.table({field: array_of(field) for field in fields})
    file = BytesIO()
    pq.write_table(table, file, compression=COMPRESSIONS[compression])
    return file.getvalue()


def _text(value: Any, *, is_json: bool) -> str | None:
    if value is None:
        return None
    return json_text(value) if is_json else value.encode(errors="replace").decode()  # half a surrogate pair is no UTF-8


def _without_zone(time: Any) -> Any:
    return None if time is None else time.replace(tzinfo=None)


def _input_as_text(inputs: dict[str, Any] | None) -> dict[str, Any] | None:
    if inputs is None or not isinstance(inputs.get("input"), (dict, list)):
        return inputs
    return {**inputs, "input": json_text(inputs["input"])}


def _with_all_members(column: list[dict[str, Any] | None]) -> list[dict[str, Any] | None]:
    """Add to each object the members of the others, as null."""
    members = dict.fromkeys(name for payload in column for name in payload or ())
    return [None if payload is None else {**members, **payload} for payload in column]


def _struct_array(column: list[dict[str, Any] | None]) -> Any:
    """Return a column of structs, or None if its values have no common type that Parquet can write."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        array = pa.array([None if payload is None else json.loads(json_text(payload)) for payload in column])
        pq.write_table(pa.table({"payload": array}), BytesIO())
    except (pa.ArrowException, OverflowError):
        return None
    return array if pa.types.is_struct(array.type) else None
