"""Fixtures that run operators as a worker does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_langsmith.testing import LangSmithStandIn

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def run() -> Callable[..., Any]:
    """Render and execute an operator in a scheduled run over the first day, as a worker does."""

    def run(operator: Any, **more: Any) -> Any:
        dag_run = SimpleNamespace(run_type="scheduled", run_after=START + DAY)
        context: Any = {"data_interval_start": START, "data_interval_end": START + DAY, "dag_run": dag_run, **more}
        operator.render_template_fields(context)
        return operator.execute(context=context)

    return run


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a connection to a stand-in into the environment."""

    def put(langsmith: LangSmithStandIn, version: str = "auto") -> None:
        extra = {"api_version": version, "requests_per_10s": 100_000, "max_retries": 0}
        monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection(**extra))

    return put
