"""
Run an example DAG on a real Airflow: it exports one day of a LangSmith project, and exports it again.

Without an argument, the project is made-up data on a stand-in server, logged there by the official SDK. A second DAG
loads three days into a table of DuckDB, and loads them again with late runs. A third one waits until the day's traces
are reviewed, exports them and loads them. A fourth one lets the stand-in write a day by Bulk Export, and loads it. With
``LANGSMITH_API_KEY`` set, ``make demo PROJECT=my-project`` exports your own project from LangSmith.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_langsmith.testing import LangSmithStandIn

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".demo"
LAKE = DEMO / "lake"
DAG = "langsmith_export_runs"
LOADS = "langsmith_load_tables"
REVIEWED = "langsmith_reviewed_traces"
BULK = "langsmith_bulk_export"
DATABASE = DEMO / "tables.duckdb"
TRACES = f"duckdb://{DATABASE}?table=langsmith.traces"
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)
YESTERDAY = TODAY - DAY
SAMPLE_DAYS = 3


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("project", nargs="?", help="the project to export from LangSmith; without it, made-up data")
    project = parser.parse_args().project
    key = os.environ.get("LANGSMITH_API_KEY")
    if project and not key:
        parser.error(f"to export {project!r} from LangSmith, set LANGSMITH_API_KEY")
    began = time.monotonic()
    airflow_environment()
    if project:
        os.environ["AIRFLOW_CONN_LANGSMITH_DEFAULT"] = json.dumps(
            {
                "conn_type": "langsmith",
                "host": os.environ.get("LANGSMITH_ENDPOINT", ""),
                "password": key,
                "extra": {"workspace_id": os.environ.get("LANGSMITH_WORKSPACE_ID", "")},
            }
        )
        say(f"Project {project!r} on LangSmith")
        export_and_show(project)
    else:
        with made_up_workspace() as (langsmith, project):
            export_and_show(project)
            load_and_show(langsmith, project)
            review_and_load(langsmith, project)
            export_in_bulk(langsmith, project)
    say(f"Done in {time.monotonic() - began:.0f} s. The files are in {LAKE}, the DAGs in example_dags/")


def airflow_environment() -> None:
    """Set up a home for Airflow."""
    shutil.rmtree(DEMO, ignore_errors=True)
    LAKE.mkdir(parents=True)
    for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
        del os.environ[name]
    os.environ |= {
        "AIRFLOW_HOME": str(DEMO / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{DEMO}/airflow.db?timeout=60",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "airflow.task=INFO",
        "PYTHONWARNINGS": "ignore",
    }


@contextlib.contextmanager
def made_up_workspace() -> Iterator[tuple[LangSmithStandIn, str]]:
    """Start a stand-in for LangSmith, and log days of an agent's traces into it with the official SDK."""
    os.environ["LANGSMITH_TRACING"] = "false"
    from langsmith import Client  # noqa: PLC0415  # takes a second; not needed with a project

    from airflow_langsmith.testing import LangSmithStandIn, sample_feedback, sample_runs  # noqa: PLC0415
    from airflow_langsmith.testing.sample import PROJECT  # noqa: PLC0415

    first = TODAY - SAMPLE_DAYS * DAY
    with LangSmithStandIn() as langsmith:
        say(f"A stand-in for LangSmith answers at {langsmith.url}")
        with waiting(f"The langsmith SDK logs {SAMPLE_DAYS} days of an agent's traces into it"):
            logging.getLogger("langsmith").setLevel(logging.ERROR)  # it warns that the stand-in has no zstd
            client = Client(api_url=langsmith.url, api_key=langsmith.api_key)
            for run in sample_runs(start=first, days=SAMPLE_DAYS):
                client.create_run(**run)
            client.flush()
            session = client.read_project(project_name=PROJECT).id
            for feedback in sample_feedback(start=first, days=SAMPLE_DAYS):
                client.create_feedback(**feedback, session_id=session)
            client.flush()
        os.environ["AIRFLOW_CONN_LANGSMITH_DEFAULT"] = langsmith.connection()
        yield langsmith, PROJECT


