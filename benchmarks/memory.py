"""
The memory of an export of traces, by the number of runs, with two runs in each trace.

The stand-in and each export have their own process. The figure is the peak (``VmHWM``) of the export over the peak
before the first request. One cursor reads: each further cursor takes 10 MB for its pages, and their number depends on
the latency of the server.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

RUNS = (20_000, 100_000)
CASES = (("traces", "parquet"), ("retrievals", "parquet"))
MAX_MB_GROWTH = 15.0  # from the smaller to the larger number of runs
START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def main() -> int:
    """Print a line for each view, format and number of runs, and fail if memory grows with the runs."""
    print(f"{'view':12}{'format':10}{'runs':>10}{'seconds':>10}{'MB':>8}")
    peaks: dict[tuple[str, str], list[float]] = {}
    for view, format_, count, seconds, megabytes in measure():
        print(f"{view:12}{format_:10}{count:>10,}{seconds:>10.1f}{megabytes:>8.1f}", flush=True)
        peaks.setdefault((view, format_), []).append(megabytes)
    return int(max(last - first for first, last in peaks.values()) > MAX_MB_GROWTH)


def measure() -> Iterator[tuple[str, str, int, float, float]]:
    """Yield the view, the format, the number of runs, and the seconds and MB of an export."""
    for count in RUNS:
        server = subprocess.Popen([sys.executable, __file__, "serve", str(count)], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            for view, format_ in CASES:
                command = [sys.executable, __file__, "export", url, view, format_, str(count)]
                words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
                yield view, format_, count, float(words[-2]), float(words[-1])
        finally:
            server.terminate()
            server.wait()


def runs(count: int) -> Iterator[dict[str, Any]]:
    """Yield runs of about a kilobyte over a day: traces of a root and a retriever."""
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
    """Serve a project of runs until the process is terminated."""
    from airflow_langsmith.testing import LangSmithStandIn  # noqa: PLC0415  # not in the process that is measured

    with LangSmithStandIn() as langsmith:
        langsmith.load(runs(int(count)))
        print(langsmith.url, flush=True)
        while True:
            time.sleep(60)


def export(url: str, name: str, format_: str, count: str) -> None:
    """Export the project, and print the seconds and the MB."""
    from airflow.sdk import ObjectStoragePath  # noqa: PLC0415  # only in this process

    from airflow_langsmith.api.client import LangSmithClient  # noqa: PLC0415
    from airflow_langsmith.api.settings import Settings  # noqa: PLC0415
    from airflow_langsmith.export import arrow  # noqa: PLC0415
    from airflow_langsmith.export.encoders import format_of  # noqa: PLC0415
    from airflow_langsmith.export.export import Export, OutputOptions  # noqa: PLC0415
    from airflow_langsmith.export.pages import PageSource  # noqa: PLC0415
    from airflow_langsmith.views import view_of  # noqa: PLC0415
    from benchmarks.paths import memory_mb  # noqa: PLC0415
    from tests.queries import run_query  # noqa: PLC0415

    assert arrow  # loaded before the start is measured
    view = view_of(name, with_feedback=False)
    settings = Settings(api_url=url, api_key="lsv2_pt_stand_in_key", requests_per_10s=1_000_000)
    with tempfile.TemporaryDirectory() as directory, LangSmithClient(settings) as client:
        output = OutputOptions(destination=ObjectStoragePath(f"file://{directory}"), format=format_of(format_))
        query = run_query(project=client.project("shop"), start=START, end=START + DAY, fields=view.fields)
        before_mb, start = memory_mb("VmHWM"), time.monotonic()
        exported = Export(PageSource(client, concurrency=1), query, view, output).run()
        assert exported.manifest.rows == int(count) // (1 if name == "runs" else 2)
        print(time.monotonic() - start, memory_mb("VmHWM") - before_mb)


if __name__ == "__main__":
    commands: dict[str, Callable[..., None]] = {"serve": serve, "export": export}
    sys.exit(commands[sys.argv[1]](*sys.argv[2:]) if sys.argv[1:] else main())
