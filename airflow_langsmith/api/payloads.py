"""What LangSmith keeps in blob storage: fetched, some at a time, or the export fails; never missing in silence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec import Raw

from airflow_langsmith.api.decoding import decode
from airflow_langsmith.api.flow import Backoff, Flow, Pause, Reply, Request, RequestBatch, Response
from airflow_langsmith.api.media_types import is_server_message, printable_type
from airflow_langsmith.api.records import Run
from airflow_langsmith.api.settings import is_relative
from airflow_langsmith.api.statuses import error_for
from airflow_langsmith.errors import (
    LangSmithError,
    LargePayloadError,
    MissingPayloadError,
    PayloadError,
    TransportError,
)
from airflow_langsmith.messages import MAX_LINE, shorten

log = logging.getLogger(__name__)

MAX_CONCURRENT_REQUESTS = 8  # storage has no budget, and more requests than these only wait for the network
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024  # each is held in memory; LangSmith itself takes payloads of up to 20 MB

_WHOLE = 200  # 206 is a part, 203 what a proxy made of it, and the other successes are no content
# One of these headers has to be there. Else the end of the connection is the end of the body, and it may have been cut.
_END_IS_TOLD = frozenset(("content-length", "transfer-encoding"))


@dataclass(frozen=True, eq=False)
class Blob:
    """
    Something of a run that lies in blob storage.

    ``name`` is what it is missing as. ``url`` is a link to it, a secret that stands in no message; empty where there is
    none. ``take`` puts an answer where it belongs. ``type`` is the media type that LangSmith says it has, if any.
    ``largest`` bytes are taken at most, into the file ``into`` if there is one. ``advice`` says what to do without it.
    """

    run: Run
    name: str
    url: str = field(repr=False)
    take: Callable[[Response], None]
    type: str | None = None
    largest: int = MAX_PAYLOAD_BYTES
    into: Path | None = None
    advice: str = (
        "Or go on without it by payloads='flag', leave the column out, or set 'api_version' to 'v2' in the "
        "connection's extra, which sends payloads whole."
    )

    @property
    def what(self) -> str:
        """Name it in logs and errors; the name of an attachment is the user's, and only the row has it."""
        return f"{'attachment' if '.' in self.name else self.name} of run {self.run.id}"


def json_blob(run: Run, name: str, url: str, put: Callable[[Raw], None]) -> Blob:
    """Make the blob of a payload that is JSON."""

    def take(answer: Response) -> None:
        try:
            payload = decode(_JSON, answer.body, name, levels=0)
        except TransportError:
            raise PayloadError(f"The {name} of run {run.id} in blob storage is no JSON.") from None
        put(payload)

    return Blob(run, name, url, take, type="application/json")


def text_blob(run: Run, name: str, url: str, put: Callable[[str], None]) -> Blob:
    r"""
    Make the blob of a payload that is text, such as an error.

    The SDKs send it as a JSON string, which is read as one. Anything else is the text itself::

        "boom\nat line 1"    boom, at line 1 on the next line
        {"code": 7}          {"code": 7}
        boom                 boom
    """

    def take(answer: Response) -> None:
        try:
            text = decode(_JSON_STRING, answer.body, name, levels=0)
        except (TransportError, PayloadError):
            text = answer.body.decode("utf-8", "replace")
        put(text)

    return Blob(run, name, url, take, type="application/json")


_JSON = msgspec.json.Decoder(Raw)
_JSON_STRING = msgspec.json.Decoder(str)


