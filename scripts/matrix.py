"""
Run the tests on the supported pairs of Airflow and Python: ``python scripts/matrix.py``, or ``make matrix``.

Each pair gets its own environment in ``.matrix``. Airflow comes with the package versions of its release day, as in its
constraints. The test tools are the newest. The oldest pair has the lowest versions of our own dependencies that
``pyproject.toml`` allows.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".matrix"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = ("parquet", "s3", "fast")
TABLES = ("delta", "duckdb", "postgres", "iceberg")  # in their newest versions, as the test tools
SHOWN = ("common-compat", "msgspec", "httpx", "pendulum", "pyarrow")


@dataclass(frozen=True)
class Pair:
    """A version of Airflow with the day of its release, and a version of Python."""

    airflow: str
    day: str
    python: str
    lowest: bool = False

    @property
    def name(self) -> str:
        """The name on the command line."""
        return "floors" if self.lowest else f"{self.airflow}-py{self.python}"


_LINES = [
    ("3.0.6", "2025-08-29", ("3.11", "3.12")),
    ("3.1.8", "2026-03-11", ("3.11", "3.12", "3.13")),
    ("3.2.2", "2026-05-29", ("3.11", "3.12", "3.13")),
    ("3.3.2", "2026-09-17", ("3.11", "3.12", "3.13")),
    ("3.4.0b2", "2026-11-27", ("3.11", "3.12", "3.13")),
]
PAIRS = [
    Pair("3.0.0", "2025-04-22", "3.11", lowest=True),
    *(Pair(airflow, day, python) for airflow, day, pythons in _LINES for python in pythons),
]


def main() -> None:
    """Run the tests on the selected pairs, and print the table of results."""
    parser = argparse.ArgumentParser(prog="make matrix", description=__doc__)
    parser.add_argument("pairs", nargs="*", help="names of pairs, or all; by default the oldest and the newest")
    parser.add_argument("--tests", default="", help="paths of tests, with spaces between; by default all")
    arguments = parser.parse_args()
    by_name = {pair.name: pair for pair in PAIRS}
    names = list(by_name) if arguments.pairs == ["all"] else arguments.pairs or [PAIRS[0].name, PAIRS[-1].name]
    if unknown := [name for name in names if name not in by_name]:
        parser.error(f"there is no pair {', '.join(unknown)}; there is {', '.join(by_name)}")
    results = [(by_name[name], *run_tests(by_name[name], arguments.tests.split())) for name in names]
    print("\n| Airflow | Python | " + " | ".join(SHOWN) + " | tests |")
    print("|---" * (len(SHOWN) + 3) + "|")
    for pair, versions, verdict in results:
        print(f"| {pair.airflow} | {pair.python} | " + " | ".join(versions) + f" | {verdict} |")
    if not all("passed" in verdict and "failed" not in verdict and "error" not in verdict for *_, verdict in results):
        sys.exit(1)


def run_tests(pair: Pair, tests: Sequence[str]) -> tuple[list[str], str]:
    """Run the tests in the environment of a pair; return its package versions and pytest's last line."""
    print(f"\n== {pair.name}", flush=True)
    python = environment(pair)
    frozen = run("uv", "pip", "freeze", "--python", str(python))
    versions = [re.findall(rf"^(?:\S*-)?{name}==(\S+)$", frozen, re.MULTILINE)[0] for name in SHOWN]
    # Airflow brings anyio. Its pytest plugin may be too old for this pytest, and no test needs it.
    command = [str(python), "-m", "pytest", "-q", "-p", "no:anyio", "-n", "auto", "--dist", "loadfile", *tests]
    output = ENVIRONMENTS / f"{pair.name}.log"
    with output.open("w") as log:
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run(command, cwd=ROOT, env=inherited, stdout=log, stderr=subprocess.STDOUT, check=False)
    summaries = re.findall(r"^=* ?((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s", output.read_text(), re.MULTILINE)
    verdict = summaries[-1] if summaries else "no result"
    print(f"{verdict}; output in {output.relative_to(ROOT)}", flush=True)
    return versions, verdict


def environment(pair: Pair) -> Path:
    """
    Return the Python of a new environment with the constraints of the pair, and with the test tools.

    The tools may bring newer versions of packages that they share with Airflow. Airflow and our dependencies stay.
    """
    folder = ENVIRONMENTS / pair.name
    python = folder / "bin" / "python"
    constraints = folder.with_suffix(f"{folder.suffix}.txt")
    requirements = [
        f"apache-airflow=={pair.airflow}",
        *(line for line in PROJECT["dependencies"] if "airflow>=" not in line),
    ]
    requirements += [line for extra in EXTRAS for line in PROJECT["optional-dependencies"][extra]]
    if not python.exists():
        run("uv", "venv", "--quiet", "--seed", "--python", pair.python, str(folder))
    resolution = ("--resolution", "lowest-direct") if pair.lowest else ()
    index = ("--python-version", pair.python, "--exclude-newer", pair.day)
    run("uv", "pip", "compile", "-q", "-", *index, *resolution, "-o", str(constraints), stdin="\n".join(requirements))
    install = ("uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python))
    run(*install, "--constraint", str(constraints), "--editable", f".[{','.join(EXTRAS)}]")
    fixed = folder.with_suffix(f"{folder.suffix}.fixed.txt")
    ours = {re.split(r"[\[<>=]", line)[0] for line in requirements}
    lines = constraints.read_text().splitlines()
    names = ((line, line.partition("==")[0]) for line in lines)
    fixed.write_text("\n".join(line for line, name in names if name in ours or name.startswith("apache-airflow")))
    tables = TABLES if pair.airflow >= "3.1" else TABLES[:-1]  # Airflow 3.0 pins a common-compat too old for iceberg
    extras = ",".join((*EXTRAS, *tables, "testing"))
    run(*install, "--constraint", str(fixed), "--editable", f".[{extras}]", "--group", "dev")
    return python


def run(*command: str, stdin: str | None = None) -> str:
    """Run a command and return its output. If it fails, exit."""
    done = subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\n{done.stderr}\n{' '.join(command)} failed; its output is above.")
    return done.stdout


if __name__ == "__main__":
    main()
