"""The SQL of the pages about warehouses is SQL of that warehouse, with the parts and the window of a real export."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.views import VIEWS
from tests.documentation import PAGES
from tests.warehouses.conftest import BLANK, EMPTY_DAY, ExportDay
from tests.warehouses.recipes import DIALECTS, KEYS_AND_TIMES, LOADS, REDSHIFT_FILES, Recipe

EVOLUTION = "WITH SCHEMA EVOLUTION "  # Databricks has it, sqlglot does not; Spark's parser reads it (make recipes)

PAGES_AND_VIEWS = [
    pytest.param(page, view, id=f"{dialect}-{view}") for page, dialect in DIALECTS.items() for view in VIEWS
]


def test_the_page_has_the_key_and_the_time_of_each_view() -> None:
    """The table of keys and time columns lists each view with columns that it has."""
    assert {view: key for view, (key, _) in KEYS_AND_TIMES.items()} == {view.name: view.key for view in VIEWS.values()}
    for view, (_, time) in KEYS_AND_TIMES.items():
        assert {column.name: column.type for column in VIEWS[view].columns}[time] == "timestamp"


@pytest.mark.parametrize(("page", "view"), PAGES_AND_VIEWS)
def test_the_dialect_has_each_statement(page: str, view: str, export_day: ExportDay, tmp_path: Path) -> None:
    """Each statement of a page, for each view, is one that sqlglot knows in its dialect."""
    recipe, exports = Recipe.of(page), [export_day(view, project=BLANK), export_day(view, EMPTY_DAY, project=BLANK)]
    assert [exported["rows"] > 0 for exported in exports] == [True, False]
    for file in recipe.files:
        for statement in (text for exported in exports for text in recipe.statements(file, exported, tmp_path)):
            (tree,) = sqlglot.parse(statement.replace(EVOLUTION, ""), dialect=DIALECTS[page])
            assert tree is not None
            assert not isinstance(tree, exp.Command), statement


@pytest.mark.parametrize("file", ["runs_replace.sql", "runs_merge.sql"])
@pytest.mark.parametrize("page", LOADS)
def test_a_load_names_each_part_and_column_of_the_export(
    page: str, file: str, export_day: ExportDay, tmp_path: Path
) -> None:
    """A load reads the parts of the manifest, each once, and writes all columns, also flat ones."""
    exported = export_day("runs", flatten=["inputs.question"], max_rows_per_file=40)
    manifest = read_manifest(exported)
    assert len(manifest.files) > 1
    sql = "\n".join(Recipe.of(page).statements(file, exported, tmp_path))
    if "redshift" in page:
        assert sql.count(REDSHIFT_FILES) == 1
    else:
        assert [sql.count(part.name) for part in manifest.files] == [1] * len(manifest.files)
    if ("snowflake" not in page) or "merge" in file:  # its COPY goes by the names in the parts
        assert "inputs__question" in sql


@pytest.mark.parametrize("page", [page for page in LOADS if "clickhouse" not in page])
@pytest.mark.parametrize("view", VIEWS)
def test_replace_deletes_the_window_of_the_project(page: str, view: str, export_day: ExportDay, tmp_path: Path) -> None:
    """What a replace deletes is one project's, from the start of the window to before its end, by the view's time."""
    exported = export_day(view)
    sql = "\n".join(Recipe.of(page).statements("runs_replace.sql", exported, tmp_path))
    time = KEYS_AND_TIMES[view][1]
    (where,) = re.findall(r"WHERE ((?:.|\n)*?)(?:;|\n\n)", sql)
    assert " ".join(re.sub("TIMESTAMP |[+]00:00|[.]000000", "", where).split()) == (
        f"project_id = '{exported['project_id']}' "
        f"AND {time} >= '2026-03-01 00:00:00' AND {time} < '2026-03-02 00:00:00'"
    )


def test_snowflake_copies_at_most_a_thousand_files(export_day: ExportDay, tmp_path: Path) -> None:
    """FILES of a COPY has at most 1,000 names, and no name is lost."""
    exported = export_day("runs", max_rows_per_file=1)
    parts = [file.name for file in read_manifest(exported).files]
    assert len(parts) > 100
    recipe = Recipe.of("docs/how-to/load-snowflake.md")
    small = Recipe(
        recipe.page, {name: text.replace("batch(1000)", "batch(100)") for name, text in recipe.files.items()}
    )
    for file in ("runs_replace.sql", "runs_merge.sql"):
        assert "batch(1000)" in recipe.files[file]
        copies = [text for text in small.statements(file, exported, tmp_path) if "COPY INTO" in text]
        names = [re.findall(r"part-[\w-]+\.parquet", copy) for copy in copies]
        assert [len(batch) for batch in names] == [100, len(parts) - 100]
        assert [name for batch in names for name in batch] == parts


@pytest.mark.parametrize("page", LOADS)
def test_the_dag_of_a_page_names_its_files(page: str) -> None:
    """Each SQL file that the DAG of a page runs is on the page."""
    texts = [
        node.value
        for snippet in PAGES[page].snippets("python")
        for node in ast.walk(ast.parse(snippet.text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert {"runs_columns.sql", "runs_replace.sql", "runs_merge.sql"} == set(Recipe.of(page).files)
    assert {text for text in texts if text.endswith(".sql")} == {"runs_columns.sql", "runs_replace.sql"}
