"""What an export costs, by figures that no busy machine changes: the time itself is measured by ``make bench``."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from benchmarks.instructions import counted

# How many times what it takes to cut a page of v1 into runs, by bytes a run: as measured on Python 3.11, and 4 %
# more. Python 3.13 takes 7 % more for Parquet of 1 KB. Whoever makes a page cheaper lowers them.
MOST = {(1000, "Parquet"): 8.6, (1000, "JSONL"): 7.25, (5000, "Parquet"): 5.0, (5000, "JSONL"): 4.0}


@pytest.fixture(scope="module")
def instructions() -> dict[int, dict[str, int]]:
    """Count the instructions a page takes, by the size of its runs and the way it goes."""
    if shutil.which("valgrind") is None:
        missing = "There is no valgrind on this machine: install it (Debian: apt-get install valgrind)."
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    return counted()


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the figures are those of Python 3.11")
@pytest.mark.parametrize(("size", "way"), MOST)
def test_a_page_takes_no_more_instructions(instructions: dict[int, dict[str, int]], size: int, way: str) -> None:
    """From a page's bytes to rows in a file takes what it took, beside the least there is; to go over is a choice."""
    assert instructions[size][way] / instructions[size]["floor"] <= MOST[size, way]
