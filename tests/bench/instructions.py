"""
How many instructions a page takes, to the digit: ``python -m tests.bench.instructions``.

Cachegrind counts what the processor would do for two pages and for ten; the eighth part of what the eight more take is
what a page takes. It is the same on every run, so a change that makes pages dearer shows, however busy the machine is.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.bench.pages import PROJECT_ID, page

FEW, MANY = 2, 10  # pages
SIZE = 5000  # bytes a run
COUNTED = re.compile(r"I\s+refs:\s+([\d,]+)")


def count(way: str) -> int:
    """Count the instructions of a page."""
    few, many = (_counted(way, pages) for pages in (FEW, MANY))
    return (many - few) // (MANY - FEW)


def _counted(way: str, pages: int) -> int:
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", sys.executable]
    told = subprocess.run(
        [*command, "-m", "tests.bench.instructions", way, str(pages)],
        check=True,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0", "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"},
    ).stderr
    found = COUNTED.search(told)
    assert found is not None, told
    return int(found[1].replace(",", ""))


def floor(pages: list[bytes], path: Path) -> None:
    """Cut pages into runs and write these, each on a line."""
    decode = msgspec.json.Decoder(msgspec.defstruct("Page", [("runs", list[msgspec.Raw])])).decode
    with path.open("wb") as file:
        for content in pages:
            found: Any = decode(content)
            file.write(b"\n".join(found.runs))


def ours(format_: str) -> Callable[[list[bytes], Path], None]:
    """Make rows of pages and write them, not compressed: the libraries that compress are not ours."""
    from airflow_langsmith.api import v1  # noqa: PLC0415  # not where the floor is measured
    from airflow_langsmith.api.records import Project  # noqa: PLC0415
    from airflow_langsmith.export.encoders import format_of  # noqa: PLC0415
    from airflow_langsmith.views import view_of  # noqa: PLC0415

    view, project = view_of("runs"), Project(id=PROJECT_ID, name="shop")

    def write(pages: list[bytes], path: Path) -> None:
        encoder = format_of(format_, "none").open(path, view)
        for content in pages:
            encoder.write(view.rows(v1.read(content, project, view.fields, "").runs))
        encoder.close()

    return write


WAYS: dict[str, Callable[[], Callable[[list[bytes], Path], None]]] = {
    "floor": lambda: floor,
    "Parquet": lambda: ours("parquet"),
    "JSONL": lambda: ours("jsonl"),
}


def main() -> None:
    """Do a way with so many pages, or count the instructions of all ways."""
    if arguments := sys.argv[1:]:
        pages = [page(SIZE, "v1", number, number, None) for number in range(MANY)]
        with tempfile.TemporaryDirectory() as directory:
            WAYS[arguments[0]]()(pages[: int(arguments[1])], Path(directory) / "part")
        return
    floor_, *others = ((way, count(way)) for way in WAYS)
    print(f"{floor_[0]:10}{floor_[1]:>14,}")
    for way, counted in others:
        print(f"{way:10}{counted:>14,}{counted / floor_[1]:>8.2f} times the floor")


if __name__ == "__main__":
    main()
