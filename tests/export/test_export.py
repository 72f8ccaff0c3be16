"""An export publishes, or says why it did not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.export import Export, OutputOptions
from airflow_langsmith.export.pages import PageSource
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.views import view_of
from tests.conftest import ClientOf
from tests.queries import run_query

START, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)
ExportOf = Callable[..., Export]


@pytest.fixture
def export_of(langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path) -> ExportOf:
    """Make exports of a day; only the first one has a run."""
    langsmith.add_run(project="shop", start_time=START, end_time=START)

    def export_of(day: int, columns: list[str], hooks: dict[str, Any] | None = None, **options: Any) -> Export:
        client, view, start = client_of(langsmith), view_of("runs", columns), START + day * DAY
        query = run_query(project=client.project("shop"), start=start, end=start + DAY, fields=view.fields)
        output = OutputOptions(destination=f"file://{tmp_path}", format=format_of("jsonl"), **options)
        return Export(PageSource(client), query, view, output, **hooks or {})

    return export_of


def test_an_empty_window_that_is_skipped_leaves_nothing(export_of: ExportOf, tmp_path: Path) -> None:
    """The result says so; columns that differ fail nothing, because none are published."""
    first = export_of(0, ["run_id", "name"]).run()
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    options: dict[str, Any] = {"on_empty": "skip", "schema_changes": "fail", "schema_manifest": first.uri}
    done = export_of(1, ["run_id"], **options).run()
    assert done.is_skipped
    assert not first.is_skipped
    assert done.summary()["rows"] == 0
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_last_call_prevents_a_publication(export_of: ExportOf, tmp_path: Path) -> None:
    """What is raised right before the manifest is replaced leaves the destination as it was."""

    def refuse() -> None:
        raise RuntimeError("the task was killed")

    pages: list[int] = []
    hooks = {"on_page": lambda progress: pages.append(progress.pages), "before_publication": refuse}
    with pytest.raises(RuntimeError, match="killed"):
        export_of(0, ["run_id"], hooks).run()
    assert pages[-1] == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
