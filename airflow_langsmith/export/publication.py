"""
From parts to an export: all of it or none, at any moment.

New parts and attachments are uploaded beside the old ones. Then the manifest is replaced, in one write; that is the
moment of change. Only then do those go that it no longer lists. Whoever reads by the manifest sees the old export or
the new one, and a crash anywhere leaves one of the two; what it leaves behind, the partition's next export removes.

Two exports of one partition may run at the same time: two tasks, or a task that Airflow gave up and its own retry. The
first that replaces the manifest wins, because the others find another manifest than the one they began with. They fail,
and a retry begins with what is there then. Four rules keep the objects of the one from the clean-up of the other:

- An export removes what lay there before its manifest, and only while that is in place. So whatever it removes was
  there when the next export began.
- An export never uploads under a name that was there when it began, unless the manifest lists it.
- After its manifest is in place, an export looks whether all that it lists is there. If not, it puts the old one back.
- No step trusts the one before. A store may ignore the condition of a write, and an answer may get lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from airflow_langsmith import manifest as manifests
from airflow_langsmith.errors import BrokenManifestError, ConcurrentExportError, LangSmithError
from airflow_langsmith.export.conflicts import Identity, refuse_another
from airflow_langsmith.export.layout import ATTACHMENT, CHECKPOINT, PART, PROBE, longer_names, probe_name
from airflow_langsmith.export.parts import Part
from airflow_langsmith.export.storage import AT_ONCE, TEMPORARY, StoragePath, store_at
from airflow_langsmith.manifest import Manifest, ManifestAttachment, ManifestFile


class Publication:
    """
    One export on its way into a partition; left before :meth:`commit`, it takes back what it uploaded.

    :raises ManifestError: where a later version of this package published; nothing of it is touched.
    """

    def __init__(self, path: StoragePath) -> None:
        self._path = path
        self._store = store_at(path)
        self.files: list[ManifestFile] = []
        self.attachments: dict[str, ManifestAttachment] = {}  # by the shortest of their names
        self._seen = self._store.look(manifests.NAME)
        self.previous = self._decoded(self._seen.content if self._seen else None)
        self.previous_at = self._seen.modified if self._seen and self.previous else None
        self._taken = self._store.sizes().keys()  # looked up after the manifest: its export may yet remove some
        self._committing = False

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """
        Take back what was uploaded, unless the manifest lists it, or may.

        A part with the same rows has the same name, so what was uploaded may be in the export that stands.
        """
        if self._committing:
            return
        try:
            for names in _some([*(file.name for file in self.files), *(one.name for one in self.attachments.values())]):
                published = self._decoded(self._store.read(manifests.NAME))
                listed = published.sizes if published else {}
                self._store.delete(name for name in names if name not in listed)
        except LangSmithError as failure:
            if error is None:
                raise
            error.add_note(f"What was uploaded until then is still there; the next export removes it. {failure}")

    def probe(self) -> None:
        """
        See whether objects can be written and deleted here, before much is read for nothing.

        :raises StorageAccessError: naming the right that is missing.
        """
        name = probe_name()
        self._store.write(b"", name)
        self._store.delete([name])

    def upload(self, part: Part) -> None:
        """Upload a part and remove it from the local disk."""
        name = self._free_name(part.file.name, part.file.sha256)
        self.files.append(msgspec.structs.replace(part.file, name=name))
        self._store.put(part.path, name)
        part.path.unlink()

    def attach(self, local: Path, attachment: ManifestAttachment) -> str:
        """Upload an attachment, if it was not, and remove it from the local disk; return the name that it has there."""
        if attachment.name not in self.attachments:
            name = self._free_name(attachment.name, attachment.sha256)
            self.attachments[attachment.name] = msgspec.structs.replace(attachment, name=name)
            self._store.put(local, name)
        local.unlink()
        return self.attachments[attachment.name].name

    def commit(self, manifest: Manifest, before_swap: Callable[[], None] = lambda: None) -> str:
        """
        Replace the manifest, then remove what it does not list; give its URI.

        Another export that published the same rows meanwhile is as good as this one.

        :param before_swap: Called last before the manifest is replaced; what it raises prevents that.
        :raises ConcurrentExportError: where another export of the partition got in between.
        :raises DestinationConflictError: where it is one of another query, project or window.
        """
        try:
            self._replace(manifest, manifests.encode(manifest), before_swap)
        except ConcurrentExportError:
            published = self._decoded(self._store.read(manifests.NAME))
            is_same = published is not None and _without_names(published) == _without_names(manifest)
            if not is_same or not self._is_whole(published):
                raise
        return str(self._path / manifests.NAME)

    def _replace(self, manifest: Manifest, content: bytes, before_swap: Callable[[], None]) -> None:
        there = self._list_whole(manifest)
        before_swap()
        self._committing = True  # from here on the manifest may be ours, even if the answer to its upload is lost
        is_written = self._store.swap(content, manifests.NAME, self._seen)
        self._committing = is_written or self._store.read(manifests.NAME) == content
        self._refuse_other(manifest, content)
        try:
            self._list_whole(manifest)
        except ConcurrentExportError:
            self._put_back(content)
            raise
        for names in _some([name for name in there if name not in manifest.sizes and _ours(name)]):
            self._refuse_other(manifest, content)
            self._store.delete(names)
        self._refuse_other(manifest, content)

    def _list_whole(self, manifest: Manifest) -> dict[str, int]:
        """List the partition, and check that all of the manifest is there."""
        found = self._store.sizes()
        if missing := [name for name, size in manifest.sizes.items() if found.get(name) != size]:
            refuse_another(self._decoded(self._store.read(manifests.NAME)), Identity.of(manifest), self._path)
            raise self._concurrent(f"{', '.join(missing[:3])} just uploaded to {self._path} is not there, or not whole")
        return found

    def _refuse_other(self, manifest: Manifest, content: bytes) -> None:
        """Check that the manifest in place is ours, also if another export has written the same."""
        there = self._store.read(manifests.NAME)
        if there != content:
            refuse_another(self._decoded(there), Identity.of(manifest), self._path)
            raise self._concurrent(f"Another manifest was published at {self._path} since this export began")

    def _put_back(self, content: bytes) -> None:
        """Put the manifest back that was there before, if all that it lists still is."""
        ours = self._store.look(manifests.NAME)
        if ours is None or ours.content != content:
            return
        if self._seen is None:
            self._store.delete([manifests.NAME])
        elif self._is_whole(self.previous):
            self._store.swap(self._seen.content, manifests.NAME, ours)

    def _is_whole(self, manifest: Manifest | None) -> bool:
        """Tell whether all that a manifest lists is there."""
        return manifest is not None and manifest.sizes.items() <= self._store.sizes().items()

    def _free_name(self, name: str, sha256: str) -> str:
        """
        Choose a name that no other export is about to remove.

        It is that of the same content in the export before, so that a re-run changes nothing, or else one that was not
        there when this export began.
        """
        names = list(longer_names(name, sha256))
        listed = {each.name for each in self.previous.objects if each.sha256 == sha256} if self.previous else set()
        free = [each for each in names if each not in self._taken]
        return [*(each for each in names if each in listed), *free, names[-1]][0]

    def _concurrent(self, what: str) -> ConcurrentExportError:
        return ConcurrentExportError(
            f"{what}: another export of the same partition runs at the same time. A retry will "
            "help. Let no two tasks write the same partition (max_active_runs=1, or a destination for each)."
        )

    def _decoded(self, content: bytes | None) -> Manifest | None:
        """Read a manifest; a broken one is as good as none."""
        try:
            return manifests.decode(content, str(self._path)) if content is not None else None
        except BrokenManifestError:
            return None


def _without_names(manifest: Manifest) -> bytes:
    """Write a manifest without the names of its objects, which depend on what lay there."""
    nameless = {
        kind: tuple(msgspec.structs.replace(each, name="") for each in getattr(manifest, kind))
        for kind in ("files", "attachments")
    }
    return manifests.encode(msgspec.structs.replace(manifest, **nameless))


def _some(names: list[str]) -> Iterator[list[str]]:
    """Cut a list into pieces of as many objects as are removed at a time."""
    return (names[first : first + AT_ONCE] for first in range(0, len(names), AT_ONCE))


def _ours(name: str) -> bool:
    """Tell what we put there, and what a crash left of a file, from what somebody else did."""
    finished = TEMPORARY.sub("", name)
    ours = any(pattern.fullmatch(finished) for pattern in (PART, ATTACHMENT, CHECKPOINT, PROBE))
    return ours or (finished == manifests.NAME and finished != name)