def export_and_show(project: str) -> None:
    """Export yesterday twice, and show what landed."""
    run("Airflow makes its database", "db", "migrate")
    conf = json.dumps({"project": project, "destination": f"file://{LAKE}"})
    export = ("dags", "test", DAG, TODAY.isoformat(), "--conf", conf)
    lines = run(f"Airflow runs the DAG {DAG} for {YESTERDAY:%Y-%m-%d}", *export)
    print("\n".join(f"    {line}" for line in lines))
    before = contents()
    run("Airflow runs it again, as after a clear or a backfill", *export)
    same = "the same objects, byte for byte" if contents() == before else "new objects, because the runs changed"
    print(f"    left {same}: {len(before)} of them")
    show()


def load_and_show(langsmith: LangSmithStandIn, project: str) -> None:
    """Load the last days into a table, and again after runs and feedback have arrived late."""
    runs_table = f"duckdb://{DATABASE}?table=langsmith.runs"
    conf = {"project": project, "destination": f"file://{LAKE}", "runs_table": runs_table, "traces_table": TRACES}
    load = ("dags", "test", LOADS, TODAY.isoformat(), "--conf", json.dumps(conf))
    days = (
        "select (start_time at time zone 'UTC')::date as day, count(*) as runs, count(distinct run_id) as run_ids, "
        "count(feedback_stats) as with_feedback from langsmith.runs group by day order by day"
    )

    def load_once(title: str) -> None:
        lines = run(title, *load)
        print("\n".join(f"    {line}" for line in lines if line.startswith(("Loaded", "The table"))))

    load_once(f"The DAG {LOADS} loads {SAMPLE_DAYS} days, and new feedback, into DuckDB")
    show_table("Rows of the table", days)
    for days_ago in (2, 10):
        late = langsmith.add_run(project=project, name="late", start_time=TODAY - days_ago * DAY, end_time=TODAY)
        langsmith.add_feedback(late, key="user_score", score=1, created_at=YESTERDAY)
    say("Two runs arrive late, one of them of a day that is not exported again. Both get feedback")
    load_once("The DAG runs again")
    show_table("Rows of the table after the second run: each run once", days)


def review_and_load(langsmith: LangSmithStandIn, project: str) -> None:
    """Review yesterday's traces while a sensor waits for that; the DAG then exports and loads them."""
    conf = {"project": project, "destination": f"file://{LAKE}", "table": TRACES}
    conf |= {"quiet_for": "1s", "pending_timeout": "1s"}  # one run of the sample never ends
    people = threading.Thread(target=review, args=(langsmith, project), daemon=True)
    people.start()
    waits = ("dags", "test", REVIEWED, TODAY.isoformat(), "--conf", json.dumps(conf))
    lines = run(f"The DAG {REVIEWED} waits for {YESTERDAY:%Y-%m-%d} to settle, and for people", *waits)
    people.join()
    print("\n".join(f"    {line}" for line in dict.fromkeys(lines)))
    show_table(
        "Traces in DuckDB, by tool",
        "select unnest(tools_involved) as tool, count(*) as traces, round(avg(latency_seconds), 2) as seconds, "
        "round(avg((feedback_stats::json->'user_score'->>'avg')::double), 2) as user_score "
        "from langsmith.traces group by tool order by traces desc",
    )


def export_in_bulk(langsmith: LangSmithStandIn, project: str) -> None:
    """Let the stand-in write yesterday into a bucket, publish its rows, and load them into a table of their own."""
    bucket, table = DEMO / "bucket", "langsmith.bulk_runs"
    destination_id = langsmith.add_bulk_destination(bucket)
    conf = {"project": project, "bulk_destination_id": destination_id, "files_at": f"file://{bucket}"}
    conf |= {"destination": f"file://{DEMO}/bulk_lake", "table": f"duckdb://{DATABASE}?table={table}"}
    conf |= {"poll_interval": "1s"}
    bulk = ("dags", "test", BULK, TODAY.isoformat(), "--conf", json.dumps(conf))
    lines = run(f"The DAG {BULK} lets LangSmith write {YESTERDAY:%Y-%m-%d} into a bucket, and loads it", *bulk)
    print("\n".join(f"    {line}" for line in dict.fromkeys(lines)))
    by_type = "select run_type, count(*) as runs, sum(total_tokens)::bigint as tokens from {} group by all order by all"
    show_table("Runs in DuckDB, by type", by_type.format(table))


