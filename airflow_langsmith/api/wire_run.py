"""
A run as LangSmith sends it, and how it becomes a :class:`Run` in place.

::

    "start_time": "2026-03-01T00:00:00.000001"    datetime(2026, 3, 1, 0, 0, 0, 1, tzinfo=UTC)
    "total_cost": "0.12"                          0.12
    "feedback_stats": {}                          None
    "metadata": {"thread_id": "t1"}               as it is, and thread_id "t1"
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec
from msgspec import Raw

from airflow_langsmith.api.decoding import NULL, parse_field, parse_time, payload_reader
from airflow_langsmith.api.records import Project, Run

if TYPE_CHECKING:  # as they are once they are normalized
    Start: TypeAlias = Any
    Text: TypeAlias = Any
    Cost: TypeAlias = Any
    Count: TypeAlias = Any
    Tags: TypeAlias = Any
    Payload: TypeAlias = Raw | None
else:  # as they are decoded; msgspec takes `Raw | None` for nothing but null
    Start, Text, Cost, Count, Tags, Payload = str, str | None, float | str | None, int | None, list[str] | None, Raw

_TIMES = ("start_time", "end_time", "first_token_time")
_COSTS = ("prompt_cost", "completion_cost", "total_cost")
_DETAILS = ("prompt_token_details", "completion_token_details", "prompt_cost_details", "completion_cost_details")
SPENT_FIELDS = frozenset((*_TIMES[1:], *_COSTS, *_DETAILS))  # seconds and dollars

# Payloads without a value: null and, if it means the same, an empty object.
_EMPTY: dict[str, tuple[Raw, ...]] = {
    **dict.fromkeys(("inputs", "outputs", "metadata", "extra", "events", "serialized"), (NULL,)),
    **dict.fromkeys(("feedback_stats", *_DETAILS), (NULL, Raw(b"{}"))),
}


class WireRun(Run, kw_only=True, gc=False):
    """A run with the types that both versions send; it is a :class:`Run` after :func:`normalize_runs`."""

    project: Any = None
    start_time: Start
    end_time: Text = None
    first_token_time: Text = None
    tags: Tags = []  # noqa: RUF012  # msgspec copies it
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    total_tokens: Count = 0
    prompt_cost: Cost = None
    completion_cost: Cost = None
    total_cost: Cost = None
    inputs: Payload = None
    outputs: Payload = None
    metadata: Payload = None
    extra: Payload = None
    events: Payload = None
    serialized: Payload = None
    feedback_stats: Payload = None
    prompt_token_details: Payload = None
    completion_token_details: Payload = None
    prompt_cost_details: Payload = None
    completion_cost_details: Payload = None
    inputs_s3_urls: Any = None  # in any form, see blob_links
    outputs_s3_urls: Any = None
    s3_urls: Any = None


def normalize_runs(runs: Sequence[WireRun], project: Project, fields: Collection[str]) -> list[Run]:
    """Convert each run to the types of a :class:`Run`, in place; of payloads, only those that ``fields`` names."""
    for run in runs:
        run.project = project
    is_read = False
    with suppress(ValueError, OverflowError):
        _parse_times(runs)
        _normalize_numbers(runs)
        is_read = True
    if not is_read:
        _parse_each(runs)
    for name in (name for name in _DETAILS if name in fields):
        for run in runs:
            if (payload := getattr(run, name)) is not None:
                setattr(run, name, _unwrap(payload))
    for name in (name for name in _EMPTY if name in fields):
        for run in _runs_with(_EMPTY[name], name, runs):
            setattr(run, name, None)
    if "thread_id" in fields or "model" in fields:
        read_metadata(runs)
    return cast("list[Run]", runs)


class _Metadata(msgspec.Struct, gc=False):
    """LangSmith's keys for the thread, in its order, and for the model; their values may be of any type."""

    session_id: Any = None
    thread_id: Any = None
    conversation_id: Any = None
    ls_model_name: Any = None


class _Extra(msgspec.Struct, gc=False):
    metadata: Raw = NULL


_read_metadata = payload_reader(_Metadata)
_read_extras = payload_reader(_Extra)


def read_extra(runs: Sequence[Run]) -> None:
    """Fill ``metadata`` from ``extra``, where v1 and Bulk Export have it; an extra that is no object has none."""
    for run, extra in zip(runs, _read_extras([run.extra for run in runs]), strict=True):
        run.metadata = extra.metadata if extra and extra.metadata != NULL else None


