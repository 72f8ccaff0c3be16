"""
From parts to an export: all of it or none, at any moment.

New parts and attachments are uploaded beside the old ones. Then the manifest is replaced, in one write; that is the
moment of change. Only then do those go that it no longer lists. Whoever reads by the manifest sees the old export or
the new one, and a crash anywhere leaves one of the two; what it leaves behind, the partition's next export removes.

Object stores have no locks, so two exports of one partition at the same time can remove each other's parts. Each looks
before and after every step that matters: if parts of the published export are missing once both have ended, then at
least one of them has failed, and its retry publishes a whole one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from airflow_langsmith.api.errors import LangSmithError
from airflow_langsmith.export import manifest as manifests
from airflow_langsmith.export.errors import BrokenManifestError, ConcurrentExportError
from airflow_langsmith.export.layout import ATTACHMENT, CHECKPOINT, PART, PROBE, probe_name
from airflow_langsmith.export.manifest import Manifest, ManifestAttachment, ManifestFile
from airflow_langsmith.export.parts import Part
from airflow_langsmith.export.storage import TEMPORARY, StoragePath, store_at


class Publication:
    """
    One export on its way into a partition; left before :meth:`commit`, it takes back what it uploaded.

    :raises ManifestError: where a later version of this package published; nothing of it is touched.
    """

    def __init__(self, path: StoragePath) -> None:
        self._path = path
        self._store = store_at(path)
        self.files: list[ManifestFile] = []
        self.attachments: dict[str, ManifestAttachment] = {}
        self.previous = self._published()
        self.previous_at = self._store.modified(manifests.NAME) if self.previous else None
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
        uploaded = [*(file.name for file in self.files), *self.attachments]
        if self._committing or not uploaded:
            return
        try:
            published = self._published()
            kept = published.sizes if published else {}
            self._store.delete(name for name in uploaded if name not in kept)
        except LangSmithError as failure:
            if error is None:
                raise
            error.add_note(f"What was uploaded until then is still there; the next export removes it. {failure}")

    def probe(self) -> None:
        """
        See whether objects can be written, listed and deleted here, before much is read for nothing.

        :raises StorageAccessError: naming the right that is missing.
        """
        name = probe_name()
        self._store.write(b"", name)
        self._store.sizes()
        self._store.delete([name])

    def upload(self, part: Part) -> None:
        """Upload a part and remove it from the local disk."""
        self.files.append(part.file)
        self._store.put(part.path, part.file.name)
        part.path.unlink()

    def attach(self, local: Path, attachment: ManifestAttachment) -> None:
        """Upload an attachment, if none of its name was, and remove it from the local disk."""
        if attachment.name not in self.attachments:
            self.attachments[attachment.name] = attachment
            self._store.put(local, attachment.name)
        local.unlink()

    def commit(self, manifest: Manifest, before_swap: Callable[[], None] = lambda: None) -> str:
        """
        Replace the manifest, then remove what it does not list; give its URI.

        :param before_swap: Called last before the manifest is replaced; what it raises prevents that.
        :raises ConcurrentExportError: where another export of the partition got in between.
        """
        content = manifests.encode(manifest)
        self._list_whole(manifest)
        before_swap()
        self._committing = True  # from here on the manifest may be ours, even if the answer to its upload is lost
        self._store.write(content, manifests.NAME)
        found = self._list_whole(manifest)
        listed = manifest.sizes
        self._store.delete(name for name in found if name not in listed and _ours(name))
        if self._store.read(manifests.NAME) != content:
            raise self._concurrent(f"The manifest just published at {self._path} was replaced")
        return str(self._path / manifests.NAME)

    def _list_whole(self, manifest: Manifest) -> dict[str, int]:
        """List the partition, and check that all of the manifest is there."""
        found = self._store.sizes()
        if missing := [name for name, size in manifest.sizes.items() if found.get(name) != size]:
            raise self._concurrent(f"{', '.join(missing[:3])} just uploaded to {self._path} is not there, or not whole")
        return found

    def _concurrent(self, what: str) -> ConcurrentExportError:
        return ConcurrentExportError(
            f"{what}: another export of the same partition runs at the same time. A retry will "
            "help. Let no two tasks write the same partition (max_active_runs=1, or a destination for each)."
        )

    def _published(self) -> Manifest | None:
        """Read the manifest in place; a broken one is as good as none."""
        content = self._store.read(manifests.NAME)
        try:
            return manifests.decode(content, str(self._path)) if content is not None else None
        except BrokenManifestError:
            return None


def _ours(name: str) -> bool:
    """Tell what we put there, and what a crash left of a file, from what somebody else did."""
    finished = TEMPORARY.sub("", name)
    ours = any(pattern.fullmatch(finished) for pattern in (PART, ATTACHMENT, CHECKPOINT, PROBE))
    return ours or (finished == manifests.NAME and finished != name)
