"""
The code of the page about readers returns the rows of an export, and Spark parses the SQL for Databricks and Athena.

``make recipes`` runs this with pandas, polars and Spark.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.views import VIEWS
from tests.documentation import PAGES
from tests.warehouses.conftest import BLANK, ExportDay, Rows, by_key, rows_of
from tests.warehouses.recipes import Recipe

PAGE = "docs/how-to/read-the-lake.md"
PLACE = "s3://aws_default@lake/langsmith/runs/project=shop/date=2026-11-01"


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """A Spark in a Java process of its own, which only this machine reaches."""
    from pyspark.sql import SparkSession  # noqa: PLC0415  # not there when pytest looks for doctests

    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    yield session
    session.stop()


def rows(table: Any, schema: pa.Schema) -> Rows:
    """Return the rows of a frame of pandas, polars or Spark."""
    match type(table).__module__.partition(".")[0]:
        case "pandas":
            return list(pa.Table.from_pandas(table, schema).to_pylist())
        case "polars":
            return list(table.collect().to_dicts())
        case _:
            return list(table.toArrow().to_pylist())


@pytest.mark.parametrize("project", ["shop-assistant", BLANK])
@pytest.mark.parametrize("view", VIEWS)
def test_each_reader_returns_the_rows_of_the_export(view: str, project: str, export_day: ExportDay, spark: Any) -> None:
    """Pandas, polars and Spark return each row with all its values, and no column more."""
    exported = export_day(view, project=project)
    expected = rows_of(exported)
    schema = pq.read_schema(read_manifest(exported).uris()[0])
    names: dict[str, Any] = {}
    libraries = set()
    for snippet in PAGES[PAGE].snippets("python")[:3]:
        exec(snippet.text.replace(PLACE, exported["manifest"]), names)
        libraries.add(type(names["runs"]).__module__.partition(".")[0])
        assert by_key(rows(names["runs"], schema), view) == expected
    assert libraries == {"pandas", "polars", "pyspark"}


@pytest.mark.parametrize("page", ["docs/how-to/load-databricks.md", PAGE])
@pytest.mark.parametrize("view", VIEWS)
def test_spark_parses_each_statement(page: str, view: str, export_day: ExportDay, spark: Any, tmp_path: Path) -> None:
    """Spark's own parser reads each statement as it stands, also WITH SCHEMA EVOLUTION and REPLACE WHERE."""
    exported, recipe = export_day(view, project=BLANK), Recipe.of(page)
    parser = spark._jsparkSession.sessionState().sqlParser()
    for file in recipe.files:
        for statement in recipe.statements(file, exported, tmp_path):
            assert parser.parsePlan(statement.rstrip().removesuffix(";"))


@pytest.mark.parametrize("file", ["runs_replace.sql", "runs_merge.sql"])
@pytest.mark.parametrize("view", VIEWS)
def test_spark_runs_the_query_of_each_load(
    view: str, file: str, export_day: ExportDay, spark: Any, tmp_path: Path
) -> None:
    """The query in the statements for Databricks returns the rows of the export."""
    exported = export_day(view, project=BLANK)
    (statement,) = Recipe.of("docs/how-to/load-databricks.md").statements(file, exported, tmp_path)
    query = statement[statement.index("SELECT") :].partition("\n)")[0].rstrip().removesuffix(";")
    assert by_key(spark.sql(query).toArrow().to_pylist(), view) == rows_of(exported)
