"""
The exact number of instructions for a page: ``python -m benchmarks.instructions``.

Cachegrind counts the instructions for two pages and for ten; an eighth of the difference is the cost of a page. It
is the same on a busy machine, so that ``tests/contract/test_cost.py`` can limit it. Nothing is compressed or sent over
a network: those libraries are not ours.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.pages import PROJECT_ID, START, end, page

ROOT = Path(__file__).parent.parent
MIN_PAGES, MAX_PAGES = 2, 10
SIZES = (1000, 5000)  # bytes of a run
INSTRUCTIONS = re.compile(r"I\s+refs:\s+([\d,]+)")
Write = Callable[[list[bytes], Path], None]


def floor(pages: list[bytes], path: Path) -> None:
    """Cut pages into runs, and write each run on a line."""
    decode = msgspec.json.Decoder(msgspec.defstruct("Page", [("runs", list[msgspec.Raw])])).decode
    with path.open("wb") as file:
        for content in pages:
            page: Any = decode(content)
            file.write(b"\n".join(page.runs))


def ours(format_: str, pages: list[bytes], path: Path) -> None:
    """Read pages, make rows and write them, as an export does."""
    from airflow_langsmith.api.flow import Response  # noqa: PLC0415
    from airflow_langsmith.api.negotiation import VersionNegotiator  # noqa: PLC0415
    from airflow_langsmith.api.pagination import Pagination  # noqa: PLC0415
    from airflow_langsmith.api.records import Project  # noqa: PLC0415
    from airflow_langsmith.api.settings import Settings  # noqa: PLC0415
    from airflow_langsmith.export.encoders import format_of  # noqa: PLC0415
    from airflow_langsmith.views import view_of  # noqa: PLC0415
    from tests.queries import run_query  # noqa: PLC0415

    view, project = view_of("runs"), Project(id=PROJECT_ID, name="shop")
    query = run_query(project=project, start=START, end=end(MAX_PAGES), fields=view.fields)
    pagination = Pagination(query, VersionNegotiator(Settings(api_version="v1")))
    encoder = format_of(format_, "none").open(path, view)
    for content in pages:
        flow = pagination.next_page()
        next(flow)
        try:
            flow.send(Response(200, {}, content))
        except StopIteration as end_of_flow:
            encoder.write(view.rows(end_of_flow.value.runs))
    encoder.close()


WAYS: dict[str, Write] = {"floor": floor, "Parquet": partial(ours, "parquet"), "JSONL": partial(ours, "jsonl")}


def count_instructions() -> dict[int, dict[str, int]]:
    """Return the instructions for a page, by the size of its runs and by way."""
    with tempfile.TemporaryDirectory() as directory:
        for size in SIZES:
            pages = [page(size, "v1", number, number, str(number)) for number in reversed(range(MAX_PAGES))]
            Path(directory, str(size)).write_bytes(pickle.dumps(pages))
        valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        log = f"--log-file={directory}/%p"
        pids = subprocess.run(
            [*valgrind, log, sys.executable, "-m", "benchmarks.instructions", directory],
            check=True,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "0", "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"},
        ).stdout
        logs = iter(Path(directory, pid).read_text() for pid in pids.split())
        return {size: {way: _page_cost(next(logs), next(logs)) for way in WAYS} for size in SIZES}


def _page_cost(small: str, large: str) -> int:
    """Return the cost of a page from two logs."""
    counts = [int(match[1].replace(",", "")) for log in (small, large) if (match := INSTRUCTIONS.search(log))]
    return (counts[1] - counts[0]) // (MAX_PAGES - MIN_PAGES)


def work(directory: str) -> None:
    """Run each way for two numbers of pages, each in a child process, and print the ids of the children."""
    for way in WAYS.values():
        way([], Path(directory, "part"))  # loads its modules
    for size in SIZES:
        pages = pickle.loads(Path(directory, str(size)).read_bytes())
        for way in WAYS.values():
            for count in (MIN_PAGES, MAX_PAGES):
                print(_child(partial(way, pages[-count:], Path(directory, "part"))), flush=True)


def _child(work: Callable[[], None]) -> int:
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        assert status == 0
        return child
    work()
    os._exit(0)


def main() -> None:
    """Print the cost of each way."""
    for size, ways in count_instructions().items():
        for way, count in ways.items():
            print(f"{size:>6,} B a run  {way:10}{count:>14,}{count / ways['floor']:>8.2f} times the floor")


if __name__ == "__main__":
    work(sys.argv[1]) if sys.argv[1:] else main()
