"""A retry of an export continues where the previous attempt ended."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from airflow_langsmith.airflow_sdk import AirflowException
from airflow_langsmith.export.checkpoints import CheckpointPolicy
from airflow_langsmith.operators import LangSmithExportOperator
from airflow_langsmith.testing import LangSmithStandIn

START = datetime(2026, 3, 1, tzinfo=UTC)
PAGES = 6  # of v1


@pytest.fixture
def shop(langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> LangSmithStandIn:
    """Add a day of some pages, and store a checkpoint after each one."""
    monkeypatch.setattr(LangSmithExportOperator, "checkpoint_policy", CheckpointPolicy(min_pages=1))
    connection = langsmith.connection(max_retries=0, api_version="v1", requests_per_10s=1000)
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", connection)
    for minute in range(100 * PAGES - 10):
        start = START + timedelta(minutes=minute)
        langsmith.add_run(project="shop", start_time=start, end_time=start)
    return langsmith


FIRST: dict[str, Any] = {
    "dag_id": "d",
    "run_id": "r",
    "task_id": "export",
    "map_index": -1,
    "try_number": 1,
    "max_tries": 2,
    "begun": START,
    "clear_number": 0,
}


def attempt(shop: LangSmithStandIn, where: Path, after: int | None = None, **changed: Any) -> int:
    """Export, with a failure after some pages, and return the number of requests for pages."""
    facts = {**FIRST, **changed}
    dag_run = SimpleNamespace(start_date=facts.pop("begun"), clear_number=facts.pop("clear_number"))
    operator = LangSmithExportOperator(
        task_id="export",
        project="shop",
        destination=f"file://{where}",
        start_time=START,
        end_time=START + timedelta(days=1),
        concurrency=1,
        retries=2,
    )
    shop.behave()
    shop.requests.clear()
    if after is not None:
        shop.misbehave("status", after=after, times=None)
    with suppress(AirflowException):
        context: Any = {"ti": SimpleNamespace(**facts), "dag_run": dag_run}
        operator.execute(context)
    return len(shop.requests_to("/runs/query"))


def test_a_retry_goes_on(shop: LangSmithStandIn, tmp_path: Path) -> None:
    """Each attempt requests only pages that no earlier attempt read."""
    assert attempt(shop, tmp_path, after=3) == 4
    assert attempt(shop, tmp_path, after=1, try_number=2) == 2
    assert attempt(shop, tmp_path, try_number=3) == PAGES - 4
    assert attempt(shop, tmp_path, try_number=3) == PAGES  # the checkpoints are deleted


ANEW: dict[str, dict[str, Any]] = {
    "a task that was cleared": {"try_number": 2, "max_tries": 3},
    "a task that was cleared while it ran": {"try_number": 2, "clear_number": 1},
    "a run that was deleted and made again": {"begun": START + timedelta(hours=1)},
    "another mapped task": {"map_index": 0},
    "another run": {"run_id": "s"},
}


@pytest.mark.parametrize("changed", ANEW.values(), ids=ANEW)
def test_what_is_no_retry_begins_anew(shop: LangSmithStandIn, tmp_path: Path, changed: dict[str, Any]) -> None:
    """Only the next attempt of the same task instance continues."""
    attempt(shop, tmp_path, after=3)
    assert attempt(shop, tmp_path, **changed) == PAGES


def test_a_task_without_retries_keeps_nothing(shop: LangSmithStandIn, tmp_path: Path) -> None:
    """The last attempt writes no checkpoints."""
    attempt(shop, tmp_path, after=3, max_tries=0)
    assert not list(tmp_path.rglob("_checkpoint-*"))


def test_a_context_of_somebody_s_test_will_do(shop: LangSmithStandIn, tmp_path: Path) -> None:
    """An operator accepts mocks of Airflow's context, as in tests of DAGs."""
    operator = LangSmithExportOperator(
        task_id="export",
        project="shop",
        destination=f"file://{tmp_path}",
        start_time=START,
        end_time=START + timedelta(1),
    )
    context: Any = {"ti": MagicMock(), "dag_run": MagicMock()}
    assert operator.execute(context)["rows"] == 100 * PAGES - 10
