"""Files that were logged with runs: listed with them, and downloaded where that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from airflow_langsmith.api.flow import Backoff, Flow, Response
from airflow_langsmith.api.media_types import guess_type, type_and_size
from airflow_langsmith.api.payloads import Blob, fetch_blobs
from airflow_langsmith.api.records import Attachment, Run
from airflow_langsmith.errors import TransportError

# Bytes of one file. LangSmith documents no limit; eight of them at once still fit on the disk of a small worker.
MAX_ATTACHMENT_BYTES = 256 * 1024 * 1024

_ADVICE = "Or go on without it by payloads='flag', or only list the attachments by attachments='list'."


@dataclass(frozen=True)
class Link:
    """Where an attachment is, a secret, and what type the server says it has."""

    url: str = field(repr=False)
    type: str | None = None


@dataclass(frozen=True)
class LinkedAttachment:
    """An attachment, the run it belongs to, and the way to it."""

    run: Run
    attachment: Attachment
    link: Link


def list_attachments(run: Run, links: Mapping[str, Link]) -> list[LinkedAttachment]:
    """
    List the attachments of a run in it, by name, and give the ways to them.

    v2 does not say of what type they are. Their names say it, where they end like a file's; else it comes to light
    with the download.
    """
    found = []
    for name, link in sorted(links.items()):
        type_, size = type_and_size(link.type)
        found.append(LinkedAttachment(run, Attachment(name=name, type=type_ or guess_type(name), size=size), link))
    run.attachments = [one.attachment for one in found] or None
    return found


def download_attachments(
    attached: Sequence[LinkedAttachment],
    directory: Path,
    land: Callable[[Attachment, Path], None],
    backoff: Backoff,
    *,
    flag: bool = False,
) -> Flow[None]:
    """
    Download attachments into files of a directory, some at a time; ``land`` is given each, and removes it.

    One that cannot be had fails all, or with ``flag`` is marked as :func:`fetch_blobs` does.
    """
    yield from fetch_blobs(
        [
            Blob(
                one.run,
                f"attachments.{one.attachment.name}",
                one.link.url,
                partial(_taken, one.attachment, directory / f"attachment-{number}", land),
                type=one.attachment.type,
                largest=MAX_ATTACHMENT_BYTES,
                into=directory / f"attachment-{number}",
                advice=_ADVICE,
            )
            for number, one in enumerate(attached)
        ],
        backoff,
        flag=flag,
    )


def _taken(attachment: Attachment, path: Path, land: Callable[[Attachment, Path], None], answer: Response) -> None:
    size = path.stat().st_size
    if attachment.size not in (None, size):
        raise TransportError(f"An attachment has {attachment.size} bytes, and {size} came.")
    attachment.size = size
    attachment.type = attachment.type or answer.headers.get("content-type") or None
    land(attachment, path)
