"""docs/reference/versions.md has the versions of pyproject.toml and ``make matrix``."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import pytest

import airflow_langsmith

ROOT = Path(airflow_langsmith.__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = (ROOT / "docs" / "reference" / "versions.md").read_text()
EXTRAS = PROJECT["optional-dependencies"]


@pytest.mark.parametrize(
    "requirement", [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]
)
def test_every_floor_is_on_the_page(requirement: str) -> None:
    """The page has each required package, with its oldest version."""
    match = re.match(r"([\w-]+)(?:\[[\w,-]+\])?>=([\d.]+)", requirement)
    assert match, f"{requirement} has no floor"
    package, floor = match.groups()
    assert re.search(rf"`{package}`(?: from | \| ){re.escape(floor)}(?![\d.]*\d)", PAGE), requirement


def test_every_extra_is_on_the_page() -> None:
    """The table of extras has each extra, and no other."""
    table = PAGE.partition("## Extras")[2].partition("## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(EXTRAS)


def test_every_pair_is_on_the_page() -> None:
    """The table of tests has a row for each pair of ``make matrix``."""
    pairs = {(pair.airflow, pair.python) for pair in runpy.run_path(str(ROOT / "scripts" / "matrix.py"))["PAIRS"]}
    table = PAGE.partition("## What was run")[2]
    assert set(re.findall(r"^\| (3\.\S+) \| (3\.\d+) \|", table, re.MULTILINE)) == pairs


def test_every_python_of_the_pairs_is_a_classifier() -> None:
    """The classifiers are the tested Pythons, and no other."""
    pairs = {pair.python for pair in runpy.run_path(str(ROOT / "scripts" / "matrix.py"))["PAIRS"]}
    declared = {line.rpartition(" :: ")[2] for line in PROJECT["classifiers"] if "Python :: " in line}
    assert declared == pairs
