"""Runs to write, places to write to, and parts to publish."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from moto import settings as moto_settings
from msgspec import Raw

from airflow_langsmith.api.records import Project, Run
from airflow_langsmith.export.destination import StoragePath, path_at
from airflow_langsmith.export.layout import attachment_name, part_name
from airflow_langsmith.export.parts import Part
from airflow_langsmith.export.publication import Publication
from airflow_langsmith.manifest import Manifest, ManifestAttachment, ManifestColumn, ManifestFile
from airflow_langsmith.views import VIEWS, View, view_of
from tests.tables.servers import moto_server

SHOP = Project(id="7b0f2f6e-0c35-4a4e-9d0a-1f6f0c7c1a11", name="shop")
START = datetime(2025, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Run]:
    """Make runs, each its own unless told otherwise."""

    def make(number: int = 0, **fields: Any) -> Run:
        plain: dict[str, Any] = {
            "id": f"00000000-0000-4000-8000-{number:012d}",
            "project": SHOP,
            "name": "answer",
            "start_time": START + timedelta(seconds=number),
            "tags": [],
            "inputs": Raw(b'{"question":"%d"}' % number),
        }
        return Run(**(plain | fields))

    return make


@pytest.fixture(scope="session")
def whole_view() -> View:
    """The view ``runs`` with every column it has."""
    return view_of("runs", [column.name for column in VIEWS["runs"].columns])


@pytest.fixture(scope="session")
def lake() -> Iterator[str]:
    """An S3 server with a bucket, behind the Airflow connection ``lake``."""
    with moto_server() as server, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_LAKE", server.airflow_connection())
        server.make_bucket("traces")
        yield "s3://lake@traces"


@dataclass
class Guarded:
    """A user of the S3 server who may do what he was told he may, behind an Airflow connection of his own."""

    conn_id: str
    access: Any

    def place_for(self, rights: list[str]) -> StoragePath:
        """Grant rights on the bucket and nothing else, and give a partition there."""
        statement = {"Effect": "Allow", "Action": rights, "Resource": ["arn:aws:s3:::traces", "arn:aws:s3:::traces/*"]}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.access.put_user_policy(UserName=self.conn_id, PolicyName="some", PolicyDocument=policy)
        moto_settings.INITIAL_NO_AUTH_ACTION_COUNT = 0  # from now on every request is judged
        return path_at(f"s3://{self.conn_id}@traces/{uuid4()}/date=2025-03-01")


@pytest.fixture
def guarded(lake: str, monkeypatch: pytest.MonkeyPatch) -> Guarded:
    """A user without any right yet; until the test ends the server refuses what nobody granted."""
    import boto3  # type: ignore[import-untyped]  # noqa: PLC0415  # for this alone

    connection = json.loads(os.environ["AIRFLOW_CONN_LAKE"])
    conn_id = f"guarded_{uuid4().hex}"  # Airflow keeps file systems by it
    access = boto3.client(
        "iam",
        endpoint_url=connection["extra"]["endpoint_url"],
        region_name="us-east-1",
        aws_access_key_id="root",
        aws_secret_access_key="root",
    )
    access.create_user(UserName=conn_id)
    key = access.create_access_key(UserName=conn_id)["AccessKey"]
    login = {"login": key["AccessKeyId"], "password": key["SecretAccessKey"]}
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({**connection, **login}))
    monkeypatch.setattr(moto_settings, "INITIAL_NO_AUTH_ACTION_COUNT", moto_settings.INITIAL_NO_AUTH_ACTION_COUNT)
    return Guarded(conn_id, access)


@pytest.fixture(params=["file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> StoragePath:
    """A directory that is not there yet, on the local disk and on S3."""
    root = f"file://{tmp_path}" if request.param == "file" else f"{request.getfixturevalue('lake')}/{uuid4()}"
    return path_at(root) / "project=my%20shop%2Fcafé" / "date=2025-03-01"


@pytest.fixture
def make_part(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, str], Part]:
    """Make parts, as ``Parts`` gives them, out of any text."""

    def make(number: int, text: str) -> Part:
        path = tmp_path_factory.mktemp("part") / "0"
        path.write_text(text)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        name = part_name(number, sha256, "jsonl")
        return Part(path, ManifestFile(name=name, rows=1, bytes=path.stat().st_size, sha256=sha256))

    return make


@pytest.fixture(scope="session")
def make_manifest() -> Callable[..., Manifest]:
    """Make the manifest of any files."""

    def make(files: list[ManifestFile], **fields: Any) -> Manifest:
        plain: dict[str, Any] = {
            "package_version": "0.1.0",
            "view": "runs",
            "project": SHOP.name,
            "project_id": SHOP.id,
            "window_start": START,
            "window_end": START + timedelta(days=1),
            "query": {"filter": 'eq(name, "answer")', "is_root": True},
            "api_version": "v2",
            "format": "jsonl",
            "compression": "none",
            "columns": (ManifestColumn(name="run_id", type="string"),),
            "files": tuple(files),
            "rows": sum(file.rows for file in files),
            "bytes": sum(file.bytes for file in files),
            "pending": 0,
            "min_start_time": START,
            "max_start_time": START + timedelta(microseconds=1),
        }
        return Manifest(**(plain | fields))

    return make


@pytest.fixture
def make_attachment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, ManifestAttachment]]:
    """Make attachments on the local disk, out of any text."""

    def make(text: str) -> tuple[Path, ManifestAttachment]:
        path = tmp_path_factory.mktemp("attachment") / "0"
        path.write_text(text)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        name = attachment_name(sha256, "txt")
        return path, ManifestAttachment(name=name, bytes=path.stat().st_size, sha256=sha256)

    return make


@pytest.fixture
def publish(
    make_part: Callable[[int, str], Part],
    make_attachment: Callable[[str], tuple[Path, ManifestAttachment]],
    make_manifest: Callable[..., Manifest],
) -> Callable[..., dict[str, bytes]]:
    """Publish parts and attachments of the given texts, and give what a reader of the partition then has to find."""

    def publish(path: StoragePath, *texts: str, attached: Iterable[str] = ()) -> dict[str, bytes]:
        with Publication(path) as publication:
            for number, text in enumerate(texts):
                publication.upload(make_part(number, text))
            for text in attached:
                publication.attach(*make_attachment(text))
            attachments = tuple(publication.attachments.values())
            publication.commit(make_manifest(publication.files, attachments=attachments))
        names = [
            *(file.name for file in publication.files),
            *(attachment.name for attachment in publication.attachments.values()),
        ]
        return {name: text.encode() for name, text in zip(names, [*texts, *attached], strict=True)}

    return publish
