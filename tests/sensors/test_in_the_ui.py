"""How a waiting task appears in Airflow's UI: its link, and the name of a mapped one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import pytest
from airflow.sdk import DAG

from airflow_langsmith.airflow_sdk import TaskDeferred
from airflow_langsmith.sensors import LangSmithFeedbackSensor, LangSmithSettledSensor
from airflow_langsmith.testing import LangSmithStandIn

START = datetime(2026, 3, 1, tzinfo=UTC)
LINK = "_link_LangSmithProjectLink"

Connect = Callable[..., None]


def sensor(**arguments: Any) -> LangSmithFeedbackSensor:
    """Return a sensor whose condition never becomes true."""
    plain: Any = {"task_id": "wait", "project": "shop", "condition": "count(user_score) >= 9", "deferrable": True}
    return LangSmithFeedbackSensor(**{**plain, **arguments})


def test_the_link_shows_while_it_waits(
    langsmith: LangSmithStandIn, connect: Connect, context_of: Any, instance: Any
) -> None:
    """The link is there after the first look, in a worker and in a deferred task, also before a window closes."""
    connect(langsmith)
    langsmith.add_run(project="shop", start_time=START, end_time=START)
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    plain: Any = {"task_id": "wait", "project": "shop", "start_time": START.isoformat(), "end_time": later}
    for waiting in (
        sensor(),
        sensor(deferrable=False),
        LangSmithSettledSensor(**plain, deferrable=True),
        LangSmithSettledSensor(**plain, deferrable=False),
    ):
        instance.xcoms.clear()
        if waiting.deferrable:
            with pytest.raises(TaskDeferred):
                waiting.execute(context_of(ti=instance))
        else:
            waiting.poke(context_of(ti=instance))
        assert langsmith.project_id("shop") in instance.xcoms[LINK]


@pytest.mark.parametrize(
    "event", [{"state": "timeout", "line": "x"}, {"state": "error", "line": "x"}, {"state": "failed", "line": "x"}]
)
def test_the_link_stays(
    langsmith: LangSmithStandIn, connect: Connect, context_of: Any, instance: Any, event: Any
) -> None:
    """The link stays if the task fails after a deferral, because Airflow stores the operator's value then."""
    connect(langsmith)
    langsmith.add_run(project="shop", start_time=START, end_time=START)
    with pytest.raises(TaskDeferred):
        sensor().execute(context_of(ti=instance))
    resumed = sensor()
    with pytest.raises(Exception, match="x"):
        resumed.resume_execution("execute_complete", {"event": event}, context_of(ti=instance))
    (link,) = resumed.operator_extra_links
    assert link.get_link(resumed, ti_key=ANY) == instance.xcoms[LINK] != ""


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({}, "shop, 2026-03-01 to 2026-03-02 UTC"),
        ({"project": "{{ 'sh' }}op"}, "shop, 2026-03-01 to 2026-03-02 UTC"),
        ({"run_ids": [str(UUID(int=1)), str(UUID(int=2))]}, "shop, 2 runs"),
        ({"window": "{{ 'a while' }}"}, "shop"),
        ({"map_index_template": "mine"}, "mine"),
    ],
)
def test_a_mapped_task_has_a_name(
    langsmith: LangSmithStandIn, connect: Connect, context_of: Any, instance: Any, arguments: Any, name: str
) -> None:
    """A mapped task is named by project and window, or by its DAG, before the first look and after a deferral."""
    connect(langsmith)
    instance.map_index = 0
    with DAG("waits", schedule=None) as dag:
        waiting = sensor(**arguments)
    context = context_of(ti=instance, map_index_template=arguments.get("map_index_template"))
    waiting.render_template_fields(context)
    assert dag.get_template_env().from_string(context["map_index_template"]).render(context) == name


def test_a_plain_task_has_none(context_of: Any) -> None:
    """A task that is not mapped has no name."""
    waiting, context = sensor(), context_of()
    waiting.render_template_fields(context)
    assert "map_index_template" not in context


def test_a_mapped_task_of_airflow_has_a_name(context_of: Any, instance: Any) -> None:
    """Airflow's expansion of a mapped sensor names each task by its values."""
    instance.map_index = 1
    with DAG("waits", schedule=None) as dag:
        mapped: Any = LangSmithFeedbackSensor.partial(task_id="wait", condition="count(x) > 1").expand(
            project=["shop", "billing"]
        )
    context = context_of(ti=instance, map_index_template=None, dag=dag, params={}, run_id="manual", expanded_ti_count=2)
    instance.task = mapped
    mapped.render_template_fields(context)
    assert context["langsmith_map_name"].startswith("billing, ")
    mapped.unmap({"condition": "coverage(x) > 1", "project": "shop"})  # read when it is executed
