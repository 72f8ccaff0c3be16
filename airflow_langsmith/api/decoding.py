"""Decode what LangSmith sends: JSON with defects, times and numbers that are text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec
from msgspec import Raw

from airflow_langsmith.api.json_repair import MAX_DEPTH, limit_depth, repair_json, repair_utf8
from airflow_langsmith.errors import PayloadError, TransportError
from airflow_langsmith.masking import describe_body
from airflow_langsmith.messages import shorten

T = TypeVar("T")

DECODE_ERRORS = (ValueError, msgspec.MsgspecError)  # before msgspec 0.21 its own errors are no ValueErrors
NULL = Raw(b"null")

_PLACE = re.compile(r"`\$(?:\.(\w+))?\[(\d+)\]")  # `$.runs[3].start_time`, or `$[3].id` of a plain list


def decode(decoder: msgspec.json.Decoder[T], body: bytes, purpose: str, *, levels: int = 1) -> T:
    """
    Decode JSON that LangSmith sent: a page, one run, a list, a payload from blob storage.

    JSON with the defects of :mod:`airflow_langsmith.api.json_repair` is repaired, the same wherever it comes from.

    :param levels: How many objects and lists of the body a payload lies in.
    :raises TransportError: for what is no JSON, for example an answer cut short.
    :raises PayloadError: for JSON of another shape.
    """
    text = repair_utf8(body)
    for repair in (None, repair_json, partial(limit_depth, levels=levels + MAX_DEPTH)):
        text = repair(text) if repair else text
        try:
            return decoder.decode(_on_one_line(text))
        except (msgspec.DecodeError, RecursionError) as failure:
            error: Exception = failure
    problem = f"({error}) [{purpose}]; {describe_body(body)}"  # msgspec names the place, and quotes no value
    if isinstance(error, msgspec.ValidationError):
        raise PayloadError(
            f"LangSmith's answer is not of the shape its API documents{_record(text, error)} {problem}. "
            "If host is LangSmith's API, tell us which version it is."
        )
    raise TransportError(
        f"LangSmith's answer is no JSON, or was cut short {problem}. A retry may help; if it does "
        "not, host may not be LangSmith's API."
    )


def parse_field(parse: Callable[[str], T], text: str, name: str, record: str) -> T:
    """Parse a field that came as text; an error names the field and the record, but not the text, a possible secret."""
    with suppress(ValueError, OverflowError):
        return parse(text)
    kind = "number" if name.endswith("_cost") else "time"
    raise PayloadError(  # outside of the handler, because the caught error quotes the text
        f"LangSmith's answer cannot be read: the {name} of {shorten(record, 60)} is no {kind}. Leave the column "
        "out, or narrow the query to other runs, and tell us."
    )


def parse_time(text: str | None) -> datetime | None:
    """Parse a time of either version: v1 writes UTC without a zone, v2 with one. Digits below microseconds are cut."""
    if not text:
        return None
    try:
        # To read the zone with the rest takes a fifth of the time of adding it afterwards.
        return datetime.fromisoformat(text if text[-1] == "Z" else f"{text}Z")
    except ValueError:
        time = datetime.fromisoformat(text)
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def parse_float(digits: str) -> float | str:
    """Parse a number with a fraction or exponent; digits that no float holds stay text."""
    number = float(digits)
    return number if math.isfinite(number) else digits


def payload_reader(type_: type[T]) -> Callable[[list[Raw | None]], list[T | None]]:
    """Return a reader of many payloads at once; a payload of another shape becomes None."""
    decoder: Any = msgspec.json.Decoder(list[type_ | None])  # type: ignore[valid-type]  # it is one
    single: Any = msgspec.json.Decoder(type_ | None)

    def read_alone(payload: Raw) -> T | None:
        try:
            return cast("T | None", single.decode(payload))
        except msgspec.ValidationError:
            return None

    def read(payloads: list[Raw | None]) -> list[T | None]:
        texts = [NULL if payload is None else payload for payload in payloads]
        try:
            return cast("list[T | None]", decoder.decode(b"[%b]" % b",".join(texts)))
        except msgspec.ValidationError:
            return list(map(read_alone, texts))

    return read


class _Record(msgspec.Struct):
    id: str


def _record(body: bytes, error: Exception) -> str:
    """Return the id of the record that has another shape: msgspec knows only its place in the list."""
    place = _PLACE.search(str(error))
    if place is None:
        return ""
    with suppress(*DECODE_ERRORS, KeyError, RecursionError):
        records = msgspec.json.decode(body, type=dict[str, Raw])[place[1]] if place[1] else body
        record = msgspec.json.decode(records, type=list[Raw])[int(place[2])]
        return f", in {UUID(msgspec.json.decode(record, type=_Record).id)}"
    return ""


def _on_one_line(body: bytes) -> bytes:
    """Remove the line breaks of JSON printed over lines, because raw payloads become lines of JSON as they are."""
    return msgspec.json.format(body, indent=-1) if b"\n" in body or b"\r" in body else body
