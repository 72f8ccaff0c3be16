"""
Loads of an export into tables, ours beside dlt's: ``make bench-tables``, with ``ROWS=1000000`` for a tenth of it.

Runs of a kilobyte land once. Each load of them has its own process, which may use all cores: the first load, a load of
the same window after another export of it, and a merge of every hundredth run with new feedback. A tenth of the rows
comes first, so that the table at the end shows what grows with them. Memory is that over the imports: its peak, and the
highest in each quarter of the time. A load that takes too much of it or of time is stopped. The table of ten million
rows goes into docs/explanation/performance.md.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.landing import Landing
from benchmarks.paths import memory_mb
from benchmarks.workers import ROOT, Process
from tests.tables.servers import postgres_server, sql_catalog

FOLDER = ROOT / "build" / "bench-tables"
PAGE, PAGE_ROWS = ROOT / "docs" / "explanation" / "performance.md", 10_000_000  # fewer rows are not written there
BLOCK = re.compile(r"(<!-- tables -->\n).*?(\n<!-- end -->)", re.DOTALL)
DLT_ENVIRONMENT = ROOT / "build" / "dlt"
DLT = "dlt[filesystem,deltalake,pyiceberg,parquet]"
LOADS = ("first load", "replace", "merge")
MERGED = 100  # of so many rows one is merged
MAX_MB, MAX_SECONDS = 8_000, 900
SAMPLE_SECONDS = 0.1
SMALLER = 10  # so many times fewer rows come first, and all that PostgreSQL gets
HEAD = (
    (
        "table",
        "by",
        "rows",
        "load",
        "seconds a million",
        "CPU seconds a million",
        "times dlt's",
        "MB",
        "MB by quarters",
    ),
    ("---", "---", "--:", "---", *("--:",) * 5),
)


@dataclass(frozen=True)
class Way:
    """Who loads, and into which kind of table."""

    kind: str
    by: str = "ours"

    @contextmanager
    def process(self, folder: Path) -> Iterator[Process]:
        """Start a process that loads."""
        if self.by == "dlt":
            process = Process("dlt_tables", self.kind, str(folder), python=str(DLT_ENVIRONMENT / "bin" / "python"))
        else:
            tables = {
                "iceberg": "iceberg://bench_iceberg/langsmith.runs",
                "delta": f"delta://{folder}/runs",
                "duckdb": f"duckdb://{folder}/runs.duckdb?table=runs",
                "postgres": "postgres://bench_postgres/langsmith.runs",
            }
            process = Process("our_tables", tables[self.kind])
        with process:
            yield process


WAYS = (
    Way("iceberg"),
    Way("iceberg", "dlt"),
    Way("delta"),
    Way("delta", "dlt"),
    Way("duckdb"),
    Way("postgres"),
)


@dataclass(frozen=True)
class Figures:
    """What a load took. ``stopped_by`` says why it was stopped; then the figures are those until then."""

    way: Way
    rows: int
    load: str
    seconds: float
    cpu_seconds: float
    peak_mb: float
    quarters_mb: tuple[float, ...]
    stopped_by: str = ""

    def cells(self, all_figures: list[Figures]) -> tuple[str, ...]:
        """Return the cells of its row."""
        of_dlt = [
            self.seconds / figures.seconds
            for figures in all_figures
            if (figures.way, figures.rows, figures.load) == (Way(self.way.kind, "dlt"), self.rows, self.load)
            and not figures.stopped_by
        ]
        millions = self.rows / 1e6
        return (
            self.way.kind,
            self.way.by,
            f"{self.rows:,}",
            self.load,
            f"{self.stopped_by} after {self.seconds:,.0f} s" if self.stopped_by else f"{self.seconds / millions:,.1f}",
            "" if self.stopped_by else f"{self.cpu_seconds / millions:,.1f}",
            f"{of_dlt[0]:.2f}" if of_dlt and self.way.by == "ours" and not self.stopped_by else "",
            f"{self.peak_mb:,.0f}",
            " ".join(f"{quarter:,.0f}" for quarter in self.quarters_mb),
        )


class Watch:
    """Samples the memory of a process, and kills it if it takes too much of it, or too long."""

    def __init__(self, process: Process) -> None:
        self._process, self.before = process, memory_mb("VmRSS", process.pid)
        self._samples: list[float] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.stopped_by = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._is_over.wait(SAMPLE_SECONDS):
            try:
                self._samples.append(memory_mb("VmRSS", self._process.pid) - self.before)
            except (OSError, StopIteration):
                return  # it has died by itself
            if self._samples[-1] > MAX_MB:
                self.stopped_by = f"over {MAX_MB:,} MB"
            elif self.seconds > MAX_SECONDS:
                self.stopped_by = f"over {MAX_SECONDS} s"
            if self.stopped_by:
                self._process.kill()
                return

    @property
    def seconds(self) -> float:
        """The seconds so far."""
        return len(self._samples) * SAMPLE_SECONDS

    @property
    def quarters_mb(self) -> tuple[float, ...]:
        """The peaks of the memory in each quarter of the time."""
        samples = self._samples or [0.0]
        count = len(samples)
        return tuple(
            max(samples[count * part // 4 : max(count * (part + 1) // 4, count * part // 4 + 1)]) for part in range(4)
        )


@dataclass
class Bench:
    """Loads of the exports of a day, below a folder."""

    folder: Path
    rows: int

    def run(self, ways: tuple[Way, ...]) -> Iterator[Figures]:
        """Land the day, and yield the figures of each load."""
        landing = Landing(self.folder / "landed", self.rows)
        uri, refreshed = landing.land(), landing.land_refreshed(self.rows // MERGED)
        print(f"landed {self.rows:,} rows, {_bytes(self.folder) / self.rows:.0f} bytes each", file=sys.stderr)
        for way in ways:
            folder = self.folder / way.kind
            folder.mkdir()
            connection = sql_catalog(folder, f"file://{folder}/warehouse")
            os.environ["AIRFLOW_CONN_BENCH_ICEBERG"] = connection
            for load in LOADS:
                if load == "replace":
                    landing.land_again(uri)
                figures = self._load(way, folder, load, refreshed if load == "merge" else uri)
                yield figures
                if figures.stopped_by and load == LOADS[0]:
                    break
            shutil.rmtree(folder)
        shutil.rmtree(self.folder)

    def _load(self, way: Way, folder: Path, load: str, uri: str) -> Figures:
        directory = Path(uri.removeprefix("file://")).parent
        merged = self.rows // MERGED
        job = {
            "manifest": uri,
            "files": sorted(map(str, directory.glob("*.parquet"))),
            "is_merge": load == "merge",
            "deleted": {"first load": 0, "replace": self.rows, "merge": merged}[load],
            "added": merged if load == "merge" else self.rows,
        }
        with way.process(folder) as process:
            with Watch(process) as watch:
                try:
                    cost = process.run(job)
                except RuntimeError:
                    if not watch.stopped_by:
                        raise
                    cost = {"wall": watch.seconds, "cpu": 0.0}
            peak = max(watch.quarters_mb) if watch.stopped_by else memory_mb("VmHWM", process.pid) - watch.before
        figures = cost["wall"], cost["cpu"], peak, watch.quarters_mb, watch.stopped_by
        return Figures(way, self.rows, load, *figures)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


@contextmanager
def _postgres() -> Iterator[None]:
    with postgres_server() as port:
        connection = {"conn_type": "postgres", "host": "127.0.0.1", "port": port, "login": "postgres"}
        os.environ["AIRFLOW_CONN_BENCH_POSTGRES"] = json.dumps({**connection, "schema": "postgres"})
        yield


def _make_dlt_environment() -> None:
    """Make the environment of dlt, which is no part of ours."""
    if not DLT_ENVIRONMENT.exists():
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(DLT_ENVIRONMENT)], check=True)
    python = str(DLT_ENVIRONMENT / "bin" / "python")
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", python, DLT], check=True)


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def main(rows: int) -> None:
    """Print the figures of each load, and the table of all at the end."""
    _make_dlt_environment()
    shutil.rmtree(FOLDER, ignore_errors=True)
    figures: list[Figures] = []
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, FOLDER, ignore_errors=True)
        stack.enter_context(_postgres())
        for bench, ways in (
            (Bench(FOLDER / "fewer", rows // SMALLER), WAYS),
            (Bench(FOLDER / "all", rows), tuple(way for way in WAYS if way.kind != "postgres")),
        ):
            for measured in bench.run(ways):
                figures.append(measured)
                print(_line(measured.cells(figures)), file=sys.stderr, flush=True)
    table = "\n".join(map(_line, [*HEAD, *(each.cells(figures) for each in figures)]))
    print(table)
    if rows >= PAGE_ROWS:
        text = PAGE.read_text()
        PAGE.write_text(BLOCK.sub(lambda marks: marks[1] + table + marks[2], text))


if __name__ == "__main__":
    main(int(sys.argv[1]))
