"""A publication replaces an export by another one: all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from airflow_langsmith.errors import ConcurrentExportError, ManifestError, StorageError
from airflow_langsmith.export.destination import StoragePath, path_at
from airflow_langsmith.export.layout import MANIFEST
from airflow_langsmith.export.parts import Part
from airflow_langsmith.export.publication import Publication
from airflow_langsmith.export.storage import Store
from airflow_langsmith.manifest import SCHEMA_VERSION, Manifest, encode, read_manifest
from tests.export.turns import Place, Task
from tests.wording import says

Publish = Callable[..., dict[str, bytes]]
MakePart = Callable[[int, str], Part]
MakeManifest = Callable[..., Manifest]


def objects(place: StoragePath) -> dict[str, bytes]:
    """Read all objects of a partition but the manifest."""
    store = Store(place)
    return {name: store.read(name) or b"" for name in store.sizes() if name != MANIFEST}


def listed(place: StoragePath) -> set[str]:
    """Name the parts that a reader of the manifest would open."""
    return {file.name for file in read_manifest(place).files}


def test_a_publication_leaves_its_parts_and_a_manifest(place: StoragePath, publish: Publish) -> None:
    """Once committed, the manifest lists exactly what is there."""
    parts = publish(place, "one", "two")
    assert objects(place) == parts
    assert listed(place) == set(parts)


def test_the_same_rows_leave_the_same_objects(place: StoragePath, publish: Publish) -> None:
    """A re-run of an unchanged window changes no name and no byte, the manifest's included."""
    publish(place, "one", "two")
    before = objects(place), Store(place).read(MANIFEST)
    publish(place, "one", "two")
    assert (objects(place), Store(place).read(MANIFEST)) == before


@pytest.mark.parametrize("texts", [("one", "changed"), ("one",), ("one", "two", "three"), ("other", "rows")])
def test_other_rows_replace_what_was_there(place: StoragePath, publish: Publish, texts: tuple[str, ...]) -> None:
    """A re-run with other, fewer or more rows leaves its own parts and no stray of the export before."""
    publish(place, "one", "two")
    parts = publish(place, *texts)
    assert objects(place) == parts
    assert listed(place) == set(parts)


def test_until_the_commit_readers_see_the_export_before(
    place: StoragePath, publish: Publish, make_part: MakePart
) -> None:
    """New parts lie beside the old ones, and the manifest does not know them yet."""
    before = publish(place, "one", "two")
    with Publication(place) as publication:
        publication.upload(make_part(0, "other"))
        assert listed(place) == set(before)
        assert objects(place).items() > before.items()


def test_a_failure_takes_back_what_it_uploaded(place: StoragePath, publish: Publish, make_part: MakePart) -> None:
    """A page that fails leaves the export before as it was, with the part it shares with the failed one."""
    before = publish(place, "one", "two")
    with pytest.raises(ConnectionError), Publication(place) as publication:  # noqa: PT012  # that is the story
        publication.upload(make_part(0, "one"))
        publication.upload(make_part(1, "changed"))
        raise ConnectionError
    assert objects(place) == before
    assert listed(place) == set(before)


def test_a_failure_takes_nothing_of_what_was_published_since(
    place: StoragePath, publish: Publish, make_part: MakePart
) -> None:
    """A failing attempt has parts in common with the attempt that overtook it; those stay."""
    with pytest.raises(ConnectionError), Publication(place) as publication:  # noqa: PT012  # that is the story
        publication.upload(make_part(0, "one"))
        published = publish(place, "one", "two")
        raise ConnectionError
    assert objects(place) == published


