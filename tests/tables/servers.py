"""The servers that tables are loaded from and into: S3 by moto, and PostgreSQL. All listen on loopback only."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

DEBIAN_POSTGRES = Path("/usr/lib/postgresql")  # pg_ctl is in a folder for each version, which is not in PATH


@dataclass(frozen=True)
class S3Server:
    """
    An S3 server, and the keys of a user who may do everything. Each library has its own words for them.

    A server without ``trailing_checksums`` answers 411 to uploads by pyarrow, so pyiceberg has to write by s3fs.
    """

    endpoint_url: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    trailing_checksums: bool = True

    def make_bucket(self, name: str) -> None:
        """Make a bucket."""
        import boto3  # type: ignore[import-untyped]  # noqa: PLC0415  # half a second, for S3 tests alone

        boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        ).create_bucket(Bucket=name)

    def airflow_connection(self) -> str:
        """Return the ``aws`` connection of Airflow, for an environment variable ``AIRFLOW_CONN_...``."""
        extra = {"region_name": self.region, "endpoint_url": self.endpoint_url}
        keys = {"login": self.access_key, "password": self.secret_key}
        return json.dumps({"conn_type": "aws", **keys, "extra": extra})

    def iceberg_properties(self) -> dict[str, str]:
        """Return the properties by which pyiceberg reads and writes, and DuckDB if a REST catalog vends them."""
        properties = {
            "s3.endpoint": self.endpoint_url,
            "s3.region": self.region,
            "s3.access-key-id": self.access_key,
            "s3.secret-access-key": self.secret_key,
            "s3.path-style-access": "true",  # for DuckDB
        }
        if not self.trailing_checksums:
            properties["py-io-impl"] = "pyiceberg.io.fsspec.FsspecFileIO"
        return properties

    def delta_options(self) -> dict[str, str]:
        """Return the ``storage_options`` of deltalake."""
        return {
            "endpoint_url": self.endpoint_url,
            "region": self.region,
            "access_key_id": self.access_key,
            "secret_access_key": self.secret_key,
            "allow_http": "true",
        }


@contextmanager
def moto_server() -> Iterator[S3Server]:
    """Run moto's S3 server in threads of this process."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  # a second, for S3 tests alone

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield S3Server(f"http://{host}:{port}", "access-key", "secret-key")
    server.stop()


@contextmanager
def postgres_server() -> Iterator[int]:
    """Run a PostgreSQL server, and yield its port. The user ``postgres`` needs no password."""
    pg_ctl = shutil.which("pg_ctl") or next(map(str, sorted(DEBIAN_POSTGRES.glob("*/bin/pg_ctl"), reverse=True)), None)
    if pg_ctl is None:
        missing = "There is no PostgreSQL on this machine: install it (Debian: apt-get install postgresql)."
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    owner = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses root
    with tempfile.TemporaryDirectory(prefix="langsmith-postgres-", ignore_cleanup_errors=True) as directory:
        shutil.chown(directory, owner or os.geteuid())
        port = free_port()

        def control(*command: str) -> None:
            place = ["-D", f"{directory}/data", "-w", "-t", "60"]
            subprocess.run([pg_ctl, *command, *place], check=True, user=owner, cwd=directory, timeout=90)

        control("initdb", "-s", "-o", "--auth=trust --username=postgres --encoding=UTF8 --locale=C --no-sync")
        settings = f"-p {port} -h 127.0.0.1 -c unix_socket_directories= -c fsync=off"
        control("start", "-s", "-l", f"{directory}/log", "-o", settings)
        try:
            yield port
        finally:
            control("stop", "-s", "-m", "fast")  # by the process id in the directory of the server


def sql_catalog(directory: Path, warehouse: str, properties: Mapping[str, str] | None = None) -> str:
    """Return the ``iceberg`` connection of Airflow to a SQL catalog on SQLite, for ``AIRFLOW_CONN_...``."""
    uri = f"sqlite:///{directory}/catalog.db?timeout=60"
    extra = {"type": "sql", "uri": uri, "warehouse": warehouse, **(properties or {})}
    return json.dumps({"conn_type": "iceberg", "extra": extra})


def free_port() -> int:
    """Return a port that no one listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
