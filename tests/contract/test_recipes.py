"""The documentation's long recipes as one argument: the same rows as the idea gives when it is written right."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langsmith import Client
from langsmith.schemas import Run

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.export import Export, OutputOptions
from airflow_langsmith.testing import LangSmithStandIn, sample_feedback, sample_runs
from airflow_langsmith.testing.sample import PROJECT
from airflow_langsmith.views import view_of
from airflow_langsmith.windows import TimeWindow, split
from tests.queries import run_query

pytestmark = [
    # The SDK announces the end of v1, which it still reads in; and it would rather have zstd.
    pytest.mark.filterwarnings("ignore::langsmith._internal._beta_decorator.LangSmithDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::langsmith.utils.LangSmithWarning"),
]

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 2
TRACES_PER_DAY = 2500
WINDOW = TimeWindow(START - timedelta(days=1), START + timedelta(days=DAYS + 1))

ReadRows = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def workspace() -> Iterator[LangSmithStandIn]:
    """Five thousand traces, logged by the official SDK."""
    with LangSmithStandIn() as langsmith:
        client = Client(api_url=langsmith.url, api_key=langsmith.api_key)
        for number, run in enumerate(sample_runs(start=START, days=DAYS, traces_per_day=TRACES_PER_DAY), 1):
            client.create_run(**run)
            if number % 2000 == 0:
                client.flush()  # its queue drops what is over 10,000
        client.flush()
        session = client.read_project(project_name=PROJECT).id
        for feedback in sample_feedback(start=START, days=DAYS, traces_per_day=TRACES_PER_DAY):
            client.create_feedback(**feedback, session_id=session)
        client.flush()
        yield langsmith


@pytest.fixture(scope="module")
def traces(workspace: LangSmithStandIn) -> dict[str, list[Run]]:
    """All runs of the project by their trace, as the SDK lists them, in the order of their start."""
    client = Client(api_url=workspace.url, api_key=workspace.api_key)
    found: dict[str, list[Run]] = {}
    for run in sorted(client.list_runs(project_name=PROJECT), key=lambda run: (run.start_time, run.dotted_order)):
        found.setdefault(str(run.trace_id), []).append(run)
    assert len(found) == DAYS * TRACES_PER_DAY
    return found


def rows(
    client: LangSmithClient, view: str, window: TimeWindow, read_rows: ReadRows, destination: Any, **options: Any
) -> list[dict[str, Any]]:
    """Export a window and read it back."""
    chosen = view_of(view, **options)
    query = run_query(project=client.project(PROJECT), start=window.start, end=window.end, fields=chosen.fields)
    exported = Export(
        client, query, chosen, OutputOptions(destination=f"file://{destination}", format=format_of("parquet"))
    ).run()
    return read_rows(exported.uri)


def loaded(text: str | None) -> Any:
    """Read a JSON column."""
    return json.loads(text) if text is not None else None


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_flattened_trace_with_its_tools(
    workspace: LangSmithStandIn,
    traces: dict[str, list[Run]],
    version: str,
    client_of: Callable[..., LangSmithClient],
    read_rows: ReadRows,
    tmp_path: Any,
) -> None:
    """``view="traces"`` gives for every trace the tools, models, counts, errors, tokens and costs of all its runs."""
    found = rows(client_of(workspace, version), "traces", WINDOW, read_rows, tmp_path)
    assert len(found) == len(traces)
    for row in found:
        runs = traces[row["trace_id"]]
        root = next(run for run in runs if run.parent_run_id is None)
        tools = [run for run in runs if run.run_type == "tool"]
        parents = {run.parent_run_id for run in runs}
        leaves = [run for run in runs if run.id not in parents]
        assert row["start_time"] == root.start_time.replace(tzinfo=UTC)
        assert (row["name"], row["status"], row["error"]) == (root.name, root.status, root.error)
        assert loaded(row["inputs"]) == root.inputs
        assert loaded(row["outputs"]) == root.outputs
        assert row["tools_involved"] == list(dict.fromkeys(run.name for run in tools))
        assert loaded(row["tool_calls"]) == Counter(run.name for run in tools)
        assert loaded(row["tool_errors"]) == Counter(run.name for run in tools if run.error)
        assert loaded(row["run_types"]) == Counter(run.run_type for run in runs)
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
    client_of: Callable[..., LangSmithClient],
    read_rows: ReadRows,
    tmp_path: Any,
) -> None:
    """``view="retrievals"`` gives what every retriever of a trace was given and gave, beside the root's feedback."""
    found = rows(client_of(workspace, version), "retrievals", WINDOW, read_rows, tmp_path, with_feedback=with_feedback)
    expected = {}
    for trace_id, runs in traces.items():
        root = next(run for run in runs if run.parent_run_id is None)
        retrievers = [run for run in runs if run.run_type == "retriever"]
        liked = (root.feedback_stats or {}).get("user_score") if with_feedback else root
        if retrievers and liked:
            expected[trace_id] = (root, retrievers)
    assert {row["trace_id"] for row in found} == set(expected)
    assert (100 < len(found) < len(traces)) is bool(with_feedback)
    for row in found:
        root, retrievers = expected[row["trace_id"]]
        assert loaded(row["inputs"]) == root.inputs
        assert loaded(row["outputs"]) == root.outputs
        assert (loaded(row["feedback_stats"]) or {}).keys() == (root.feedback_stats or {}).keys()
        assert row["retriever_run_ids"] == [str(run.id) for run in retrievers]
        assert loaded(row["retriever_inputs"]) == [run.inputs for run in retrievers]
        assert loaded(row["retriever_outputs"]) == [run.outputs for run in retrievers]


@pytest.mark.parametrize("view", ["traces", "retrievals"])
def test_hours_add_up_to_the_day(
    workspace: LangSmithStandIn,
    view: str,
    client_of: Callable[..., LangSmithClient],
    read_rows: ReadRows,
    tmp_path: Any,
) -> None:
    """The rows of a day's hours are the rows of the day: no trace is cut at an edge, none is there twice."""
    client = client_of(workspace, "v2")
    day = TimeWindow(START, START + timedelta(days=1))
    whole = rows(client, view, day, read_rows, tmp_path)
    hours = [
        row
        for window in split(day, "1h")
        for row in rows(client, view, TimeWindow.of(window), read_rows, tmp_path / "hours")
    ]
    key = lambda row: row["trace_id"]  # noqa: E731
    assert sorted(hours, key=key) == sorted(whole, key=key)
    assert len(whole) > 100