def test_a_failed_clean_up_does_not_hide_the_failure(
    place: StoragePath, make_part: MakePart, make_manifest: MakeManifest
) -> None:
    """The error that ends an export stays the one that is raised, and says what could not be taken back."""
    newer = make_manifest([], schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(ConnectionError) as caught, Publication(place) as publication:  # noqa: PT012  # the story
        publication.upload(make_part(0, "one"))
        Store(place).write(encode(newer), MANIFEST)
        raise ConnectionError
    assert "the next export removes it" in caught.value.__notes__[0]


def test_the_next_export_removes_what_crashes_left(place: StoragePath, publish: Publish) -> None:
    """Parts that no manifest lists, and files that were never finished, go with the next export."""
    store = Store(place)
    publish(place, "one")
    store.write(b"left", "part-00001-0123abcd.parquet")
    store.write(b"le", f"part-00001-0123abcd.parquet.{'0' * 32}.tmp")
    store.write(b"left", "_attachment-0123456789abcdef.png")
    store.write(b"le", f"_attachment-0123456789abcdef.png.{'0' * 32}.tmp")
    store.write(b"le", f"{MANIFEST}.{'0' * 32}.tmp")
    parts = publish(place, "two")
    assert objects(place) == parts


def test_attachments_come_and_go_with_their_export(place: StoragePath, publish: Publish) -> None:
    """Attachments lie beside the parts; the next export keeps those it lists, too, and removes the others."""
    before = publish(place, "one", attached=("photo", "letter"))
    assert objects(place) == before
    after = publish(place, "one", attached=("letter", "song"))
    assert objects(place) == after
    assert len(set(before) & set(after)) == 2


def test_a_failure_takes_back_its_attachments(
    place: StoragePath, publish: Publish, make_attachment: Callable[[str], Any]
) -> None:
    """Attachments of an export that failed go, but for those that the export before has, too."""
    before = publish(place, "one", attached=("photo",))
    with pytest.raises(ConnectionError), Publication(place) as publication:  # noqa: PT012  # that is the story
        publication.attach(*make_attachment("photo"))
        publication.attach(*make_attachment("song"))
        raise ConnectionError
    assert objects(place) == before


def test_an_attachment_that_went_missing_is_not_published(
    place: StoragePath,
    make_part: MakePart,
    make_attachment: Callable[[str], Any],
    make_manifest: MakeManifest,
) -> None:
    """A manifest never lists an attachment that is not there."""
    with Publication(place) as publication:
        publication.upload(make_part(0, "one"))
        publication.attach(*make_attachment("photo"))
        attachments = tuple(publication.attachments.values())
        Store(place).delete([attachments[0].name])
        with pytest.raises(ConcurrentExportError, match="_attachment-"):
            publication.commit(make_manifest(publication.files, attachments=attachments))


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "part-00000-4f1c2d3e-c000.snappy.parquet",
        "part-of-somebody.tmp",
        "_manifest.json.bak",
        "_SUCCESS",
        "_attachment-of-somebody.png",
        "other_part-00000-0123abcd.parquet",
    ],
)
def test_files_of_others_are_left_alone(place: StoragePath, publish: Publish, name: str) -> None:
    """What does not bear the name of one of our parts is not ours to remove."""
    Store(place).write(b"theirs", name)
    publish(place, "one")
    publish(place, "two")
    assert objects(place)[name] == b"theirs"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"schema_version": 1}', b"\xff\xfe", b'{"schema_version": "x"}']
)
def test_a_broken_manifest_is_replaced(place: StoragePath, publish: Publish, content: bytes) -> None:
    """A manifest that says nothing does not stand in the way of the next export."""
    Store(place).write(content, MANIFEST)
    parts = publish(place, "one")
    assert listed(place) == set(parts)


def test_a_later_versions_manifest_is_not_replaced(
    place: StoragePath, publish: Publish, make_manifest: MakeManifest
) -> None:
    """An old worker does not overwrite what a newer version of this package published: it fails, untouched."""
    content = encode(make_manifest([], schema_version=SCHEMA_VERSION + 1))
    Store(place).write(content, MANIFEST)
    with pytest.raises(ManifestError, match="Upgrade"):
        publish(place, "one")
    assert Store(place).read(MANIFEST) == content
    assert objects(place) == {}


def test_a_part_that_arrived_short_is_not_published(
    place: StoragePath, publish: Publish, make_part: MakePart, make_manifest: MakeManifest
) -> None:
    """An object of another size than the part it should be fails the export before the manifest changes."""
    before = publish(place, "one")
    part = make_part(0, "changed")
    short = replace(part, file=msgspec.structs.replace(part.file, bytes=part.file.bytes + 1))
    with Publication(place) as publication:
        publication.upload(short)
        with pytest.raises(ConcurrentExportError, match=says("not whole")):
            publication.commit(make_manifest(publication.files))
    assert objects(place) == before


