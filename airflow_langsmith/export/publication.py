"""
From parts to an export: all of it or none, at any moment.

New parts and attachments are uploaded beside the old ones. Then the manifest is replaced, in one write: that is the
moment of change. Only then is deleted what it no longer lists. A reader that goes by the manifest sees the old export
or the new one. A crash leaves one of the two, and objects that no manifest lists; the partition's next export deletes
those.

Two exports of one partition may run at the same time: two tasks, or a task that Airflow gave up and its own retry. The
first that replaces the manifest wins. The others find another manifest than the one they began with, and fail; a retry
begins with the new one. Four rules protect the objects of one export from the clean-up of another:

- An export deletes what lay there before its manifest, and only while its manifest is in place. So what it deletes was
  there when the next export began.
- An export never uploads under a name that was there when it began, unless the manifest lists it.
- After its manifest is in place, an export checks that all that it lists is there. If not, it puts the old one back.
- No step trusts the one before: a store may ignore the condition of a write, and an answer may get lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import msgspec

from airflow_langsmith.errors import (
    BrokenManifestError,
    ConcurrentExportError,
    DestinationConflictError,
    LangSmithError,
)
from airflow_langsmith.export.destination import StoragePath
from airflow_langsmith.export.layout import MANIFEST, is_of_an_export, names_by_digest
from airflow_langsmith.export.parts import Part
from airflow_langsmith.export.storage import MAX_PARALLEL_DELETES, Store
from airflow_langsmith.filters import format_time
from airflow_langsmith.manifest import Manifest, ManifestAttachment, ManifestFile, decode, encode
from airflow_langsmith.messages import shorten
from airflow_langsmith.windows import TimeWindow


@dataclass(frozen=True, kw_only=True)
class Identity:
    """
    What a re-run of an export has in common with it, and no other export.

    ``project`` is the name, for messages only. ``query`` holds the arguments that narrow it, ``{"is_root": True}``.
    """

    view: str
    project: str
    project_id: str
    window: TimeWindow
    query: dict[str, Any]

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Read the identity of a published export."""
        window = TimeWindow(manifest.window_start, manifest.window_end)
        project, project_id = manifest.project, manifest.project_id
        return cls(view=manifest.view, project=project, project_id=project_id, window=window, query=manifest.query)

    def refuse_another(self, previous: Manifest | None, path: StoragePath) -> None:
        """
        Fail rather than replace another export.

        :raises DestinationConflictError: naming both.
        """
        if previous is None:
            return
        other = self.of(previous)
        fields = (("view", "view"), ("project", "project_id"), ("window", "window"), ("query", "query"))
        if differences := [name for name, field in fields if getattr(other, field) != getattr(self, field)]:
            is_renewed = "project" in differences and other.project == self.project  # deleted and made anew
            raise DestinationConflictError(
                f"The destination holds an export of another {' and '.join(differences)}. To go on would lose it. Use "
                "another destination, or remove the export there.\n"
                f"There: {other._described(with_id=is_renewed)}.\n"  # noqa: SLF001  # of the same class
                f"This export: {self._described(with_id=is_renewed)}.\n"
                f"Place: {path}"
            )

    def _described(self, *, with_id: bool) -> str:
        start, end = (format_time(bound).replace(".000000", "") for bound in (self.window.start, self.window.end))
        query = shorten(", ".join(f"{name}={value}" for name, value in self.query.items()), 300) or "not narrowed"
        project = f"{self.project!r} ({self.project_id})" if with_id else repr(self.project)
        return f"{self.view} of {project}, [{start}, {end}), {query}"


