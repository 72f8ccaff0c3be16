"""Arguments of odd types and texts: an operator accepts them, or fails with an error that Airflow acts on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_langsmith.airflow_sdk import AirflowException, AirflowFailException, TaskDeferred
from airflow_langsmith.arguments import export_reference
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.messages import MAX_LINE
from airflow_langsmith.operators.export import LangSmithExportOperator
from airflow_langsmith.operators.runs import LangSmithListRunsOperator, LangSmithReadRunOperator
from airflow_langsmith.sensors import LangSmithFeedbackSensor, LangSmithSettledSensor
from tests.wording import says

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RIGHT: dict[Any, dict[str, Any]] = {
    LangSmithExportOperator: {"project": "shop", "destination": "file:///nowhere"},
    LangSmithListRunsOperator: {"project": "shop"},
    LangSmithReadRunOperator: {"run_id": "0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b", "project": "shop"},
    LangSmithFeedbackSensor: {"project": "shop", "condition": "count(x) > 1"},
    LangSmithSettledSensor: {"project": "shop"},
}
ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_characters="{"), max_size=6)
    | st.binary(max_size=3)
    | st.datetimes()
    | st.timedeltas()
    | st.sampled_from(
        ["None", " ", "[" * 5000, "(1,", "eq(", "https://[oops", "9" * 5000, "file://", "s3://", "Europe"]
    )
    | st.lists(st.none() | st.integers() | st.text(max_size=3), max_size=2)
    | st.dictionaries(st.sampled_from(["rate", "key", "manifest", "inputs"]), st.integers() | st.text(max_size=3))
    | st.sets(st.integers(), max_size=2)
)


@pytest.fixture(autouse=True)
def unreachable_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a connection to a port at which no server listens."""
    written = {"conn_type": "langsmith", "host": "http://127.0.0.1:1", "password": "k", "extra": {"max_retries": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", json.dumps(written))


def refusal(kind: Any, name: str, value: Any, *, rendered: bool) -> str:
    """Run a task with one odd argument, literal or rendered, and return its error message."""
    try:
        task = kind(task_id="task", **{**RIGHT[kind], name: "{{ 1 }}" if rendered else value})
        if rendered:
            setattr(task, name, value)
        dag_run = SimpleNamespace(run_type="scheduled", run_after=START + DAY)
        context: Any = {"data_interval_start": START, "data_interval_end": START + DAY, "dag_run": dag_run}
        task.execute(context)
    except TaskDeferred:
        return ""
    except AirflowException as error:
        return str(error)
    return ""


@given(data=st.data(), kind=st.sampled_from(list(RIGHT)), rendered=st.booleans())
@settings(max_examples=60)
def test_an_odd_argument_is_taken_or_refused(data: Any, kind: Any, rendered: bool) -> None:
    """Any value of an argument is accepted, or refused in printable lines that fit."""
    message = refusal(kind, data.draw(st.sampled_from(kind.template_fields)), data.draw(ODD), rendered=rendered)
    assert message.replace("\n", "").isprintable()
    assert all(len(line) <= MAX_LINE or len(line.split()) == 1 for line in message.splitlines())


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        (LangSmithExportOperator, "format", {1}, "no format '{1}'"),
        (LangSmithExportOperator, "destination", timedelta(1), "'1 day, 0:00:00' is no place"),
        (LangSmithExportOperator, "redact", "[" * 5000, "redact is '[[["),
        (LangSmithExportOperator, "columns", "[" * 5000, "columns is '[[["),
        (LangSmithListRunsOperator, "window_timezone", "[" * 5000, "window_timezone is '[[["),
        (LangSmithListRunsOperator, "limit", "9" * 5000, "limit is '999"),
        (LangSmithFeedbackSensor, "min_runs", "-1", "min_runs is -1; it has to be 0 or more"),
    ],
)
def test_an_odd_argument_is_named(kind: Any, name: str, value: Any, message: str) -> None:
    """The error names the argument and shows the beginning of its value."""
    arguments = {**RIGHT[kind], name: value}
    with pytest.raises(AirflowFailException) as caught:
        kind(task_id="task", **arguments)
    assert message in " ".join(str(caught.value).split())


@pytest.mark.parametrize("value", [{"rate": 1}, [1], timedelta(1), "{'rate': 1}"])
def test_what_names_no_export_is_refused(value: Any) -> None:
    """Only a manifest's URI and the result of an operator refer to an export."""
    with pytest.raises(ConfigurationError, match=says("schema_manifest is .* it has to be the URI of a manifest")):
        export_reference(value, "schema_manifest")
    with pytest.raises(ConfigurationError, match=says("is no place to write to or read from")):
        read_manifest({} if isinstance(value, dict) else value)
