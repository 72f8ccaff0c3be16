"""If an extra is not installed, the error says how to install it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import airflow_langsmith
from airflow_langsmith.extras import STORES

PYPROJECT = tomllib.loads((Path(airflow_langsmith.__file__).parent.parent / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]

# For a separate process, in which some packages cannot be imported.
WITHOUT = """
import sys
packages, code = sys.argv[1:]
sys.modules.update(dict.fromkeys(packages.split(",")))
from airflow_langsmith.errors import ConfigurationError
try:
    exec(code)
except ConfigurationError as error:
    print("ERROR", error)
"""
OPEN = "from airflow_langsmith.export.destination import path_at; path_at({!r})"
FORMAT = """
from pathlib import Path
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.views import view_of
format_of({!r}, {!r}).open(Path("part"), view_of("runs"))
"""
TABLES = ("iceberg", "delta", "duckdb", "postgres")
TABLE = "from airflow_langsmith.tables import table_at; table_at({!r}).session(None).__enter__()"

# The packages that are missing, what needs them, and the extra that installs them.
MISSING = [
    ("pyarrow", FORMAT.format("parquet", None), "parquet"),
    ("pyarrow", FORMAT.format("jsonl", "zstd"), "parquet"),
    ("pyarrow", FORMAT.format("csv", "zstd"), "parquet"),
    ("s3fs", OPEN.format("s3://lake/runs"), "s3"),
    ("airflow.providers.amazon.aws.fs.s3", OPEN.format("s3a://lake/runs"), "s3"),
    ("gcsfs,airflow.providers.google.cloud.fs.gcs", OPEN.format("gs://lake/runs"), "gcs"),
    ("adlfs,airflow.providers.microsoft.azure.fs.adls", OPEN.format("abfs://lake/runs"), "azure"),
    ("adlfs,airflow.providers.microsoft.azure.fs.adls", OPEN.format("abfss://lake/runs"), "azure"),
    ("pyiceberg", TABLE.format("iceberg://lake/langsmith.runs"), "iceberg"),
    ("airflow.providers.apache.iceberg", TABLE.format("iceberg://lake/langsmith.runs"), "iceberg"),
    ("deltalake", TABLE.format("delta:///lake/runs"), "delta"),
    ("airflow.providers.amazon.aws.hooks", TABLE.format("delta+s3://lake@tables/runs"), "s3"),
    ("duckdb", TABLE.format("duckdb:///lake.duckdb?table=runs"), "duckdb"),
    ("adbc_driver_postgresql", TABLE.format("postgres://lake/langsmith.runs"), "postgres"),
    ("airflow.providers.postgres", TABLE.format("postgres://lake/langsmith.runs"), "postgres"),
]


@pytest.mark.parametrize(("package", "code", "extra"), MISSING)
def test_a_missing_extra_is_named_with_its_command(package: str, code: str, extra: str, tmp_path: Path) -> None:
    """The error has the command that installs the extra, on one line, so that it can be copied."""
    command = [sys.executable, "-c", WITHOUT, package, code]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    message = done.stdout.partition("ERROR")[2]
    assert f"pip install 'airflow-provider-langsmith[{extra}]'" in message, done.stdout + done.stderr


def test_each_extra_of_an_error_exists() -> None:
    """The package has each extra that an error may name, and each requirement of an extra has a lowest version."""
    assert {extra for *_, extra in MISSING} == {"parquet", *STORES.values(), *TABLES}
    assert {"parquet", *STORES.values()} <= EXTRAS.keys()
    requirements = [requirement for extra in EXTRAS.values() for requirement in extra]
    assert len(requirements) >= len(EXTRAS)
    assert [requirement for requirement in requirements if ">=" not in requirement] == []