def read_metadata(runs: Sequence[Run]) -> None:
    """Fill ``thread_id`` and ``model`` from the metadata; metadata that is no object has neither."""
    for run, metadata in zip(runs, _read_metadata([run.metadata for run in runs]), strict=True):
        if metadata is None:
            continue
        thread = run.thread_id or metadata.session_id or metadata.thread_id or metadata.conversation_id
        if thread.__class__ is not str:
            thread = _first_name(metadata.session_id, metadata.thread_id, metadata.conversation_id)
        model = metadata.ls_model_name
        run.thread_id = thread or None
        run.model = (model if model.__class__ is str else _first_name(model)) or None


def _first_name(*values: Any) -> str | None:
    """Return the first value that can be a name, as text; an object or a list cannot."""
    return next((str(value) for value in values if value and not isinstance(value, dict | list)), None)


def _parse_times(runs: Sequence[WireRun]) -> None:
    starts = _times([run.start_time for run in runs])
    if None in starts:
        raise ValueError
    for run, start in zip(runs, starts, strict=True):
        run.start_time = start
    ended = [run for run in runs if run.end_time is not None]
    for run, end in zip(ended, _times([run.end_time for run in ended]), strict=True):
        run.end_time = end
    streamed = [run for run in runs if run.first_token_time is not None]
    for run, first in zip(streamed, _times([run.first_token_time for run in streamed]), strict=True):
        run.first_token_time = first


_TIME_LIST = msgspec.json.Decoder(list[datetime])


def _times(texts: list[str]) -> Sequence[datetime | None]:
    """Parse times: all at once, in a third of the time, if all have microseconds; msgspec would round what is below."""
    zone = "" if texts and texts[0].endswith("Z") else "Z"
    joined = f'{zone}","'.join(texts) + zone
    if joined.count("Z") == len(texts) and set(map(len, texts)) == {len("2024-04-29T00:49:12.090000Z") - len(zone)}:
        with suppress(msgspec.DecodeError):  # another zone, or no time at all
            return _TIME_LIST.decode(f'["{joined}"]')
    return list(map(parse_time, texts))


def _normalize_numbers(runs: Sequence[WireRun]) -> None:
    """Replace null where a Run always has a value, and costs that came as text."""
    for run in runs:
        if run.tags is None:
            run.tags = []
        if run.prompt_tokens is None:
            run.prompt_tokens = 0
        if run.completion_tokens is None:
            run.completion_tokens = 0
        if run.total_tokens is None:
            run.total_tokens = 0
        if run.prompt_cost.__class__ is str:
            run.prompt_cost = _dollars(run.prompt_cost)
        if run.completion_cost.__class__ is str:
            run.completion_cost = _dollars(run.completion_cost)
        if run.total_cost.__class__ is str:
            run.total_cost = _dollars(run.total_cost)


def _dollars(cost: str) -> float | None:
    """Parse a cost that is text, as in the specification; in practice it is a number. NaN is none."""
    dollars = float(cost) if cost else math.nan
    return dollars if math.isfinite(dollars) else None


def _parse_each(runs: Sequence[WireRun]) -> None:
    """Parse one field at a time, to name the run and the field that cannot be parsed."""
    for run in runs:
        for name in (*_TIMES, *_COSTS):
            if isinstance(text := getattr(run, name), str):
                parse = _start if name == "start_time" else parse_time if name in _TIMES else _dollars
                setattr(run, name, parse_field(parse, text, name, f"run {run.id}"))


def _start(text: str) -> datetime:
    start = parse_time(text)
    if start is None:
        raise ValueError
    return start


_DETAILS_OBJECT = msgspec.json.Decoder(dict[str, Raw])


def _unwrap(payload: Raw) -> Raw:
    """Unwrap v2's ``{"raw": {...}}`` around a breakdown of tokens or costs; v1's has no wrapper."""
    try:
        return _DETAILS_OBJECT.decode(payload).get("raw", payload)
    except msgspec.ValidationError:
        return payload


def _runs_with(values: tuple[Raw, ...], name: str, runs: Sequence[WireRun]) -> list[WireRun]:
    """Return the runs that have one of the values; usually none has, and one search shows that."""
    column = list(map(attrgetter(name), runs))
    if not any(value in column for value in values):
        return []
    return [run for run, value in zip(runs, column, strict=True) if value in values]
