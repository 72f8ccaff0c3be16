"""Attachments on their way from LangSmith to lie beside the parts: identical content once, named by its digest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.media_types import extension
from airflow_langsmith.api.payloads import download_attachments
from airflow_langsmith.api.records import Attachment, Page
from airflow_langsmith.export.layout import attachment_name
from airflow_langsmith.export.publication import Publication
from airflow_langsmith.manifest import ManifestAttachment


class Attachments:
    """Downloads what the runs of a page had attached, a few files at a time, and publishes each at once."""

    def __init__(self, publication: Publication, directory: Path, *, flag: bool) -> None:
        self._publication = publication
        self._directory = directory
        self._flag = flag
        self._names: dict[str, str] = {}

    def download(self, client: LangSmithClient, page: Page) -> None:
        """Download and publish the attachments of a page, and write into its runs where each lies."""
        backoff = client.negotiator.backoff
        client.drive(download_attachments(page.attachments, self._open, self._publish, backoff, flag=self._flag))

    def _path(self, number: int) -> Path:
        return self._directory / f"attachment-{number}"

    def _open(self, number: int) -> BinaryIO:
        return self._path(number).open("wb")

    def _publish(self, number: int, attachment: Attachment) -> None:
        local = self._path(number)
        size = local.stat().st_size
        with local.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        # The first type that a content comes with decides what its name ends in.
        name = self._names.setdefault(sha256, attachment_name(sha256, extension(attachment.type)))
        attachment.file = self._publication.attach(local, ManifestAttachment(name=name, bytes=size, sha256=sha256))
