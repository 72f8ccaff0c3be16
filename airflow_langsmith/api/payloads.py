"""
Payloads and attachments in blob storage, fetched a few at a time.

One that is missing fails the export or is flagged, and is never lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO

import msgspec
from msgspec import Raw

from airflow_langsmith.api.decoding import NULL, decode
from airflow_langsmith.api.flow import Backoff, Flow, Pause, Reply, Request, Response
from airflow_langsmith.api.media_types import is_server_message, printable_type
from airflow_langsmith.api.records import Attachment, Run
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
from airflow_langsmith.problems import Problem

log = logging.getLogger(__name__)

MAX_CONCURRENT_REQUESTS = 8  # storage has no budget, and more requests than these only wait for the network
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024  # each is held in memory; LangSmith itself takes payloads of up to 20 MB
# LangSmith documents no limit; eight files of this size still fit on the disk of a small worker.
MAX_ATTACHMENT_BYTES = 256 * 1024 * 1024

_OK = 200  # 206 is a part, 203 what a proxy made of it, and the other successes have no content
# Without one of these headers the end of the connection is the end of the body, which may have been cut.
_LENGTH_HEADERS = frozenset(("content-length", "transfer-encoding"))
_JSON = msgspec.json.Decoder(Raw)
_JSON_STRING = msgspec.json.Decoder(str)


@dataclass(frozen=True, eq=False)
class Blob:
    """
    A payload or file of a run in blob storage.

    ``name`` is how ``missing_payloads`` names it. ``url`` is its link, a secret that is in no message; empty if there
    is none. ``accept`` puts an answer where it belongs. ``type`` is the media type that LangSmith says it has, if any.
    At most ``max_bytes`` are taken, into the file that ``open_file`` opens, if given. ``problem`` is that it cannot be
    fetched.
    """

    run: Run
    name: str
    url: str = field(repr=False)
    accept: Callable[[Response], None]
    type: str | None = None
    max_bytes: int = MAX_PAYLOAD_BYTES
    open_file: Callable[[], BinaryIO] | None = None
    problem: Problem = Problem.PAYLOAD_MISSING

    @property
    def label(self) -> str:
        """The blob in logs and errors. The name of an attachment is the user's, so only the row has it."""
        return f"{'attachment' if '.' in self.name else self.name} of run {self.run.id}"


def payload_blob(run: Run, name: str, url: str, derive: Callable[[Run, str], None]) -> Blob:
    r"""
    Return the blob of a payload, which is JSON, or of an error, which is text.

    The SDKs send text as a JSON string, which is decoded. Anything else is the text itself::

        "boom\nat line 1"    boom, at line 1 on the next line
        {"code": 7}          {"code": 7}
        boom                 boom

    :param derive: Fills what is made of the payload once it has come.
    """

    def accept(response: Response) -> None:
        if name == "error":
            try:
                run.error = decode(_JSON_STRING, response.body, name, levels=0)
            except (TransportError, PayloadError):
                run.error = response.body.decode("utf-8", "replace")
            return
        try:
            payload = decode(_JSON, response.body, name, levels=0)
        except TransportError:
            raise PayloadError(f"The {name} of run {run.id} in blob storage is no JSON.") from None
        setattr(run, name, None if payload == NULL else payload)
        derive(run, name)

    return Blob(run, name, url, accept, type="application/json")


@dataclass(frozen=True)
class LinkedAttachment:
    """An attachment, its run, and its link, which is a secret."""

    run: Run
    attachment: Attachment
    url: str = field(repr=False)


def download_attachments(
    linked: Sequence[LinkedAttachment],
    open_file: Callable[[int], BinaryIO],
    receive: Callable[[int, Attachment], None],
    backoff: Backoff,
    *,
    flag: bool = False,
) -> Flow[None]:
    """
    Download attachments, a few at a time.

    ``open_file`` opens the file for the attachment with this number, ``receive`` gets the number once the file is
    whole. One that is missing fails all, or with ``flag`` is flagged as :func:`fetch_blobs` does.
    """

    def blob(number: int, run: Run, attachment: Attachment, url: str) -> Blob:
        def accept(response: Response) -> None:
            if attachment.size not in (None, response.body_bytes):
                raise TransportError(f"An attachment has {attachment.size} bytes, and {response.body_bytes} came.")
            attachment.size = response.body_bytes
            attachment.type = attachment.type or response.headers.get("content-type") or None
            receive(number, attachment)

        return Blob(
            run,
            f"attachments.{attachment.name}",
            url,
            accept,
            type=attachment.type,
            max_bytes=MAX_ATTACHMENT_BYTES,
            open_file=partial(open_file, number),
            problem=Problem.ATTACHMENT_MISSING,
        )

    blobs = [blob(number, each.run, each.attachment, each.url) for number, each in enumerate(linked)]
    yield from fetch_blobs(blobs, backoff, flag=flag)