def test_the_one_overtaken_fails_and_leaves_the_other_whole(
    place: StoragePath, publish: Publish, make_part: MakePart, make_manifest: MakeManifest
) -> None:
    """An export whose parts another one removed as strays does not publish: a retry does."""
    with pytest.raises(ConcurrentExportError, match=says("A retry will help")), Publication(place) as slow:  # noqa: PT012
        slow.upload(make_part(0, "slow"))
        parts = publish(place, "quick")
        slow.commit(make_manifest(slow.files))
    assert objects(place) == parts
    assert listed(place) == set(parts)


def test_the_one_overtaken_by_the_same_rows_succeeds(
    place: StoragePath, publish: Publish, make_part: MakePart, make_manifest: MakeManifest
) -> None:
    """Two attempts of one task that read the same do not fail each other: their objects are the same."""
    with Publication(place) as slow:
        slow.upload(make_part(0, "same"))
        parts = publish(place, "same")
        slow.commit(make_manifest(slow.files))
    assert objects(place) == parts
    assert listed(place) == set(parts)


def test_a_part_that_lies_in_the_way_is_not_relied_on(
    place: StoragePath, publish: Publish, make_part: MakePart, make_attachment: Callable[[str], Any]
) -> None:
    """
    Another export may be about to remove what no manifest lists, so the same content gets a longer name beside it.

    From then on a re-run changes no name and no byte.
    """
    parts = publish(place, "one", attached=("photo",))
    Store(place).delete([MANIFEST])
    beside = publish(place, "one", attached=("photo",))
    assert sorted(beside.values()) == sorted(parts.values())
    assert not set(beside) & set(parts)
    assert all(any(longer.startswith(name.partition(".")[0]) for longer in beside) for name in parts)
    assert objects(place) == beside
    before = Store(place).read(MANIFEST)
    assert publish(place, "one", attached=("photo",)) == beside
    assert (objects(place), Store(place).read(MANIFEST)) == (beside, before)
    parts = publish(place, "two")
    assert objects(place) == parts


@pytest.mark.parametrize("texts", [(), ("old",)])
def test_a_part_that_is_removed_meanwhile_brings_the_export_before_back(
    tmp_path: Path, publish: Publish, make_part: MakePart, make_manifest: MakeManifest, texts: tuple[str, ...]
) -> None:
    """Whenever a part of it goes, up to its last look, an export fails, and readers find the one before, or none."""

    def export(place: StoragePath) -> None:
        with Publication(place) as publication:
            publication.upload(make_part(0, "new"))
            publication.commit(make_manifest(publication.files))

    removed = 0
    for calls in range(100):
        place = path_at(f"file://{tmp_path}/{calls}")
        before = publish(place, *texts) if texts else {}
        task = Task(place, export)
        task.steps(calls)
        for name in set(objects(place)) - set(before):
            Store(place).delete([name])
            removed += not task.ended
        task.finish()
        if task.error is None and task.calls <= calls:
            break
        if task.error is not None:
            assert isinstance(task.error, ConcurrentExportError | StorageError)
            assert objects(place) == before
            assert (listed(place) if texts else Store(place).read(MANIFEST)) == (set(before) or None)
    assert removed > 5


@dataclass(frozen=True)
class Forgetful:
    """The client of a store whose first answer to a write under a condition gets lost, so that it writes again."""

    fs: Any

    def __getattr__(self, name: str) -> Any:
        """Pass on the rest."""
        return getattr(self.fs, name)

    def pipe_file(self, path: str, content: bytes, **conditions: str) -> None:
        """Write."""
        for _ in range(2 if conditions else 1):
            self.fs.pipe_file(path, content, **conditions)


@pytest.mark.parametrize("texts", [(), ("old",)])
def test_a_lost_answer_is_no_failure(lake: str, publish: Publish, texts: tuple[str, ...]) -> None:
    """A write that is repeated, and refused because it was done already, was done."""
    place = path_at(lake) / str(uuid4())
    if texts:
        publish(place, *texts)
    parts = publish(Place(Forgetful(place.fs), place.path), "new")
    assert objects(place) == parts
    assert listed(place) == set(parts)
