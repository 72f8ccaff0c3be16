"""
From parts to an export: all of it or none, at any moment.

New parts are uploaded beside the old ones. Then the manifest is replaced, in one write; that is the moment of change.
Only then do parts go that it no longer lists. Whoever reads by the manifest sees the old export or the new one, and a
crash anywhere leaves one of the two; what it leaves behind, the next export of the partition removes.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from airflow_langsmith.export import manifest as manifests
from airflow_langsmith.export.errors import ConcurrentExportError, ManifestError
from airflow_langsmith.export.layout import PART
from airflow_langsmith.export.manifest import Manifest, ManifestFile
from airflow_langsmith.export.parts import Part
from airflow_langsmith.export.storage import TEMPORARY, StoragePath, store_at


class Publication:
    """One export on its way into a partition; left without :meth:`commit`, it takes back what it uploaded."""

    def __init__(self, path: StoragePath) -> None:
        self._path = path
        self._store = store_at(path)
        self.files: list[ManifestFile] = []
        self.previous = self._read_previous()
        self._committed = False

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the uploaded parts back, unless the export was committed."""
        if not self._committed:
            kept = {file.name for file in self.previous.files} if self.previous else set()
            self._store.delete(file.name for file in self.files if file.name not in kept)

    def upload(self, part: Part) -> None:
        """Upload a part and remove it from the local disk."""
        self.files.append(part.file)
        self._store.put(part.path, part.file.name)
        part.path.unlink()

    def commit(self, manifest: Manifest) -> str:
        """Replace the manifest, then remove what it does not list; give its URI."""
        self._store.write(manifests.encode(manifest), manifests.NAME)
        self._committed = True
        listed = {file.name: file.bytes for file in manifest.files}
        found = self._store.sizes()
        missing = [name for name, size in listed.items() if found.get(name) != size]
        if missing:
            raise ConcurrentExportError(
                f"{', '.join(missing[:3])} of the export just published at {self._path} is gone: another export of the "
                "same partition runs at the same time. A retry will help; let no two tasks write the same partition "
                "(max_active_runs=1, or a destination for each)."
            )
        self._store.delete(name for name in found if name not in listed and _ours(name))
        return str(self._path / manifests.NAME)

    def _read_previous(self) -> Manifest | None:
        """Read the manifest in place; one that cannot be read is replaced like any other."""
        content = self._store.read(manifests.NAME)
        try:
            return manifests.decode(content, str(self._path)) if content is not None else None
        except ManifestError:
            return None


def _ours(name: str) -> bool:
    """Tell our parts, and what a crash left of one, from files that somebody else put there."""
    return PART.fullmatch(name) is not None or (name.endswith(TEMPORARY) and name.startswith(("part-", manifests.NAME)))
