"""Payloads that v1 keeps in blob storage: fetched, some at a time, or the export fails; never null in silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec
from msgspec import Raw

from airflow_langsmith.api.errors import MissingPayloadError, PayloadError, TransportError, error_for
from airflow_langsmith.api.flow import Backoff, Flow, Pause, Reply, Request, Response, Together

AT_ONCE = 8  # requests; storage has no budget to keep, and more than that only waits for the network
LARGEST = 64 * 1024 * 1024  # bytes of one payload; LangSmith itself takes no larger ones than 20 MB

_ADVICE = (
    "A retry may help, for links expire; else leave the column out, or set 'api_version' to 'v2' in the connection's "
    "extra, which sends payloads whole."
)


@dataclass(frozen=True)
class Elsewhere:
    """A payload that is not where it should be: what it is, a link to it, and where to put it."""

    what: str
    url: str = field(repr=False)
    put: Callable[[Raw], None]


def fetch(elsewhere: list[Elsewhere], backoff: Backoff) -> Flow[None]:
    """
    Fetch payloads and put them into their runs.

    Links are secrets and stand in no message. Only a link into the API's own host is asked with the key.

    :raises MissingPayloadError: for one that cannot be had.
    :raises PayloadError: for one that is larger than 64 MB, or no JSON.
    """
    waiting, failures = elsewhere, 0
    while waiting:
        some, rest = waiting[:AT_ONCE], waiting[AT_ONCE:]
        replies = yield Together(tuple(map(_question, some)))
        failed: list[Elsewhere] = []
        trouble: TransportError | None = None
        for payload, reply in zip(some, replies if isinstance(replies, list) else [], strict=True):
            try:
                payload.put(_content(payload, reply))
            except TransportError as error:
                failed.append(payload)
                trouble = error
        if trouble is not None:
            if failures >= backoff.retries:
                raise trouble
            yield Pause(backoff.seconds(failures, None), str(trouble))
            failures += 1
        waiting = failed + rest


def _question(payload: Elsewhere) -> Request:
    relative = not urlsplit(payload.url).netloc
    return Request("GET", payload.url, tier="storage", about=payload.what, needs_key=relative, shown="blob storage")


def _content(payload: Elsewhere, reply: Reply) -> Raw:
    if not isinstance(reply, Response):
        raise TransportError(f"The {payload.what} did not come from blob storage: {reply}. {_ADVICE}")
    if not 200 <= reply.status < 300:  # noqa: PLR2004
        error = error_for(reply.status, "GET", "blob storage", b"{}", payload.what)
        kind = TransportError if error.retriable else MissingPayloadError
        raise kind(f"Blob storage answered {reply.status} for the {payload.what}. {_ADVICE}")
    if len(reply.body) > LARGEST:
        raise PayloadError(f"The {payload.what} are {len(reply.body) / 1e6:.0f} MB, more than is taken here. {_ADVICE}")
    try:
        return Raw(msgspec.json.format(reply.body, indent=-1))
    except msgspec.DecodeError:
        raise PayloadError(f"The {payload.what} in blob storage are no JSON. {_ADVICE}") from None
