"""An Airflow with all its processes and our wheel, for end-to-end tests."""

from __future__ import annotations

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
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from airflow_langsmith.testing import LangSmithStandIn

ROOT = Path(__file__).parents[2]
ENDED = {"success", "failed", "skipped", "upstream_failed"}


def install(home: Path) -> str:
    """Install our wheel into an environment with the packages of this one, but without this checkout."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(home)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = home.glob("*.whl")
    venv.create(home / "venv", symlinks=True)
    python = str(home / "venv" / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    (packages,) = (home / "venv").glob("lib/python*/site-packages")
    # Python does not read .pth files in a listed directory, so an editable install has no effect.
    (packages / "around.pth").write_text(sysconfig.get_path("purelib"))
    return python


class Airflow:
    """An Airflow with its own home, database and processes, used by its REST API."""

    def __init__(self, home: Path, dags: Iterable[Path], **connections: str) -> None:
        self.home = home
        self.python = install(home)
        (home / "dags").mkdir()
        (home / "tmp").mkdir()
        for file in dags:
            shutil.copy(file, home / "dags")
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
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
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
        """Start a component, which writes its output into the home."""
        with (self.home / f"{component}.log").open("ab") as output:
            self.processes[component] = subprocess.Popen(
                [self.python, "-m", "airflow", component, *options],
                cwd=self.home,  # Python imports from there, too
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill(self, component: str) -> None:
        """Kill a component with its children, as if its machine went down."""
        process = self.processes.pop(component)
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            for member in [parent, *parent.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
        process.wait()

    def kill_task(self, server: LangSmithStandIn) -> None:
        """Kill the worker that reads from a server, as if it had no memory left."""
        port = int(server.url.rpartition(":")[2])
        workers = [
            process
            for process in psutil.Process(self.processes["scheduler"].pid).children(recursive=True)
            if any(connection.raddr and connection.raddr.port == port for connection in process.net_connections())
        ]
        assert workers
        for process in workers:
            process.kill()

    def mark_failed(self, dag: str, task: str) -> None:
        """Mark a task of the run ``tested`` as failed."""
        path = f"/api/v2/dags/{dag}/dagRuns/tested/taskInstances/{task}"
        self.api.patch(path, json={"new_state": "failed"}).raise_for_status()

    def clear(self, dag: str, task: str) -> None:
        """Clear a task of the run ``tested``."""
        body = {"dry_run": False, "dag_run_id": "tested", "task_ids": [task], "only_failed": False}
        self.api.post(f"/api/v2/dags/{dag}/clearTaskInstances", json=body).raise_for_status()

    def boot(self, dags: set[str]) -> None:
        """Create the database and start all components, the API server first, and wait until the DAGs are parsed."""
        migrate = [self.python, "-m", "airflow", "db", "migrate"]
        subprocess.run(migrate, cwd=self.home, env=self.environment, check=True, capture_output=True)
        with closing(sqlite3.connect(self.home / "airflow.db")) as database:
            database.execute("pragma journal_mode=wal")  # because four processes write to it
        self.start("api-server")
        self.start("dag-processor")
        self.until(self._is_up)
        self.start("scheduler", "--skip-serve-logs")
        self.start("triggerer", "--skip-serve-logs")
        self.api.headers["Authorization"] = f"Bearer {self.api.get('/auth/token').json()['access_token']}"
        self.until(lambda: dags <= {dag["dag_id"] for dag in self.get("/dags")["dags"]})

    def _is_up(self) -> bool:
        with suppress(httpx.TransportError):
            return self.api.get("/api/v2/monitor/health").is_success
        return False

    def until(self, condition: Callable[[], Any], timeout_seconds: float = 180) -> Any:
        """Wait until a condition is true, and return its value."""
        deadline = time.monotonic() + timeout_seconds
        while not (value := condition()):
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = "\n\n".join(self.printed(component)[-3000:] for component in self.processes)
                pytest.fail(f"The condition does not become true. Processes that ended: {ended}\n\n{logs}")
            time.sleep(0.3)
        return value

    def printed(self, component: str) -> str:
        """Return the output of a component."""
        return (self.home / f"{component}.log").read_text()

    def get(self, path: str) -> Any:
        """Read from the REST API."""
        return self.api.get(f"/api/v2{path}").raise_for_status().json()

    def trigger(self, dag: str, logical_date: datetime | None, run: str = "tested", **conf: str) -> None:
        """Start a DAG run."""
        body = {"dag_run_id": run, "logical_date": logical_date and logical_date.isoformat(), "conf": conf}
        self.api.post(f"/api/v2/dags/{dag}/dagRuns", json=body).raise_for_status()

    def trigger_partition(self, dag: str, key: str) -> None:
        """Start the DAG run of a partition."""
        body = {"dag_run_id": key, "logical_date": None, "partition_key": key}
        self.api.post(f"/api/v2/dags/{dag}/dagRuns", json=body).raise_for_status()

    def task(self, dag: str, task: str, run: str = "tested") -> Any:
        """Return the task instance."""
        return self.get(f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}")

    def xcom(self, dag: str, task: str, run: str = "tested") -> Any:
        """Return the result of a task."""
        return self.get(f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value?stringify=false")[
            "value"
        ]

    def deferred(self, dag: str, task: str = "wait") -> None:
        """Wait until a task is deferred, and the scheduler knows it: an earlier event would fail the task."""
        key = re.escape(f"TaskInstanceKey(dag_id='{dag}', task_id='{task}', run_id='tested'")
        known = re.compile(f"state success for task instance .*{key}")
        self.until(lambda: "waiting:" in self.log(dag, task, ".trigger.*") and known.search(self.printed("scheduler")))
        assert self.task(dag, task)["state"] == "deferred"

    def ended(self, dag: str, task: str = "wait", run: str = "tested") -> Any:
        """Wait until a task has ended, and return its task instance."""
        self.until(lambda: self.task(dag, task, run)["state"] in ENDED)
        return self.task(dag, task, run)

    def log(self, dag: str, task: str = "wait", part: str = "") -> str:
        """Return the log of a task: that of its worker, or another part."""
        folder = self.home / "logs" / f"dag_id={dag}" / "run_id=tested" / f"task_id={task}"
        return "".join(file.read_text() for file in sorted(folder.glob(f"attempt=?.log{part}")))
