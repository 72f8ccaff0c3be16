"""
The cost of publishing the files of a bulk export as rows: ``make bench-bulk``, or ``python -m benchmarks.bulk ROWS``.

Files of a day are made first, with rows of about 1 KB: of ``v1`` a file an hour with row groups of 10,000, of
``v2_beta`` one file with one row group. Each export has its own process. It prints seconds, microseconds of the
processor for a row, and the memory over the imports (``VmRSS``) after each tenth of the rows, then its peak. Memory is
flat if that of the last tenths is that of the first ones, and that of many rows is that of few.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

ROWS = (300_000, 1_000_000)  # from the second part on, memory is as it stays
VERSIONS = ("v1", "v2_beta")
HOURS = 24
GROUP_ROWS = 10_000  # of the row groups of v1
BLOCK = 5_000  # rows that are made at once
MAX_MB_GROWTH = 15.0  # from the smaller to the larger number of rows
START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TEXT = (
    "Your parcel is on its way to the customer who ordered it yesterday evening from the shop in the old town".split()
)


def main(counts: tuple[int, ...]) -> int:
    """Print a line for each version and number of rows, and fail if memory grows with the rows."""
    print(f"{'version':9}{'rows':>10}{'MB':>8}{'seconds':>9}{'µs':>7}{'peak MB':>9}   MB after each tenth")
    is_flat = True
    for version in VERSIONS:
        peaks = []
        for count in counts:
            with tempfile.TemporaryDirectory() as directory:
                ours = [sys.executable, "-m", "benchmarks.bulk"]
                subprocess.run([*ours, "make", directory, version, str(count)], check=True)
                size_mb = sum(path.stat().st_size for path in Path(directory).rglob("*.parquet")) / 1e6
                done = subprocess.run(
                    [*ours, "export", directory, version, str(count)], check=True, capture_output=True, text=True
                )
            seconds, cpu, peak, *tenths = map(float, done.stdout.split()[-13:])
            line = f"{version:9}{count:>10,}{size_mb:>8.1f}{seconds:>9.1f}{cpu / count * 1e6:>7.1f}{peak:>9.1f}"
            print(line, "", *(f"{megabytes:.0f}" for megabytes in tenths), flush=True)
            peaks.append(peak)
        is_flat &= peaks[-1] - peaks[0] <= MAX_MB_GROWTH
    return int(not is_flat)


def files(version: str, count: int) -> Iterator[tuple[str, range]]:
    """Yield the keys of the files, and the numbers of their rows."""
    number = HOURS if version == "v1" else 1
    for file in range(number):
        yield f"bulk/hour={file}/runs.parquet", range(file * count // number, (file + 1) * count // number)


def make(directory: str, version: str, count: str) -> None:
    """Make the files."""
    import pyarrow as pa  # noqa: PLC0415  # not in every process

    from tests.bulk_files import table_of, wire_run, write_table  # noqa: PLC0415

    chance = random.Random(7)

    def run(number: int) -> dict[str, Any]:
        start = START + number * (DAY / int(count))
        question, answer = (f"{chance.getrandbits(800):x} {' '.join(chance.choices(TEXT, k=20))}" for _ in range(2))
        times = dict.fromkeys(("start_time", "end_time"), start.replace(tzinfo=None).isoformat(timespec="microseconds"))
        ids = dict.fromkeys(("id", "trace_id"), str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)))
        payloads = {"inputs": {"messages": [{"role": "user", "content": question}]}, "outputs": {"answer": answer}}
        return {**wire_run(number), **ids, **times, **payloads}

    for key, numbers in files(version, int(count)):
        blocks = [numbers[start : start + BLOCK] for start in range(0, len(numbers), BLOCK)]
        table = pa.concat_tables(table_of(map(run, block), version) for block in blocks)
        write_table(Path(directory) / key, table, row_group_size=GROUP_ROWS if version == "v1" else table.num_rows)


def export(directory: str, version: str, count: str) -> None:
    """Publish the files, and print the seconds, those of the processor, the peak, and the memory by tenth."""
    from airflow.sdk import ObjectStoragePath  # noqa: PLC0415  # only in this process

    from airflow_langsmith.api.bulk_output import BulkOutput, BulkPart  # noqa: PLC0415
    from airflow_langsmith.export import arrow, parquet_read  # noqa: PLC0415
    from airflow_langsmith.export.bulk import BulkSource  # noqa: PLC0415
    from airflow_langsmith.export.encoders import format_of  # noqa: PLC0415
    from airflow_langsmith.export.export import Export, OutputOptions  # noqa: PLC0415
    from airflow_langsmith.export.progress import Progress  # noqa: PLC0415
    from airflow_langsmith.views import view_of  # noqa: PLC0415
    from airflow_langsmith.windows import TimeWindow  # noqa: PLC0415
    from benchmarks.paths import memory_mb  # noqa: PLC0415
    from tests.bulk_files import SHOP  # noqa: PLC0415
    from tests.queries import run_query  # noqa: PLC0415

    assert arrow, parquet_read  # loaded before the start is measured
    day = TimeWindow(START, START + DAY)
    keys, numbers = zip(*files(version, int(count)), strict=True)
    part = BulkPart(run_id="run", window=day, rows=sum(map(len, numbers)), files=keys)
    bulk = BulkOutput(export_id="bulk", format_version=version, parts=(part,))
    view = view_of("runs")
    query = run_query(project=SHOP, start=START, end=START + DAY, fields=view.fields)
    tenths: list[float] = []

    def look(progress: Progress) -> None:
        if progress.share * 10 >= len(tenths) + 1:
            tenths.append(memory_mb("VmRSS") - before_mb)

    with tempfile.TemporaryDirectory() as lake:
        output = OutputOptions(destination=ObjectStoragePath(f"file://{lake}"), format=format_of("parquet"))
        before_mb, start, cpu = memory_mb("VmHWM"), time.monotonic(), time.process_time()
        exported = Export(BulkSource(bulk, f"file://{directory}"), query, view, output, on_page=look).run()
        assert exported.manifest.rows == int(count)
        seconds, cpu = time.monotonic() - start, time.process_time() - cpu
        print(seconds, cpu, memory_mb("VmHWM") - before_mb, *tenths[:10])


if __name__ == "__main__":
    commands: dict[str, Callable[..., None]] = {"make": make, "export": export}
    if sys.argv[1:] and sys.argv[1] in commands:
        sys.exit(commands[sys.argv[1]](*sys.argv[2:]))
    sys.exit(main(tuple(map(int, sys.argv[1:])) or ROWS))
