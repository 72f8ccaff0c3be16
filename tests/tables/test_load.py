"""A load puts each window into a table once, whatever the kind of table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT
from tests.conftest import ClientOf, RunExport
from tests.tables.conftest import Kind, LoadInto

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_a_window_lands_once(
    kind: Kind, load: LoadInto, langsmith: LangSmithStandIn, client_of: ClientOf, export_runs: RunExport
) -> None:
    """A window that is loaded, loaded again, and exported and loaded again is in the table once."""
    langsmith.load_sample(start=START, days=2, traces_per_day=10)
    client = client_of(langsmith)
    days = [export_runs(client, PROJECT, START + day * DAY, START + (day + 1) * DAY).summary() for day in (0, 1)]
    for exported in (days[0], days[1], days[0], days[0]):
        load(exported, kind.uri("runs"))
    both = export_runs(client, PROJECT, START, START + 2 * DAY)
    assert len(kind.rows("runs")) == both.manifest.rows == sum(day["rows"] for day in days)