def fetch_blobs(blobs: Sequence[Blob], backoff: Backoff, *, flag: bool = False) -> Flow[None]:
    """
    Fetch blobs and put them where they belong.

    With ``flag`` a missing one is added to its run's ``missing_payloads``, and the others go on. Failures count for all
    blobs together, and from zero again once all of a batch came: so a storage that is down for long costs its retries
    once, and not for each blob.

    :raises PayloadError: for a blob that is missing, too large, or no JSON.
    :raises TransportError: for a blob that did not come after all retries.
    """
    missing = [
        _fail_or_flag(blob, MissingPayloadError(f"There is no link to the {blob.label}."), flag)
        for blob in blobs
        if not blob.url
    ]
    waiting, failures = [blob for blob in blobs if blob.url], 0
    while waiting:
        batch, rest = waiting[:MAX_CONCURRENT_REQUESTS], waiting[MAX_CONCURRENT_REQUESTS:]
        replies = yield list(map(_request, batch))
        results = map(_accept, batch, replies if isinstance(replies, list) else [])
        failed = [(blob, error) for blob, error in zip(batch, results, strict=True) if error]
        may_retry = failures < backoff.retries
        retries = [blob for blob, error in failed if may_retry and isinstance(error, TransportError)]
        missing += [_fail_or_flag(blob, error, flag) for blob, error in failed if blob not in retries]
        if retries:
            seconds = backoff.seconds(failures, None)
            failures += 1
            yield Pause(seconds, f"before retry {failures} of {backoff.retries}: {failed[0][1].cause}")
        elif not failed:
            failures = 0
        waiting = retries + rest
    if missing:
        log.warning("%s payloads or attachments are missing and are flagged", len(missing))
        log.warning("%s", shorten(f"The first: {missing[0]}", MAX_LINE))


def _fail_or_flag(blob: Blob, error: LangSmithError, flag: bool) -> str:
    if not flag:
        raise error.of(blob.problem) from None
    blob.run.missing_payloads.append(blob.name)
    return error.cause


def _request(blob: Blob) -> Request:
    return Request(
        "GET",
        blob.url,
        tier="storage",
        purpose=blob.label,
        display_path="blob storage",
        max_bytes=blob.max_bytes,
        open_file=blob.open_file,
    )


def _accept(blob: Blob, reply: Reply) -> PayloadError | TransportError | None:
    """Put an answer where it belongs, or return the error; a retry may cure a TransportError."""
    try:
        blob.accept(_whole_response(blob, reply))
    except (PayloadError, TransportError) as error:
        if blob.open_file:
            blob.open_file().close()  # empties it
        return error
    return None


def _whole_response(blob: Blob, reply: Reply) -> Response:
    """Return the answer if it is whole; a TransportError says that a retry may help, a PayloadError that none can."""
    if isinstance(reply, LargePayloadError):
        raise reply
    if isinstance(reply, TransportError):
        raise TransportError(f"The {blob.label} did not come from blob storage. {reply.message}")
    if isinstance(reply, LangSmithError):
        raise MissingPayloadError(f"The link to the {blob.label} leads nowhere. {reply.message}")
    if not isinstance(reply, Response):
        raise TypeError(f"a request is answered by a Response, not by a {type(reply).__name__}")
    if reply.status != _OK:
        is_success = 200 <= reply.status < 300  # noqa: PLR2004
        may_come = is_success or error_for(reply.status, "GET", "blob storage", b"{}").retriable
        kind = TransportError if may_come else MissingPayloadError
        raise kind(
            f"Blob storage answered {reply.status} for the {blob.label}. A retry may help, because links expire."
        )
    if not _is_whole(reply):
        raise TransportError(f"Blob storage does not say whether the {blob.label} is whole. A retry may help.")
    type_ = reply.headers.get("content-type", "")
    if is_server_message(type_, blob.type, own_host=is_relative(blob.url)):
        raise MissingPayloadError(
            f"Blob storage answered with {printable_type(type_)!r} in place of the {blob.label} "
            f"({blob.type or 'of unknown type'}). A retry may help, because links expire."
        )
    return reply


def _is_whole(response: Response) -> bool:
    """Return whether the headers show that the body is whole; a compressed body is never empty."""
    headers = response.headers
    is_compressed = headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
    has_length = bool(_LENGTH_HEADERS & headers.keys())
    return "content-range" not in headers and has_length and not (is_compressed and not response.body_bytes)
