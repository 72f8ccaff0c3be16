"""DAGs on real Airflow, with its command line, database and logs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT
from tests.documentation import PAGES
from tests.tables.servers import moto_server
from tests.versions import AIRFLOW

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = "lsv2_pt_this_key_must_be_seen_nowhere"


# In its own process, because of its home; the name of the table differs by version, so this uses Airflow's model.
_READ_XCOMS = """
import json, sys
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select
task, key = sys.argv[1:]
query = select(XComModel.value).where(XComModel.task_id == task, XComModel.key == key).order_by(XComModel.map_index)
with create_session() as session:
    for value in session.scalars(query):
        try:
            value = json.loads(value)  # Airflow 3.0 stores JSON in JSON
        except (TypeError, ValueError):
            pass
        print("XCOM" + json.dumps(value))
"""


class Airflow:
    """An Airflow with its own home and database, used by its command line."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = os.environ | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            # Our logs and those of our dependencies; at DEBUG, Airflow logs the secrets that it masks.
            "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "airflow_langsmith=DEBUG httpx=DEBUG httpcore=DEBUG s3fs=DEBUG",
        }
        self.output = ""
        self.run("db", "migrate")

    def run(self, *command: str, **environment: str) -> int:
        """Run a command, and add its output to ``output``."""
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
        if AIRFLOW < (3, 1):  # its command reads the DAG from the database
            self.run("dags", "reserialize", **environment)
        return self.run("dags", "test", dag, day.isoformat(), "--conf", json.dumps(conf), **environment)

    def xcoms(self, task: str, key: str = "return_value") -> list[Any]:
        """Return the values of a task in the database."""
        command = [sys.executable, "-c", _READ_XCOMS, task, key]
        read = subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True)
        return [json.loads(line.removeprefix("XCOM")) for line in read.stdout.splitlines() if line.startswith("XCOM")]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """An empty Airflow."""
    return Airflow(tmp_path_factory.mktemp("airflow"))


@pytest.fixture(scope="module")
def langsmith() -> Iterator[LangSmithStandIn]:
    """A workspace with three days of traces."""
    with LangSmithStandIn(api_key=KEY) as server:
        server.load_sample(start=START, days=3)
        yield server


@pytest.fixture(scope="module")
def lake() -> Iterator[dict[str, str]]:
    """An S3 server, as its Airflow connection. Its id is unique, because Airflow caches file systems by id."""
    with moto_server() as server:
        connection = json.loads(server.airflow_connection())
        yield {"AIRFLOW_CONN_BAY": json.dumps({**connection, "password": "secret-of-the-lake"})}


