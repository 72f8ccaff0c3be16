"""Each documented failure of the recipes, and traces at every edge."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_langsmith.api.sampling import Sample
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ExportRows

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])


@BOTH
def test_a_trace_belongs_to_the_day_its_root_starts_in(
    langsmith: LangSmithStandIn, version: str, export_rows: ExportRows
) -> None:
    """Children that start the next day, or a little before their root, are in; traces of other days are not."""
    late = langsmith.add_run(project="shop", name="late", start_time=START + DAY - SECOND)
    for second in (-30, 5, 90_000):
        at = START + DAY + second * SECOND
        langsmith.add_run(project="shop", run_type="tool", name=f"{second}", start_time=at, parent_run_id=late)
    early = langsmith.add_run(project="shop", name="early", start_time=START)
    langsmith.add_run(
        project="shop", run_type="tool", name="by another clock", start_time=START - 40 * SECOND, parent_run_id=early
    )
    before = langsmith.add_run(project="shop", name="before", start_time=START - SECOND)
    langsmith.add_run(project="shop", run_type="tool", start_time=START + SECOND, parent_run_id=before)
    langsmith.add_run(project="shop", name="after", start_time=START + DAY)
    rows = {row["name"]: row for row in export_rows(langsmith, version, "traces")}
    assert rows.keys() == {"late", "early"}
    assert rows["late"]["tools_involved"] == ["-30", "5", "90000"]
    assert rows["late"]["run_count"] == 4
    assert rows["early"]["tools_involved"] == ["by another clock"]


@BOTH
def test_tools_models_and_errors(langsmith: LangSmithStandIn, version: str, export_rows: ExportRows) -> None:
    """Tools come once, in order of first use, with their calls and errors; so do models; all runs are counted."""
    root = langsmith.add_run(project="shop", start_time=START, end_time=START + 9 * SECOND, error="gave up")
    calls = [("b", None), ("a", "no"), ("b", "no"), ("c", None), ("a", "no")]
    for second, (name, error) in enumerate(calls):
        at = START + second * SECOND
        langsmith.add_run(
            project="shop", run_type="tool", name=name, error=error, start_time=at, end_time=at, parent_run_id=root
        )
    for second, model in ((3, "m2"), (1, "m1"), (2, "m1")):
        langsmith.add_run(
            project="shop",
            run_type="llm",
            start_time=START + second * SECOND,
            end_time=START + second * SECOND,
            parent_run_id=root,
            extra={"metadata": {"ls_model_name": model}},
            outputs={"usage_metadata": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5, "total_cost": 0.5}},
        )
    (row,) = export_rows(langsmith, version, "traces")
    assert row["tools_involved"] == ["b", "a", "c"]
    assert json.loads(row["tool_calls"]) == {"b": 2, "a": 2, "c": 1}
    assert json.loads(row["tool_errors"]) == {"b": 1, "a": 2}
    assert row["models"] == ["m1", "m2"]
    assert (row["run_count"], row["error_count"]) == (9, 4)
    assert json.loads(row["run_types"]) == {"chain": 1, "llm": 3, "tool": 5}
    assert (row["prompt_tokens"], row["completion_tokens"], row["total_tokens"], row["total_cost"]) == (9, 6, 15, 1.5)
    assert row["latency_seconds"] == 9


@BOTH
def test_only_traces_with_tools(langsmith: LangSmithStandIn, version: str, export_rows: ExportRows) -> None:
    """Traces without tools are there unless only those with tools are asked for, and with other filters."""
    plain = langsmith.add_run(project="shop", name="plain", start_time=START)
    busy = langsmith.add_run(project="shop", name="busy", start_time=START)
    for parent, kind in ((plain, "llm"), (busy, "tool")):
        langsmith.add_run(project="shop", name="inner", run_type=kind, start_time=START, parent_run_id=parent)
    assert {row["name"] for row in export_rows(langsmith, version, "traces")} == {"plain", "busy"}
    assert [row["name"] for row in export_rows(langsmith, version, "traces", only_with_tools=True)] == ["busy"]
    both = {"tree_filter": 'eq(name, "inner")', "filter": 'eq(name, "busy")'}
    assert len(export_rows(langsmith, version, "traces", query=both, only_with_tools=True)) == 1
    with pytest.raises(ConfigurationError, match="leaves no traces"):
        export_rows(langsmith, version, "traces", query={"is_root": False})


@BOTH
def test_odd_outputs_are_kept_as_they_are(langsmith: LangSmithStandIn, version: str, export_rows: ExportRows) -> None:
    """Outputs that are null, no lists, texts or without the expected key are kept, beside each other, in call order."""
    root = langsmith.add_run(project="shop", name="root", start_time=START, outputs=None)
    outputs: list[Any] = [None, {"documents": "one text"}, {"documents": None}, {}, {"documents": [{"text": "é"}]}]
    for second, output in enumerate(outputs):
        langsmith.add_run(
            project="shop",
            run_type="retriever",
            name=f"r{second}",
            start_time=START + second * SECOND,
            parent_run_id=root,
            inputs={"query": second},
            outputs=output,
        )
    langsmith.add_feedback(root, key="note", value="fine")
    (row,) = export_rows(langsmith, version, "retrievals")
    assert row["outputs"] is None
    assert json.loads(row["retriever_outputs"]) == outputs
    assert json.loads(row["retriever_inputs"]) == [{"query": second} for second in range(5)]
    assert row["retriever_names"] == [f"r{second}" for second in range(5)]


@BOTH
def test_feedback_of_the_last_trace_is_not_lost(
    langsmith: LangSmithStandIn, version: str, export_rows: ExportRows
) -> None:
    """Feedback is there for every trace, the first and the last of every page, and chosen by any key or one."""
    for minute in range(250):
        root = langsmith.add_run(project="shop", start_time=START + timedelta(minutes=minute))
        langsmith.add_run(project="shop", run_type="retriever", start_time=START, parent_run_id=root)
        langsmith.add_feedback(root, key="user_score" if minute % 2 else "note", score=minute % 3)
    langsmith.add_run(project="shop", run_type="retriever", start_time=START)
    any_ = export_rows(langsmith, version, "retrievals")
    assert len(any_) == 250
    assert all(json.loads(row["feedback_stats"]) for row in any_)
    assert len(export_rows(langsmith, version, "retrievals", with_feedback="user_score")) == 125
    assert len(export_rows(langsmith, version, "retrievals", with_feedback=False)) == 251


@BOTH
def test_roots_pending_and_missing(langsmith: LangSmithStandIn, version: str, export_rows: ExportRows) -> None:
    """A trace whose root has not ended is there as it is; one whose root has not arrived has no window yet."""
    pending = langsmith.add_run(project="shop", name="pending", start_time=START)
    langsmith.add_run(
        project="shop", run_type="tool", name="t", start_time=START, end_time=START, parent_run_id=pending
    )
    orphan, root = "1f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b", "0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b"
    langsmith.load(
        [
            {
                "id": orphan,
                "trace_id": root,
                "parent_run_id": root,
                "dotted_order": f"20260301T000000000000Z{root}.20260301T000000000000Z{orphan}",
                "name": "orphan",
                "run_type": "tool",
                "project_name": "shop",
                "start_time": START,
            }
        ]
    )
    (row,) = export_rows(langsmith, version, "traces")
    assert (row["name"], row["status"], row["end_time"], row["latency_seconds"]) == ("pending", "pending", None, None)
    assert row["tools_involved"] == ["t"]


@BOTH
def test_a_sample_has_whole_traces(langsmith: LangSmithStandIn, version: str, export_rows: ExportRows) -> None:
    """A sample is the same traces in every view, each as a whole; a larger one holds the smaller one."""
    for minute in range(300):
        root = langsmith.add_run(project="shop", start_time=START + timedelta(minutes=minute))
        for second in (1, 2):
            at = START + timedelta(minutes=minute, seconds=second)
            langsmith.add_run(project="shop", run_type="retriever", start_time=at, parent_run_id=root)
    chosen: dict[float, set[str]] = {}
    for rate in (0.1, 0.5):
        sample = {"sample": Sample(rate)}
        runs = export_rows(langsmith, version, "runs", query=sample, columns=["run_id", "trace_id"])
        chosen[rate] = {row["trace_id"] for row in runs}
        assert len(runs) == 3 * len(chosen[rate])
        assert {row["trace_id"] for row in export_rows(langsmith, version, "traces", query=sample)} == chosen[rate]
        retrievals = export_rows(langsmith, version, "retrievals", query=sample, with_feedback=False)
        assert {row["trace_id"] for row in retrievals} == chosen[rate]
        assert all(len(row["retriever_run_ids"]) == 2 for row in retrievals)
    assert chosen[0.1] < chosen[0.5]
    assert 10 <= len(chosen[0.1]) <= 60
    assert 100 <= len(chosen[0.5]) <= 200


@pytest.mark.parametrize("rate", [0, -0.1, 1.01, float("nan")])
def test_samples_that_are_none(rate: float) -> None:
    """A share of nothing, or of more than all, is refused."""
    with pytest.raises(ConfigurationError, match="share of the traces"):
        Sample(rate)
    with pytest.raises(ConfigurationError, match="by the key 'name'"):
        Sample(0.5, "name")  # type: ignore[arg-type]
