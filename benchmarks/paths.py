"""
The ways from the pages of a server to a file, ours and others', each measured in its own process.

``python -m benchmarks.paths NAME`` loads the modules of a way, then reads a job from each line, runs it and prints its
cost.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.pages import BLOCK, PROJECT_ID, START, end

Job = dict[str, Any]  # the URL of the server, its number of runs, and arguments of an export
Way = Callable[[Job, Path], None]
KEY = "lsv2_pt_0123456789abcdef0123456789abcdef_0123456789"


def ours(version: Any, format_: str, compression: str | None = None) -> Way:
    """Export the view ``runs``, with manifest, digest and publication."""
    from airflow_langsmith.api.client import LangSmithClient  # noqa: PLC0415  # each way its own imports
    from airflow_langsmith.api.settings import Settings  # noqa: PLC0415  # each way its own imports
    from airflow_langsmith.export.destination import path_at  # noqa: PLC0415
    from airflow_langsmith.export.encoders import format_of  # noqa: PLC0415
    from airflow_langsmith.export.export import Export, OutputOptions  # noqa: PLC0415
    from airflow_langsmith.export.pages import PageSource  # noqa: PLC0415
    from airflow_langsmith.views import view_of  # noqa: PLC0415
    from tests.queries import run_query  # noqa: PLC0415

    output_format, view = format_of(format_, compression), view_of("runs")
    if "parquet" in (format_, compression) or compression == "zstd":
        from airflow_langsmith.export import arrow  # noqa: F401, PLC0415

    @cache
    def client_of(url: str, budget: int | None) -> LangSmithClient:  # one for each process: its cost is not by runs
        settings = Settings(api_url=url, api_key=KEY, api_version=version, requests_per_10s=budget or 1_000_000)
        return LangSmithClient(settings)

    def run(job: Job, directory: Path) -> None:
        client = client_of(job["url"], job.get("requests_per_10s"))
        window = end(job["runs"] // BLOCK)
        query = run_query(project=client.project("shop"), start=START, end=window, fields=view.fields)
        output = OutputOptions(destination=path_at(f"file://{directory}"), format=output_format)
        source = PageSource(client, concurrency=job.get("concurrency"))
        exported = Export(source, query, view, output).run()
        assert exported.manifest.rows == job["runs"], exported.manifest.rows

    return run


def floor(version: str) -> Way:
    """Cut each page into runs, compress and write them: the least possible."""
    import msgspec  # noqa: PLC0415
    import urllib3  # noqa: PLC0415
    import zstandard  # noqa: PLC0415
    from isal import isal_zlib  # noqa: PLC0415

    fields: dict[str, list[Any]] = {
        "v1": [("runs", list[msgspec.Raw]), ("cursors", dict[str, str | None])],
        "v2": [("items", list[msgspec.Raw]), ("next_cursor", str | None, None)],
    }
    decode = msgspec.json.Decoder(msgspec.defstruct("Page", fields[version])).decode
    limit = {"limit": 100} if version == "v1" else {"page_size": 1000}

    def run(job: Job, directory: Path) -> None:
        count, cursor = 0, None
        compressor = zstandard.ZstdCompressor(3)
        with (
            urllib3.PoolManager() as pool,
            (directory / "floor").open("wb") as file,
            compressor.stream_writer(file) as out,
        ):
            while count < job["runs"]:
                body = json.dumps({**limit, "cursor": cursor}).encode()
                headers = {"Accept-Encoding": "gzip", "Content-Type": "application/json"}
                address = f"{job['url']}/api/{version}/runs/query"
                answer = pool.request("POST", address, body=body, headers=headers, decode_content=False)
                page: Any = decode(isal_zlib.decompress(answer.data, 31))
                runs = page.runs if version == "v1" else page.items
                cursor = page.cursors["next"] if version == "v1" else page.next_cursor
                out.write(b"\n".join(runs))
                out.write(b"\n")
                count += len(runs)
        assert count == job["runs"]

    return run


def recipe(version: str) -> Way:
    """List the runs with the SDK, make a DataFrame, and write it as Parquet, as the documentation says."""
    import pandas as pd  # noqa: PLC0415
    from langsmith import Client  # noqa: PLC0415

    warnings.simplefilter("ignore")

    def rows_of(client: Client) -> list[dict[str, Any]]:
        if version == "v1":
            return [run.dict() for run in client.list_runs(project_id=PROJECT_ID, start_time=START)]
        api = client._get_langsmith_api_sync()
        runs = api.runs.query_v2(project_ids=[PROJECT_ID], min_start_time=START, page_size=1000, selects=SELECTS)
        return [run.model_dump() for run in runs]

    def run(job: Job, directory: Path) -> None:
        frame = pd.DataFrame(rows_of(Client(api_url=job["url"], api_key=KEY)))
        for name in frame.columns:
            if frame[name].map(lambda value: isinstance(value, dict | list)).any():
                frame[name] = frame[name].map(lambda value: json.dumps(value, default=str))
            elif frame[name].dtype == object:
                frame[name] = frame[name].map(lambda value: value if value is None else str(value))
        frame.to_parquet(directory / "recipe.parquet", compression="zstd")
        assert len(frame) == job["runs"]

    return run


SELECTS: Any = (
    "ID TRACE_ID PARENT_RUN_IDS PROJECT_ID THREAD_ID DOTTED_ORDER NAME RUN_TYPE STATUS START_TIME END_TIME ERROR "
    "TAGS FIRST_TOKEN_TIME PROMPT_TOKENS COMPLETION_TOKENS TOTAL_TOKENS PROMPT_COST COMPLETION_COST TOTAL_COST "
    "REFERENCE_EXAMPLE_ID INPUTS OUTPUTS METADATA FEEDBACK_STATS"
).split()

WAYS: dict[str, Callable[[], Way]] = {
    "floor": lambda: floor("v1"),
    "floor, v2": lambda: floor("v2"),
    "Parquet": lambda: ours("v1", "parquet"),
    "Parquet, v2": lambda: ours("v2", "parquet"),
    "JSONL zstd": lambda: ours("v1", "jsonl", "zstd"),
    "JSONL zstd, v2": lambda: ours("v2", "jsonl", "zstd"),
    "JSONL gzip": lambda: ours("v1", "jsonl", "gzip"),
    "recipe": lambda: recipe("v1"),
    "recipe, v2": lambda: recipe("v2"),
}


def memory_mb(name: str, pid: int | str = "self") -> float:
    """Return the memory of a process (``VmRSS``), or its peak (``VmHWM``), in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def main(name: str) -> None:
    """Run jobs, and print the cost of each; memory is the peak over the memory before the job."""
    results, sys.stdout = sys.stdout, sys.stderr  # Airflow logs to stdout
    way = WAYS[name]()
    print("{}", file=results, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        with tempfile.TemporaryDirectory() as directory:
            before, cpu, wall = memory_mb("VmRSS"), time.process_time(), time.perf_counter()
            way(job, Path(directory))
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        result = {"cpu": cpu, "wall": wall, "memory": memory_mb("VmHWM") - before, "pandas": "pandas" in sys.modules}
        print(json.dumps(result), file=results, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
