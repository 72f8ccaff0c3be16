"""
From a request to its answer: attempts, pauses, smaller pages. No I/O happens here.

A flow is a generator. It yields a :class:`Request` to send or a :class:`Pause` to wait, and receives the
:class:`Response` or the transport's error. One blocking and one async driver (in ``client``) push the same flows, so
both know the same of LangSmith::

    flow = read_json(Request("GET", "/api/v1/info"), decoder, backoff)
    next(flow)                             Request GET /api/v1/info
    flow.send(Response(503, {}, b""))      Pause of 0.5 s before retry 1 of 6
    flow.send(None)                        Request GET /api/v1/info
    flow.send(Response(200, {}, b"{}"))    StopIteration with the decoded answer
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol, TypeVar

import msgspec

from airflow_langsmith.api.decoding import DECODE_ERRORS, decode
from airflow_langsmith.api.statuses import error_for
from airflow_langsmith.errors import (
    LangSmithError,
    LargePayloadError,
    PageTooLargeError,
    PayloadError,
    RateLimitError,
    ReadTimeoutError,
    ServerError,
)

T = TypeVar("T")

MAX_ANSWER_BYTES = 16 * 1024 * 1024  # without data: projects, counts, settings; most have a few KB
# Of one run, or of a page of feedback, neither of which can be halved. LangSmith takes 20 MB of a payload and documents
# no limit for a run, which has ten of them; escapes double that. Reading one takes four times as much memory.
MAX_RUN_BYTES = 512 * 1024 * 1024

_MAYBE_TOO_LARGE = (499, 502, 504, 524)  # what a gateway answers if a page took too long or was too big


@dataclass(frozen=True)
class Request:
    """
    A request to LangSmith or to blob storage.

    ``tier`` is the budget it counts against, ``purpose`` is for errors. Parameters that are None or an empty list
    are not sent. Messages have ``display_path`` instead of a path with a secret in it; ``secret`` is masked if
    a server echoes it. After ``max_bytes`` of a body, decompressed, reading stops. ``open_file`` opens the binary file
    that takes the body of a success in place of memory; it is empty if the body is not whole. ``pages_left`` is about
    how many pages there are to read from this one on, if that is known.
    """

    method: str
    path: str = field(repr=False)
    tier: str = "other"
    params: dict[str, Any] = field(default_factory=dict, repr=False)
    json: dict[str, Any] | None = field(default=None, repr=False)
    purpose: str = ""
    needs_key: bool = True
    display_path: str = ""
    secret: str = field(default="", repr=False)
    max_bytes: int = MAX_ANSWER_BYTES
    open_file: Callable[[], BinaryIO] | None = field(default=None, repr=False)
    pages_left: float = 0.0

    @property
    def name(self) -> str:
        """The request in logs and errors."""
        return f"{self.method} {self.display_path or self.path}"

    @property
    def description(self) -> str:
        """The request in errors, with its purpose."""
        return f"{self.name} [{self.purpose}]" if self.purpose else self.name


@dataclass(frozen=True)
class Response:
    """One answer; header names in lower case. ``file_bytes`` are the bytes of a body that went into a file."""

    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    file_bytes: int = 0

    @property
    def body_bytes(self) -> int:
        """The size of the body, wherever it went."""
        return self.file_bytes or len(self.body)

    @property
    def is_deprecated(self) -> bool:
        """Whether LangSmith says that it will remove this address."""
        return "sunset" in self.headers or "deprecation" in self.headers


@dataclass(frozen=True)
class Pause:
    """A wait before the next request."""

    seconds: float
    reason: str


@dataclass(frozen=True)
class RateLimited(Pause):
    """A pause for everyone who shares the budget ``tier``."""

    tier: str


Step = Request | Pause | list[Request]  # a list is sent at the same time; its answers come in its order
Answer = Response | LangSmithError
Reply = Answer | list[Answer] | None
Flow = Generator[Step, Reply, T]


@dataclass(frozen=True)
class Backoff:
    """How long to wait before a retry: as long as the server requests, else twice as long each time, with jitter."""

    retries: int
    base_seconds: float = 0.5
    max_seconds: float = 30.0
    max_requested_seconds: float = 120.0  # LangSmith's windows are 10 and 60 seconds

    def seconds(self, failures: int, requested_seconds: float | None) -> float:
        """Return the seconds to wait after this many failures."""
        if requested_seconds is not None:
            return min(requested_seconds, self.max_requested_seconds) + random.uniform(0, 0.25)  # noqa: S311  # jitter
        seconds = min(self.max_seconds, self.base_seconds * 2.0 ** min(failures, 60))
        return float(seconds * random.uniform(0.75, 1.25))  # noqa: S311


def with_retries(
    request: Callable[[], Request],
    read: Callable[[bytes], T],
    backoff: Backoff,
    shrink: Callable[[], bool] = lambda: False,
) -> Flow[T]:
    """
    Send a request until there is an answer, or an error that a retry does not cure.

    ``request`` makes each request, ``read`` turns the body into the result, ``shrink`` makes the next request smaller
    and returns whether it could.
    """
    failures = 0
    while True:
        sent = request()
        reply = yield sent
        try:
            return _read(sent, read, _body(sent, reply))
        except LangSmithError as error:
            too_large = isinstance(error, PageTooLargeError | LargePayloadError)
            maybe_too_large = isinstance(error, ReadTimeoutError) or (
                isinstance(error, ServerError) and error.status in _MAYBE_TOO_LARGE
            )
            if (too_large or maybe_too_large) and shrink() and too_large:
                continue
            if not error.retriable or too_large or failures >= backoff.retries:
                raise
            seconds = backoff.seconds(failures, getattr(error, "retry_after", None))
            failures += 1
            reason = f"before retry {failures} of {backoff.retries}: {error.cause}"
            limited = isinstance(error, RateLimitError)
            yield RateLimited(seconds, reason, sent.tier) if limited else Pause(seconds, reason)


def send(request: Request, read: Callable[[bytes], T], backoff: Backoff) -> Flow[T]:
    """Send a request that stays the same, until there is an answer."""
    return (yield from with_retries(lambda: request, read, backoff))


def read_json(request: Request, decoder: msgspec.json.Decoder[T], backoff: Backoff, *, levels: int = 1) -> Flow[T]:
    """Send a request and decode its answer; ``levels`` as :func:`decode` takes them."""
    return (yield from send(request, lambda body: decode(decoder, body, request.purpose, levels=levels), backoff))


class Pages(Protocol[T]):
    """Items that are read page by page: runs, feedback, projects."""

    done: bool

    def next_page(self) -> Flow[list[T]]:
        """Read the next page."""


def read_all(pages: Pages[T]) -> Flow[list[T]]:
    """Read all pages into one list."""
    items: list[T] = []
    while not pages.done:
        items += yield from pages.next_page()
    return items


def _read(request: Request, read: Callable[[bytes], T], body: bytes) -> T:
    try:
        return read(body)
    except LangSmithError:
        raise
    except (*DECODE_ERRORS, TypeError, OverflowError, RecursionError) as error:
        kind = type(error).__name__
    raise PayloadError(  # outside of the handler, because the caught error may quote the value
        f"LangSmith's answer to {request.description} has a value that cannot be read ({kind}). "
        "Leave the column out, and tell us."
    )


def _body(request: Request, reply: Reply) -> bytes:
    if isinstance(reply, LangSmithError):
        raise reply
    if not isinstance(reply, Response):
        raise TypeError(f"a request is answered by a Response, not by a {type(reply).__name__}")
    if 200 <= reply.status < 300:  # noqa: PLR2004
        return reply.body
    path = request.display_path or request.path
    error = error_for(reply.status, request.method, path, reply.body, request.purpose, reply.headers)
    error.is_deprecated = reply.is_deprecated
    raise error
