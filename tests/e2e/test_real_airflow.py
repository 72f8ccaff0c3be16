"""A DAG on real Airflow, through its own command line, database and logs."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from airflow_langsmith.export import read_manifest
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = "lsv2_pt_this_key_must_be_seen_nowhere"


class Airflow:
    """An Airflow of its own: a home, a database, and the command line."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = os.environ | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            # All that we and what we use can say; Airflow's own debug lines print the secrets it is told to mask.
            "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "airflow_langsmith=DEBUG httpx=DEBUG httpcore=DEBUG s3fs=DEBUG",
        }
        self.output = ""
        self.run("db", "migrate")

    def run(self, *command: str, **environment: str) -> int:
        """Run a command; keep what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *command],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.output += done.stdout + done.stderr
        return done.returncode

    def test_dag(self, day: datetime, conf: dict[str, str], **environment: str) -> int:
        """Run the example DAG for the day that ends at ``day``."""
        asked = ["dags", "test", "langsmith_export_runs", day.isoformat(), "--conf", json.dumps(conf)]
        return self.run(*asked, **environment)

    def xcoms(self) -> list[Any]:
        """Read the return values that the database keeps."""
        with sqlite3.connect(self.home / "airflow.db") as database:
            found = database.execute("select value from xcom where key = 'return_value'").fetchall()
        return [json.loads(value) for (value,) in found]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """A fresh Airflow."""
    return Airflow(tmp_path_factory.mktemp("airflow"))


@pytest.fixture(scope="module")
def langsmith() -> Iterator[LangSmithStandIn]:
    """A workspace of three days of agent traces."""
    with LangSmithStandIn(api_key=KEY) as server:
        server.load_sample(start=START, days=3)
        yield server


@pytest.fixture(scope="module")
def lake() -> Iterator[dict[str, str]]:
    """An S3 server with a bucket, as the Airflow connection it needs."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    extra = {"region_name": "us-east-1", "endpoint_url": f"http://{host}:{port}"}
    connection = {"conn_type": "aws", "login": "access", "password": "secret-of-the-lake", "extra": extra}
    yield {"AIRFLOW_CONN_LAKE": json.dumps(connection)}
    server.stop()


def test_a_day_lands_on_s3_and_the_key_is_nowhere(
    airflow: Airflow,
    langsmith: LangSmithStandIn,
    lake: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A DAG run on real Airflow lands its day on S3; runs that fail tell why; no place keeps the key."""
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", lake["AIRFLOW_CONN_LAKE"])
    from airflow.providers.common.compat.sdk import ObjectStoragePath  # noqa: PLC0415  # seconds, here alone

    ObjectStoragePath("s3://lake@traces").fs.mkdir("traces")
    connected = {"AIRFLOW_CONN_LANGSMITH_DEFAULT": langsmith.connection(max_retries=0), **lake}
    conf = {"project": PROJECT, "destination": "s3://lake@traces/langsmith"}

    assert airflow.test_dag(START + 2 * DAY, conf, **connected) == 0, airflow.output
    (result,) = airflow.xcoms()
    manifest = read_manifest(result["manifest"])
    assert result["window_start"] == (START + DAY).isoformat()
    assert manifest.rows == result["rows"] > 50
    assert "Exported" in airflow.output

    assert airflow.test_dag(START + 2 * DAY, conf | {"project": "none"}, **connected) != 0
    assert "no project 'none'" in airflow.output
    wrong_key = json.loads(connected["AIRFLOW_CONN_LANGSMITH_DEFAULT"]) | {"password": f"{KEY}_wrong"}
    failed = connected | {"AIRFLOW_CONN_LANGSMITH_DEFAULT": json.dumps(wrong_key)}
    assert airflow.test_dag(START + 2 * DAY, conf, **failed) != 0
    assert "Check the connection" in airflow.output

    objects = ObjectStoragePath("s3://lake@traces").fs.find("traces")
    assert objects
    landed = b"".join(ObjectStoragePath("s3://lake@traces").fs.cat_file(name) for name in objects)
    kept = [path for path in airflow.home.rglob("*") if path.is_file()]
    assert any(path.name == "airflow.db" for path in kept)
    assert KEY not in airflow.output
    assert KEY.encode() not in landed
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]
