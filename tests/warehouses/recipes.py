"""The SQL files of the pages about warehouses: templates that Airflow renders with the manifest of an export."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.sdk import DAG

from airflow_langsmith.manifest import read_manifest
from tests.documentation import PAGES

# Page -> the dialect of its SQL, as sqlglot calls it.
DIALECTS = {
    "docs/how-to/load-bigquery.md": "bigquery",
    "docs/how-to/load-clickhouse.md": "clickhouse",
    "docs/how-to/load-databricks.md": "databricks",
    "docs/how-to/load-redshift.md": "redshift",
    "docs/how-to/load-snowflake.md": "snowflake",
    "docs/how-to/read-the-lake.md": "athena",
}
LOADS = [page for page in DIALECTS if "/load-" in page]
REDSHIFT_FILES = "s3://lake/redshift/runs.json"  # what the task `files` of the page returns

# View -> its key and its time column, from the table of the page.
KEYS_AND_TIMES = {
    view: (key, time)
    for view, key, time in re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \|$", PAGES["docs/reference/layout.md"].text, re.MULTILINE
    )
}


@dataclass(frozen=True)
class Recipe:
    """The SQL files of a page, which are written for the view runs and the bucket ``s3://lake``, by their names."""

    page: str
    files: dict[str, str]

    @classmethod
    def of(cls, page: str) -> Recipe:
        """Read the files of a page; the first line of each is its name."""
        files = (snippet.text for snippet in PAGES[page].snippets("sql"))
        return cls(page, {text.partition("\n")[0].removeprefix("-- "): text for text in files})

    def statements(self, file: str, exported: dict[str, Any], folder: Path, lake: str = "s3://lake") -> list[str]:
        """
        Return the statements of a file, for the view and the place of an export, as an operator of Airflow sends them.

        :param exported: What the operator returned.
        :param folder: A directory for the file.
        :param lake: What stands for ``s3://lake``.
        """
        key, time = KEYS_AND_TIMES[exported["view"]]
        text = self.files[file].replace("s3://lake", lake)
        names = {"runs": exported["view"], "run_id": key, "start_time": time}
        text = re.sub(r"\b(?:runs(?=_|\b)|run_id\b|start_time\b)", lambda match: names[match[0]], text)
        (folder / file).write_text(text)
        macros = {"read_manifest": read_manifest}
        with DAG("load", schedule=None, template_searchpath=str(folder), user_defined_macros=macros):
            load = SQLExecuteQueryOperator(task_id="load", conn_id="warehouse", sql=file)
        load.resolve_template_files()
        results = {exported["view"]: exported, "files": REDSHIFT_FILES}
        context: Any = {"ti": SimpleNamespace(xcom_pull=results.__getitem__)}
        load.render_template_fields(context)
        return DbApiHook.split_sql_string(str(load.sql))
