"""Files that were logged with runs: listed with them, and downloaded where that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from mimetypes import MimeTypes
from pathlib import Path

from airflow_langsmith.api.flow import Backoff, Flow, Response
from airflow_langsmith.api.payloads import Blob, fetch
from airflow_langsmith.api.records import Attachment, Run

# Bytes of one file. LangSmith documents no limit; eight of them at once still fit on the disk of a small worker.
LARGEST = 256 * 1024 * 1024

_ADVICE = "Or go on without it by payloads='flag', or only list the attachments by attachments='list'."


@dataclass(frozen=True)
class Link:
    """Where an attachment is, a secret, and what type the server says it has."""

    url: str = field(repr=False)
    type: str | None = None


@dataclass(frozen=True)
class Attached:
    """An attachment, the run it belongs to, and the way to it."""

    run: Run
    attachment: Attachment
    link: Link


def attach(run: Run, links: Mapping[str, Link]) -> list[Attached]:
    """
    List the attachments of a run in it, by name, and give the ways to them.

    v2 does not say of what type they are. Their names say it, where they end like a file's; else it comes to light
    with the download.
    """
    found = [
        Attached(run, Attachment(name=name, type=link.type or _type_of(name)), link)
        for name, link in sorted(links.items())
    ]
    run.attachments = [one.attachment for one in found] or None
    return found


def download(
    attached: Sequence[Attached],
    directory: Path,
    land: Callable[[Attachment, Path], None],
    backoff: Backoff,
    *,
    flag: bool = False,
) -> Flow[None]:
    """
    Download attachments into files of a directory, some at a time; ``land`` is given each, and removes it.

    One that cannot be had fails all, or with ``flag`` is marked as :func:`fetch` does.
    """
    yield from fetch(
        [
            Blob(
                one.run,
                f"attachments.{one.attachment.name}",
                one.link.url,
                partial(_taken, one.attachment, directory / f"attachment-{number}", land),
                largest=LARGEST,
                into=directory / f"attachment-{number}",
                advice=_ADVICE,
            )
            for number, one in enumerate(attached)
        ],
        backoff,
        flag=flag,
    )


def extension(type_: str | None) -> str:
    """
    Name the ending that files of a type have.

    >>> extension("image/png"), extension("text/plain; charset=utf-8"), extension(None)
    ('png', 'txt', 'bin')
    """
    media, _, _ = (type_ or "").partition(";")
    return (_types().guess_extension(media.strip(), strict=False) or ".bin").removeprefix(".")


def _taken(attachment: Attachment, path: Path, land: Callable[[Attachment, Path], None], answer: Response) -> None:
    attachment.size = path.stat().st_size
    attachment.type = attachment.type or answer.headers.get("content-type") or None
    land(attachment, path)


def _type_of(name: str) -> str | None:
    type_, compression = _types().guess_type(name, strict=False)
    return None if compression else type_


@cache
def _types() -> MimeTypes:
    return MimeTypes()  # Python's own table: that of the machine would give other rows on another worker
