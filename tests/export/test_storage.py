"""A store keeps whole objects, on a local disk and on S3."""

from __future__ import annotations

import json
import os
import pickle
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath

from airflow_langsmith.errors import ConfigurationError, StorageError
from airflow_langsmith.export.destination import StoragePath, path_at
from airflow_langsmith.export.layout import MANIFEST
from airflow_langsmith.export.publication import Publication
from airflow_langsmith.export.storage import Snapshot, Store
from airflow_langsmith.manifest import Manifest, encode, read_manifest
from tests.export.turns import Place
from tests.users import plain_user
from tests.wording import says, words


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A finished part on the local disk."""
    path = tmp_path / "00000"
    path.write_bytes(b"new rows")
    return path


def test_objects_are_put_written_read_listed_and_deleted(place: StoragePath, local: Path) -> None:
    """What goes in comes out, by its name, and is gone once deleted."""
    store = Store(place)
    store.put(local, "part")
    store.write(b"{}", "manifest")
    assert store.sizes() == {"part": 8, "manifest": 2}
    assert store.read("part") == b"new rows"
    store.delete(["part"])
    assert store.sizes() == {"manifest": 2}
    assert store.read("part") is None


def test_a_place_that_is_not_there_is_empty(place: StoragePath) -> None:
    """Before the first export there is nothing to list, to read or to delete, and that is no error."""
    store = Store(place)
    assert store.sizes() == {}
    assert store.read("manifest") is None
    store.delete(["part"])


def test_names_keep_every_character(place: StoragePath, local: Path) -> None:
    """Percent signs, equals signs and accents land in the key as they are: a project's name can be read back."""
    Store(place).put(local, "part")
    assert place.path.endswith("/project=my%20shop%2Fcafé/date=2025-03-01")
    assert place.fs.exists(f"{place.path}/part")


def test_an_object_is_replaced_whole(place: StoragePath, local: Path) -> None:
    """A shorter object leaves no tail of the one it replaces."""
    store = Store(place)
    store.write(b"old rows, and more of them", "part")
    store.put(local, "part")
    assert store.read("part") == b"new rows"
    store.write(b"{}", "part")
    assert store.read("part") == b"{}"


def test_what_others_wrote_is_listed(place: StoragePath) -> None:
    """A listing is never an old one out of a cache: concurrent exports are found by it."""
    store = Store(place)
    store.write(b"", "mine")
    assert set(store.sizes()) == {"mine"}
    other = Store(path_at(str(place)))
    other.write(b"", "theirs")
    assert set(store.sizes()) == {"mine", "theirs"}
    other.delete(["mine"])
    assert set(store.sizes()) == {"theirs"}


def test_directories_below_are_no_objects(place: StoragePath) -> None:
    """The hours below a day are not listed with it."""
    Store(place / "hour=05").write(b"", "part")
    store = Store(place)
    store.write(b"", "mine")
    assert set(store.sizes()) == {"mine"}


def test_a_write_that_fails_halfway_changes_nothing(tmp_path: Path) -> None:
    """When the disk takes no more in the middle of a part, the part before it stays, and nothing beside it."""
    local, place = tmp_path / "local", path_at(f"file://{tmp_path}/partition")
    local.write_bytes(bytes(1_000_000))
    store = Store(place)
    store.write(b"old rows", "part")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StorageError, match=says("File too large")):
            store.put(local, "part")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in Path(place.path).iterdir()} == {"part": b"old rows"}


def test_others_may_read_local_parts(tmp_path: Path, local: Path) -> None:
    """Parts on a local disk have the mode of any new file there, as the worker's umask has it."""
    mask = os.umask(0o027)
    try:
        Store(path_at(f"file://{tmp_path}/partition")).put(local, "part")
    finally:
        os.umask(mask)
    assert (tmp_path / "partition/part").stat().st_mode & 0o777 == 0o640


