"""A view is one file: what a sixth one takes, and that an export needs nothing else for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_langsmith import arguments
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Run
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.export import Export, OutputOptions
from airflow_langsmith.export.pages import PageSource
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.views import VIEWS, Column, Option, View, view_of
from tests.conftest import ClientOf, ReadRows
from tests.queries import run_query

START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Failures(View):
    """A view of failed runs, of all types or of one."""

    of_type: str | None = None

    options = (*View.options, Option("of_type", arguments.text, "of_type is about the view failures, not {view}."))

    def narrow(self, query: RunQuery) -> RunQuery:
        """Return the query that is to be read."""
        return super().narrow(query).narrowed(error=True, run_type=self.of_type)


def _last_line(run: Run) -> str:
    return (run.error or "").splitlines()[-1]


FAILURES = Failures(
    "failures",
    (
        Column("run_id", "string", "The run's id; the key of this view.", "id"),
        Column("last_line", "string", "The last line of the error.", _last_line, ("error",)),
        Column("start_time", "timestamp", "When it started; decides its window."),
    ),
)


@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_view_of_ones_own_is_exported(
    langsmith: LangSmithStandIn,
    client_of: ClientOf,
    read_rows: ReadRows,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    format_: str,
) -> None:
    """Registered under its name, it is narrowed, read, encoded and published; and its option is its own."""
    monkeypatch.setitem(VIEWS, "failures", FAILURES)
    failed = [
        langsmith.add_run(project="shop", run_type=kind, start_time=START + timedelta(hours=hour), error="at 1\nno")
        for hour, kind in enumerate(["llm", "tool"])
    ]
    langsmith.add_run(project="shop", start_time=START)
    client = client_of(langsmith, version)

    def landed(**options: Any) -> list[dict[str, Any]]:
        view = view_of("failures", **options)
        query = run_query(
            project=client.project("shop"), start=START, end=START + timedelta(days=1), fields=view.fields
        )
        target = OutputOptions(destination=f"file://{tmp_path}/{len(options)}", format=format_of(format_, "none"))
        exported = Export(PageSource(client), query, view, target).run()
        assert "/failures/project=shop/" in exported.uri
        if format_ == "parquet":
            return read_rows(exported.uri)
        (part,) = exported.manifest.files
        path = urlsplit(exported.uri).path
        return [json.loads(line) for line in Path(path).with_name(part.name).read_text().splitlines()]

    rows = landed()
    assert [row["run_id"] for row in rows] == failed[::-1]
    assert [row["last_line"] for row in rows] == ["no", "no"]
    assert [row["run_id"] for row in landed(of_type="llm")] == failed[:1]
    with pytest.raises(ConfigurationError, match="of_type is about the view failures, not runs"):
        view_of("runs", of_type="llm")
