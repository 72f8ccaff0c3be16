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
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from airflow_langsmith.api.media_types import guess_type, type_and_size
from airflow_langsmith.api.payloads import Blob, LinkedAttachment, payload_blob
from airflow_langsmith.api.records import Attachment, Run
from airflow_langsmith.api.wire_run import WireRun

FIELDS = ("inputs_s3_urls", "outputs_s3_urls", "s3_urls")  # of a run, whichever version sends them
_PAYLOADS = frozenset(("error", "inputs", "outputs", "events", "extra", "metadata", "serialized", "feedback_stats"))
_IN_S3_URLS = ("error", "events", "extra", "serialized")
_NO_LINK = ("", None)
_OTHER_SCHEME = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)  # such as s3:


def read_links(
    runs: Sequence[WireRun],
    fields: Collection[str],
    derive: Callable[[Run, str], None],
    files: tuple[str, str],
) -> tuple[list[Blob], list[LinkedAttachment]]:
    """
    Read the links of runs, and remove them from the runs, because they are secrets, with the stubs of payloads.

    :param fields: The fields to read; links of others are ignored.
    :param derive: Fills what is made of a field once its JSON has come.
    :param files: The field with the links to files by name, and a prefix of these names.
    :return: the payloads to fetch, and the files that may be downloaded.
    """
    blobs: list[Blob] = []
    attachments: list[LinkedAttachment] = []
    for run in runs:
        if run.inputs_s3_urls or run.outputs_s3_urls or run.s3_urls or run.attachments:
            links, file_links = _payload_links(run), getattr(run, files[0])
            run.attachments = None
            if isinstance(file_links, dict):
                attachments += list_attachments(run, file_links, files[1])
            elif file_links:
                links["attachments"] = ""
            for name in FIELDS:
                setattr(run, name, None)
            for name in [name for name in links if name in fields]:
                setattr(run, name, None)
                blobs.append(payload_blob(run, name, links[name], derive))
    return blobs, attachments


def list_attachments(run: Run, links: Mapping[str, Any], prefix: str) -> list[LinkedAttachment]:
    """Set the attachments of a run, by name, and return them with their links; v2 does not send their types."""
    linked = []
    for key in sorted(links):
        if key.startswith(prefix):
            name, (url, type_) = key.removeprefix(prefix), _link(links[key])
            type_, size = type_and_size(type_)
            attachment = Attachment(name=name, type=type_ or guess_type(name), size=size)
            linked.append(LinkedAttachment(run, attachment, url))
    run.attachments = [each.attachment for each in linked] or None
    return linked


def _payload_links(run: WireRun) -> dict[str, str]:
    """Return the address of each payload, empty if it has none."""
    links: dict[str, str] = {}
    for field, name in zip(FIELDS, ("inputs", "outputs"), strict=False):
        if value := getattr(run, field):
            links[name] = _link(value.get("ROOT"))[0] if isinstance(value, dict) else ""
    if isinstance(run.s3_urls, dict):
        for key, value in run.s3_urls.items():
            name, _, part = key.partition(".")
            if name in _PAYLOADS and not links.get(name):
                links[name] = "" if part else _link(value)[0]
    elif run.s3_urls:
        links |= dict.fromkeys(_IN_S3_URLS, "")
    return links


def _link(value: Any) -> tuple[str, str | None]:
    """Read the address and type of a link: an object, or an address alone."""
    url, type_ = (value.get("presigned_url"), value.get("mime_type")) if isinstance(value, dict) else (value, None)
    if not isinstance(url, str) or _OTHER_SCHEME.match(url.strip()):
        return _NO_LINK
    return url.strip(), type_ if isinstance(type_, str) else None
