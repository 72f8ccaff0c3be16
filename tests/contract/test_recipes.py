"""An argument replaces a long recipe of LangSmith's documentation, with the same rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langsmith import Client
from langsmith.schemas import Run

from airflow_langsmith.testing import LangSmithStandIn, sample_feedback, sample_runs
from airflow_langsmith.testing.sample import PROJECT
from airflow_langsmith.windows import TimeWindow, split
from tests.conftest import ExportRows

pytestmark = [
    # The SDK warns of v1, and that zstd is missing.
    pytest.mark.filterwarnings("ignore::langsmith._internal._beta_decorator.LangSmithDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::langsmith.utils.LangSmithWarning"),
]

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 2
TRACES_PER_DAY = 2500
WINDOW = (START - timedelta(days=1), START + timedelta(days=DAYS + 1))


@pytest.fixture(scope="module")
def workspace() -> Iterator[LangSmithStandIn]:
    """Five thousand traces that the SDK logs."""
    with LangSmithStandIn() as langsmith:
        client = Client(api_url=langsmith.url, api_key=langsmith.api_key)
        for number, run in enumerate(sample_runs(start=START, days=DAYS, traces_per_day=TRACES_PER_DAY), 1):
            client.create_run(**run)
            if number % 2000 == 0:
                client.flush()  # its queue drops runs over 10,000
        client.flush()
        session = client.read_project(project_name=PROJECT).id
        for feedback in sample_feedback(start=START, days=DAYS, traces_per_day=TRACES_PER_DAY):
            client.create_feedback(**feedback, session_id=session)
        client.flush()
        yield langsmith


@pytest.fixture(scope="module")
def traces(workspace: LangSmithStandIn) -> dict[str, list[Run]]:
    """The runs that the SDK lists, by trace, in the order of their start."""
    client = Client(api_url=workspace.url, api_key=workspace.api_key)
    traces: dict[str, list[Run]] = {}
    for run in sorted(client.list_runs(project_name=PROJECT), key=lambda run: (run.start_time, run.dotted_order)):
        traces.setdefault(str(run.trace_id), []).append(run)
    assert len(traces) == DAYS * TRACES_PER_DAY
    return traces


def json_of(text: str | None) -> Any:
    """Read a JSON column."""
    return json.loads(text) if text is not None else None


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_trace_with_its_tools(
    workspace: LangSmithStandIn,
    traces: dict[str, list[Run]],
    version: str,
    export_rows: ExportRows,
) -> None:
    """``view="traces"`` has the tools, models, counts, errors, tokens and costs of each trace."""
    rows = export_rows(workspace, version, "traces", *WINDOW, project=PROJECT)
    assert len(rows) == len(traces)
    for row in rows:
        runs = traces[row["trace_id"]]
        root = next(run for run in runs if run.parent_run_id is None)
        tools = [run for run in runs if run.run_type == "tool"]
        parents = {run.parent_run_id for run in runs}
        leaves = [run for run in runs if run.id not in parents]
        assert row["start_time"] == root.start_time.replace(tzinfo=UTC)
        assert (row["name"], row["status"], row["error"]) == (root.name, root.status, root.error)
        assert json_of(row["inputs"]) == root.inputs
        assert json_of(row["outputs"]) == root.outputs
        assert row["tools_involved"] == list(dict.fromkeys(run.name for run in tools))
        assert json_of(row["tool_calls"]) == Counter(run.name for run in tools)
        assert json_of(row["tool_errors"]) == Counter(run.name for run in tools if run.error)
        assert json_of(row["run_types"]) == Counter(run.run_type for run in runs)
        assert (row["run_count"], row["error_count"]) == (len(runs), sum(bool(run.error) for run in runs))
        models = [run.metadata["ls_model_name"] for run in runs if "ls_model_name" in run.metadata]
        assert row["models"] == list(dict.fromkeys(models))
        assert row["total_tokens"] == sum(run.total_tokens or 0 for run in leaves)
        costs = [float(run.total_cost) for run in leaves if run.total_cost is not None]
        assert row["total_cost"] == pytest.approx(sum(costs)) if costs else row["total_cost"] is None


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("with_feedback", [True, "user_score", False])
def test_retriever_inputs_and_outputs_with_feedback(
    workspace: LangSmithStandIn,
    traces: dict[str, list[Run]],
    version: str,
    with_feedback: bool | str,
    export_rows: ExportRows,
) -> None:
    """``view="retrievals"`` has the inputs and outputs of each retriever, and the feedback on the root."""
    rows = export_rows(workspace, version, "retrievals", *WINDOW, project=PROJECT, with_feedback=with_feedback)
    expected = {}
    for trace_id, runs in traces.items():
        root = next(run for run in runs if run.parent_run_id is None)
        retrievers = [run for run in runs if run.run_type == "retriever"]
        has_feedback = "user_score" in (root.feedback_stats or {})
        if retrievers and (has_feedback or not with_feedback):
            expected[trace_id] = (root, retrievers)
    assert {row["trace_id"] for row in rows} == set(expected)
    assert (100 < len(rows) < len(traces)) is bool(with_feedback)
    for row in rows:
        root, retrievers = expected[row["trace_id"]]
        assert json_of(row["inputs"]) == root.inputs
        assert json_of(row["outputs"]) == root.outputs
        assert (json_of(row["feedback_stats"]) or {}).keys() == (root.feedback_stats or {}).keys()
        assert row["retriever_run_ids"] == [str(run.id) for run in retrievers]
        assert json_of(row["retriever_inputs"]) == [run.inputs for run in retrievers]
        assert json_of(row["retriever_outputs"]) == [run.outputs for run in retrievers]


@pytest.mark.parametrize("view", ["traces", "retrievals"])
def test_hours_add_up_to_the_day(
    workspace: LangSmithStandIn,
    view: str,
    export_rows: ExportRows,
) -> None:
    """The rows of 24 hours are the rows of the day: no trace is cut or doubled at an edge."""
    day = TimeWindow(START, START + timedelta(days=1))
    whole = export_rows(workspace, "v2", view, day.start, day.end, project=PROJECT)
    hours = [
        row
        for hour in map(TimeWindow.of, split(day, "1h"))
        for row in export_rows(workspace, "v2", view, hour.start, hour.end, project=PROJECT)
    ]
    key = lambda row: row["trace_id"]  # noqa: E731
    assert sorted(hours, key=key) == sorted(whole, key=key)
    assert len(whole) > 100