class Publication:
    """
    An export on its way into a partition. If it ends before :meth:`commit`, it deletes what it uploaded.

    :raises ManifestError: if a later version of this package published there; nothing of that is touched.
    """

    def __init__(self, path: StoragePath) -> None:
        self._path = path
        self._store = Store(path)
        self.files: list[ManifestFile] = []
        self.attachments: dict[str, ManifestAttachment] = {}  # by the shortest of their names
        self._snapshot = self._store.snapshot(MANIFEST)
        self.previous = self._decoded(self._snapshot.content if self._snapshot else None)
        self.previous_at = self._snapshot.modified if self._snapshot and self.previous else None
        self._names_before = self._store.sizes().keys()  # after the manifest, whose export may yet delete some
        self._is_committed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._is_committed:
            return
        try:
            for names in _batched([*(file.name for file in self.files), *(a.name for a in self.attachments.values())]):
                published = self._decoded(self._store.read(MANIFEST))
                listed = published.sizes if published else {}  # the same rows have the same name in another export
                self._store.delete(name for name in names if name not in listed)
        except LangSmithError as failure:
            if error is None:
                raise
            error.add_note(f"What was uploaded until then is still there; the next export removes it. {failure}")

    def check(self, identity: Identity) -> None:
        """Fail before much is read, if the partition holds another export or a right is missing."""
        identity.refuse_another(self.previous, self._path)
        self.probe()

    def probe(self) -> None:
        """Write and delete an object, because a right may be missing."""
        name = f"_probe-{uuid4().hex}"
        self._store.write(b"", name)
        self._store.delete([name])

    def upload(self, part: Part) -> None:
        """Upload a part and remove it from the local disk."""
        name = self._free_name(part.file.name, part.file.sha256)
        self.files.append(msgspec.structs.replace(part.file, name=name))
        self._store.put(part.path, name)
        part.path.unlink()

    def attach(self, local: Path, attachment: ManifestAttachment) -> str:
        """Upload an attachment, once, and remove it from the local disk; return the name that it has there."""
        if attachment.name not in self.attachments:
            name = self._free_name(attachment.name, attachment.sha256)
            self.attachments[attachment.name] = msgspec.structs.replace(attachment, name=name)
            self._store.put(local, name)
        local.unlink()
        return self.attachments[attachment.name].name

    def commit(self, manifest: Manifest, before_swap: Callable[[], None] = lambda: None) -> str:
        """
        Replace the manifest, then delete what it does not list; return its URI.

        Another export that published the same rows meanwhile is as good as this one.

        :param before_swap: Called last before the manifest is replaced; what it raises prevents that.
        :raises ConcurrentExportError: if another export of the partition was published, or cleaned up, meanwhile.
        :raises DestinationConflictError: if it is one of another query, project or window.
        """
        try:
            self._replace(manifest, encode(manifest), before_swap)
        except ConcurrentExportError:
            published = self._decoded(self._store.read(MANIFEST))
            is_same = published is not None and _without_names(published) == _without_names(manifest)
            if not is_same or not self._is_whole(published):
                raise
        return str(self._path / MANIFEST)

    def _replace(self, manifest: Manifest, content: bytes, before_swap: Callable[[], None]) -> None:
        names = self._list_whole(manifest)
        before_swap()
        self._is_committed = True  # from here on the manifest may be this one, even if the answer to its upload is lost
        is_written = self._store.swap(content, MANIFEST, self._snapshot)
        self._is_committed = is_written or self._store.read(MANIFEST) == content
        self._check_in_place(manifest, content)
        try:
            self._list_whole(manifest)
        except ConcurrentExportError:
            self._put_back(content)
            raise
        for unlisted in _batched([name for name in names if name not in manifest.sizes and is_of_an_export(name)]):
            self._check_in_place(manifest, content)
            self._store.delete(unlisted)
        self._check_in_place(manifest, content)

    def _list_whole(self, manifest: Manifest) -> dict[str, int]:
        """List the partition, and check that all objects of the manifest are there."""
        sizes = self._store.sizes()
        if missing := [name for name, size in manifest.sizes.items() if sizes.get(name) != size]:
            self._refuse_conflict(self._store.read(MANIFEST), manifest)
            raise self._concurrent(f"{', '.join(missing[:3])} just uploaded to {self._path} is not there, or not whole")
        return sizes

    def _check_in_place(self, manifest: Manifest, content: bytes) -> None:
        """Check that the manifest in place is this one, also if another export has written the same."""
        published = self._store.read(MANIFEST)
        if published != content:
            self._refuse_conflict(published, manifest)
            raise self._concurrent(f"Another manifest was published at {self._path} since this export began")

    def _refuse_conflict(self, published: bytes | None, manifest: Manifest) -> None:
        Identity.of(manifest).refuse_another(self._decoded(published), self._path)

    def _put_back(self, content: bytes) -> None:
        """Put the previous manifest back, if all objects that it lists are still there."""
        published = self._store.snapshot(MANIFEST)
        if published is None or published.content != content:
            return
        if self._snapshot is None:
            self._store.delete([MANIFEST])
        elif self._is_whole(self.previous):
            self._store.swap(self._snapshot.content, MANIFEST, published)

    def _is_whole(self, manifest: Manifest | None) -> bool:
        return manifest is not None and manifest.sizes.items() <= self._store.sizes().items()

    def _free_name(self, name: str, sha256: str) -> str:
        """
        Choose a name that no other export is about to delete.

        It is the name of the same content in the previous export, so that a re-run changes nothing; else one that was
        not there when this export began.
        """
        names = list(names_by_digest(name, sha256))
        listed = {each.name for each in self.previous.objects if each.sha256 == sha256} if self.previous else set()
        free = [each for each in names if each not in self._names_before]
        return [*(each for each in names if each in listed), *free, names[-1]][0]

    def _concurrent(self, what: str) -> ConcurrentExportError:
        return ConcurrentExportError(
            f"{what}: another export of the same partition runs at the same time. A retry will "
            "help. Let no two tasks write the same partition (max_active_runs=1, or a destination for each)."
        )

    def _decoded(self, content: bytes | None) -> Manifest | None:
        """Decode a manifest; a broken one counts as none."""
        try:
            return decode(content, str(self._path)) if content is not None else None
        except BrokenManifestError:
            return None


def _without_names(manifest: Manifest) -> bytes:
    """Encode a manifest without the names of its objects, which depend on the names that were taken."""
    nameless = {
        kind: tuple(msgspec.structs.replace(each, name="") for each in getattr(manifest, kind))
        for kind in ("files", "attachments")
    }
    return encode(msgspec.structs.replace(manifest, **nameless))


def _batched(names: list[str]) -> Iterator[list[str]]:
    """Split names into batches that are deleted in parallel."""
    return (names[start : start + MAX_PARALLEL_DELETES] for start in range(0, len(names), MAX_PARALLEL_DELETES))
