"""A DAG on real Airflow, through its own command line, database and logs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT
from tests.documentation import PAGES
from tests.versions import AIRFLOW

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = "lsv2_pt_this_key_must_be_seen_nowhere"


# In a process of its own, for its own home: Airflow's model knows the table by the name that it has today.
_READ_XCOMS = """
import json, sys
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select
task, key = sys.argv[1:]
asked = select(XComModel.value).where(XComModel.task_id == task, XComModel.key == key).order_by(XComModel.map_index)
with create_session() as session:
    for value in session.scalars(asked):
        try:
            value = json.loads(value)  # Airflow 3.0 has it as JSON within JSON
        except (TypeError, ValueError):
            pass
        print("XCOM" + json.dumps(value))
"""


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

    def test_dag(self, dag: str, day: datetime, conf: dict[str, str], **environment: str) -> int:
        """Run an example DAG for the day that ends at ``day``."""
        if AIRFLOW < (3, 1):  # whose command looks the DAG up in the database
            self.run("dags", "reserialize", **environment)
        return self.run("dags", "test", dag, day.isoformat(), "--conf", json.dumps(conf), **environment)

    def xcoms(self, task: str, key: str = "return_value") -> list[Any]:
        """Read the values of a task that the database keeps."""
        command = [sys.executable, "-c", _READ_XCOMS, task, key]
        read = subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True)
        return [json.loads(line.removeprefix("XCOM")) for line in read.stdout.splitlines() if line.startswith("XCOM")]


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
    """An S3 server, as the Airflow connection it needs, with an id of its own: Airflow keeps file systems by it."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    extra = {"region_name": "us-east-1", "endpoint_url": f"http://{host}:{port}"}
    connection = {"conn_type": "aws", "login": "access", "password": "secret-of-the-lake", "extra": extra}
    yield {"AIRFLOW_CONN_BAY": json.dumps(connection)}
    server.stop()