CALLS: dict[str, Callable[[Store], object]] = {
    "write": lambda store: store.write(b"", "part"),
    "read": lambda store: store.read("part"),
    "list": lambda store: store.sizes(),
    "clean up": lambda store: store.delete(["part"]),
}


@pytest.mark.parametrize("doing", CALLS)
def test_a_refusal_names_the_place(tmp_path: Path, doing: str) -> None:
    """What the disk refuses becomes one error: it says what, where and what is still whole, and pickles."""
    (tmp_path / "file").touch()
    place = path_at(f"file://{tmp_path}/file/below")
    with pytest.raises(StorageError, match=says(f"Could not {doing} .*{place}.* A retry may help")) as caught:
        CALLS[doing](Store(place))
    assert ("Whatever its manifest lists" in words(caught.value)) == (doing in ("write", "clean up"))
    assert caught.value.retriable
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.usefixtures("lake")
def test_a_bucket_that_does_not_exist_is_named() -> None:
    """What the store has to say is in the message, and the bucket, too; no retry makes one."""
    with pytest.raises(StorageError, match=says("no bucket 'missing': The specified bucket does not exist")) as caught:
        Store(path_at("s3://lake@missing/runs")).write(b"", "part")
    assert not caught.value.retriable


@pytest.mark.parametrize(
    "uri",
    [
        *("tape://archive/runs", "gs://bucket/runs", "lake/runs", "file://lake/runs", "None", ""),
        *("s3://", "s3:///", "s3:///key", "s3://lake@", "s3://lake@/key", "memory://", "abfs://@/x", "gs://"),
        *("file://", "local://lake", "://lake", "s3:lake", "s3:/lake", "memory://lake", "http://lake/x"),
        *("s3://[oops/x", "s3://two words/x", "s3://{lake}/x", " s3://lake", "s3://lake/x\n"),
        *("file:///lake\x00", "a b://lake", "simplecache::s3://lake/x"),
    ],
)
def test_what_is_no_place_is_refused(uri: str) -> None:
    """A store that no installed provider knows, and a path without a scheme, fail at once: no retry, named."""
    with pytest.raises(ConfigurationError, match=says("A retry will not help")) as caught:
        path_at(uri)
    assert repr(uri) in str(caught.value)


def test_a_misspelt_scheme_is_answered_with_the_one_meant() -> None:
    """A scheme that no store has is answered with the closest that one has."""
    with pytest.raises(ConfigurationError, match=says("Did you mean 'file'")):
        path_at("flie://lake/x")


