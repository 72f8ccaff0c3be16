"""
How much memory an export of traces takes, by the number of runs, two of them a trace.

The stand-in serves from a process of its own; each export runs in a fresh process, whose peak (``VmHWM``) is compared
with what it was before the first request. One cursor reads: each further one takes what its pages do, some 10 MB, and
how many there are depends on how slow the server is.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

RUNS = (20_000, 100_000)
CASES = (("traces", "parquet"), ("retrievals", "parquet"))
LARGEST_SLOPE = 15.0  # MB from the smaller to the larger number of runs
START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def main() -> int:
    """Print a line for each view, format and number of runs; fail if memory grows with the runs."""
    print(f"{'view':12}{'format':10}{'runs':>10}{'seconds':>10}{'MB':>8}")
    over: dict[tuple[str, str], list[float]] = {}
    for view, format_, count, seconds, found in measured():
        print(f"{view:12}{format_:10}{count:>10,}{seconds:>10.1f}{found:>8.1f}", flush=True)
        over.setdefault((view, format_), []).append(found)
    return int(max(last - first for first, last in over.values()) > LARGEST_SLOPE)


def measured() -> Iterator[tuple[str, str, int, float, float]]:
    """Give for each view, format and number of runs how many seconds and MB an export takes."""
    for count in RUNS:
        server = subprocess.Popen([sys.executable, __file__, "serve", str(count)], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            for view, format_ in CASES:
                exported = [sys.executable, __file__, "export", url, view, format_, str(count)]
                told = subprocess.run(exported, check=True, capture_output=True, text=True).stdout.split()
                yield view, format_, count, float(told[-2]), float(told[-1])
        finally:
            server.terminate()
            server.wait()


def runs(count: int) -> Iterator[dict[str, Any]]:
    """Make small runs, of about a kilobyte, over a day: traces of a root and a retriever."""
    for number in range(count):
        start = START + number * (DAY / count)
        root = str(UUID(int=number - number % 2))
        child = {"parent_run_id": root, "run_type": "retriever", "name": "search"} if number % 2 else {}
        yield {
            "id": str(UUID(int=number)),
            "name": "answer",
            "run_type": "chain",
            **child,
            "project_name": "shop",
            "start_time": start,
            "end_time": start + timedelta(seconds=1),
            "inputs": {"messages": [{"role": "user", "content": f"Where is parcel {number}? " * 8}]},
            "outputs": {"answer": f"Parcel {number * 7919} is on its way. " * 8},
            "extra": {"metadata": {"thread_id": f"thread {number // 5}", "ls_model_name": "gpt-5-mini"}},
            "tags": ["production"],
        }


def serve(count: str) -> None:
    """Serve a project of so many runs until terminated."""
    from airflow_langsmith.testing import LangSmithStandIn  # noqa: PLC0415  # not in the process that is measured

    with LangSmithStandIn() as langsmith:
        langsmith.load(runs(int(count)))
        print(langsmith.url, flush=True)
        while True:
            time.sleep(60)


def export(url: str, name: str, format_: str, count: str) -> None:
    """Export the project, and print seconds, and the peak over the start in MB."""
    from airflow.sdk import ObjectStoragePath  # noqa: PLC0415  # only in this process

    from airflow_langsmith.api.client import LangSmithClient  # noqa: PLC0415
    from airflow_langsmith.api.settings import Settings  # noqa: PLC0415
    from airflow_langsmith.export import arrow  # noqa: PLC0415
    from airflow_langsmith.export.encoders import format_of  # noqa: PLC0415
    from airflow_langsmith.export.export import Export  # noqa: PLC0415
    from airflow_langsmith.export.options import OutputOptions  # noqa: PLC0415
    from airflow_langsmith.views import view_of  # noqa: PLC0415
    from tests.queries import run_query  # noqa: PLC0415

    assert arrow  # loaded before the start is taken
    view = view_of(name, with_feedback=False)
    settings = Settings(api_url=url, api_key="lsv2_pt_stand_in_key", requests_per_10s=1_000_000)
    with tempfile.TemporaryDirectory() as directory, LangSmithClient(settings) as client:
        target = OutputOptions(destination=ObjectStoragePath(f"file://{directory}"), format=format_of(format_))
        query = run_query(project=client.project("shop"), start=START, end=START + DAY, fields=view.fields)
        before, began = peak(), time.monotonic()
        exported = Export(client, query, view, target, concurrency=1).run()
        assert exported.manifest.rows == int(count) // (1 if name == "runs" else 2)
        print(time.monotonic() - began, peak() - before)


def peak() -> float:
    """Read the most memory this process has held, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    commands: dict[str, Callable[..., None]] = {"serve": serve, "export": export}
    sys.exit(commands[sys.argv[1]](*sys.argv[2:]) if sys.argv[1:] else main())
