"""Sensors and long exports on real Airflow, with all its processes and our wheel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from warnings import catch_warnings

import pytest
from langsmith import Client

from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.testing import LangSmithStandIn
from tests.e2e.running_airflow import ROOT, Airflow
from tests.versions import AIRFLOW

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = "lsv2_pt_this_key_must_be_seen_nowhere"
REVIEWED = "langsmith_reviewed_traces"
WAITING = ("survives", "alarmed", "overdue", "stopped", "locked_out", "wrong_key")
LONG = ("killed", "cleared", "marked")
PAGES = 80  # of v1
RUNS = 100 * PAGES - 50


@pytest.fixture(scope="module")
def langsmith() -> Iterator[LangSmithStandIn]:
    """A day of traces without feedback, and a project with two recent runs for each DAG that waits."""
    with LangSmithStandIn(api_key=KEY) as server:
        server.load_sample(start=START, days=1, project="shop")
        for project in (*WAITING, "watched"):
            add_two_runs(server, project)
        yield server


@pytest.fixture(scope="module")
def changing() -> Iterator[LangSmithStandIn]:
    """A LangSmith whose key changes."""
    with LangSmithStandIn(api_key=KEY) as server:
        add_two_runs(server, "locked_out")
        yield server


@pytest.fixture(scope="module")
def long() -> Iterator[LangSmithStandIn]:
    """A LangSmith with days of many slow pages."""
    with LangSmithStandIn(api_key=KEY) as server:
        for project in LONG:
            for number in range(RUNS):
                start = START + timedelta(seconds=number)
                server.add_run(project=project, start_time=start, end_time=start)
        server.misbehave("delay", seconds=0.05, times=None)
        yield server


@pytest.fixture(scope="module")
def bulk() -> Iterator[LangSmithStandIn]:
    """A LangSmith with a day of traces, whose bulk exports run until the test lets them end."""
    with LangSmithStandIn(api_key=KEY) as server:
        server.load_sample(start=START, days=1, project="shop")
        server.bulk.running_seconds = 1e6
        yield server


def add_two_runs(server: LangSmithStandIn, project: str) -> None:
    """Add two runs that have just ended."""
    at = datetime.now(UTC) - timedelta(minutes=1)
    for _ in range(2):
        server.add_run(project=project, start_time=at, end_time=at)


def start_bulk_export(airflow: Airflow, bulk: LangSmithStandIn) -> None:
    """Start the DAG with a bulk export, and with a sensor of another one."""
    bucket = airflow.home / "bucket"
    id_ = bulk.add_bulk_destination(bucket)
    other = bulk.add_bulk_export(project="shop", start_time=START, end_time=START + DAY, destination_id=id_)
    places = {"bucket": str(bucket), "lake": str(airflow.home / "lake")}
    airflow.trigger("bulk", None, destination_id=id_, bulk_export_id=other, **places)


def add_scores(server: LangSmithStandIn, project: str, score: int) -> int:
    """Add a score to each root run without feedback, with the SDK, and return their number."""
    client = Client(api_url=server.url, api_key=server.api_key)
    session = client.read_project(project_name=project).id
    with catch_warnings(action="ignore"):  # deprecations of the SDK
        runs = list(client.list_runs(project_id=session, is_root=True))
    without_score = [run for run in runs if not run.feedback_stats]
    for run in without_score:
        client.create_feedback(run.id, key="user_score", score=score, trace_id=run.id, session_id=session)
    client.flush()
    return len(without_score)


@pytest.fixture(scope="module")
def airflow(
    langsmith: LangSmithStandIn,
    changing: LangSmithStandIn,
    long: LangSmithStandIn,
    bulk: LangSmithStandIn,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Airflow]:
    """An Airflow on which the DAGs that wait have been started."""
    home = tmp_path_factory.mktemp("airflow")
    airflow = Airflow(
        home,
        [ROOT / "example_dags" / f"{REVIEWED}.py", *(Path(__file__).parent / "dags").glob("*.py")],
        langsmith_default=langsmith.connection(max_retries=0),
        changing=changing.connection(max_retries=0),
        long=long.connection(api_version="v1", requests_per_10s=1000),
        bulk=bulk.connection(max_retries=1),
        wrong=json.dumps(json.loads(langsmith.connection(max_retries=0)) | {"password": f"{KEY}_wrong"}),
    )
    try:
        airflow.boot({REVIEWED, "watched", "mapped", "bulk", *WAITING, *LONG})
        lake = {"destination": f"file://{home}/lake", "table": f"duckdb://{home}/lake.duckdb?table=traces"}
        airflow.trigger(REVIEWED, START + DAY, project="shop", quiet_for="1s", **lake)
        for dag in WAITING:
            airflow.trigger(dag, None)
        start_bulk_export(airflow, bulk)
        yield airflow
    finally:
        for component in list(airflow.processes):
            airflow.kill(component)
        airflow.api.close()


def test_a_wrong_key_fails_at_once(airflow: Airflow) -> None:
    """A wrong key fails the task before it defers, without a retry, also with ``soft_fail``."""
    ended = airflow.ended("wrong_key")
    assert (ended["state"], ended["try_number"]) == ("failed", 1)
    assert "Check the connection" in airflow.log("wrong_key")
    assert not airflow.log("wrong_key", part=".trigger.*")


def test_a_key_that_becomes_wrong_fails_from_the_trigger(airflow: Airflow, changing: LangSmithStandIn) -> None:
    """A key that becomes wrong during a deferral fails the task, without a retry, also with ``soft_fail``."""
    airflow.deferred("locked_out")
    changing.misbehave("status", status=401, body={"detail": "Invalid token"}, times=None)
    ended = airflow.ended("locked_out")
    assert (ended["state"], ended["try_number"]) == ("failed", 1)
    assert "Check the connection" in airflow.log("locked_out")


def test_fail_when_fails_at_once(airflow: Airflow, langsmith: LangSmithStandIn) -> None:
    """A ``fail_when`` that becomes true during a deferral fails the task, without a retry."""
    airflow.deferred("alarmed")
    add_scores(langsmith, "alarmed", score=0)
    ended = airflow.ended("alarmed")
    assert (ended["state"], ended["try_number"]) == ("failed", 1)
    assert "failed: fail_when: share(user_score, 0) 1 (> 0.4 yes)" in airflow.log("alarmed")


def test_a_timeout_with_soft_fail_skips(airflow: Airflow) -> None:
    """With ``soft_fail`` a timeout of the trigger skips the task, and its log has the last figures."""
    assert airflow.ended("overdue")["state"] == "skipped"
    _, _, resumed = airflow.log("overdue").partition("Pausing task as DEFERRED")
    assert "waiting: coverage(user_score) 0 (needs >= 1: 2 more of 2 runs)" in resumed


def test_an_execution_timeout_is_retried(airflow: Airflow) -> None:
    """``execution_timeout`` ends a deferral, and Airflow retries the task."""
    ended = airflow.ended("stopped")
    assert (ended["state"], ended["try_number"]) == ("failed", 2)
    assert "AirflowTaskTimeout" in airflow.log("stopped")
    assert "Condition not met within 10 s." in airflow.log("stopped")
    assert "Last check: waiting: " in airflow.log("stopped")


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow 3.0 names a mapped task when it has succeeded")
def test_mapped_tasks_have_names_and_links_while_they_wait(airflow: Airflow, langsmith: LangSmithStandIn) -> None:
    """A mapped sensor has its project and window as its name during a deferral, and a link to LangSmith."""
    airflow.trigger("mapped", datetime(2026, 3, 2, tzinfo=UTC))
    path = "/dags/mapped/dagRuns/tested/taskInstances/wait/listMapped"

    def waiting() -> list[Any]:
        tasks = airflow.get(path)["task_instances"]
        return tasks if [task["state"] for task in tasks] == ["deferred"] * 2 else []

    tasks = sorted(airflow.until(waiting), key=lambda task: int(task["map_index"]))
    assert [task["rendered_map_index"].partition(", ")[0] for task in tasks] == ["survives", "overdue"]
    assert all(task["rendered_map_index"].endswith(" UTC") for task in tasks)
    links = [
        airflow.get(f"/dags/mapped/dagRuns/tested/taskInstances/wait/links?map_index={index}")["extra_links"]
        for index in range(2)
    ]
    assert langsmith.project_id("survives") in links[0]["LangSmith project"]
    assert langsmith.project_id("overdue") in links[1]["LangSmith project"]


def test_feedback_schedules_a_dag_once(airflow: Airflow, langsmith: LangSmithStandIn) -> None:
    """A watched asset runs its DAG when the condition becomes true; the task uses the installed wheel."""
    add_scores(langsmith, "watched", score=1)
    runs = airflow.until(lambda: airflow.get("/dags/watched/dagRuns")["dag_runs"])
    run = runs[0]["dag_run_id"]
    airflow.ended("watched", "installed", run)
    result = airflow.xcom("watched", "installed", run)
    assert result["figures"] == {"count(user_score)": 2}
    assert Path(result["package"]).is_relative_to(airflow.home / "venv")


def test_a_new_triggerer_continues_after_a_killed_one(airflow: Airflow, langsmith: LangSmithStandIn) -> None:
    """A new triggerer continues to wait, and a watcher that has fired does not fire again."""

    def watcher_checks() -> int:
        bodies = [str(request.body) for request in langsmith.requests]
        return sum("feedback_key" in body and langsmith.project_id("watched") in body for body in bodies)

    airflow.deferred("survives")
    (fired,) = airflow.get("/dags/watched/dagRuns")["dag_runs"]
    airflow.kill("triggerer")
    checks_before = watcher_checks()
    add_scores(langsmith, "survives", score=1)
    airflow.start("triggerer", "--skip-serve-logs")
    ended = airflow.ended("survives")
    assert (ended["state"], ended["try_number"]) == ("success", 1)
    assert airflow.xcom("survives", "wait")["figures"] == {"coverage(user_score)": 1.0}
    airflow.until(lambda: watcher_checks() > checks_before + 2)
    if AIRFLOW < (3, 3):
        return  # triggers have no memory there, so a watcher fires again
    assert [run["dag_run_id"] for run in airflow.get("/dags/watched/dagRuns")["dag_runs"]] == [fired["dag_run_id"]]


def test_an_export_follows_the_last_score(airflow: Airflow, langsmith: LangSmithStandIn) -> None:
    """The example DAG waits until a day is settled and scored, then exports its traces and loads them."""
    airflow.deferred(REVIEWED, "reviewed")
    assert add_scores(langsmith, "shop", score=1) > 0
    assert airflow.ended(REVIEWED, "load")["state"] == "success"
    assert "met: coverage(user_score) 1 (>= 0.9 ok)" in airflow.log(REVIEWED, "reviewed")
    (manifest_path,) = (airflow.home / "lake").rglob("_manifest.json")
    manifest = read_manifest(f"file://{manifest_path}")
    assert (manifest.rows, airflow.xcom(REVIEWED, "load")["rows_added"]) == (20, 20)
    assert all((manifest_path.parent / file.name).stat().st_size == file.bytes for file in manifest.files)


def kill_at(airflow: Airflow, long: LangSmithStandIn, dag: str, page: int) -> None:
    """Start a long export and kill it at a page, when it has checkpoints."""
    long.requests.clear()
    airflow.trigger(dag, None)
    airflow.until(lambda: len(long.requests_to("/runs/query")) >= page)
    airflow.kill_task(long)
    assert list((airflow.home / "lake" / "runs" / f"project={dag}").rglob("_checkpoint-*"))


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow 3.0 fails a task whose worker is killed, and never retries it")
def test_a_retry_continues_a_killed_export(airflow: Airflow, long: LangSmithStandIn) -> None:
    """The retry of an export whose worker was killed reads the missing pages only, and exports all runs."""
    kill_at(airflow, long, "killed", page=PAGES * 4 // 5)
    ended = airflow.ended("killed", "export")
    assert (ended["state"], ended["try_number"]) == ("success", 2)
    assert airflow.xcom("killed", "export")["rows"] == RUNS
    assert len(long.requests_to("/runs/query")) <= 1.05 * PAGES
    assert not list((airflow.home / "lake" / "runs" / "project=killed").rglob("_checkpoint-*"))


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow 3.0 fails a task whose worker is killed, and never retries it")
def test_a_cleared_export_starts_again(airflow: Airflow, long: LangSmithStandIn) -> None:
    """A cleared task reads the whole window, without the checkpoints of an earlier try."""
    kill_at(airflow, long, "cleared", page=PAGES * 4 // 5)
    airflow.until(lambda: airflow.task("cleared", "export")["state"] == "up_for_retry")
    long.requests.clear()
    airflow.clear("cleared", "export")
    assert airflow.ended("cleared", "export")["state"] == "success"
    assert PAGES <= len(long.requests_to("/runs/query")) <= 1.05 * PAGES
    assert not list((airflow.home / "lake" / "runs" / "project=cleared").rglob("_checkpoint-*"))


@pytest.mark.skipif(AIRFLOW < (3, 0, 6), reason="Airflow 3.0.0 ends a task without a signal")
def test_an_export_marked_failed_ends(airflow: Airflow, long: LangSmithStandIn) -> None:
    """An export that is marked failed stops, leaves no file, and says what a clear does."""
    long.requests.clear()
    long.behave()
    long.misbehave("delay", after=PAGES * 3 // 5, seconds=10, times=None)  # so that it still runs when it is killed
    long.misbehave("delay", seconds=0.05, times=None)
    airflow.trigger("marked", None)
    airflow.until(lambda: len(long.requests_to("/runs/query")) >= PAGES * 3 // 5)
    link = airflow.get("/dags/marked/dagRuns/tested/taskInstances/export/links")  # while it runs
    assert "/projects/p/" in link["extra_links"]["LangSmith project"]
    assert list((airflow.home / "lake" / "runs" / "project=marked").rglob("_checkpoint-*"))
    assert list((airflow.home / "tmp").glob("langsmith-export-*"))
    airflow.mark_failed("marked", "export")
    airflow.until(lambda: "Task killed!" in airflow.log("marked", "export"))
    requests = len(long.requests_to("/runs/query"))
    assert requests < PAGES
    log = airflow.log("marked", "export")
    assert "Airflow killed this task before it was done. It published nothing." in log
    assert "No checkpoint stays: a retry or a clear reads the whole window." in log
    assert not [path for path in (airflow.home / "lake" / "runs" / "project=marked").rglob("*") if path.is_file()]
    assert not list((airflow.home / "tmp").glob("langsmith-export-*"))
    ended = airflow.task("marked", "export")
    assert (ended["state"], ended["try_number"]) == ("failed", 1)
    assert len(long.requests_to("/runs/query")) == requests
    long.behave()
    airflow.clear("marked", "export")
    assert airflow.ended("marked", "export")["state"] == "success"
    assert airflow.xcom("marked", "export")["rows"] == RUNS
    assert PAGES <= len(long.requests_to("/runs/query")) - requests <= 1.05 * PAGES


def test_a_bulk_export_survives_its_triggerer_and_ends_with_its_task(airflow: Airflow, bulk: LangSmithStandIn) -> None:
    """
    A deferred bulk export that is cleared or marked failed is cancelled, and each run has one live export at most.

    A new triggerer goes on after a killed one. Before Airflow 3.3 a trigger does not know that a user ended its task.
    """
    tells = AIRFLOW >= (3, 3)

    def are(*statuses: str) -> bool:
        return [export["status"] for export in bulk.bulk_exports] == ["Running", *statuses]

    def waits(attempt: int) -> bool:
        task = airflow.task("bulk", "export")
        return (task["state"], task["try_number"]) == ("deferred", attempt)

    for task in ("export", "written"):
        airflow.deferred("bulk", task)
    assert are("Running")
    airflow.clear("bulk", "export")
    airflow.until(lambda: waits(attempt=2))
    assert airflow.until(lambda: are("Cancelled", "Running") if tells else are("Running"))
    airflow.kill("triggerer")
    bulk.bulk.running_seconds = 0.0
    airflow.start("triggerer", "--skip-serve-logs")
    ended = airflow.ended("bulk", "export")
    assert (ended["state"], ended["try_number"]) == ("success", 2)
    result, newest = airflow.xcom("bulk", "export"), bulk.bulk_exports[-1]
    assert (result["bulk_export_id"], newest["status"]) == (newest["id"], "Completed")
    manifest = read_manifest(result["manifest"])
    assert manifest.rows == result["rows"] > 0
    assert airflow.ended("bulk", "written")["state"] == "success"
    assert airflow.xcom("bulk", "written")["rows"] == result["rows"]
    bulk.bulk.running_seconds = 1e6
    airflow.clear("bulk", "export")
    airflow.until(lambda: waits(attempt=3))
    airflow.until(lambda: len(bulk.requests_to(bulk.bulk_exports[-1]["id"])) > 1)  # by worker and triggerer
    airflow.mark_failed("bulk", "export")
    if tells:
        airflow.until(lambda: bulk.bulk_exports[-1]["status"] == "Cancelled")
    assert len(bulk.bulk_exports) == (4 if tells else 3)
    assert read_manifest(result["manifest"]) == manifest


def test_no_file_has_the_key(airflow: Airflow) -> None:
    """After all these failures, the key is not in the database, a log, an XCom or a file."""
    files = [path for path in airflow.home.rglob("*") if path.is_file() and "venv" not in path.parts]
    assert {"airflow.db", "triggerer.log", "_manifest.json", "attempt=1.log"} <= {path.name for path in files}
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
