"""A trace of 25,000 runs, exported by its id."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.testing import LangSmithStandIn

START = datetime(2026, 3, 1, tzinfo=UTC)

EXPORT = """
import sys
from airflow_langsmith.operators import LangSmithExportOperator
result = LangSmithExportOperator(
    task_id="export", trace_id=sys.argv[1], project="shop", destination=sys.argv[2], format="jsonl"
).execute({})
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("RESULT", result["rows"], int(peak) / 1024)
"""


def export(langsmith: LangSmithStandIn, run_id: str, destination: Path) -> tuple[int, float]:
    """Export a trace in a process of its own; return its rows and the peak of its memory in MB."""
    environment = os.environ | {"AIRFLOW_CONN_LANGSMITH_DEFAULT": langsmith.connection(requests_per_10s=100_000)}
    command = [sys.executable, "-c", EXPORT, run_id, f"file://{destination}"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    rows, peak = next(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("RESULT"))
    return int(rows), float(peak)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_a_larger_trace_takes_no_more_memory(langsmith: LangSmithStandIn, tmp_path: Path) -> None:
    """Ten times the runs take no more memory."""
    peaks = []
    for number, children in enumerate((2_500, 25_000)):
        root = str(UUID(int=number + 1))
        langsmith.load([{"id": root, "name": "root", "run_type": "chain", "project_name": "shop", "start_time": START}])
        for child in range(children):
            langsmith.add_run(
                project="shop",
                start_time=START + timedelta(milliseconds=children - child),
                parent_run_id=root,
                inputs={"text": f"{child} " * 200},
            )
        rows, peak = export(langsmith, root, tmp_path)
        assert rows == children + 1
        assert read_manifest(f"file://{tmp_path}/runs/project=shop/trace={root}").rows == children + 1
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 30
