"""
Run the recipes for warehouses and readers by the engines that run on this machine: ``make recipes``.

Each group of engines gets its own environment in ``.recipes``, because their versions exclude each other. Spark needs
Java 17.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".recipes"
LOADS = "tests/warehouses/engines/loads.py"
SNIPPETS = "tests/contract/test_snippets.py::test_python_runs"


@dataclass(frozen=True)
class Environment:
    """The packages of an environment, and the tests that run there."""

    packages: tuple[str, ...]
    tests: tuple[str, ...]


NAMED = {
    "clickhouse": Environment(("chdb",), (LOADS,)),
    "snowflake": Environment(("fakesnow", "snowflake-connector-python<4.1", "duckdb<2"), (LOADS,)),
    "readers": Environment(
        ("pandas", "polars", "pyspark>=4.3"),
        ("tests/warehouses/engines/readers.py", f"{SNIPPETS}[docs/how-to/read-the-lake.md]"),
    ),
    "providers": Environment(
        ("apache-airflow-providers-databricks", "apache-airflow-providers-google"),
        (f"{SNIPPETS}[docs/how-to/load-bigquery.md]", f"{SNIPPETS}[docs/how-to/load-databricks.md]"),
    ),
}


def main() -> None:
    """Run the tests of the environments, and print what they say."""
    parser = argparse.ArgumentParser(prog="make recipes", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMED)}; by default all")
    names = parser.parse_args().names or list(NAMED)
    if unknown := [name for name in names if name not in NAMED]:
        parser.error(f"there is no {', '.join(unknown)}; there is {', '.join(NAMED)}")
    if failed := [name for name in names if not passes(name)]:
        sys.exit(f"Failed: {', '.join(failed)}.")


def passes(name: str) -> bool:
    """Run the tests of an environment, print pytest's last line, and return whether all passed."""
    print(f"\n== {name}", flush=True)
    folder = ENVIRONMENTS / name
    python, log = folder / "bin" / "python", folder.with_suffix(".log")
    if not python.exists():
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(folder)], cwd=ROOT, check=True)
    install = ["uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), "--group", "dev"]
    subprocess.run([*install, "--editable", ".[parquet,s3,testing]", *NAMED[name].packages], cwd=ROOT, check=True)
    command = [str(python), "-m", "pytest", "-q", "-p", "no:anyio", *NAMED[name].tests]
    with log.open("w") as output:
        inherited = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1"}
        done = subprocess.run(command, cwd=ROOT, env=inherited, stdout=output, stderr=subprocess.STDOUT, check=False)
    summaries = re.findall(r"^=* ?(\d+ [a-z]+.* in [\d.]+s.*)", log.read_text(), re.MULTILINE)
    print(f"{summaries[-1] if summaries else 'no result'}; output in {log.relative_to(ROOT)}", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    main()