def test_a_day_lands_on_s3_and_the_key_is_nowhere(
    airflow: Airflow,
    langsmith: LangSmithStandIn,
    lake: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A DAG run on real Airflow lands its day on S3; runs that fail tell why; no place keeps the key."""
    monkeypatch.setenv("AIRFLOW_CONN_BAY", lake["AIRFLOW_CONN_BAY"])
    from airflow.sdk import ObjectStoragePath  # noqa: PLC0415  # seconds, here alone

    ObjectStoragePath("s3://bay@bay").fs.mkdir("bay")
    connected = {"AIRFLOW_CONN_LANGSMITH_DEFAULT": langsmith.connection(max_retries=0), **lake}
    conf = {"project": PROJECT, "destination": "s3://bay@bay/langsmith"}

    export = "langsmith_export_runs"
    assert airflow.test_dag(export, START + 2 * DAY, conf, **connected) == 0, airflow.output
    (result,) = airflow.xcoms("export_runs")
    (link,) = airflow.xcoms("export_runs", "_link_LangSmithProjectLink")
    assert link.startswith(f"{langsmith.url}/o/{langsmith.workspace_id}/projects/p/{langsmith.project_id(PROJECT)}?")
    manifest = read_manifest(result["manifest"])
    assert result["window_start"] == (START + DAY).isoformat()
    assert manifest.rows == result["rows"] > 50
    assert "Exported" in airflow.output

    assert airflow.test_dag(export, START + 2 * DAY, conf | {"project": "none"}, **connected) != 0
    assert "no project 'none'" in airflow.output
    wrong_key = json.loads(connected["AIRFLOW_CONN_LANGSMITH_DEFAULT"]) | {"password": f"{KEY}_wrong"}
    failed = connected | {"AIRFLOW_CONN_LANGSMITH_DEFAULT": json.dumps(wrong_key)}
    assert airflow.test_dag(export, START + 2 * DAY, conf, **failed) != 0
    assert "Check the connection" in airflow.output

    objects = ObjectStoragePath("s3://bay@bay").fs.find("bay")
    assert objects
    landed = b"".join(ObjectStoragePath("s3://bay@bay").fs.cat_file(name) for name in objects)
    kept = [path for path in airflow.home.rglob("*") if path.is_file()]
    assert any(path.name == "airflow.db" for path in kept)
    # Airflow 3.0 writes what it is to mask for debugging, itself.
    output = [line for line in airflow.output.splitlines() if AIRFLOW >= (3, 1) or "MaskSecret(" not in line]
    assert KEY not in "\n".join(output)
    assert KEY.encode() not in landed
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]


def test_runs_are_listed_and_read_one_by_one(airflow: Airflow, langsmith: LangSmithStandIn) -> None:
    """A DAG that maps over the failed runs of a day reads each of their traces, on real Airflow."""
    for number in range(3):
        at = START + timedelta(hours=number)
        root = langsmith.add_run(project="mapped", name="agent", start_time=at, end_time=at, error="tool failed")
        langsmith.add_run(project="mapped", name="pay", start_time=at, end_time=at, error="no", parent_run_id=root)
    langsmith.add_run(project="mapped", name="healthcheck", start_time=START, end_time=START, error="expected")
    connected = {"AIRFLOW_CONN_LANGSMITH_DEFAULT": langsmith.connection(max_retries=0)}
    done = airflow.test_dag("langsmith_failed_runs", START + DAY, {"project": "mapped"}, **connected)
    assert done == 0, airflow.output
    (listed,) = airflow.xcoms("list_failures")
    read = airflow.xcoms("read_trace")
    assert [trace["run_id"] for trace in read] == [run["run_id"] for run in listed]
    assert airflow.xcoms("culprits") == [{"pay": 3}]
    assert all("/r/" in link for link in airflow.xcoms("read_trace", "_link_LangSmithRunLink"))


def test_a_task_returns_what_the_hook_reads(airflow: Airflow, langsmith: LangSmithStandIn) -> None:
    """What the hook returns goes through XCom on real Airflow, made plain, to a task that looks into it."""
    run = langsmith.add_run(project="returned", start_time=START, inputs={"question": "why?"})
    langsmith.add_feedback(run, key="score", score=0.5)
    environment = {
        "AIRFLOW_CONN_LANGSMITH_DEFAULT": langsmith.connection(max_retries=0),
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent / "dags"),
    }
    assert airflow.test_dag("returning", START + DAY, {}, **environment) == 0, airflow.output
    assert airflow.xcoms("use") == [["why?", "2026-03-01T00:00:00Z", 0.5, "returned"]]


def tutorial(lake: Path) -> list[str]:
    """Return the Python of the tutorial, with a lake of the test's own: a DAG, and what reads from the lake."""
    return [snippet.text.replace("/tmp/lake", str(lake)) for snippet in PAGES["docs/tutorial.md"].snippets("python")]


def test_the_tutorial_leads_to_an_answer(
    airflow: Airflow, langsmith: LangSmithStandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who follows the tutorial, step by step on real Airflow, sees the day's runs."""
    langsmith.add_run(project="shop", name="the day's run", start_time="2026-11-01T12:00:00Z")
    dag, *readers = tutorial(tmp_path / "lake")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "langsmith_tutorial.py").write_text(dag)
    environment = {
        "AIRFLOW_CONN_LANGSMITH_DEFAULT": langsmith.connection(max_retries=0),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
    }
    assert airflow.test_dag("langsmith", datetime(2026, 11, 2, tzinfo=UTC), {}, **environment) == 0, airflow.output
    names: dict[str, Any] = {}
    for reader in readers:
        exec(reader, names)
    assert "the day's run" in capsys.readouterr().out


def test_a_dag_is_tested_as_the_page_says(airflow: Airflow, tmp_path: Path) -> None:
    """The test that the page on testing shows passes, for the tutorial's DAG."""
    (snippet,) = PAGES["docs/how-to/test-your-dags.md"].snippets("python")
    (tmp_path / "my_dags.py").write_text(tutorial(tmp_path / "lake")[0])
    environment = {"AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path)}
    airflow.run("dags", "reserialize", **environment)
    (tmp_path / "test_my_dags.py").write_text(snippet.text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        env=airflow.environment | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_manifest(f"file://{tmp_path}/lake/langsmith/runs/project=shop/date=2026-11-01").rows == 1


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="Airflow before 3.3 tests a saved connection without its password")
def test_a_saved_connection_can_be_tested(airflow: Airflow, langsmith: LangSmithStandIn) -> None:
    """The API behind the form's button tests a connection that was saved as the form saves it, with port 0."""
    script = Path(__file__).parent / "press_the_button.py"
    done = subprocess.run(
        [sys.executable, str(script), langsmith.url, langsmith.api_key],
        env=airflow.environment | {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    status, answer = json.loads(done.stdout.splitlines()[-1])
    assert (status, answer["status"]) == (200, True), answer
    assert answer["message"].startswith(langsmith.url)
