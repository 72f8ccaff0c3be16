"""What both API versions' bodies share: decoding that never loses a page, and times, numbers and JSON made alike."""

from __future__ import annotations

import re
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
    if not body.isascii():
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


ABSENT = Raw(b"")  # a payload that was not sent; msgspec decodes ``Raw | None`` as nothing but null
_NULL, _EMPTY = Raw(b"null"), Raw(b"{}")


def present(raw: Raw) -> Raw | None:
    """Tell a value from a JSON null and from one that was not sent."""
    return None if raw in (ABSENT, _NULL) else raw


def filled(raw: Raw) -> Raw | None:
    """Tell a value from an empty object, too: no feedback is written as either."""
    return None if raw in (ABSENT, _NULL, _EMPTY) else raw


def unwrapped(raw: Raw) -> Raw | None:
    """Take v2's ``{"raw": {...}}`` off a breakdown of tokens or costs; v1's has no wrapper."""
    try:
        return filled(raw) and filled(_DETAILS.decode(raw).get("raw", raw))
    except msgspec.ValidationError:
        return raw


_DETAILS: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])


class WireRun(msgspec.Struct, kw_only=True):
    """The fields of a run that both versions call alike, as they come."""

    id: str
    start_time: str
    trace_id: str | None = None
    thread_id: str | None = None
    name: str | None = None
    run_type: str | None = None
    status: str | None = None
    end_time: str | None = None
    first_token_time: str | None = None
    error: str | None = None
    tags: list[str] | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_cost: float | str | None = None
    completion_cost: float | str | None = None
    total_cost: float | str | None = None
    dotted_order: str | None = None
    reference_example_id: str | None = None
    inputs: Raw = ABSENT
    outputs: Raw = ABSENT
    feedback_stats: Raw = ABSENT
    extra: Raw = ABSENT
    events: Raw = ABSENT
    prompt_token_details: Raw = ABSENT
    completion_token_details: Raw = ABSENT
    prompt_cost_details: Raw = ABSENT
    completion_cost_details: Raw = ABSENT

    def record(
        self,
        project: Project,
        *,
        parent_run_id: str | None,
        in_dataset: bool | None,
        metadata: Raw,
        serialized: Raw,
    ) -> Run:
        """Make the record, given what each version keeps in a place of its own."""
        return Run(
            id=self.id,
            trace_id=self.trace_id,
            parent_run_id=parent_run_id,
            project=project,
            thread_id=self.thread_id or thread_of(read_metadata(present(metadata))),
            name=self.name,
            run_type=self.run_type and self.run_type.lower(),
            status=self.status and self.status.lower(),
            start_time=moment(self.start_time),  # type: ignore[arg-type]  # never empty
            end_time=moment(self.end_time),
            first_token_time=moment(self.first_token_time),
            error=self.error,
            tags=self.tags or [],
            prompt_tokens=self.prompt_tokens or 0,
            completion_tokens=self.completion_tokens or 0,
            total_tokens=self.total_tokens or 0,
            prompt_cost=dollars(self.prompt_cost),
            completion_cost=dollars(self.completion_cost),
            total_cost=dollars(self.total_cost),
            dotted_order=self.dotted_order,
            reference_example_id=self.reference_example_id,
            in_dataset=in_dataset,
            inputs=present(self.inputs),
            outputs=present(self.outputs),
            metadata=present(metadata),
            feedback_stats=filled(self.feedback_stats),
            extra=present(self.extra),
            events=present(self.events),
            serialized=present(serialized),
            prompt_token_details=unwrapped(self.prompt_token_details),
            completion_token_details=unwrapped(self.completion_token_details),
            prompt_cost_details=unwrapped(self.prompt_cost_details),
            completion_cost_details=unwrapped(self.completion_cost_details),
        )


class Metadata(msgspec.Struct):
    """The keys of a run's metadata that have a meaning of their own; their values may be of any type."""

    session_id: Any = None
    thread_id: Any = None
    conversation_id: Any = None
    ls_model_name: Any = None


_METADATA: msgspec.json.Decoder[Metadata] = msgspec.json.Decoder(Metadata)
_NOTHING = Metadata()


def read_metadata(raw: Raw | None) -> Metadata:
    """Read the meaningful keys; metadata that is no object has none."""
    if raw is None:
        return _NOTHING
    try:
        return _METADATA.decode(raw)
    except msgspec.ValidationError:
        return _NOTHING


def thread_of(metadata: Metadata) -> str | None:
    """Name the thread by LangSmith's three keys, in its order, where the server did not."""
    found = metadata.session_id or metadata.thread_id or metadata.conversation_id
    return str(found) if found else None
