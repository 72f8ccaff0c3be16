"""What both API versions' bodies share: decoding that never loses a page, and times, numbers and JSON made alike."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from operator import attrgetter
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
    decoder = getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(body), _PIECE):  # the text of a whole page would be four times its size
            decoder.decode(body[start : start + _PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


_PIECE = 64 * 1024


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
    try:
        # The zone is read with the rest: to put it in afterwards takes five times as long.
        return datetime.fromisoformat(text if text[-1] == "Z" else f"{text}Z")
    except ValueError:
        found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _dollars(cost: float | str) -> float | None:
    """Read a cost, which is a number in practice and text in the specification."""
    return None if cost == "" else float(cost)


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
_DETAILED = ("prompt_token_details", "completion_token_details", "prompt_cost_details", "completion_cost_details")
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
    ],
    bases=(Run,),
    kw_only=True,
    gc=False,
)

# What each of them becomes where it is wanted, unless it is None; and what becomes of None where a Run has something.
FORMS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_TIMES, moment),
    **dict.fromkeys(_COSTS, _dollars),
    **dict.fromkeys(_DETAILED, _unwrapped),
}
_BLANKS: dict[str, Callable[[], Any]] = {"tags": list, **dict.fromkeys(_TOKENS, int)}
# Payloads that say nothing: null and, where it means the same, an empty object.
_NOTHING = dict.fromkeys(_PAYLOADS, (NULL,)) | dict.fromkeys(("feedback_stats", *_DETAILED), (NULL, Raw(b"{}")))


def mend(runs: list[Any], project: Project, fields: Collection[str]) -> list[Run]:
    """
    Make runs of what was decoded, in place, field by field: those that ``fields`` names and those that are never None.

    No run is without its start, so whoever asks for any field asks for ``start_time`` too.
    Whatever is done here is done to every run of an export, so what is not needed is not done.
    """
    for run in runs:
        run.project = project
    for name, blank in _BLANKS.items():
        for run in _those(runs, name, (None,)):
            setattr(run, name, blank())
    for name in (name for name in FORMS if name in fields):
        _reform(runs, name, FORMS[name])
    for name in (name for name in _NOTHING if name in fields):
        for run in _those(runs, name, _NOTHING[name]):
            setattr(run, name, None)
    if "thread_id" in fields or "model" in fields:
        for run in runs:
            read_metadata(run)
    return runs


def _reform(runs: list[Any], name: str, form: Callable[[Any], Any]) -> None:
    for run, value in zip(runs, map(attrgetter(name), runs), strict=True):
        if value is not None:
            setattr(run, name, form(value))


def _those(runs: list[Any], name: str, values: tuple[Any, ...]) -> list[Any]:
    """Choose the runs that have one of some values; most of the time there are none, and that shows at once."""
    column = list(map(attrgetter(name), runs))
    if not any(value in column for value in values):
        return []
    return [run for run, value in zip(runs, column, strict=True) if value in values]


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


class _Metadata(msgspec.Struct):
    """LangSmith's keys for the thread, in its order, and for the model; their values may be of any type."""

    session_id: Any = None
    thread_id: Any = None
    conversation_id: Any = None
    ls_model_name: Any = None


_METADATA: msgspec.json.Decoder[_Metadata] = msgspec.json.Decoder(_Metadata)
