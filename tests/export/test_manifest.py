"""The manifest says what an export is made of, to people and to programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import duckdb
import msgspec
import pyarrow.parquet as pq
import pytest

from airflow_langsmith.errors import ManifestError
from airflow_langsmith.export.destination import StoragePath, path_at
from airflow_langsmith.export.layout import MANIFEST
from airflow_langsmith.export.storage import Store
from airflow_langsmith.manifest import (
    SCHEMA_VERSION,
    Manifest,
    ManifestFile,
    decode,
    encode,
    read_manifest,
)
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ClientOf, RunExport
from tests.wording import says

MakeManifest = Callable[..., Manifest]
FILE = ManifestFile(name="part-00000-3f9a1c2b.parquet", rows=2, bytes=300, sha256="3f9a1c2b" + 56 * "0")


def test_a_manifest_comes_back_as_it_was(make_manifest: MakeManifest) -> None:
    """Every field survives writing and reading."""
    manifest = make_manifest([FILE], min_start_time=None)
    assert decode(encode(manifest), "here") == manifest


def test_the_same_manifest_is_the_same_bytes(make_manifest: MakeManifest) -> None:
    """Nothing in a manifest depends on when it is written."""
    assert encode(make_manifest([FILE])) == encode(make_manifest([FILE]))


def test_times_are_explicitly_utc(make_manifest: MakeManifest) -> None:
    """A reader in any language knows the zone of every time."""
    written = json.loads(encode(make_manifest([FILE])))
    assert written["window_start"] == "2025-03-01T00:00:00Z"
    assert written["window_end"] == "2025-03-02T00:00:00Z"
    assert written["max_start_time"] == "2025-03-01T00:00:00.000001Z"


def test_it_is_written_for_people_too(make_manifest: MakeManifest) -> None:
    """One field a line, in the order of the class, and a newline at the end."""
    lines = encode(make_manifest([FILE])).decode().splitlines()
    assert lines[:2] == ["{", f'  "schema_version": {SCHEMA_VERSION},']
    assert encode(make_manifest([FILE])).endswith(b"}\n")


def test_fields_to_come_are_skipped(make_manifest: MakeManifest) -> None:
    """A later package may add fields without locking this one out."""
    manifest = make_manifest([FILE])
    written = json.loads(encode(manifest)) | {"colour": "blue"}
    assert decode(json.dumps(written).encode(), "here") == manifest


def test_a_manifest_of_before_has_no_counts_of_nulls(make_manifest: MakeManifest) -> None:
    """A manifest that an earlier version wrote is read, as if no column was flat."""
    written = json.loads(encode(make_manifest([FILE], nulls={"inputs__question": 2})))
    assert written.pop("nulls") == {"inputs__question": 2}
    assert decode(json.dumps(written).encode(), "here") == make_manifest([FILE])


def test_it_is_read_by_its_own_uri_and_by_its_partitions(place: StoragePath, make_manifest: MakeManifest) -> None:
    """What an operator returned, and the directory it is in, lead to the same manifest, as text or as a path."""
    manifest = make_manifest([FILE])
    Store(place).write(encode(manifest), MANIFEST)
    for uri in (str(place / MANIFEST), str(place), f"{place}/", place / MANIFEST, place):
        assert read_manifest(uri) == manifest


def test_the_place_is_not_written_and_makes_no_difference(make_manifest: MakeManifest) -> None:
    """A manifest is the same file, and equal, wherever it was read from."""
    manifest, moved = make_manifest([FILE]), make_manifest([FILE], uri=f"s3://lake@traces/runs/{MANIFEST}")
    assert encode(moved) == encode(manifest)
    assert "uri" not in json.loads(encode(moved))
    assert moved == manifest != make_manifest([FILE], rows=3)
    assert {moved} == {manifest}


def test_it_knows_the_place_that_it_was_read_from(place: StoragePath, make_manifest: MakeManifest) -> None:
    """``uri`` is the manifest's own URI, with the connection, whether it was read by that or by its partition."""
    Store(place).write(encode(make_manifest([FILE])), MANIFEST)
    for uri in (str(place / MANIFEST), place):
        assert read_manifest(uri).uri == str(place / MANIFEST)


