"""What both API versions' bodies share: decoding that never loses a page, and times, numbers and JSON made alike."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from airflow_langsmith.api.errors import PayloadError, TransportError
from airflow_langsmith.api.records import Project, Run

T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], body: bytes, about: str) -> T:
    """
    Decode a body, or say that it is not what LangSmith documents.

    A lone surrogate or a NaN is enough for the decoder to refuse a page, and both occur in model output. They are
    mended in place: the surrogate becomes U+FFFD, the NaN the text "NaN"; so do bytes that are no UTF-8.

    :raises TransportError: for what is no JSON, as an answer cut short is.
    :raises PayloadError: for JSON of another shape.
    """
    if not _is_utf8(body):
        body = body.decode("utf-8", "replace").encode()
    try:
        # Raw payloads go into lines of JSON as they are: a server that prints its JSON over lines is put on one.
        return decoder.decode(msgspec.json.format(body, indent=-1) if b"\n" in body else body)
    except (msgspec.DecodeError, RecursionError) as refusal:
        begins = f"[{about}]; it begins {body[:120].decode('utf-8', 'replace')!r}"
        try:
            return decoder.decode(_JSON_TOKEN.sub(_mended, body))
        except msgspec.ValidationError:
            raise PayloadError(
                f"LangSmith's answer is not of the shape its API documents ({refusal}) {begins}. A retry will not "
                "help: if host is LangSmith's API, tell us which version it is."
            ) from refusal
        except RecursionError:
            raise PayloadError(
                f"LangSmith's answer is nested too deep to be read {begins}. A retry will not help: leave inputs and "
                "outputs out of columns."
            ) from refusal
        except ValueError:
            raise TransportError(
                f"LangSmith's answer is no JSON, or was cut short ({refusal}) {begins}. A retry may help; if it does "
                "not, host may not be LangSmith's API."
            ) from refusal


def _is_utf8(body: bytes) -> bool:
    """Check what the decoder leaves unchecked in raw payloads."""
    if body.isascii():
        return True
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


_JSON_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b', re.DOTALL)
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"  # half of one
    rb"|\\.",
    re.DOTALL,
)
_HALF = len(rb"\ud83d")


def _mended(token: re.Match[bytes]) -> bytes:
    """Mend one token of JSON, and leave every other byte of the page where it is."""
    text = token[0]
    if not text.startswith(b'"'):
        return b'"' + text + b'"'
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if len(escape[0]) == _HALF else escape[0], text)


def moment(text: str | None) -> datetime | None:
    """
    Read a time of either version: v1 writes UTC without a zone, v2 with one. Below the microsecond it is cut off.

    >>> moment("2024-04-29T00:49:12.090000")
    datetime.datetime(2024, 4, 29, 0, 49, 12, 90000, tzinfo=datetime.timezone.utc)
    """
    if not text:
        return None
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        return found.replace(tzinfo=UTC)
    return found if found.tzinfo is UTC else found.astimezone(UTC)


def dollars(cost: float | str | None) -> float | None:
    """Read a cost, which is a number in practice and text in the specification."""
    return float(cost) if cost not in (None, "") else None


NULL = Raw(b"null")
_EMPTY = Raw(b"{}")

# Raw JSON, as it is not looked into. Null and, in those where it means the same, an empty object become None.
PAYLOADS = ("inputs", "outputs", "metadata", "extra", "events", "serialized")
DETAILS = ("prompt_token_details", "completion_token_details", "prompt_cost_details", "completion_cost_details")
_EMPTIABLE = ("feedback_stats", *DETAILS)

# What comes in another form than a Run gives it in. `run` makes one of the other, in place.
WireRun = msgspec.defstruct(
    "WireRun",
    [
        ("project", Any, None),
        ("start_time", str),
        *((name, str | None, None) for name in ("end_time", "first_token_time")),
        ("tags", list[str] | None, None),
        *((name, int | None, None) for name in ("prompt_tokens", "completion_tokens", "total_tokens")),
        *((name, float | str | None, None) for name in ("prompt_cost", "completion_cost", "total_cost")),
        *((name, Raw, None) for name in (*PAYLOADS, *_EMPTIABLE)),  # Raw | None would read nothing but null
    ],
    bases=(Run,),
    kw_only=True,
)


def mend(runs: list[Any], project: Project, fields: Collection[str]) -> list[Run]:
    """
    Make runs of what was decoded, in place; of payloads and what is in them, those that ``fields`` names.

    It is the innermost loop of an export: all that is done to every run is done here.
    """
    for run in runs:
        run.project = project
        run.start_time = moment(run.start_time)
        run.end_time = moment(run.end_time)
        run.first_token_time = moment(run.first_token_time)
        run.run_type = run.run_type and run.run_type.lower()
        run.status = run.status and run.status.lower()
        run.tags = run.tags or []
        run.prompt_tokens = run.prompt_tokens or 0
        run.completion_tokens = run.completion_tokens or 0
        run.total_tokens = run.total_tokens or 0
        run.prompt_cost = dollars(run.prompt_cost)
        run.completion_cost = dollars(run.completion_cost)
        run.total_cost = dollars(run.total_cost)
    for name in (name for name in DETAILS if name in fields):
        for run in runs:
            setattr(run, name, unwrapped(getattr(run, name)))
    for name in (name for name in (*PAYLOADS, *_EMPTIABLE) if name in fields):
        nothing = (NULL, _EMPTY) if name in _EMPTIABLE else (NULL,)
        for run in runs:
            if getattr(run, name) in nothing:
                setattr(run, name, None)
    if "thread_id" in fields or "model" in fields:
        for run in runs:
            read_metadata(run)
    return runs


def read_metadata(run: Run) -> None:
    """Fill what the metadata's meaningful keys say; metadata that is no object has none."""
    if run.metadata is None:
        return
    try:
        metadata = _METADATA.decode(run.metadata)
    except msgspec.ValidationError:
        return
    thread = run.thread_id or metadata.session_id or metadata.thread_id or metadata.conversation_id
    run.thread_id = str(thread) if thread else None
    run.model = str(metadata.ls_model_name) if metadata.ls_model_name else None


def unwrapped(raw: Raw | None) -> Raw | None:
    """Take v2's ``{"raw": {...}}`` off a breakdown of tokens or costs; v1's has no wrapper."""
    try:
        return raw and _DETAILS.decode(raw).get("raw", raw)
    except msgspec.ValidationError:
        return raw


_DETAILS: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])


class _Metadata(msgspec.Struct):
    """LangSmith's keys for the thread, in its order, and for the model; their values may be of any type."""

    session_id: Any = None
    thread_id: Any = None
    conversation_id: Any = None
    ls_model_name: Any = None


_METADATA: msgspec.json.Decoder[_Metadata] = msgspec.json.Decoder(_Metadata)
