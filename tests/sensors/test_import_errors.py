"""A wrong argument of a sensor is an import error of its DAG."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, task

from airflow_langsmith.airflow_sdk import AirflowFailException
from airflow_langsmith.sensors import LangSmithFeedbackSensor, LangSmithSettledSensor
from airflow_langsmith.testing import LangSmithStandIn

FEEDBACK = "LangSmithFeedbackSensor(task_id='wait', project='shop', {})"
SETTLED = "LangSmithSettledSensor(task_id='wait', project='shop', {})"
HEAD = (
    "from datetime import timedelta\n"
    "from airflow.sdk import DAG\n"
    "from airflow_langsmith.sensors import LangSmithFeedbackSensor, LangSmithSettledSensor\n"
    "with DAG('waits', schedule=None):\n    "
)


@pytest.mark.parametrize(
    ("sensor", "why"),
    [
        (FEEDBACK.format("condition='coverage(x) > 1'"), "never holds"),
        (FEEDBACK.format("condition='medain(x) > 1'"), "medain"),
        (FEEDBACK.format("condition='count(x) > 1', fail_when='count(x) < 0'"), "fail_when"),
        (FEEDBACK.format("condition='count(x) > 1', min_runs='many'"), "min_runs"),
        (FEEDBACK.format("condition='count(x) > 1', min_runs=1.5"), "min_runs"),
        (SETTLED.format("quiet_for='soon'"), "quiet_for"),
        (SETTLED.format("pending_timeout=timedelta(0)"), "pending_timeout"),
        *(
            (SETTLED.format(f"{how}"), "poke_interval is ")
            for wrong in ("0", "-1", "timedelta(0)", "float('nan')", "float('inf')", "'0s'")
            for how in (f"poke_interval={wrong}", f"default_args={{'poke_interval': {wrong}}}")
        ),
    ],
)
def test_it_is_an_import_error(tmp_path: Path, parse_dags: Callable[[Path], Any], sensor: str, why: str) -> None:
    """A wrong literal is an import error with its reason."""
    (tmp_path / "waits.py").write_text(HEAD + sensor)
    (error,) = parse_dags(tmp_path).import_errors.values()
    assert why in error


def test_an_interval_is_seconds_or_a_length_of_time() -> None:
    """``poke_interval`` is a number of seconds, a timedelta or text with a unit."""
    for number, interval in enumerate((300, 300.0, timedelta(minutes=5), "5m")):
        sensor = LangSmithSettledSensor(task_id=f"wait{number}", project="shop", poke_interval=interval)
        assert sensor.poke_interval == 300.0


def test_what_is_not_final_waits_for_its_template() -> None:
    """Templates and values of tasks are not read when the DAG is parsed."""

    @task
    def condition() -> str:
        return "count(x) > 1"

    @task
    def plan() -> list[dict[str, str]]:
        return [{"condition": "count(x) > 1"}]

    with DAG("waits", schedule=None):
        LangSmithFeedbackSensor(task_id="a", project="shop", condition="{{ params.condition }}", min_runs="{{ n }}")
        LangSmithSettledSensor(
            task_id="b", project="shop", quiet_for="{{ n }}m", pending_timeout="{% if a %}1d{% endif %}"
        )
        LangSmithFeedbackSensor(task_id="c", project="shop", condition=condition())  # type: ignore[arg-type]
        LangSmithFeedbackSensor.partial(task_id="d", project="shop").expand_kwargs(plan())
        LangSmithFeedbackSensor.partial(task_id="e", project="shop", min_runs="{{ n }}").expand(
            condition=["count(x) > 1"]
        )


def test_a_subclass_may_decide() -> None:
    """A subclass may add or fix arguments, and a wrong one is an import error too."""

    class Reviewed(LangSmithFeedbackSensor):
        def __init__(self, *, share: float, **arguments: Any) -> None:
            super().__init__(condition=f"coverage(user_score) >= {share}", **arguments)

    assert Reviewed(task_id="a", project="shop", share=0.9).condition == "coverage(user_score) >= 0.9"
    with pytest.raises(AirflowFailException, match="never holds"):
        Reviewed(task_id="b", project="shop", share=90)


def test_a_rendered_value_is_read_as_before(
    langsmith: LangSmithStandIn, connect: Callable[..., None], run: Callable[..., Any]
) -> None:
    """A template with a wrong value fails the task for good."""
    connect(langsmith)
    for sensor in (
        LangSmithFeedbackSensor(task_id="a", project="shop", condition="{{ wrong }}"),
        LangSmithFeedbackSensor(task_id="b", project="shop", condition="count(x) > 1", min_runs="{{ wrong }}"),
        LangSmithSettledSensor(task_id="c", project="shop", quiet_for="{{ wrong }}"),
        LangSmithSettledSensor(task_id="d", project="shop", quiet_for=timedelta(0), pending_timeout="{{ wrong }}"),
    ):
        with pytest.raises(AirflowFailException, match="perhaps"):
            run(sensor, wrong="perhaps")
    assert langsmith.requests == []
