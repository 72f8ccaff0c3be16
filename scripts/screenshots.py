"""
Take the pictures in ``docs/images``: the export of the demo in Airflow's UI. Run by hand, with ``make screenshots``.

It needs ``chromium`` on the path. Airflow's servers listen on 127.0.0.1 only, and stop with the script.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from scripts.demo import DAG, DEMO, ROOT, airflow_environment, made_up_workspace, say

IMAGES = ROOT / "docs" / "images"
PICTURES = {"export-log.png": ("", 580), "export-details.png": ("/details", 640)}


def main() -> None:
    """Run the example DAG by Airflow's scheduler and take the pictures."""
    airflow_environment()
    url = f"http://127.0.0.1:{free_port()}"
    os.environ |= {
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": url.rpartition(":")[2],
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__PARALLELISM": "1",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    }
    servers: list[subprocess.Popen[bytes]] = []
    with made_up_workspace():
        try:
            airflow("db", "migrate").wait()
            api = httpx.Client(base_url=url)
            servers.append(airflow("api-server"))
            until("the API server answers", lambda: api.get("/api/v2/version").is_success)
            servers += [airflow("dag-processor"), airflow("scheduler", "--skip-serve-logs")]
            api.headers["Authorization"] = f"Bearer {api.get('/auth/token').json()['access_token']}"
            tasks = f"/api/v2/dags/{DAG}/dagRuns/~/taskInstances"
            until("the DAG is there", lambda: api.patch(f"/api/v2/dags/{DAG}", json={"is_paused": False}).is_success)
            until("the export is done", lambda: [task for task in listed(api, tasks) if task["state"] == "success"])
            task = listed(api, tasks)[0]
            page = f"{url}/dags/{DAG}/runs/{task['dag_run_id']}/tasks/{task['task_id']}"
            for name, (tab, height) in PICTURES.items():
                picture(f"{page}{tab}", IMAGES / name, height)
        finally:
            for server in reversed(servers):
                server.terminate()
                server.wait()


def airflow(*command: str) -> subprocess.Popen[bytes]:
    """Start an Airflow command; its output goes to a log beside the database."""
    with (DEMO / f"{command[0]}.log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "airflow", *command], stdout=output, stderr=subprocess.STDOUT, cwd=DEMO
        )


def listed(api: httpx.Client, path: str) -> list[dict[str, Any]]:
    """Return the task instances of a path, none while there is no such DAG."""
    answer = api.get(path)
    tasks: list[dict[str, Any]] = answer.json()["task_instances"] if answer.is_success else []
    return tasks


def until(what: str, holds: Callable[[], object]) -> None:
    """Wait three minutes at most until something holds."""
    say(f"Waiting until {what}")
    for _ in range(180):
        with contextlib.suppress(httpx.TransportError):  # the server is starting
            if holds():
                return
        time.sleep(1)
    sys.exit(f"Waited three minutes. The logs of Airflow's servers are in {DEMO}.")


def picture(url: str, place: Path, height: int) -> None:
    """Take a picture of a page, 1280 pixels wide."""
    place.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                f"--user-data-dir={profile}",
                f"--window-size=1280,{height}",
                "--virtual-time-budget=20000",
                f"--screenshot={place}",
                url,
            ],
            check=True,
            capture_output=True,
        )
    say(f"{place.relative_to(ROOT)}: {place.stat().st_size:,} bytes")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