def test_a_day_is_exported_to_s3_without_the_key(
    airflow: Airflow,
    langsmith: LangSmithStandIn,
    lake: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A DAG run exports its day to S3, a failed run says why, and no file or log has the key."""
    monkeypatch.setenv("AIRFLOW_CONN_BAY", lake["AIRFLOW_CONN_BAY"])
    from airflow.sdk import ObjectStoragePath  # noqa: PLC0415  # takes seconds, and only this test needs it

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
    content = b"".join(ObjectStoragePath("s3://bay@bay").fs.cat_file(name) for name in objects)
    files = [path for path in airflow.home.rglob("*") if path.is_file()]
    assert any(path.name == "airflow.db" for path in files)
    # Airflow 3.0 itself logs what it masks.
    output = [line for line in airflow.output.splitlines() if AIRFLOW >= (3, 1) or "MaskSecret(" not in line]
    assert KEY not in "\n".join(output)
    assert KEY.encode() not in content
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_runs_are_listed_and_read_one_by_one(airflow: Airflow, langsmith: LangSmithStandIn) -> None:
    """A DAG that maps over the failed runs of a day reads each of their traces."""
    for number in range(3):
        at = START + timedelta(hours=number)
        root = langsmith.add_run(project="mapped", name="agent", start_time=at, end_time=at, error="tool failed")
        langsmith.add_run(project="mapped", name="pay", start_time=at, end_time=at, error="no", parent_run_id=root)
    langsmith.add_run(project="mapped", name="healthcheck", start_time=START, end_time=START, error="expected")
    connected = {"AIRFLOW_CONN_LANGSMITH_DEFAULT": langsmith.connection(max_retries=0)}
    exit_code = airflow.test_dag("langsmith_failed_runs", START + DAY, {"project": "mapped"}, **connected)
    assert exit_code == 0, airflow.output
    (listed,) = airflow.xcoms("list_failures")
    read = airflow.xcoms("read_trace")
    assert [trace["run_id"] for trace in read] == [run["run_id"] for run in listed]
    assert airflow.xcoms("culprits") == [{"pay": 3}]
    links = airflow.xcoms("read_trace", "_link_LangSmithRunLink")
    assert ["/r/" in link for link in links] == [True] * 3


def test_results_of_the_hook_pass_through_xcom(airflow: Airflow, langsmith: LangSmithStandIn) -> None:
    """``hook.plain`` makes results that a task can return and another task can read."""
    run = langsmith.add_run(project="returned", start_time=START, inputs={"question": "why?"})
    langsmith.add_feedback(run, key="score", score=0.5)
    environment = {
        "AIRFLOW_CONN_LANGSMITH_DEFAULT": langsmith.connection(max_retries=0),
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parent / "dags"),
    }
    assert airflow.test_dag("returning", START + DAY, {}, **environment) == 0, airflow.output
    assert airflow.xcoms("use") == [["why?", "2026-03-01T00:00:00Z", 0.5, "returned"]]


def test_a_day_is_exported_in_bulk_and_loaded(airflow: Airflow, langsmith: LangSmithStandIn, tmp_path: Path) -> None:
    """The example lets LangSmith write the day, publishes its rows, and loads them; a second run adds none."""
    destination_id = langsmith.add_bulk_destination(tmp_path / "bucket")
    conf = {"project": PROJECT, "bulk_destination_id": destination_id, "files_at": f"file://{tmp_path}/bucket"}
    conf |= {"poll_interval": "1s"}
    conf |= {"destination": f"file://{tmp_path}/lake", "table": f"duckdb://{tmp_path}/tables.duckdb?table=runs"}
    connected = {"AIRFLOW_CONN_LANGSMITH_DEFAULT": langsmith.connection(max_retries=0)}
    for number in (1, 2):
        assert airflow.test_dag("langsmith_bulk_export", START + 2 * DAY, conf, **connected) == 0, airflow.output
        assert len(langsmith.bulk_exports) == number
    manifest = read_manifest(f"file://{tmp_path}/lake/runs/project={PROJECT}/date=2026-03-02")
    assert manifest.bulk_export_id == langsmith.bulk_exports[-1]["id"]
    with duckdb.connect(str(tmp_path / "tables.duckdb")) as tables:
        counts = tables.sql("select count(*), count(distinct run_id) from runs").fetchall()
    assert counts == [(manifest.rows, manifest.rows)]
    assert manifest.rows > 50


def tutorial(lake: Path) -> list[str]:
    """Return the Python of the tutorial with another lake: a DAG, and the readers of the lake."""
    return [snippet.text.replace("/tmp/lake", str(lake)) for snippet in PAGES["docs/tutorial.md"].snippets("python")]


def test_the_tutorial_works(
    airflow: Airflow, langsmith: LangSmithStandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The steps of the tutorial export the runs of the day and load them, and its readers print them."""
    langsmith.add_run(project="shop", name="the day's run", start_time="2026-11-01T12:00:00Z")
    dag, *readers, load = tutorial(tmp_path / "lake")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "langsmith_tutorial.py").write_text(f"{dag}\n{load}")
    environment = {
        "AIRFLOW_CONN_LANGSMITH_DEFAULT": langsmith.connection(max_retries=0),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
    }
    assert airflow.test_dag("langsmith", datetime(2026, 11, 2, tzinfo=UTC), {}, **environment) == 0, airflow.output
    names: dict[str, Any] = {}
    for reader in readers:
        exec(reader, names)
    assert "the day's run" in capsys.readouterr().out
    with duckdb.connect(str(tmp_path / "lake" / "tables.duckdb")) as tables:
        assert tables.sql("select name from runs").fetchall() == [("the day's run",)]


def test_the_page_about_tests_works(airflow: Airflow, tmp_path: Path) -> None:
    """The test on the page about tests passes for the DAG of the tutorial."""
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
    """The API of the form tests a connection that the form has saved, with port 0."""
    script = Path(__file__).parent / "connection_form.py"
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
