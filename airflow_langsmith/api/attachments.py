"""Files that were logged with runs: listed with them, and downloaded on request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO

from airflow_langsmith.api.flow import Backoff, Flow, Response
from airflow_langsmith.api.media_types import guess_type, type_and_size
from airflow_langsmith.api.payloads import Blob, fetch_blobs
from airflow_langsmith.api.records import Attachment, Run
from airflow_langsmith.errors import Problem, TransportError

# LangSmith documents no limit; eight files of this size still fit on the disk of a small worker.
MAX_ATTACHMENT_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Link:
    """The address of an attachment, which is a secret, and the type that the server says it has."""

    url: str = field(repr=False)
    type: str | None = None


@dataclass(frozen=True)
class LinkedAttachment:
    """An attachment, its run, and its link."""

    run: Run
    attachment: Attachment
    link: Link


def list_attachments(run: Run, links: Mapping[str, Link]) -> list[LinkedAttachment]:
    """
    Set the attachments of a run, by name, and return them with their links.

    v2 does not send their types. A name that ends like a file's shows the type; else the download does.
    """
    linked = []
    for name, link in sorted(links.items()):
        type_, size = type_and_size(link.type)
        linked.append(LinkedAttachment(run, Attachment(name=name, type=type_ or guess_type(name), size=size), link))
    run.attachments = [each.attachment for each in linked] or None
    return linked


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

    def blob(number: int, each: LinkedAttachment) -> Blob:
        def accept(response: Response) -> None:
            attachment, size = each.attachment, response.body_bytes
            if attachment.size not in (None, size):
                raise TransportError(f"An attachment has {attachment.size} bytes, and {size} came.")
            attachment.size = size
            attachment.type = attachment.type or response.headers.get("content-type") or None
            receive(number, attachment)

        return Blob(
            each.run,
            f"attachments.{each.attachment.name}",
            each.link.url,
            accept,
            type=each.attachment.type,
            max_bytes=MAX_ATTACHMENT_BYTES,
            open_file=partial(open_file, number),
            problem=Problem.ATTACHMENT_MISSING,
        )

    yield from fetch_blobs([blob(number, each) for number, each in enumerate(linked)], backoff, flag=flag)
