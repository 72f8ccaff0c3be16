"""
How many instructions a page takes, to the digit: ``python -m benchmarks.instructions``.

Cachegrind counts what the processor would do for two pages and for ten; the eighth part of what the eight more take is
what a page takes. It is the same on every run, so a change that makes pages dearer shows, however busy the machine is;
``tests/contract/test_cost.py`` holds it. Nothing is compressed, and nothing comes over a network: those libraries are
not ours.
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
FEW, MANY = 2, 10  # pages
SIZES = (1000, 5000)  # bytes a run
COUNTED = re.compile(r"I\s+refs:\s+([\d,]+)")
Write = Callable[[list[bytes], Path], None]


def floor(pages: list[bytes], path: Path) -> None:
    """Cut pages into runs and write these, each on a line."""
    decode = msgspec.json.Decoder(msgspec.defstruct("Page", [("runs", list[msgspec.Raw])])).decode
    with path.open("wb") as file:
        for content in pages:
            found: Any = decode(content)
            file.write(b"\n".join(found.runs))


def ours(format_: str, pages: list[bytes], path: Path) -> None:
    """Read pages as an export does, make rows of them and write them."""
    from airflow_langsmith.api.flow import Response  # noqa: PLC0415
    from airflow_langsmith.api.negotiation import VersionNegotiator  # noqa: PLC0415
    from airflow_langsmith.api.pagination import Pagination  # noqa: PLC0415
    from airflow_langsmith.api.records import Project  # noqa: PLC0415
    from airflow_langsmith.api.settings import Settings  # noqa: PLC0415
    from airflow_langsmith.export.encoders import format_of  # noqa: PLC0415
    from airflow_langsmith.views import view_of  # noqa: PLC0415
    from tests.queries import run_query  # noqa: PLC0415

    view, project = view_of("runs"), Project(id=PROJECT_ID, name="shop")
    query = run_query(project=project, start=START, end=end(MANY), fields=view.fields)
    pagination = Pagination(query, VersionNegotiator(Settings(api_version="v1")))
    encoder = format_of(format_, "none").open(path, view)
    for content in pages:
        flow = pagination.next_page()
        next(flow)
        try:
            flow.send(Response(200, {}, content))
        except StopIteration as answered:
            encoder.write(view.rows(answered.value.runs))
    encoder.close()


WAYS: dict[str, Write] = {"floor": floor, "Parquet": partial(ours, "parquet"), "JSONL": partial(ours, "jsonl")}


def counted() -> dict[int, dict[str, int]]:
    """Count the instructions of a page, by the size of its runs and by way."""
    with tempfile.TemporaryDirectory() as directory:
        for size in SIZES:
            pages = [page(size, "v1", number, number, str(number)) for number in reversed(range(MANY))]
            Path(directory, str(size)).write_bytes(pickle.dumps(pages))
        valgrind = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        log = f"--log-file={directory}/%p"
        told = subprocess.run(
            [*valgrind, log, sys.executable, "-m", "benchmarks.instructions", directory],
            check=True,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "0", "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"},
        ).stdout
        logs = iter(Path(directory, pid).read_text() for pid in told.split())
        return {size: {way: _more(next(logs), next(logs)) for way in WAYS} for size in SIZES}


def _more(few: str, many: str) -> int:
    """Tell from two logs what a page takes."""
    counts = [int(found[1].replace(",", "")) for log in (few, many) if (found := COUNTED.search(log))]
    return (counts[1] - counts[0]) // (MANY - FEW)


def work(directory: str) -> None:
    """Go all the ways, for few and for many pages, each in a child of this process, and print their ids."""
    for way in WAYS.values():
        way([], Path(directory, "part"))  # loads what it needs
    for size in SIZES:
        pages = pickle.loads(Path(directory, str(size)).read_bytes())
        for way in WAYS.values():
            for count in (FEW, MANY):
                print(_child(partial(way, pages[-count:], Path(directory, "part"))), flush=True)


def _child(work: Callable[[], None]) -> int:
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        assert status == 0
        return child
    work()
    os._exit(0)


def main() -> None:
    """Print what the ways take."""
    for size, ways in counted().items():
        for way, count in ways.items():
            print(f"{size:>6,} B a run  {way:10}{count:>14,}{count / ways['floor']:>8.2f} times the floor")


if __name__ == "__main__":
    work(sys.argv[1]) if sys.argv[1:] else main()
