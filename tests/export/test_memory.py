"""Memory is for a page and a row group, however many rows there are, and never for pandas."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from airflow_langsmith.testing import LangSmithStandIn

ROOT = Path(__file__).parent.parent.parent
BENCH = str(ROOT / "benchmarks" / "memory.py")
WRITE = """
import sys, tempfile
from datetime import UTC, datetime
from pathlib import Path
from msgspec import Raw
from airflow_langsmith.api.records import Project, Run
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.parts import Parts
from airflow_langsmith.views import view_of

pages, view, shop = int(sys.argv[2]), view_of("runs"), Project(id="p", name="shop")
noon = datetime(2025, 3, 1, 12, tzinfo=UTC)
with tempfile.TemporaryDirectory() as directory:
    parts = Parts(format_of(sys.argv[1]), view, Path(directory), 1_000_000, 2**40)
    for page in range(pages):
        runs = [
            Run(id=f"{page}-{row}", project=shop, start_time=noon, tags=["a"], inputs=Raw(b'{"q":"%d"}' % row))
            for row in range(1000)
        ]
        for part in parts.add(view.rows(runs)):
            part.path.unlink()
    for part in parts.finish():
        part.path.unlink()
"""
PEAK = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak(format_: str, pages: int) -> float:
    """Write pages of a thousand rows in a process of its own, and give the most MB it ever held."""
    command = [sys.executable, "-c", WRITE + PEAK, format_, str(pages)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize(("format_", "pages"), [("parquet", 200), ("jsonl", 10)])  # Parquet: the second full row group
def test_three_times_the_rows_take_no_more_memory(format_: str, pages: int) -> None:
    """Once row groups have been filled, or a buffer, memory stays where it is."""
    assert peak(format_, 3 * pages) < peak(format_, pages) + 30


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize(
    ("counts", "exports"),
    [
        ((4_000, 24_000), [("traces", "jsonl"), ("retrievals", "jsonl")]),
        ((20_000, 40_000), [("runs", "parquet"), ("runs", "jsonl")]),  # Parquet: the second full row group
    ],
)
def test_more_runs_take_no_more_memory(counts: tuple[int, int], exports: list[tuple[str, str]]) -> None:
    """A whole export lets go of what has landed: to keep a kilobyte of each run or trace would show."""
    peaks: list[list[float]] = []
    for count in counts:
        with LangSmithStandIn() as langsmith:
            langsmith.load(runpy.run_path(BENCH)["runs"](count))
            peaks.append([peak_of_export(langsmith.url, *export, count) for export in exports])
    assert all(many < few + 5 for few, many in zip(*peaks, strict=True))


def peak_of_export(url: str, view: str, format_: str, count: int) -> float:
    """Export all runs in a process of its own, and give how many MB that takes at most."""
    command = [sys.executable, BENCH, "export", url, view, format_, str(count)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    return float(output.split()[-1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_a_larger_row_group_of_a_bulk_export_takes_no_more_memory(tmp_path: Path) -> None:
    """Files of others are read piece by piece: 40,000 more rows of 1 KB in the row group are not in memory."""
    peaks = []
    for count in (20_000, 60_000):
        for step in ("make", "export"):
            command = [sys.executable, "-m", "benchmarks.bulk", step, str(tmp_path / str(count)), "v2_beta", str(count)]
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, cwd=ROOT)
        peaks.append(float(done.stdout.split()[-11]))
    assert peaks[1] < peaks[0] + 20


@pytest.mark.parametrize("format_", ["parquet", "jsonl", "csv"])
def test_pandas_stays_out(format_: str, tmp_path: Path) -> None:
    """Where pandas and numpy are installed an export does not load pandas, which would cost a second and 60 MB."""
    package = tmp_path / "pandas"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('pandas was loaded')\n")
    assert find_spec("numpy"), "without numpy pyarrow does not look for pandas, and this proves nothing"
    script = WRITE + 'assert "pandas" not in sys.modules\n'
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script, format_, "2"], check=True, env=environment, timeout=60)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads Linux's /proc")
def test_the_worst_page_takes_a_few_times_its_size() -> None:
    """Whatever is wrong with a page, it takes four times its unpacked size at most; control characters, seven."""
    megabytes = 2
    command = [sys.executable, "-m", "benchmarks.worst", str(megabytes)]
    environment = os.environ | {
        "MALLOC_MMAP_THRESHOLD_": "131072"
    }  # what is free goes back at once, and is not counted
    output = subprocess.run(command, check=True, capture_output=True, timeout=120, env=environment, cwd=ROOT).stdout
    times = {kind: (peak - 1) / megabytes for kind, (peak, _) in json.loads(output).items()}  # a megabyte for all else
    assert times.pop("nothing but control characters, gzip") < 7.1  # one byte becomes six
    assert {kind: most for kind, most in times.items() if most > 4.1} == {}
