"""The manifest: what an export is made of, written last. A reader that goes by it never sees half of one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from airflow_langsmith.errors import BrokenManifestError, ManifestError
from airflow_langsmith.export.destination import StoragePath, path_at, plain_uri
from airflow_langsmith.export.layout import MANIFEST
from airflow_langsmith.export.storage import Store

__all__ = ["Manifest", "ManifestAttachment", "ManifestColumn", "ManifestFile", "read_manifest"]

_OF_BULK_EXPORTS = ("bulk_export_id", "execution_backends")  # fields that other manifests do not have
SCHEMA_VERSION = 2  # of the manifest, the columns and the layout together; a breaking change counts up


class ManifestFile(msgspec.Struct, frozen=True, kw_only=True):
    """One part: its name beside the manifest, its rows, and its size and digest."""

    name: str
    rows: int
    bytes: int
    sha256: str


class ManifestAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """One attachment: its name beside the manifest, and its size and digest."""

    name: str
    bytes: int
    sha256: str


class ManifestColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One column and its type (string, boolean, integer, number, timestamp, strings, json)."""

    name: str
    type: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """
    One published export.

    ``window_start`` is inside, ``window_end`` is not; ``query`` holds the arguments that narrow it. ``pending`` counts
    the runs that had not ended when they were read: LangSmith changes them later, so the window is worth another
    export. ``misfits`` counts the values that did not fit the type of their path in ``flatten``, ``nulls`` the nulls in
    each flat column, ``missing_payloads`` the names in the column of that name. ``schema_changes`` are the differences
    from the columns of the export that this one replaced. ``bytes`` are those of the parts; ``attachments`` lie beside
    them. Nothing in it depends on when it was written: the same rows give the same manifest.

    ``api_version`` is where the rows came from: ``v1``, ``v2``, or ``bulk v1`` and ``bulk v2_beta`` for the files of a
    bulk export. Then ``bulk_export_id`` is its id, and ``execution_backends`` are the engines that it ran on
    (``clickhouse`` adds up what the children of a run spent, as v1 does).

    ``uri`` is where it was read from. It is not in the file, and two manifests that differ only in it are equal.
    """

    schema_version: int = SCHEMA_VERSION
    package_version: str
    view: str
    project: str
    project_id: str
    window_start: datetime
    window_end: datetime
    query: dict[str, Any]
    api_version: str
    bulk_export_id: str | None = None
    execution_backends: tuple[str, ...] = ()
    format: str
    compression: str
    columns: tuple[ManifestColumn, ...]
    schema_changes: tuple[str, ...] = ()
    files: tuple[ManifestFile, ...]
    rows: int
    bytes: int
    pending: int
    misfits: int = 0
    nulls: dict[str, int] = {}
    missing_payloads: int = 0
    attachments: tuple[ManifestAttachment, ...] = ()
    min_start_time: datetime | None
    max_start_time: datetime | None
    uri: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and super().__eq__(msgspec.structs.replace(other, uri=self.uri))

    def __hash__(self) -> int:
        return hash((self.view, self.project_id, self.window_start, self.window_end))

    def uris(self) -> list[str]:
        """
        Return the URIs of the parts as query engines take them: without Airflow's connection, local files as paths.

        ::

            s3://lake/langsmith/runs/project=my%20shop/date=2026-11-01/part-00000-3f9a1c2b.parquet

        Nothing is decoded: the object itself has ``%20`` in its name. An export without rows has one part, too.

        :raises ManifestError: if the manifest was not read from a place.
        """
        if not self.uri:
            raise ManifestError(
                "This manifest has no place, so its parts have no URIs. Read it with read_manifest(uri)."
            )
        folder = plain_uri(self.uri.removesuffix(MANIFEST))
        return [f"{folder}{file.name}" for file in self.files]

    @property
    def objects(self) -> tuple[ManifestFile | ManifestAttachment, ...]:
        """The parts and the attachments."""
        return (*self.files, *self.attachments)

    @property
    def sizes(self) -> dict[str, int]:
        """The objects it lists, by name, with their sizes in bytes."""
        return {each.name: each.bytes for each in self.objects}


def encode(manifest: Manifest) -> bytes:
    """Return a manifest as JSON that people can read, too, without the place that it was read from."""
    fields = msgspec.to_builtins(manifest)
    for name in ("uri", *(name for name in _OF_BULK_EXPORTS if not fields[name])):
        del fields[name]
    return msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"


def decode(content: bytes, place: str) -> Manifest:
    """
    Return the manifest that was encoded.

    :raises BrokenManifestError: if it is none.
    :raises ManifestError: if a later version of this package wrote it.
    """
    try:
        version = msgspec.json.decode(content, type=_Version).schema_version
        if version > SCHEMA_VERSION:
            raise ManifestError(
                f"The manifest at {place} has schema version {version}, this package knows {SCHEMA_VERSION}. "
                "Upgrade airflow-provider-langsmith to read or replace it."
            )
        return msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise BrokenManifestError(
            f"The {MANIFEST} at {place} is no manifest of this package: {error}. "
            "Exporting the window again replaces it."
        ) from error


def read_manifest(uri: str | StoragePath | Mapping[str, Any]) -> Manifest:
    """
    Read the manifest of an export.

    :param uri: The manifest, or what an operator returned, or the partition it lies in; Airflow's connections apply
        (``s3://conn_id@bucket/...``).
    :raises ManifestError: if there is none.
    """
    path = path_at(uri.get("manifest", "") if isinstance(uri, Mapping) else uri)
    if path.name == MANIFEST:
        path = path.parent
    content = Store(path).read(MANIFEST)
    if content is None:
        raise ManifestError(
            f"There is no {MANIFEST} at {path}: nothing was published there, or not yet. Run the export first, or take "
            "the URI that it returns."
        )
    return msgspec.structs.replace(decode(content, str(path)), uri=str(path / MANIFEST))


class _Version(msgspec.Struct):
    schema_version: int
