"""Two exports of one partition at the same time: whole at the end, or one of them says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from airflow_langsmith.export.errors import ConcurrentExportError
from airflow_langsmith.export.manifest import Manifest, read_manifest
from airflow_langsmith.export.parts import Part
from airflow_langsmith.export.publish import Publication
from airflow_langsmith.export.storage import StoragePath, store_at

MakePart = Callable[[int, str], Part]
MakeManifest = Callable[..., Manifest]
# An export of one part reads the manifest, uploads, lists, writes, lists, deletes another part or two, and reads again.
CALLS = 8


@dataclass
class Bucket:
    """An object store's file system, in memory; something else may happen before one of its calls."""

    objects: dict[str, bytes] = field(default_factory=dict)
    calls_until: int = -1
    happens: Callable[[], None] = lambda: None
    protocol: tuple[str, ...] = ("memory",)

    def turn(self) -> None:
        """Count down to what happens in between."""
        self.calls_until -= 1
        if self.calls_until == -1:
            self.happens()

    def put_file(self, local: str, path: str) -> None:
        """Upload."""
        self.pipe_file(path, Path(local).read_bytes())

    def pipe_file(self, path: str, content: bytes) -> None:
        """Write."""
        self.turn()
        self.objects[path] = content

    def cat_file(self, path: str) -> bytes:
        """Read."""
        self.turn()
        if path not in self.objects:
            raise FileNotFoundError(path)
        return self.objects[path]

    def ls(self, path: str, *, detail: bool) -> list[dict[str, Any]]:
        """List."""
        assert detail
        self.turn()
        found = [(name, len(content)) for name, content in self.objects.items() if name.startswith(f"{path}/")]
        return [{"name": name, "size": size, "type": "file"} for name, size in found]

    def rm_file(self, path: str) -> None:
        """Remove, and say nothing of what is gone already, as S3 does."""
        self.turn()
        self.objects.pop(path, None)

    def invalidate_cache(self) -> None:
        """Nothing is cached."""


@dataclass
class Place:
    """A place in a bucket."""

    fs: Bucket
    path: str

    @property
    def name(self) -> str:
        """The last step."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> Self:
        """One step up."""
        return type(self)(self.fs, self.path.rpartition("/")[0])

    def __truediv__(self, name: str) -> Self:
        """Go down."""
        return type(self)(self.fs, f"{self.path}/{name}")

    def __str__(self) -> str:
        """Print it."""
        return f"memory://{self.path}"


def publish(place: StoragePath, part: Part, make_manifest: MakeManifest) -> None:
    """Publish one part."""
    with Publication(place) as publication:
        publication.upload(part)
        publication.commit(make_manifest(publication.files))


def is_whole(place: StoragePath) -> bool:
    """Tell whether a reader finds every part that the manifest lists."""
    there = store_at(place).sizes()
    return all(there.get(file.name) == file.bytes for file in read_manifest(place).files)


@pytest.mark.parametrize("calls", range(CALLS))
@pytest.mark.parametrize(
    ("text", "other"),
    [
        pytest.param("one", "two", id="other rows"),
        pytest.param("two", "two", id="same rows"),
        pytest.param("old", "two", id="rows as before"),
        pytest.param("one", "old", id="rows as before in between"),
    ],
)
def test_an_export_in_between_is_whole_or_one_of_both_fails(
    make_part: MakePart, make_manifest: MakeManifest, calls: int, text: str, other: str
) -> None:
    """Wherever an export is interrupted by another one, a part is missing only if one failed; its retry mends it."""
    place = Place(Bucket(), "lake/runs")
    failed = []

    def export(text: str) -> None:
        try:
            publish(place, make_part(0, text), make_manifest)
        except ConcurrentExportError:
            failed.append(text)

    export("old")
    place.fs.calls_until, place.fs.happens = calls, lambda: export(other)
    export(text)
    place.fs.happens = lambda: None
    assert failed or is_whole(place)
    for each in failed:
        export(each)
    assert is_whole(place)
