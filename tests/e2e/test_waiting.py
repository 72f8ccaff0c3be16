"""A real Airflow, its API server, scheduler, DAG processor and triggerer, with our wheel installed."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from warnings import catch_warnings

import httpx
import psutil
import pytest
from langsmith import Client

from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.testing import LangSmithStandIn
from tests.versions import AIRFLOW

ROOT = Path(__file__).parents[2]
START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = "lsv2_pt_this_key_must_be_seen_nowhere"
REVIEWED = "langsmith_reviewed_traces"
WAITING = ("survives", "alarmed", "overdue", "stopped", "locked_out", "wrong_key")
LONG = ("killed", "cleared", "marked")
PAGES = 80  # of v1
RUNS = 100 * PAGES - 50
OVER = {"success", "failed", "skipped", "upstream_failed"}


def install(home: Path) -> str:
    """Build the wheel and install it into an environment that sees the packages around it, but not this checkout."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(home)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = home.glob("*.whl")
    venv.create(home / "venv", symlinks=True)
    python = str(home / "venv" / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    (packages,) = (home / "venv").glob("lib/python*/site-packages")
    # Listed so, the .pth files in there do not count: an editable install stays outside.
    (packages / "around.pth").write_text(sysconfig.get_path("purelib"))
    return python


class Airflow:
    """An Airflow of its own: a home, a database, the processes, and the REST API."""

    def __init__(self, home: Path, **connections: str) -> None:
        self.home = home
        self.python = install(home)
        dags = home / "dags"
        dags.mkdir()
        (home / "tmp").mkdir()
        for file in (ROOT / "example_dags" / f"{REVIEWED}.py", *(Path(__file__).parent / "dags").glob("*.py")):
            shutil.copy(file, dags)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHONPATH"))
        }
        self.environment = inherited | {
            "TMPDIR": str(home / "tmp"),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "3",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
            **{f"AIRFLOW_CONN_{name.upper()}": connection for name, connection in connections.items()},
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.api = httpx.Client(base_url=url, timeout=60)

    def start(self, component: str, *options: str) -> None:
        """Start a component; what it prints is kept in the home."""
        with (self.home / f"{component}.log").open("ab") as output:
            self.processes[component] = subprocess.Popen(
                [self.python, "-m", "airflow", component, *options],
                cwd=self.home,  # Python looks there too
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill(self, component: str) -> None:
        """Kill a component with its children, as when its machine goes down."""
        process = self.processes.pop(component)
        with suppress(psutil.NoSuchProcess):
            for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
        process.wait()

    def kill_task(self, server: LangSmithStandIn) -> None:
        """Kill the worker that reads from a server, as for want of memory."""
        port = int(server.url.rpartition(":")[2])
        reading = [
            process
            for process in psutil.Process(self.processes["scheduler"].pid).children(recursive=True)
            if any(connection.raddr and connection.raddr.port == port for connection in process.net_connections())
        ]
        assert reading
        for process in reading:
            process.kill()

    def mark_failed(self, dag: str, task: str) -> None:
        """Mark a task of the run that the test is about as failed, as a user does."""
        path = f"/api/v2/dags/{dag}/dagRuns/tested/taskInstances/{task}"
        self.api.patch(path, json={"new_state": "failed"}).raise_for_status()

    def clear(self, dag: str, task: str) -> None:
        """Clear a task of the run that the test is about."""
        body = {"dry_run": False, "dag_run_id": "tested", "task_ids": [task], "only_failed": False}
        self.api.post(f"/api/v2/dags/{dag}/clearTaskInstances", json=body).raise_for_status()

    def boot(self) -> None:
        """Make the database and start everything, the API server first: tasks fail where it does not answer yet."""
        migrate = [self.python, "-m", "airflow", "db", "migrate"]
        subprocess.run(migrate, cwd=self.home, env=self.environment, check=True, capture_output=True)
        with closing(sqlite3.connect(self.home / "airflow.db")) as database:
            database.execute("pragma journal_mode=wal")  # four processes write to it
        self.start("api-server")
        self.start("dag-processor")
        self.until(self._is_up)
        self.start("scheduler", "--skip-serve-logs")
        self.start("triggerer", "--skip-serve-logs")
        self.api.headers["Authorization"] = f"Bearer {self.api.get('/auth/token').json()['access_token']}"
        wanted = {REVIEWED, "watched", "mapped", *WAITING, *LONG}
        self.until(lambda: wanted <= {dag["dag_id"] for dag in self.get("/dags")["dags"]})

    def _is_up(self) -> bool:
        with suppress(httpx.TransportError):
            return self.api.get("/api/v2/monitor/health").is_success
        return False

    def until(self, holds: Callable[[], Any], seconds: float = 180) -> Any:
        """Ask again and again until it holds; give what it was."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                said = "\n\n".join(self.printed(component)[-3000:] for component in self.processes)
                pytest.fail(f"It does not come to hold; ended by themselves: {ended}\n\n{said}")
            time.sleep(0.3)
        return found

    def printed(self, component: str) -> str:
        """Read what a component printed."""
        return (self.home / f"{component}.log").read_text()

    def get(self, path: str) -> Any:
        """Ask the REST API."""
        return self.api.get(f"/api/v2{path}").raise_for_status().json()

    def trigger(self, dag: str, logical_date: datetime | None, **conf: str) -> None:
        """Start the DAG run that the test is about."""
        body = {"dag_run_id": "tested", "logical_date": logical_date and logical_date.isoformat(), "conf": conf}
        self.api.post(f"/api/v2/dags/{dag}/dagRuns", json=body).raise_for_status()

    def task(self, dag: str, task: str, run: str = "tested") -> Any:
        """Read how a task stands."""
        return self.get(f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}")

    def xcom(self, dag: str, task: str, run: str = "tested") -> Any:
        """Read what a task returned."""
        return self.get(f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value?stringify=false")[
            "value"
        ]

    def deferred(self, dag: str, task: str = "wait") -> None:
        """Wait until the triggerer looks for a task and the scheduler knows: to it, an event before is a failure."""
        key = re.escape(f"TaskInstanceKey(dag_id='{dag}', task_id='{task}', run_id='tested'")
        heard = re.compile(f"state success for task instance .*{key}")
        self.until(lambda: "waiting:" in self.log(dag, task, ".trigger.*") and heard.search(self.printed("scheduler")))
        assert self.task(dag, task)["state"] == "deferred"

    def ended(self, dag: str, task: str = "wait", run: str = "tested") -> Any:
        """Wait until a task is over, and read how it ended."""
        self.until(lambda: self.task(dag, task, run)["state"] in OVER)
        return self.task(dag, task, run)

    def log(self, dag: str, task: str = "wait", part: str = "") -> str:
        """Read the logs of a task: what its worker wrote, or the part of its triggers."""
        folder = self.home / "logs" / f"dag_id={dag}" / "run_id=tested" / f"task_id={task}"
        return "".join(file.read_text() for file in sorted(folder.glob(f"attempt=?.log{part}")))


@pytest.fixture(scope="module")
def langsmith() -> Iterator[LangSmithStandIn]:
    """A day of an agent's traces, nobody's review, and a project with two runs of now for each DAG that waits."""
    with LangSmithStandIn(api_key=KEY) as server:
        server.load_sample(start=START, days=1, project="shop")
        for project in (*WAITING, "watched"):
            add_two_runs(server, project)
        yield server


@pytest.fixture(scope="module")
def changing() -> Iterator[LangSmithStandIn]:
    """A LangSmith whose key will be changed."""
    with LangSmithStandIn(api_key=KEY) as server:
        add_two_runs(server, "locked_out")
        yield server


@pytest.fixture(scope="module")
def long() -> Iterator[LangSmithStandIn]:
    """Days of many pages, that come slowly."""
    with LangSmithStandIn(api_key=KEY) as server:
        for project in LONG:
            for number in range(RUNS):
                start = START + timedelta(seconds=number)
                server.add_run(project=project, start_time=start, end_time=start)
        server.misbehave("delay", seconds=0.05, times=None)
        yield server


def add_two_runs(server: LangSmithStandIn, project: str) -> None:
    """Put in two runs that ended a moment ago."""
    at = datetime.now(UTC) - timedelta(minutes=1)
    for _ in range(2):
        server.add_run(project=project, start_time=at, end_time=at)


def review(server: LangSmithStandIn, project: str, score: int) -> int:
    """Judge every run of a project that nobody has, with the official SDK; tell how many."""
    client = Client(api_url=server.url, api_key=server.api_key)
    session = client.read_project(project_name=project).id
    with catch_warnings(action="ignore"):  # the SDK's own, of what it will drop
        runs = list(client.list_runs(project_id=session, is_root=True))
    unjudged = [run for run in runs if not run.feedback_stats]
    for run in unjudged:
        client.create_feedback(run.id, key="user_score", score=score, trace_id=run.id, session_id=session)
    client.flush()
    return len(unjudged)


@pytest.fixture(scope="module")
def airflow(
    langsmith: LangSmithStandIn,
    changing: LangSmithStandIn,
    long: LangSmithStandIn,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Airflow]:
    """An Airflow on which all these DAGs have been started, so that they wait side by side."""
    home = tmp_path_factory.mktemp("airflow")
    running = Airflow(
        home,
        langsmith_default=langsmith.connection(max_retries=0),
        changing=changing.connection(max_retries=0),
        long=long.connection(api_version="v1", requests_per_10s=1000),
        wrong=json.dumps(json.loads(langsmith.connection(max_retries=0)) | {"password": f"{KEY}_wrong"}),
    )
    try:
        running.boot()
        lake = {"destination": f"file://{home}/lake", "database": f"{home}/lake.duckdb"}
        running.trigger(REVIEWED, START + DAY, project="shop", quiet_for="1s", **lake)
        for dag in WAITING:
            running.trigger(dag, None)
        yield running
    finally:
        for component in list(running.processes):
            running.kill(component)
        running.api.close()


def test_a_wrong_key_fails_at_once(airflow: Airflow) -> None:
    """A key that is wrong from the start fails the task before it defers; no retry is tried, ``soft_fail`` or not."""
    ended = airflow.ended("wrong_key")
    assert (ended["state"], ended["try_number"]) == ("failed", 1)
    assert "Check the connection" in airflow.log("wrong_key")
    assert not airflow.log("wrong_key", part=".trigger.*")


def test_a_key_that_becomes_wrong_fails_from_the_trigger(airflow: Airflow, changing: LangSmithStandIn) -> None:
    """A key that is changed while a sensor is deferred fails the task at once; no retry is tried, nothing skips it."""
    airflow.deferred("locked_out")
    changing.misbehave("status", status=401, body={"detail": "Invalid token"}, times=None)
    ended = airflow.ended("locked_out")
    assert (ended["state"], ended["try_number"]) == ("failed", 1)
    assert "Check the connection" in airflow.log("locked_out")


def test_an_alarm_fails_at_once(airflow: Airflow, langsmith: LangSmithStandIn) -> None:
    """A ``fail_when`` that becomes true while the sensor is deferred fails the task; no retry is tried."""
    airflow.deferred("alarmed")
    review(langsmith, "alarmed", score=0)
    ended = airflow.ended("alarmed")
    assert (ended["state"], ended["try_number"]) == ("failed", 1)
    assert "failed: fail_when: share(user_score, 0) 1 (> 0.4 yes)" in airflow.log("alarmed")


def test_a_timeout_skips_what_fails_softly(airflow: Airflow) -> None:
    """With ``soft_fail`` a timeout on the triggerer skips the task, and its own log has the last figures."""
    assert airflow.ended("overdue")["state"] == "skipped"
    _, _, resumed = airflow.log("overdue").partition("Pausing task as DEFERRED")
    assert "waiting: coverage(user_score) 0 (needs >= 1: 2 more of 2 runs)" in resumed


def test_an_execution_timeout_is_retried(airflow: Airflow) -> None:
    """``execution_timeout`` ends a deferral, and Airflow tries the task again until its retries are used up."""
    ended = airflow.ended("stopped")
    assert (ended["state"], ended["try_number"]) == ("failed", 2)
    assert "AirflowTaskTimeout" in airflow.log("stopped")
    assert "Condition not met within 10 s." in airflow.log("stopped")
    assert "Last check: waiting: " in airflow.log("stopped")


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow 3.0 names a mapped task when it has succeeded")
def test_mapped_tasks_have_names_and_links_while_they_wait(airflow: Airflow, langsmith: LangSmithStandIn) -> None:
    """A mapped sensor that is deferred is named by its project and window, and leads to LangSmith."""
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
    """A watched asset runs its DAG when the condition becomes true; tasks use the wheel that was installed."""
    review(langsmith, "watched", score=1)
    runs = airflow.until(lambda: airflow.get("/dags/watched/dagRuns")["dag_runs"])
    run = runs[0]["dag_run_id"]
    airflow.ended("watched", "installed", run)
    told = airflow.xcom("watched", "installed", run)
    assert told["figures"] == {"count(user_score)": 2}
    assert Path(told["package"]).is_relative_to(airflow.home / "venv")


def test_a_killed_triggerer_is_followed_by_the_next(airflow: Airflow, langsmith: LangSmithStandIn) -> None:
    """What a killed triggerer waited for the next one waits for, and a watcher that has fired does not fire again."""

    def looks() -> int:
        asked = langsmith.project_id("watched")
        return sum("feedback_key" in str(request.body) and asked in str(request.body) for request in langsmith.requests)

    airflow.deferred("survives")
    (fired,) = airflow.get("/dags/watched/dagRuns")["dag_runs"]
    airflow.kill("triggerer")
    looked = looks()
    review(langsmith, "survives", score=1)
    airflow.start("triggerer", "--skip-serve-logs")
    ended = airflow.ended("survives")
    assert (ended["state"], ended["try_number"]) == ("success", 1)
    assert airflow.xcom("survives", "wait")["figures"] == {"coverage(user_score)": 1.0}
    airflow.until(lambda: looks() > looked + 2)
    if AIRFLOW < (3, 3):
        return  # triggers keep nothing there, so a watcher fires again
    assert [run["dag_run_id"] for run in airflow.get("/dags/watched/dagRuns")["dag_runs"]] == [fired["dag_run_id"]]


def test_an_export_follows_the_last_review(airflow: Airflow, langsmith: LangSmithStandIn) -> None:
    """The example DAG waits for a day to settle and for people, then lands its traces and loads them."""
    airflow.deferred(REVIEWED, "reviewed")
    assert review(langsmith, "shop", score=1) > 0
    assert airflow.ended(REVIEWED, "load")["state"] == "success"
    assert "met: coverage(user_score) 1 (>= 0.9 ok)" in airflow.log(REVIEWED, "reviewed")
    (place,) = (airflow.home / "lake").rglob("_manifest.json")
    manifest = read_manifest(f"file://{place}")
    assert (manifest.rows, airflow.xcom(REVIEWED, "load")) == (20, 20)
    assert all((place.parent / file.name).stat().st_size == file.bytes for file in manifest.files)


def kill_at(airflow: Airflow, long: LangSmithStandIn, dag: str, page: int) -> None:
    """Start a long export and kill it at a page; see that there is something for a retry to go on from."""
    long.requests.clear()
    airflow.trigger(dag, None)
    airflow.until(lambda: len(long.requests_to("/runs/query")) >= page)
    airflow.kill_task(long)
    assert list((airflow.home / "lake" / "runs" / f"project={dag}").rglob("_checkpoint-*"))


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow 3.0 fails a task whose worker is killed, and never retries it")
def test_a_killed_export_is_gone_on_with(airflow: Airflow, long: LangSmithStandIn) -> None:
    """The retry of an export whose worker was killed asks for what is missing alone, and lands all of it."""
    kill_at(airflow, long, "killed", page=PAGES * 4 // 5)
    ended = airflow.ended("killed", "export")
    assert (ended["state"], ended["try_number"]) == ("success", 2)
    assert airflow.xcom("killed", "export")["rows"] == RUNS
    assert len(long.requests_to("/runs/query")) <= 1.05 * PAGES
    assert not list((airflow.home / "lake" / "runs" / "project=killed").rglob("_checkpoint-*"))


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow 3.0 fails a task whose worker is killed, and never retries it")
def test_a_cleared_export_begins_anew(airflow: Airflow, long: LangSmithStandIn) -> None:
    """Whoever clears a task wants the whole answer of today: nothing that an earlier try kept is used."""
    kill_at(airflow, long, "cleared", page=PAGES * 4 // 5)
    airflow.until(lambda: airflow.task("cleared", "export")["state"] == "up_for_retry")
    long.requests.clear()
    airflow.clear("cleared", "export")
    assert airflow.ended("cleared", "export")["state"] == "success"
    assert PAGES <= len(long.requests_to("/runs/query")) <= 1.05 * PAGES
    assert not list((airflow.home / "lake" / "runs" / "project=cleared").rglob("_checkpoint-*"))


@pytest.mark.skipif(AIRFLOW < (3, 0, 6), reason="Airflow 3.0.0 ends a task without telling it")
def test_an_export_marked_failed_ends(airflow: Airflow, long: LangSmithStandIn) -> None:
    """Marked failed, an export stops asking, publishes nothing, leaves nothing behind, and says what a clear does."""
    long.requests.clear()
    long.behave()
    long.misbehave("delay", after=PAGES * 3 // 5, seconds=10, times=None)  # so that it runs when it is killed
    long.misbehave("delay", seconds=0.05, times=None)
    airflow.trigger("marked", None)
    airflow.until(lambda: len(long.requests_to("/runs/query")) >= PAGES * 3 // 5)
    link = airflow.get("/dags/marked/dagRuns/tested/taskInstances/export/links")  # while it runs
    assert "/projects/p/" in link["extra_links"]["LangSmith project"]
    assert list((airflow.home / "lake" / "runs" / "project=marked").rglob("_checkpoint-*"))
    assert list((airflow.home / "tmp").glob("langsmith-export-*"))
    airflow.mark_failed("marked", "export")
    airflow.until(lambda: "Task killed!" in airflow.log("marked", "export"))
    asked = len(long.requests_to("/runs/query"))
    assert asked < PAGES
    told = airflow.log("marked", "export")
    assert "Airflow killed this task before it was done. It published nothing." in told
    assert "No checkpoint stays: a retry or a clear reads the whole window." in told
    assert not [path for path in (airflow.home / "lake" / "runs" / "project=marked").rglob("*") if path.is_file()]
    assert not list((airflow.home / "tmp").glob("langsmith-export-*"))
    ended = airflow.task("marked", "export")
    assert (ended["state"], ended["try_number"]) == ("failed", 1)
    assert len(long.requests_to("/runs/query")) == asked
    long.behave()
    airflow.clear("marked", "export")
    assert airflow.ended("marked", "export")["state"] == "success"
    assert airflow.xcom("marked", "export")["rows"] == RUNS
    assert PAGES <= len(long.requests_to("/runs/query")) - asked <= 1.05 * PAGES


def test_no_key_is_kept_anywhere(airflow: Airflow) -> None:
    """Neither the database nor a log, an XCom or a file has the key, after all that has gone wrong."""
    kept = [path for path in airflow.home.rglob("*") if path.is_file() and "venv" not in path.parts]
    assert {"airflow.db", "triggerer.log", "_manifest.json", "attempt=1.log"} <= {path.name for path in kept}
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]