def show_table(title: str, query: str) -> None:
    """Print what a query finds in the tables."""
    import duckdb  # noqa: PLC0415  # only now

    say(title)
    with duckdb.connect(str(DATABASE), read_only=True) as connection:
        print(connection.sql(query))


def review(langsmith: LangSmithStandIn, project: str) -> None:
    """Wait until the sensor has looked, then review the unreviewed traces with the official SDK."""
    from langsmith import Client  # noqa: PLC0415  # takes a second

    def sensor_has_looked() -> bool:
        return any("feedback_key" in str(request.body) for request in langsmith.requests_to("/runs/query"))

    tick = threading.Event()
    while not sensor_has_looked():
        tick.wait(0.2)
    client = Client(api_url=langsmith.url, api_key=langsmith.api_key)
    session = client.read_project(project_name=project).id
    with warnings.catch_warnings(action="ignore"):  # it is the SDK's old way, and both API versions answer it
        runs = list(client.list_runs(project_id=session, is_root=True, start_time=YESTERDAY))
    for run_ in runs:
        if run_.start_time.replace(tzinfo=UTC) < TODAY and not run_.feedback_stats:
            client.create_feedback(
                run_.id, key="user_score", score=run_.error is None, trace_id=run_.id, session_id=session
            )
    client.flush()


def contents() -> dict[Path, bytes]:
    """Return the content of each file in the lake."""
    return {path: path.read_bytes() for path in sorted(LAKE.rglob("*")) if path.is_file()}


def show() -> None:
    """Print the files that landed, parts of the manifest, and two queries."""
    import duckdb  # noqa: PLC0415  # only now

    say("What landed")
    for path in sorted(LAKE.rglob("*")):
        depth = len(path.relative_to(LAKE).parts)
        size = f"  ({path.stat().st_size:,} bytes)" if path.is_file() else "/"
        print(f"    {'  ' * (depth - 1)}{path.name}{size}")
    (place,) = LAKE.rglob("_manifest.json")
    manifest = json.loads(place.read_bytes())
    say("Its manifest says")
    for name in ("project", "window_start", "window_end", "api_version", "rows", "pending", "schema_version"):
        print(f"    {name:15} {manifest[name]}")
    parts = [str(place.parent / file["name"]) for file in manifest["files"]]
    rows = duckdb.read_parquet(parts)
    say("Five rows of it")
    print(
        rows.query(
            "runs",
            "select run_id[:8] as run, name, run_type, status, strftime(start_time at time zone 'UTC', '%H:%M:%S.%f') "
            "as start_utc, round(latency_seconds, 2) as seconds, total_tokens as tokens, inputs[:24] as inputs "
            "from runs order by start_time, dotted_order limit 5",
        )
    )
    say("Runs, tokens and dollars by model")
    print(
        rows.query(
            "runs",
            "select model, count(*) as runs, sum(total_tokens)::bigint as tokens, round(sum(total_cost), 4) as dollars "
            "from runs where run_type = 'llm' group by model order by tokens desc",
        )
    )


def run(title: str, *command: str) -> list[str]:
    """Run an Airflow command, print its progress, and return the log lines of our operators."""
    with waiting(title):
        done = subprocess.run([sys.executable, "-m", "airflow", *command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\n{done.stderr}\nairflow {' '.join(command)} failed; its output is above.")
    ours = r"Window|Bulk export|Exported|\d+ parts?,|Manifest:|Replaced|Loaded|The table|waiting:|met:"
    return re.findall(rf"\] ((?:{ours}) ?.*?) \[airflow", done.stdout)


@contextlib.contextmanager
def waiting(title: str) -> Iterator[None]:
    """Print the seconds that a step takes."""
    began, over = time.monotonic(), threading.Event()
    every, end = (1.0, "\r") if sys.stdout.isatty() else (10.0, "\n")

    def tick() -> None:
        while not over.wait(every):
            print(f"  · {title}: {time.monotonic() - began:.0f} s", end=end, flush=True)

    ticker = threading.Thread(target=tick)
    ticker.start()
    try:
        yield
    finally:
        over.set()
        ticker.join()
    print(f"  ✓ {title}: {time.monotonic() - began:.0f} s")


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    main()
