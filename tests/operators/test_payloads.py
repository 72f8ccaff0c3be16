"""Payloads that could not be had, in every view of an export."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith.airflow_sdk import AirflowException, AirflowFailException
from airflow_langsmith.api.payloads import LARGEST
from airflow_langsmith.export import read_manifest
from airflow_langsmith.operators import LangSmithExportOperator
from airflow_langsmith.testing import LangSmithStandIn

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)

ReadRows = Callable[[str], list[dict[str, Any]]]
TaskLog = Callable[[], list[tuple[str, str]]]


@pytest.fixture
def shop(langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> LangSmithStandIn:
    """A trace with a retriever and a thread, and one beside it that has all it needs."""
    connection = langsmith.connection(api_version="v1", max_retries=0, requests_per_10s=1000)
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", connection)
    for number in range(2):
        start = START + timedelta(minutes=number)
        root = langsmith.add_run(
            id=f"00000000-0000-4000-8000-00000000000{number}",
            project="shop",
            start_time=start,
            inputs={"q": number},
            outputs={"a": number},
            extra={"metadata": {"thread_id": "t"}},
        )
        child = langsmith.add_run(
            id=f"00000000-0000-4000-8000-00000000001{number}",
            project="shop",
            parent_run_id=root,
            run_type="retriever",
            start_time=start,
            inputs={"query": number},
            outputs={"documents": []},
            extra={"metadata": {"ls_model_name": "m"}},
        )
        langsmith.add_feedback(root, key="user_score", score=1)
        for run in (root, child):
            langsmith.offload(run, "inputs", "outputs")
    langsmith.offload(child, "extra")
    return langsmith


def export(tmp_path: Path, view: str = "runs", **arguments: Any) -> dict[str, Any]:
    """Export the day as an operator does."""
    day: Any = {"start_time": START, "end_time": START + DAY}
    operator = LangSmithExportOperator(
        task_id="export", project="shop", destination=f"file://{tmp_path}", view=view, **day, **arguments
    )
    return operator.execute({})


FIRST, CHILD = "00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000010"


@pytest.mark.parametrize(
    ("view", "gone", "marks"),
    [
        ("runs", f"{FIRST}/inputs", [[], [], [], ["inputs"]]),
        ("runs", f"{CHILD}/outputs", [[], [], ["outputs"], []]),
        ("traces", f"{FIRST}/outputs", [[], ["outputs"]]),
        ("traces", "0011/extra", [["extra"], []]),
        ("retrievals", f"{FIRST}/inputs", [[], ["inputs"]]),
        ("retrievals", f"{CHILD}/outputs", [[], ["retriever_outputs"]]),
        ("threads", f"{FIRST}/inputs", [["inputs"]]),
    ],
)
def test_each_view_marks_what_is_missing(
    shop: LangSmithStandIn, tmp_path: Path, read_rows: ReadRows, view: str, gone: str, marks: list[list[str]]
) -> None:
    """A payload that is gone marks the row it would be in, its own run's or its trace's; the manifest counts marks."""
    shop.misbehave("status", status=404, path=gone, times=None)
    result = export(tmp_path, view, payloads="flag")
    assert [row["missing_payloads"] for row in read_rows(result["manifest"])] == marks
    assert read_manifest(result).missing_payloads == 1


def test_feedback_has_no_payloads(shop: LangSmithStandIn, tmp_path: Path) -> None:
    """A view without payloads has nothing to mark, and takes the choice all the same."""
    manifest = read_manifest(export(tmp_path, "feedback", payloads="flag"))
    assert "missing_payloads" not in {column.name for column in manifest.columns}


def test_a_missing_payload_of_a_retriever_keeps_its_place(
    shop: LangSmithStandIn, tmp_path: Path, read_rows: ReadRows
) -> None:
    """In a list of what retrievers gave, one that could not be had is null, and the others are where they were."""
    shop.add_run(
        project="shop", parent_run_id=FIRST, run_type="retriever", start_time=START + DAY, outputs={"documents": [1]}
    )
    shop.misbehave("status", status=404, path=f"{CHILD}/outputs", times=None)
    rows = read_rows(export(tmp_path, "retrievals", payloads="flag")["manifest"])
    assert json.loads(rows[1]["retriever_outputs"]) == [None, {"documents": [1]}]


def test_the_column_comes_with_the_choice(shop: LangSmithStandIn, tmp_path: Path, read_rows: ReadRows) -> None:
    """Whatever columns are chosen, the marks are there with ``payloads="flag"``, and only then."""

    def columns(**arguments: Any) -> list[str]:
        return list(read_rows(export(tmp_path, **arguments)["manifest"])[0])

    assert "missing_payloads" not in columns()
    assert columns(payloads="flag")[-1] == "missing_payloads"
    assert columns(payloads="flag", columns=["run_id"]) == ["run_id", "missing_payloads"]
    assert columns(payloads="flag", columns=["missing_payloads", "run_id"]) == ["missing_payloads", "run_id"]
    assert columns(payloads="flag", columns=["run_id"], flatten=["inputs.q"]) == [
        "run_id",
        "missing_payloads",
        "inputs__q",
    ]
    with pytest.raises(AirflowFailException, match="no column missing_payloads"):
        columns(columns=["run_id", "missing_payloads"])


def test_the_log_tells_of_it(shop: LangSmithStandIn, tmp_path: Path, task_log: TaskLog) -> None:
    """The log warns with how many are missing, and from which of the rows, where their ids are columns."""
    shop.misbehave("status", status=404, path="/inputs", times=None)
    export(tmp_path, payloads="flag", columns=["run_id", "inputs"])
    (found,) = [line for level, line in task_log() if level == "warning" and "could not be had" in line]
    assert found.startswith("4 payloads could not be had")
    assert {FIRST, CHILD} <= set(found.replace(",", "").split())
    shop.behave()
    export(tmp_path, payloads="flag")
    assert len([line for _, line in task_log() if "could not be had" in line]) == 1


def test_without_it_the_task_fails(shop: LangSmithStandIn, tmp_path: Path) -> None:
    """By default a payload that cannot be had fails the task: for Airflow to retry, if that may help."""
    shop.misbehave("status", status=404, path="/inputs")
    with pytest.raises(AirflowException, match="payloads='flag'") as caught:
        export(tmp_path)
    assert not isinstance(caught.value, AirflowFailException)
    shop.misbehave("status", status=200, path="/inputs", body=b'"' + b"x" * LARGEST + b'"')
    with pytest.raises(AirflowFailException, match="over 64 MB"):
        export(tmp_path)
    assert not list(tmp_path.rglob("*.*"))
    with pytest.raises(AirflowFailException, match="it is 'fail' or 'flag'"):
        export(tmp_path, payloads="ignore")