def fetch_blobs(blobs: Sequence[Blob], backoff: Backoff, *, flag: bool = False) -> Flow[None]:
    """
    Fetch blobs and put them where they belong.

    With ``flag`` one that cannot be had is marked in its run's ``missing_payloads``, and the others go on. Trouble is
    waited out as often as any request's, counted anew once everything came: so a storage that is down for long does
    not cost as much again for every blob.

    :raises MissingPayloadError: for one that is not where its link leads, and for something else in its place.
    :raises PayloadError: for one that is too large, or no JSON.
    :raises TransportError: for one that did not come, however often it was asked for.
    """
    lost = [
        _lose(blob, MissingPayloadError(f"There is no link to the {blob.what}."), flag)
        for blob in blobs
        if not blob.url
    ]
    waiting, failures = [blob for blob in blobs if blob.url], 0
    while waiting:
        some, rest = waiting[:MAX_CONCURRENT_REQUESTS], waiting[MAX_CONCURRENT_REQUESTS:]
        replies = yield RequestBatch(tuple(map(_question, some)))
        taken = map(_take, some, replies if isinstance(replies, list) else [])
        failed = [(blob, error) for blob, error in zip(some, taken, strict=True) if error]
        patient = failures < backoff.retries
        again = [blob for blob, error in failed if patient and isinstance(error, TransportError)]
        lost += [_lose(blob, error, flag) for blob, error in failed if blob not in again]
        if again:
            seconds = backoff.seconds(failures, None)
            failures += 1
            yield Pause(seconds, f"before retry {failures} of {backoff.retries}: {failed[0][1].cause}")
        elif not failed:
            failures = 0
        waiting = again + rest
    if lost:
        log.warning("%s payloads or attachments cannot be had and are flagged", len(lost))
        log.warning("%s", shorten(f"The first: {lost[0]}", MAX_LINE))


def _lose(blob: Blob, error: LangSmithError, flag: bool) -> str:
    """Fail, or flag what cannot be had."""
    if not flag:
        raise type(error)(f"{error.message} {blob.advice}") from None
    blob.run.missing_payloads.append(blob.name)
    return error.cause


def _question(blob: Blob) -> Request:
    return Request(
        "GET", blob.url, tier="storage", about=blob.what, shown="blob storage", largest=blob.largest, into=blob.into
    )


def _take(blob: Blob, reply: Reply) -> PayloadError | TransportError | None:
    """Take in what came, or tell why it cannot be: a TransportError may be cured by asking again."""
    try:
        blob.take(_received(blob, reply))
    except (PayloadError, TransportError) as error:
        if blob.into:
            blob.into.unlink(missing_ok=True)
        return error
    return None


def _received(blob: Blob, reply: Reply) -> Response:
    """Tell a whole answer from one that may come yet, and from one that never will."""
    if isinstance(reply, TransportError):
        raise TransportError(f"The {blob.what} did not come from blob storage. {reply.message}")
    if isinstance(reply, LargePayloadError):
        raise reply
    if isinstance(reply, LangSmithError):
        raise MissingPayloadError(f"The link to the {blob.what} leads nowhere. {reply.message}")
    if not isinstance(reply, Response):
        raise TypeError(f"a request is answered by a Response, not by a {type(reply).__name__}")
    if reply.status != _WHOLE:
        is_success = 200 <= reply.status < 300  # noqa: PLR2004
        may_come = is_success or error_for(reply.status, "GET", "blob storage", b"{}").retriable
        kind = TransportError if may_come else MissingPayloadError
        raise kind(f"Blob storage answered {reply.status} for the {blob.what}. A retry may help, because links expire.")
    if not _is_whole(reply, blob.into.stat().st_size if blob.into else len(reply.body)):
        raise TransportError(f"Nothing tells that the {blob.what} came whole from blob storage. A retry may help.")
    arrived = reply.headers.get("content-type", "")
    if is_server_message(arrived, blob.type, own_host=is_relative(blob.url)):
        raise MissingPayloadError(
            f"Blob storage answered with {printable_type(arrived)!r} in place of the {blob.what} "
            f"({blob.type or 'of unknown type'}). A retry may help, because links expire."
        )
    return reply


def _is_whole(reply: Response, size: int) -> bool:
    """Tell whether a body of some bytes is whole, as far as headers tell; what is packed is never without a byte."""
    is_packed = reply.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
    is_part = "content-range" in reply.headers
    return not is_part and bool(_END_IS_TOLD & reply.headers.keys()) and not (is_packed and size == 0)
