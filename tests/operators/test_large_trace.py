"""A trace of 25,000 runs, read from the top."""

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

READ = """
import sys
from airflow_langsmith.operators import LangSmithReadRunOperator
result = LangSmithReadRunOperator(
    task_id="read", run_id=sys.argv[1], project="shop", load_children=True, destination=sys.argv[2], format="jsonl"
).execute({})
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("RESULT", result["rows"], int(peak) / 1024)
"""


def read(langsmith: LangSmithStandIn, run_id: str, destination: Path) -> tuple[int, float]:
    """Read a tree in a process of its own; give its rows and the most MB it ever held."""
    environment = os.environ | {"AIRFLOW_CONN_LANGSMITH_DEFAULT": langsmith.connection(requests_per_10s=100_000)}
    command = [sys.executable, "-c", READ, run_id, f"file://{destination}"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    rows, peak = next(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("RESULT"))
    return int(rows), float(peak)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_a_large_tree_takes_memory_for_its_order_alone(langsmith: LangSmithStandIn, tmp_path: Path) -> None:
    """Ten times the children take memory for ten times the places in the tree, and for no more payloads."""
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
        rows, peak = read(langsmith, root, tmp_path)
        assert rows == children + 1
        assert read_manifest(f"file://{tmp_path}/runs/project=shop/tree={root}").rows == children + 1
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 30
