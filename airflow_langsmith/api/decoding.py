"""What all bodies share: decoding that never loses a page, and times, numbers and JSON made alike."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec
from msgspec import Raw

from airflow_langsmith.api.json_repair import MAX_DEPTH, limit_depth, repair_json, repair_utf8
from airflow_langsmith.api.records import Project, Run
from airflow_langsmith.errors import PayloadError, TransportError
from airflow_langsmith.masking import describe_body
from airflow_langsmith.messages import shorten

T = TypeVar("T")

# What reading JSON raises. Before msgspec 0.21 its own errors are no ValueErrors.
DECODE_ERRORS = (ValueError, msgspec.MsgspecError)


def decode(decoder: msgspec.json.Decoder[T], body: bytes, about: str, *, levels: int = 1) -> T:
    """
    Decode JSON that LangSmith sent: a page, one run, a list, a payload from blob storage.

    What is almost JSON is mended (:mod:`airflow_langsmith.api.json_repair`), the same wherever it comes from.

    :param levels: How many objects and lists of the body a payload lies in.
    :raises TransportError: for what is no JSON, as an answer cut short is.
    :raises PayloadError: for JSON of another shape.
    """
    whole = repair_utf8(body)
    try:
        return decoder.decode(_on_one_line(whole))
    except (msgspec.DecodeError, RecursionError) as refusal:
        error: Exception = refusal
    for mend in (repair_json, partial(limit_depth, levels=levels + MAX_DEPTH)):
        whole = mend(whole)
        try:
            return decoder.decode(_on_one_line(whole))
        except (msgspec.DecodeError, RecursionError) as refusal:
            error = refusal
    problem = f"({error}) [{about}]; {describe_body(body)}"  # msgspec tells the place, and quotes no value
    if isinstance(error, msgspec.ValidationError):
        raise PayloadError(
            f"LangSmith's answer is not of the shape its API documents{_record(whole, error)} {problem}. "
            "If host is LangSmith's API, tell us which version it is."
        )
    raise TransportError(
        f"LangSmith's answer is no JSON, or was cut short {problem}. A retry may help; if it does "
        "not, host may not be LangSmith's API."
    )


_PLACE = re.compile(r"`\$(?:\.(\w+))?\[(\d+)\]")  # `$.runs[3].start_time`, or `$[3].id` of a plain list


def _record(body: bytes, error: Exception) -> str:
    """Name the record of a list that is not of its shape: msgspec tells the place of it, people need its id."""
    place = _PLACE.search(str(error))
    if place is None:
        return ""
    with suppress(*DECODE_ERRORS, KeyError, RecursionError):
        records = msgspec.json.decode(body, type=dict[str, Raw])[place[1]] if place[1] else body
        record = msgspec.json.decode(records, type=list[Raw])[int(place[2])]
        return f", in {UUID(msgspec.json.decode(record, type=_Record).id)}"
    return ""


class _Record(msgspec.Struct):
    id: str


def parse_field(read: Callable[[str], T], text: str, name: str, of: str) -> T:
    """
    Read a field of a record that came as text.

    :raises PayloadError: naming the field and the record, without the text, which may be a secret.
    """
    with suppress(ValueError, OverflowError):
        return read(text)
    raise PayloadError(  # outside of the handler: what it caught quotes the text
        f"LangSmith's answer cannot be read: the {name} of {shorten(of, 60)} is no {_KINDS[name]}. Leave the column "
        "out, or narrow the query to other runs, and tell us."
    )


def _on_one_line(body: bytes) -> bytes:
    """Take the line breaks out of JSON printed over lines: raw payloads go into lines of JSON as they are."""
    return msgspec.json.format(body, indent=-1) if b"\n" in body or b"\r" in body else body


def parse_time(text: str | None) -> datetime | None:
    """
    Read a time of either version: v1 writes UTC without a zone, v2 with one. Below the microsecond it is cut off.

    >>> parse_time("2024-04-29T00:49:12.090000")
    datetime.datetime(2024, 4, 29, 0, 49, 12, 90000, tzinfo=datetime.timezone.utc)
    """
    if not text:
        return None
    try:
        # The zone is read with the rest: to put it in afterwards takes five times as long.
        return datetime.fromisoformat(text if text[-1] == "Z" else f"{text}Z")
    except ValueError:
        found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def parse_float(digits: str) -> float | str:
    """Read a number with a fraction or exponent; one that no float holds stays its digits, as text."""
    number = float(digits)
    return number if math.isfinite(number) else digits


def _moments(texts: list[str]) -> list[Any]:
    """Read times: in one go, in a third of the time, where all tell microseconds; msgspec would round what is below."""
    zone = "" if texts and texts[0].endswith("Z") else "Z"
    printed = f'{zone}","'.join(texts) + zone
    if printed.count("Z") == len(texts) and set(map(len, texts)) == {len("2024-04-29T00:49:12.090000Z") - len(zone)}:
        with suppress(msgspec.DecodeError):  # another zone, or no time at all
            return _MOMENTS.decode(f'["{printed}"]')
    return list(map(parse_time, texts))


_MOMENTS = msgspec.json.Decoder(list[datetime])


def _dollars(cost: str) -> float | None:
    """Read a cost that is text, as in the specification; in practice it is a number. NaN is none."""
    dollars = float(cost) if cost else math.nan
    return dollars if math.isfinite(dollars) else None


def _unwrapped(raw: Raw) -> Raw:
    """Take v2's ``{"raw": {...}}`` off a breakdown of tokens or costs; v1's has no wrapper."""
    try:
        return _DETAILS.decode(raw).get("raw", raw)
    except msgspec.ValidationError:
        return raw


_DETAILS: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])

NULL = Raw(b"null")

_TIMES = ("start_time", "end_time", "first_token_time")
_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")
_COSTS = ("prompt_cost", "completion_cost", "total_cost")
_KINDS = {**dict.fromkeys(("created_at", "modified_at", *_TIMES), "time"), **dict.fromkeys(_COSTS, "number")}
_DETAILED = ("prompt_token_details", "completion_token_details", "prompt_cost_details", "completion_cost_details")
SPENT = frozenset((*_TIMES[1:], *_COSTS, *_DETAILED))  # seconds and dollars
_PAYLOADS = ("inputs", "outputs", "metadata", "extra", "events", "serialized", "feedback_stats", *_DETAILED)

# The fields that come in another form than a Run has them in.
WireRun = msgspec.defstruct(
    "WireRun",
    [
        ("project", Any, None),
        ("start_time", str),
        *((name, str | None, None) for name in _TIMES[1:]),
        ("tags", list[str] | None, []),
        *((name, int | None, 0) for name in _TOKENS),
        *((name, float | str | None, None) for name in _COSTS),
        *((name, Raw, None) for name in _PAYLOADS),  # msgspec takes `Raw | None` for nothing but null
        *((name, Any, None) for name in ("inputs_s3_urls", "outputs_s3_urls", "s3_urls")),  # in any form, see links
    ],
    bases=(Run,),
    kw_only=True,
    gc=False,
)

# Payloads that say nothing: null and, where it means the same, an empty object.
_NOTHING = dict.fromkeys(_PAYLOADS, (NULL,)) | dict.fromkeys(("feedback_stats", *_DETAILED), (NULL, Raw(b"{}")))


def normalize_runs(runs: list[Any], project: Project, fields: Collection[str]) -> list[Run]:
    """
    Make runs of what was decoded, in place.

    Whatever is done here is done to every run of an export, so what is not needed is not done, and payloads are only
    looked at where ``fields`` names them.
    """
    for run in runs:
        run.project = project
    is_read = False
    with suppress(ValueError, OverflowError):
        _read_times(runs)
        _read_numbers(runs)
        is_read = True
    if not is_read:
        _read_singly(runs)
    for name in (name for name in _DETAILED if name in fields):
        for run in runs:
            if (raw := getattr(run, name)) is not None:
                setattr(run, name, _unwrapped(raw))
    for name in (name for name in _NOTHING if name in fields):
        for run in _those(runs, name, _NOTHING[name]):
            setattr(run, name, None)
    if "thread_id" in fields or "model" in fields:
        read_metadata(runs)
    return runs


def _read_singly(runs: list[Any]) -> None:
    """
    Read what came as text one field at a time, because one of them cannot be read.

    :raises PayloadError: naming the run and the field that cannot be read.
    """
    for run in runs:
        for name in (*_TIMES, *_COSTS):
            if isinstance(text := getattr(run, name), str):
                read = _start if name == "start_time" else parse_time if name in _TIMES else _dollars
                setattr(run, name, parse_field(read, text, name, f"run {run.id}"))


def _start(text: str) -> datetime:
    """Read the start of a run, which no run is without."""
    start = parse_time(text)
    if start is None:
        raise ValueError
    return start


def _read_times(runs: list[Any]) -> None:
    starts = _moments([run.start_time for run in runs])
    if None in starts:
        raise ValueError
    for run, start in zip(runs, starts, strict=True):
        run.start_time = start
    ended = [run for run in runs if run.end_time is not None]
    for run, end in zip(ended, _moments([run.end_time for run in ended]), strict=True):
        run.end_time = end
    streamed = [run for run in runs if run.first_token_time is not None]
    for run, first in zip(streamed, _moments([run.first_token_time for run in streamed]), strict=True):
        run.first_token_time = first


def _read_numbers(runs: list[Any]) -> None:
    """Put nothing where null came for what a Run always has, and numbers where costs came as text."""
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


def _those(runs: list[Any], name: str, values: tuple[Any, ...]) -> list[Any]:
    """Choose the runs that have one of some values; most of the time there are none, and that shows at once."""
    column = list(map(attrgetter(name), runs))
    if not any(value in column for value in values):
        return []
    return [run for run, value in zip(runs, column, strict=True) if value in values]


def payload_reader(type_: type[T]) -> Callable[[list[Raw | None]], list[T | None]]:
    """Make a reader of payloads: all in one go, or, where one is of another shape, each alone; that one is None."""
    many: Any = msgspec.json.Decoder(list[type_ | None])  # type: ignore[valid-type]  # it is one
    one: Any = msgspec.json.Decoder(type_ | None)

    def alone(raw: Raw) -> T | None:
        try:
            return cast("T | None", one.decode(raw))
        except msgspec.ValidationError:
            return None

    def read(raws: list[Raw | None]) -> list[T | None]:
        texts = [NULL if raw is None else raw for raw in raws]
        try:
            return cast("list[T | None]", many.decode(b"[%b]" % b",".join(texts)))
        except msgspec.ValidationError:
            return list(map(alone, texts))

    return read


class _Metadata(msgspec.Struct, gc=False):
    """LangSmith's keys for the thread, in its order, and for the model; their values may be of any type."""

    session_id: Any = None
    thread_id: Any = None
    conversation_id: Any = None
    ls_model_name: Any = None


_metadata = payload_reader(_Metadata)


def read_metadata(runs: list[Run]) -> None:
    """Fill what the metadata's meaningful keys say; metadata that is no object has none."""
    for run, metadata in zip(runs, _metadata([run.metadata for run in runs]), strict=True):
        if metadata is None:
            continue
        thread = run.thread_id or metadata.session_id or metadata.thread_id or metadata.conversation_id
        if thread.__class__ is not str:
            thread = _name(metadata.session_id, metadata.thread_id, metadata.conversation_id)
        model = metadata.ls_model_name
        run.thread_id = thread or None
        run.model = (model if model.__class__ is str else _name(model)) or None


def _name(*values: Any) -> str | None:
    """Write the first value that can be a name; an object or a list is none."""
    return next((str(value) for value in values if value and not isinstance(value, dict | list)), None)
