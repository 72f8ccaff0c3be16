"""The page of each kind of table works from its first line to its last, on a real table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ClientOf, RunExport
from tests.documentation import PAGES

DAY = datetime(2026, 11, 1, tzinfo=UTC)
# The fixture that brings the kind, and the connection of the page as the fixture names it.
KINDS = {
    "iceberg": ("iceberg", {"AIRFLOW_CONN_LAKE": "AIRFLOW_CONN_ICEBERG_TESTS"}),
    "delta": ("delta", {}),
    "duckdb": ("duckdb_file", {}),
    "postgresql": ("postgres", {"AIRFLOW_CONN_WAREHOUSE": "AIRFLOW_CONN_POSTGRES_TESTS"}),
}


@pytest.mark.parametrize(("page", "fixture", "connections"), [(name, *kind) for name, kind in KINDS.items()])
def test_the_page_of_a_kind_works(
    page: str,
    fixture: str,
    connections: Mapping[str, str],
    langsmith: LangSmithStandIn,
    client_of: ClientOf,
    export_runs: RunExport,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The page's load loads a day, its queries and its maintenance run, and the table takes the day again."""
    request.getfixturevalue(fixture)
    for name, other in connections.items():
        monkeypatch.setenv(name, os.environ[other])
    for hour in range(3):
        langsmith.add_run(project="shop", inputs={"question": "?"}, start_time=DAY + timedelta(hours=hour))
    exported = export_runs(client_of(langsmith), "shop", DAY, DAY + timedelta(days=1)).summary()
    first, *others = [
        snippet.text.replace("delta+s3://aws_default@lake", f"delta://{tmp_path}").replace("/tmp/lake", str(tmp_path))
        for snippet in PAGES[f"docs/how-to/load-{page}.md"].snippets("python")
    ]
    names: dict[str, Any] = {}
    with DAG("page", schedule=None):
        exec(first, names)

    def load() -> dict[str, Any]:
        names["load"].exported = exported
        result: dict[str, Any] = names["load"].execute({"dag_run": SimpleNamespace(run_type="scheduled")})
        return result

    assert load()["rows_added"] == 3
    for snippet in others:
        exec(snippet, names)
    again = load()
    assert again["rows_deleted"] == again["rows_added"]  # maintenance may hide the mark of the load