def test_a_connection_that_cannot_be_read_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow takes an extra that is no JSON for an empty one, and so would ask the store without credentials."""
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", json.dumps({"conn_type": "aws", "extra": "{region: eu}"}))
    with pytest.raises(
        ConfigurationError, match=says("Connection 'broken'.*(extra is no JSON object|is not defined)|cannot read")
    ):
        path_at("s3://broken@lake/x")


@pytest.mark.parametrize("uri", ["s3://typo@traces/runs", "file://typo@/lake", "s3://typo@traces"])
def test_a_connection_that_is_not_defined_is_named(uri: str) -> None:
    """Airflow would go on without credentials, in silence; here it fails at once, wherever a URI comes from."""
    with pytest.raises(ConfigurationError, match=says("Connection 'typo' is not defined")):
        path_at(uri)
    with pytest.raises(ConfigurationError, match=says("Connection 'typo' is not defined")):
        path_at(ObjectStoragePath(uri))
    with pytest.raises(ConfigurationError, match=says("Connection 'typo' is not defined")):
        read_manifest(uri)


POLICY = {
    "write": "s3:PutObject",
    "read": "s3:GetObject",
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
}


@pytest.mark.parametrize("missing", POLICY)
def test_a_right_that_is_missing_is_named(guarded: Any, missing: str) -> None:
    """Each right that a user of S3 lacks is named, with the connection; it is no trouble that a retry cures."""
    place = guarded.place_for([right for name, right in POLICY.items() if name != missing])
    with pytest.raises(StorageError) as caught:
        Publication(place).probe()
    assert not caught.value.retriable
    said = words(caught.value)
    assert said.startswith(f"Connection {guarded.conn_id!r} has not the right to ")
    # S3 tells who may not list neither what is there nor what is not; s3fs finds out as it reads, or before.
    assert any(f"right to {right} (" in said for right in ({"read", "list"} if missing == "list" else {missing}))
    assert POLICY[missing] in said
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_disk_that_refuses_is_named(tmp_path: Path) -> None:
    """A local directory that refuses the worker, or a disk that is read-only, says so, and no retry is tried."""
    (tmp_path / "lake").mkdir(mode=0o500)
    with plain_user(), pytest.raises(StorageError, match=says("The worker has not the right to write")) as caught:
        Store(path_at(f"file://{tmp_path}/lake")).write(b"", "part")
    assert not caught.value.retriable
    with pytest.raises(StorageError, match=says("is read-only|has not the right to write")) as caught:
        Store(path_at("file:///sys/lake")).write(b"", "part")
    assert not caught.value.retriable


def test_a_store_tells_when_an_object_was_written(place: StoragePath) -> None:
    """The time of the last write is that of the clock, and there is none for what is not there."""
    store = Store(place)
    before = datetime.now(UTC) - timedelta(seconds=2)
    store.write(b"{}", "manifest")
    seen = store.snapshot("manifest")
    assert seen is not None
    assert seen.modified is not None
    assert before <= seen.modified <= datetime.now(UTC) + timedelta(seconds=2)
    assert store.snapshot("nothing") is None


def test_an_object_is_swapped_only_if_it_is_the_one_that_was_seen(place: StoragePath) -> None:
    """Of several writers that saw the same, or nothing, one gets through."""
    store = Store(place)
    assert store.swap(b"1", "manifest", None)
    assert not store.swap(b"2", "manifest", None)
    seen = store.snapshot("manifest")
    assert store.swap(b"3", "manifest", seen)
    assert not store.swap(b"4", "manifest", seen)
    store.delete(["manifest"])
    assert not store.swap(b"5", "manifest", seen)
    assert store.read("manifest") is None
    assert store.sizes() == {}


def test_of_many_writers_at_once_one_gets_through(place: StoragePath) -> None:
    """The store itself decides, between the look and the write, too."""
    store = Store(place)
    store.write(b"old", "manifest")
    for number in range(5):
        seen = store.snapshot("manifest")

        def write(writer: int, number: int = number, seen: Snapshot | None = seen) -> bool:
            return Store(place).swap(f"{number} {writer}".encode(), "manifest", seen)

        with ThreadPoolExecutor(8) as threads:
            written = list(threads.map(write, range(8)))
        assert written.count(True) == 1
        assert store.read("manifest") == f"{number} {written.index(True)}".encode()


def test_listings_from_before_are_not_trusted(lake: str, make_manifest: Callable[..., Manifest]) -> None:
    """A process that has listed a partition finds what another process writes and removes there."""
    place = path_at(lake) / "listed" / "runs"
    other = Place(type(place.fs)(**place.fs.storage_options, skip_instance_cache=True), place.path)
    Store(other).write(b"", "part")
    contents = [encode(make_manifest([], rows=rows)) for rows in (1, 20)]
    calls: list[Callable[[], object]] = [
        lambda: Store(place).read(MANIFEST),
        lambda: (seen := Store(place).snapshot(MANIFEST)) and seen.content,
        lambda: encode(read_manifest(place)),
        lambda: contents[1] if Store(place).sizes().get(MANIFEST) == len(contents[1]) else contents[0],
    ]
    for call in calls:
        for content in contents:
            place.fs.ls(place.path)
            Store(other).write(content, MANIFEST)
            assert call() == content
        place.fs.ls(place.path)
        Store(other).delete([MANIFEST])
        assert MANIFEST not in Store(place).sizes()
        place.fs.ls(place.path)
        Store(other).write(contents[0], MANIFEST)
        assert call() == contents[0]
        Store(other).delete([MANIFEST])