@pytest.mark.parametrize(
    ("folder", "plain"),
    [
        ("s3://aws_default@lake/runs/project=my%20shop", "s3://lake/runs/project=my%20shop"),
        ("s3://lake/runs/user@work", "s3://lake/runs/user@work"),
        ("gs://google@lake", "gs://lake"),
        ("file:///lake/runs/project=my%20shop", "/lake/runs/project=my%20shop"),
    ],
)
def test_uris_are_those_of_query_engines(folder: str, plain: str, make_manifest: MakeManifest) -> None:
    """The URIs of the parts have no connection, keep percent signs, and are paths on a local disk."""
    second = msgspec.structs.replace(FILE, name="part-00001-77b0e4d1.parquet")
    manifest = make_manifest([FILE, second], uri=f"{folder}/{MANIFEST}")
    assert manifest.uris() == [f"{plain}/{FILE.name}", f"{plain}/{second.name}"]


def test_a_manifest_without_a_place_has_no_uris(make_manifest: MakeManifest) -> None:
    """A manifest that was not read from a place says how to read it."""
    with pytest.raises(ManifestError, match=r"Read it with read_manifest\(uri\)"):
        make_manifest([FILE]).uris()


def test_readers_read_the_uris_of_an_export(
    langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport
) -> None:
    """DuckDB and pyarrow read the parts of a project with a blank in its name by their URIs, also if it is empty."""
    start, length = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)
    langsmith.add_run(project="my shop", name="turn", start_time=start)
    for day, rows in ((start, 1), (start + length, 0)):
        exported = export_runs(client_of(langsmith), "my shop", day, day + length)
        manifest = read_manifest(exported.uri)
        assert "/project=my%20shop/" in manifest.uri
        assert manifest.uris() == exported.manifest.uris()
        assert [pq.read_table(uri, partitioning=None).num_rows for uri in manifest.uris()] == [rows]
        result = duckdb.execute("from read_parquet($parts, hive_partitioning = false)", {"parts": manifest.uris()})
        assert len(result.fetchall()) == rows


def test_a_missing_manifest_says_what_to_do(place: StoragePath) -> None:
    """Where nothing was published the error names the place and the way out."""
    with pytest.raises(ManifestError, match=says("Run the export first")) as caught:
        read_manifest(place / MANIFEST)
    assert str(place) in str(caught.value)
    assert not caught.value.retriable


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1]", b'{"schema_version": 1, "rows": 3}'])
def test_another_file_is_no_manifest(content: bytes) -> None:
    """Whatever else lies there is told apart, with its place."""
    with pytest.raises(ManifestError, match=says("at s3://lake/runs is no manifest")):
        decode(content, "s3://lake/runs")


def test_a_later_schema_asks_for_an_upgrade(make_manifest: MakeManifest) -> None:
    """A manifest of a schema yet to come is not guessed at."""
    content = encode(make_manifest([FILE], schema_version=SCHEMA_VERSION + 1))
    with pytest.raises(ManifestError, match=says("upgrade airflow-provider-langsmith")):
        decode(content, "s3://lake/runs")


def test_a_partition_can_be_given_with_a_connection(lake: str, make_manifest: MakeManifest) -> None:
    """The URI that an operator returns holds the connection it was written with."""
    place = path_at(f"{lake}/manifests")
    Store(place).write(encode(make_manifest([FILE])), MANIFEST)
    assert str(place / MANIFEST) == f"s3://lake@traces/manifests/{MANIFEST}"
    assert read_manifest(f"s3://lake@traces/manifests/{MANIFEST}").files == (FILE,)
