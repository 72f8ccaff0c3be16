"""
Loads by dlt, in an environment of its own: ``python -m benchmarks.dlt_tables iceberg FOLDER``.

As dlt's documentation says for Parquet: a resource yields Arrow record batches, and dlt writes them into files of its
own and from these into the table. It reads a job from each line, runs it, and prints its cost.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pyarrow.parquet as pq


def main(table_format: Any, folder: Path) -> None:
    """Load the files of each job into a table below the folder."""
    results, sys.stdout = sys.stdout, sys.stderr
    pipeline = dlt.pipeline(
        "bench",
        destination=dlt.destinations.filesystem(bucket_url=f"file://{folder}/lake"),
        dataset_name="langsmith",
        pipelines_dir=str(folder / "pipelines"),
    )
    print("{}", file=results, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        cpu, wall = time.process_time(), time.perf_counter()
        disposition: Any = {"disposition": "merge", "strategy": "upsert"} if job["is_merge"] else "replace"
        runs = dlt.resource(
            _batches(job["files"]),
            name="runs",
            primary_key="run_id",
            table_format=table_format,
            write_disposition=disposition,
        )
        pipeline.run(runs).raise_on_failed_jobs()
        cost = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        print(json.dumps(cost), file=results, flush=True)


def _batches(files: list[str]) -> Iterator[Any]:
    for path in files:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
