"""The cost of an export in instructions, which are the same on a busy machine. ``make bench`` measures time."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from benchmarks.instructions import count_instructions

# The ratio to the cost of cutting a page of v1 into runs, by bytes of a run: measured on Python 3.11, plus 4 %.
# Python 3.13 takes 7 % more for Parquet of 1 KB. Lower them if a page becomes cheaper.
MAX_RATIOS = {(1000, "Parquet"): 8.6, (1000, "JSONL"): 7.25, (5000, "Parquet"): 5.0, (5000, "JSONL"): 4.0}


@pytest.fixture(scope="module")
def instructions() -> dict[int, dict[str, int]]:
    """The instructions for a page, by the size of its runs and by way."""
    if shutil.which("valgrind") is None:
        missing = "There is no valgrind on this machine: install it (Debian: apt-get install valgrind)."
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    return count_instructions()


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the figures are those of Python 3.11")
@pytest.mark.parametrize(("size", "way"), MAX_RATIOS)
def test_a_page_takes_no_more_instructions(instructions: dict[int, dict[str, int]], size: int, way: str) -> None:
    """The way from the bytes of a page to rows in a file costs at most its limit times the least possible."""
    assert instructions[size][way] / instructions[size]["floor"] <= MAX_RATIOS[size, way]
