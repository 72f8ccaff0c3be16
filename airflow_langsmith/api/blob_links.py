"""
Links to payloads and files of a run that lie in blob storage.

v1 sends them beside the payload, which is null then, or a stub that shows how it begins; v2 sends those of files only::

    "inputs": {"q": "Once upon ..."}, "inputs_s3_urls": {"ROOT": {"presigned_url": "https://..."}}
    "error": null, "s3_urls": {"error": {"presigned_url": "/storage/..."},
                               "attachment.photo": {"presigned_url": "https://...", "mime_type": "image/png"}}

What is beside a link never lands: the payload is what the link leads to. One that leads nowhere, such as a null,
makes a payload without an address, which cannot be had. So does a link to a part of a payload.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from msgspec import Raw

from airflow_langsmith.api.attachments import Link, LinkedAttachment, list_attachments
from airflow_langsmith.api.decoding import NULL
from airflow_langsmith.api.payloads import Blob, json_blob, text_blob
from airflow_langsmith.api.records import Run

FIELDS = ("inputs_s3_urls", "outputs_s3_urls", "s3_urls")  # of a run, whichever version sends them
_PAYLOADS = frozenset(("error", "inputs", "outputs", "events", "extra", "metadata", "serialized", "feedback_stats"))

_IN_S3_URLS = ("error", "events", "extra", "serialized")
_NOWHERE = Link("")
_OTHER_SCHEME = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)  # such as s3:

Derive = Callable[[Run, str], None]


def has_links(run: Any) -> bool:
    """Tell whether a run has any links to payloads, or what stands in their place."""
    return bool(run.inputs_s3_urls or run.outputs_s3_urls or run.s3_urls)


def read_links(
    run: Any, wanted: Collection[str], derive: Derive, files: Any, prefix: str = ""
) -> tuple[list[Blob], list[LinkedAttachment]]:
    """
    Read the links of a run, and take them out of it, because they are secrets, and what was sent in place of payloads.

    :param wanted: The fields that are asked for; links of others are passed over.
    :param derive: Fills what is made of a field whose JSON has come.
    :param files: Links to files by name, behind a prefix.
    :return: the payloads to be fetched, and the files that may be.
    """
    links, attached = _payload_links(run), []
    if isinstance(files, dict):
        named = {name.removeprefix(prefix): _link(link) for name, link in files.items() if name.startswith(prefix)}
        attached = list_attachments(run, named)
    else:
        run.attachments = None
        links |= {"attachments": _NOWHERE} if files else {}
    for name in FIELDS:
        setattr(run, name, None)
    return [_blob(run, name, link, derive) for name, link in links.items() if name in wanted], attached


def _blob(run: Run, name: str, link: Link, derive: Derive) -> Blob:
    setattr(run, name, None)
    if name == "error":
        return text_blob(run, name, link.url, partial(setattr, run, name))

    def put(payload: Raw) -> None:
        setattr(run, name, None if payload == NULL else payload)
        derive(run, name)

    return json_blob(run, name, link.url, put)


def _payload_links(run: Any) -> dict[str, Link]:
    links: dict[str, Link] = {}
    for field, name in zip(FIELDS, ("inputs", "outputs"), strict=False):
        if written := getattr(run, field):
            links[name] = _link(written.get("ROOT")) if isinstance(written, dict) else _NOWHERE
    if isinstance(run.s3_urls, dict):
        for key, written in run.s3_urls.items():
            name, _, part = key.partition(".")
            link = _NOWHERE if part else _link(written)
            if name in _PAYLOADS and not links.get(name, _NOWHERE).url:
                links[name] = link
    elif run.s3_urls:
        links |= dict.fromkeys(_IN_S3_URLS, _NOWHERE)
    return links


def _link(written: Any) -> Link:
    """Read a link: an object, or an address alone."""
    url, type_ = (
        (written.get("presigned_url"), written.get("mime_type")) if isinstance(written, dict) else (written, None)
    )
    if not isinstance(url, str) or _OTHER_SCHEME.match(url.strip()):
        return _NOWHERE
    return Link(url.strip(), type_ if isinstance(type_, str) else None)
