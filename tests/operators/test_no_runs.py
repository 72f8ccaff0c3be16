"""Empty ``run_ids`` mean no runs, and None means all runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith.airflow_errors import LangSmithException
from airflow_langsmith.airflow_sdk import AirflowSkipException
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.operators import LangSmithExportOperator, LangSmithListRunsOperator
from airflow_langsmith.sensors import LangSmithFeedbackSensor, LangSmithSettledSensor
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.views import VIEWS
from tests.operators.conftest import START

EMPTY = pytest.mark.parametrize("run_ids", ["", " ", "[]", [], (), "{{ params.ids | join(',') }}"], ids=repr)
Run = Callable[..., Any]


@pytest.fixture(params=["v1", "v2"])
def workspace(request: Any, langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> LangSmithStandIn:
    """A LangSmith with a run that has feedback, for each API version."""
    extra = {"api_version": request.param, "requests_per_10s": 100_000}
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection(**extra))
    run_id = langsmith.add_run(project="shop", start_time=START, end_time=START + timedelta(seconds=1))
    langsmith.add_feedback(run_id, key="user_score", score=1, created_at=START + timedelta(hours=1))
    return langsmith


@EMPTY
def test_a_list_of_no_runs_is_empty(workspace: LangSmithStandIn, run: Run, run_ids: Any) -> None:
    """With empty ``run_ids`` the list is empty; with None it has all runs."""
    assert workspace
    operator = LangSmithListRunsOperator(task_id="list", project="shop", run_ids=run_ids)
    assert run(operator, params={"ids": []}) == []
    assert len(run(LangSmithListRunsOperator(task_id="all", project="shop"))) == 1


@EMPTY
def test_an_export_of_no_runs_is_empty(workspace: LangSmithStandIn, run: Run, run_ids: Any, tmp_path: Path) -> None:
    """With empty ``run_ids`` an export writes an empty partition, also again, and obeys ``on_empty``."""
    assert workspace
    common: dict[str, Any] = {"project": "shop", "destination": f"file://{tmp_path}", "run_ids": run_ids}
    for _ in range(2):
        exported = run(LangSmithExportOperator(task_id="runs", **common), params={"ids": []})
        assert exported["rows"] == 0
        assert read_manifest(exported).query == {"run_ids": []}
    with pytest.raises(AirflowSkipException):
        run(LangSmithExportOperator(task_id="skip", on_empty="skip", **common), params={"ids": []})
    with pytest.raises(LangSmithException, match="no runs"):
        run(LangSmithExportOperator(task_id="fail", on_empty="fail", **common), params={"ids": []})


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_no_runs_is_empty(workspace: LangSmithStandIn, run: Run, view: str, tmp_path: Path) -> None:
    """With empty ``run_ids`` each view is empty."""
    assert workspace
    operator = LangSmithExportOperator(
        task_id="runs", project="shop", destination=f"file://{tmp_path}", view=view, run_ids=""
    )
    assert run(operator)["rows"] == 0


@EMPTY
def test_sensors_see_no_runs(workspace: LangSmithStandIn, run: Run, run_ids: Any) -> None:
    """With empty ``run_ids`` a window is settled at once, and has too few runs for a condition."""
    assert workspace
    settled = LangSmithSettledSensor(task_id="settled", project="shop", run_ids=run_ids, quiet_for="0s")
    assert run(settled, params={"ids": []})["runs"] == 0
    arguments: dict[str, Any] = {"condition": "count(user_score) == 0", "min_runs": 0}
    reviewed = LangSmithFeedbackSensor(task_id="reviewed", project="shop", run_ids=run_ids, **arguments)
    assert run(reviewed, params={"ids": []})["total"] == 0


def test_the_hook_finds_no_runs(workspace: LangSmithStandIn) -> None:
    """With empty ``run_ids`` the hook returns no runs, with None all."""
    assert workspace
    with LangSmithHook() as hook:
        assert list(hook.query_runs(project="shop", run_ids=[])) == []
        assert hook.count_runs(project="shop", run_ids=[]) == 0
        assert list(hook.list_feedback(project="shop", run_ids=[])) == []
        assert hook.count_runs(project="shop", run_ids=None) == 1
