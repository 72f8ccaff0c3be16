"""
Our loads: ``python -m benchmarks.our_tables TABLE``.

It reads a job from each line, runs it, and prints its cost. What the table's library needs is imported before the first
job.
"""

from __future__ import annotations

import json
import sys
import time

from airflow_langsmith.tables import table_at
from airflow_langsmith.tables.load import Load


def main(uri: str) -> None:
    """Load the export of each job into a table."""
    results, sys.stdout = sys.stdout, sys.stderr  # Airflow logs to stdout
    table = table_at(uri)
    print("{}", file=results, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        cpu, wall = time.process_time(), time.perf_counter()
        change, loaded = Load([job["manifest"]], table).run()
        cost = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        assert change.mode == ("merge" if job["is_merge"] else "replace")
        assert (loaded.rows_deleted, loaded.rows_added) == (job["deleted"], job["added"]), loaded
        print(json.dumps(cost), file=results, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
