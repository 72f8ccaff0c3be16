"""
How one question gets its answer: attempts, pauses, smaller pages. No I/O happens here.

A flow is a generator. It yields a :class:`Request` to be sent or a :class:`Pause` to be waited out, and is given the
:class:`Response` or the transport's error. One blocking and one async driver (in ``client``) push the same flows, so
what one of them knows of LangSmith the other knows too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

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

MAX_ANSWER_BYTES = 16 * 1024 * 1024  # bytes of one without data: projects, counts, settings; most have a few KB
# Bytes of one run, or of a page of feedback: neither can be asked for in halves. LangSmith takes 20 MB of a payload and
# documents no limit for a run, which has ten of them; escapes double that. To read one takes four times as much memory.
MAX_RUN_BYTES = 512 * 1024 * 1024

_MAYBE_TOO_LARGE = (499, 502, 504, 524)  # what a gateway says when a page took too long or was too big


@dataclass(frozen=True)
class Request:
    """
    One question.

    ``tier`` names the budget it counts against, ``about`` what it is for, in words. ``shown`` stands for a path that is
    a secret itself, or has ``secret`` in it, which is masked if a server echoes it. ``largest`` is how many bytes of a
    body are taken, once it is unpacked, before reading stops. ``into`` is a file that takes the body of a success in
    place of memory; it is there only if the body is whole. ``pages_left`` is about how many pages there are to read
    from this one on, where that is known.
    """

    method: str
    path: str = field(repr=False)
    tier: str = "other"
    params: dict[str, Any] = field(default_factory=dict, repr=False)
    json: dict[str, Any] | None = field(default=None, repr=False)
    about: str = ""
    needs_key: bool = True
    shown: str = ""
    secret: str = field(default="", repr=False)
    largest: int = MAX_ANSWER_BYTES
    into: Path | None = None
    pages_left: float = 0.0

    @property
    def name(self) -> str:
        """The request in logs and errors."""
        return f"{self.method} {self.shown or self.path}"

    @property
    def description(self) -> str:
        """The request in errors, with what it is for."""
        return f"{self.name} [{self.about}]" if self.about else self.name


@dataclass(frozen=True)
class Response:
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def is_deprecated(self) -> bool:
        """Whether LangSmith says that it will remove this address."""
        return "sunset" in self.headers or "deprecation" in self.headers


@dataclass(frozen=True)
class Pause:
    """Seconds to wait, and why."""

    seconds: float
    why: str


@dataclass(frozen=True)
class RateLimited(Pause):
    """A pause that everyone who shares the budget ``tier`` has to keep."""

    tier: str


@dataclass(frozen=True)
class RequestBatch:
    """Several questions to be asked at the same time; their answers come as a list, in this order."""

    requests: tuple[Request, ...]


Step = Request | Pause | RequestBatch
Answer = Response | LangSmithError
Reply = Answer | list[Answer] | None
Flow = Generator[Step, Reply, T]


@dataclass(frozen=True)
class Backoff:
    """
    How long to wait before trying again: what the server asks, else twice as long each time, with jitter.

    The longest wait asked for that is obeyed is two minutes: LangSmith's windows are 10 and 60 seconds.
    """

    retries: int
    base: float = 0.5
    longest: float = 30.0
    longest_asked: float = 120.0

    def seconds(self, failures: int, asked: float | None) -> float:
        """Seconds before the next try after ``failures`` ones."""
        if asked is not None:
            return min(asked, self.longest_asked) + random.uniform(0, 0.25)  # noqa: S311  # jitter is no secret
        return float(min(self.longest, self.base * 2.0 ** min(failures, 60)) * random.uniform(0.75, 1.25))  # noqa: S311


def with_retries(
    request: Callable[[], Request],
    read: Callable[[bytes], T],
    backoff: Backoff,
    shrink: Callable[[], bool] = lambda: False,
) -> Flow[T]:
    """
    Ask until there is an answer, or an error that asking again does not cure.

    ``request`` makes the question anew each time, ``read`` turns the body into the result, ``shrink`` makes the next
    question smaller and says whether it could.
    """
    failures = 0
    while True:
        asked = request()
        reply = yield asked
        try:
            return _reading(asked, read, _success(asked, reply))
        except LangSmithError as error:
            too_large = isinstance(error, PageTooLargeError | LargePayloadError)
            if (too_large or _maybe_too_large(error)) and shrink() and too_large:
                continue
            if not error.retriable or too_large or failures >= backoff.retries:
                raise
            seconds = backoff.seconds(failures, getattr(error, "retry_after", None))
            failures += 1
            why = f"before retry {failures} of {backoff.retries}: {error.cause}"
            yield RateLimited(seconds, why, asked.tier) if isinstance(error, RateLimitError) else Pause(seconds, why)


def read_json(request: Request, decoder: msgspec.json.Decoder[T], backoff: Backoff, *, levels: int = 1) -> Flow[T]:
    """Send a request and decode its answer; ``levels`` as :func:`decode` takes them."""
    return (
        yield from with_retries(
            lambda: request, lambda body: decode(decoder, body, request.about, levels=levels), backoff
        )
    )


class Pages(Protocol[T]):
    """What is read page by page: runs, feedback, projects."""

    @property
    def done(self) -> bool:
        """Whether there is no further page."""

    def next_page(self) -> Flow[list[T]]:
        """Read the next page."""


def read_all(pages: Pages[T]) -> Flow[list[T]]:
    """Read all pages into one list."""
    items: list[T] = []
    while not pages.done:
        items += yield from pages.next_page()
    return items


def _reading(asked: Request, read: Callable[[bytes], T], body: bytes) -> T:
    try:
        return read(body)
    except LangSmithError:
        raise
    except (*DECODE_ERRORS, TypeError, OverflowError, RecursionError) as error:
        kind = type(error).__name__
    raise PayloadError(  # outside of the handler: what it caught may quote the value
        f"LangSmith's answer to {asked.name} [{asked.about}] has a value that cannot be read ({kind}). "
        "Leave the column out, and tell us."
    )


def _success(asked: Request, reply: Reply) -> bytes:
    if isinstance(reply, LangSmithError):
        raise reply
    if not isinstance(reply, Response):
        raise TypeError(f"a request is answered by a Response, not by a {type(reply).__name__}")
    if not 200 <= reply.status < 300:  # noqa: PLR2004
        error = error_for(
            reply.status,
            asked.method,
            asked.shown or asked.path,
            reply.body,
            asked.about,
            reply.headers,
        )
        error.is_deprecated = reply.is_deprecated
        raise error
    return reply.body


def _maybe_too_large(error: LangSmithError) -> bool:
    if isinstance(error, ServerError):
        return error.status in _MAYBE_TOO_LARGE
    return isinstance(error, ReadTimeoutError)
