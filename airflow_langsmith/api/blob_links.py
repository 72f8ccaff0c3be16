"""
Links to payloads and files of a run in blob storage.

v1 sends them beside the payload, which is null then, or a stub that shows how it begins; v2 sends those of files only::

    "inputs": {"q": "Once upon ..."}, "inputs_s3_urls": {"ROOT": {"presigned_url": "https://..."}}
    "error": null, "s3_urls": {"error": {"presigned_url": "/storage/..."},
                               "attachment.photo": {"presigned_url": "https://...", "mime_type": "image/png"}}

The payload is what the link leads to, never what is beside it. A link without an address, such as a null, makes a
missing payload. So does a link to a part of a payload.
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
from airflow_langsmith.api.wire_run import WireRun

FIELDS = ("inputs_s3_urls", "outputs_s3_urls", "s3_urls")  # of a run, whichever version sends them
_PAYLOADS = frozenset(("error", "inputs", "outputs", "events", "extra", "metadata", "serialized", "feedback_stats"))
_IN_S3_URLS = ("error", "events", "extra", "serialized")
_NO_LINK = Link("")
_OTHER_SCHEME = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)  # such as s3:


def has_links(run: WireRun) -> bool:
    """Return whether a run has any links to payloads, or something in their place."""
    return bool(run.inputs_s3_urls or run.outputs_s3_urls or run.s3_urls)


def read_links(
    run: WireRun, fields: Collection[str], derive: Callable[[Run, str], None], files: Any, prefix: str = ""
) -> tuple[list[Blob], list[LinkedAttachment]]:
    """
    Read the links of a run, and remove them from it, because they are secrets, with the stubs of payloads.

    :param fields: The fields to read; links of others are ignored.
    :param derive: Fills what is made of a field once its JSON has come.
    :param files: Links to files by name, behind a prefix.
    :return: the payloads to fetch, and the files that may be downloaded.
    """
    links, attachments = _payload_links(run), []
    if isinstance(files, dict):
        by_name = {name.removeprefix(prefix): _link(value) for name, value in files.items() if name.startswith(prefix)}
        attachments = list_attachments(run, by_name)
    else:
        run.attachments = None
        links |= {"attachments": _NO_LINK} if files else {}
    for name in FIELDS:
        setattr(run, name, None)
    return [_blob(run, name, link, derive) for name, link in links.items() if name in fields], attachments


def _blob(run: Run, name: str, link: Link, derive: Callable[[Run, str], None]) -> Blob:
    setattr(run, name, None)
    if name == "error":
        return text_blob(run, name, link.url, partial(setattr, run, name))

    def put(payload: Raw) -> None:
        setattr(run, name, None if payload == NULL else payload)
        derive(run, name)

    return json_blob(run, name, link.url, put)


def _payload_links(run: WireRun) -> dict[str, Link]:
    links: dict[str, Link] = {}
    for field, name in zip(FIELDS, ("inputs", "outputs"), strict=False):
        if value := getattr(run, field):
            links[name] = _link(value.get("ROOT")) if isinstance(value, dict) else _NO_LINK
    if isinstance(run.s3_urls, dict):
        for key, value in run.s3_urls.items():
            name, _, part = key.partition(".")
            link = _NO_LINK if part else _link(value)
            if name in _PAYLOADS and not links.get(name, _NO_LINK).url:
                links[name] = link
    elif run.s3_urls:
        links |= dict.fromkeys(_IN_S3_URLS, _NO_LINK)
    return links


def _link(value: Any) -> Link:
    """Read a link: an object, or an address alone."""
    url, type_ = (value.get("presigned_url"), value.get("mime_type")) if isinstance(value, dict) else (value, None)
    if not isinstance(url, str) or _OTHER_SCHEME.match(url.strip()):
        return _NO_LINK
    return Link(url.strip(), type_ if isinstance(type_, str) else None)
