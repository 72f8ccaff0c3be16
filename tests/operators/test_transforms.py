"""Flattened and redacted rows in the files of an export."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith.airflow_sdk import AirflowFailException
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.operators import LangSmithExportOperator
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ReadRows, TaskLog

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
EMAIL, CARD, KEY = "grace.hopper@example.com", "4111 1111 1111 1111", "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"

Export = Callable[..., dict[str, Any]]
Warned = Callable[[], list[str]]


@pytest.fixture
def shop(langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> LangSmithStandIn:
    """Add runs whose payloads differ, and contain secrets."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection(requests_per_10s=1000))
    monkeypatch.setenv("AIRFLOW_CONN_SALT", '{"conn_type": "generic", "password": "a secret of ours"}')
    for number in range(250):
        run = langsmith.add_run(
            project="shop",
            start_time=START + timedelta(seconds=number),
            inputs={"question": f"q {number}", "user": {"email": EMAIL, "n": number % 3}},
            outputs={"score": number / 2 if number % 100 else "n/a", "late": True} if number < 200 else {"other": CARD},
            error=f"denied {KEY}" if number == 7 else None,
            extra={"metadata": {"card": CARD, "a.b": number}},
        )
        if number % 2:
            langsmith.add_feedback(run, score=number % 4 == 1, comment=f"mail {EMAIL}")
    return langsmith


@pytest.fixture
def export(run: Callable[..., Any]) -> Export:
    """Export the day."""

    def export(destination: Path, **arguments: Any) -> dict[str, Any]:
        where = f"file://{destination}"
        result: dict[str, Any] = run(
            LangSmithExportOperator(task_id="export", project="shop", destination=where, **arguments)
        )
        return result

    return export


def test_paths_become_columns(shop: LangSmithStandIn, tmp_path: Path, read_rows: ReadRows, export: Export) -> None:
    """Values in payloads become columns; values of another type are stored as misfits and counted."""
    paths = [
        "inputs.user.n:int64",
        "outputs.score:float64",
        'metadata."a.b":int64',
        "feedback.user_score",
        "inputs.question",
    ]
    result = export(tmp_path, columns=["run_id", "outputs"], flatten=paths)
    rows = read_rows(result["manifest"])
    assert set(rows[0]) == {
        "run_id",
        "outputs",
        "inputs__user__n",
        "outputs__score",
        "metadata__a_b___14d83e13",
        "feedback__user_score",
        "inputs__question",
        "flatten_misfits",
    }
    for row in rows:
        number = row["metadata__a_b___14d83e13"]
        assert row["inputs__question"] == f"q {number}"
        assert row["inputs__user__n"] == number % 3
        assert row["outputs__score"] == (number / 2 if number < 200 and number % 100 else None)
    misfits = [json.loads(row["flatten_misfits"]) for row in rows if row["flatten_misfits"]]
    assert misfits == [{"outputs.score": "n/a"}] * 2
    assert read_manifest(result).misfits == 2


def test_all_keys_of_a_window(shop: LangSmithStandIn, tmp_path: Path, read_rows: ReadRows, export: Export) -> None:
    """``*`` gives each key of the window a column, the same ones in each part."""
    result = export(tmp_path, flatten="*", max_rows_per_file=60)
    manifest = read_manifest(result)
    names = [column.name for column in manifest.columns]
    assert {"inputs__question", "inputs__user__email", "outputs__score", "outputs__other", "outputs__late"} <= set(
        names
    )
    rows = read_rows(result["manifest"])
    assert (len(rows), len(manifest.files)) == (250, 5)
    assert {row["outputs__other"] for row in rows} == {None, CARD}
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    export(tmp_path, flatten="*", max_rows_per_file=60)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("format_", ["jsonl", "csv"])
def test_what_is_redacted_is_in_no_byte(
    shop: LangSmithStandIn, tmp_path: Path, format_: Any, read_rows: ReadRows, export: Export
) -> None:
    """No file contains a redacted email address, API key or card number."""
    rules = {"inputs.user.email": "hash", "*": {"patterns": ["email", "card", "api_key"]}}
    plain = export(tmp_path / "plain", format=format_, compression="none")
    assert all(secret.encode() in content(plain) for secret in (EMAIL, CARD, KEY))
    result = export(tmp_path / "safe", format=format_, compression="none", redact=rules, redact_conn_id="salt")
    assert not [secret for secret in (EMAIL, CARD, KEY, "a secret of ours") if secret.encode() in content(result)]
    flat = export(tmp_path / "flat", flatten="*", redact=rules, redact_conn_id="salt")
    hashes = {row["inputs__user__email"] for row in read_rows(flat["manifest"])}
    assert len(hashes) == 1
    assert len(hashes.pop()) == 64


@pytest.mark.parametrize(
    "rules",
    [
        "{{ params.rules | tojson }}",
        "{{ params.rules }}",
        "{{ [params.rules] }}",
        "email, card,api_key",
        "{{ params.rules['*'].patterns | list }}",
    ],
)
def test_rules_may_be_a_text(shop: LangSmithStandIn, tmp_path: Path, rules: Any, run: Callable[..., Any]) -> None:
    """Rules that a template prints as text work like the rules themselves."""
    params = {"rules": {"*": {"patterns": ["email", "card", "api_key"]}}}
    operator = LangSmithExportOperator(
        task_id="export",
        project="shop",
        destination=f"file://{tmp_path}",
        format="jsonl",
        compression="none",
        redact=rules,
    )
    landed = content(run(operator, params=params))
    assert b"[email]" in landed
    assert not [secret for secret in (EMAIL, CARD, KEY) if secret.encode() in landed]


def content(result: dict[str, Any]) -> bytes:
    """Read every byte of an export."""
    directory = Path(result["manifest"].removeprefix("file://")).parent
    return b"".join(path.read_bytes() for path in directory.iterdir())


def test_columns_that_change(shop: LangSmithStandIn, tmp_path: Path, export: Export) -> None:
    """Changed columns are in the manifest, or fail the export and leave the published one."""
    export(tmp_path, columns=["run_id", "name"])
    with pytest.raises(AirflowFailException, match="schema_changes='fail'"):
        export(tmp_path, columns=["run_id", "error"], schema_changes="fail")
    assert [
        column.name for column in read_manifest(f"file://{tmp_path}/runs/project=shop/date=2026-03-01").columns
    ] == [
        "run_id",
        "name",
    ]
    result = export(tmp_path, columns=["run_id", "error"])
    assert read_manifest(result).schema_changes == ("+ error string", "- name string")
    assert read_manifest(export(tmp_path, columns=["run_id", "error"], schema_changes="fail")).schema_changes == ()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"flatten": ["nonsense.x"]}, "no column"),
        ({"flatten": ["inputs.x:decimal"]}, "decimal"),
        ({"redact": {"nonsense": "drop"}}, "nonsense"),
        ({"redact": {"inputs": "hash"}}, "key"),
        ({"redact": {"inputs": "shred"}}, "shred"),
        ({"redact": "None"}, "redact"),
        ({"redact": "email or card"}, "names of patterns"),
        ({"redact": "[0-9]{16}"}, "names of patterns"),
        ({"redact": '{"inputs": "drop"'}, "names of patterns"),
        ({"redact": "email, mail"}, "no pattern 'mail'"),
        ({"schema_changes": "ignore"}, "schema_changes"),
    ],
)
def test_shapes_that_cannot_be_meant(
    shop: LangSmithStandIn, tmp_path: Path, arguments: Any, why: str, export: Export
) -> None:
    """A wrong path or rule fails the task, the error names it, and nothing lands."""
    with pytest.raises(AirflowFailException, match=why):
        export(tmp_path, **arguments)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.fixture
def warned(task_log: TaskLog) -> Callable[[], list[str]]:
    """Return a function that returns the warnings of a task's log."""
    return lambda: [line for level, line in task_log() if level == "warning"]


def test_a_path_without_values_is_logged(
    shop: LangSmithStandIn, tmp_path: Path, export: Export, warned: Warned
) -> None:
    """A flat column without values is a warning with the existing keys, and the manifest counts nulls."""
    result = export(tmp_path, flatten=["inputs.qestion", "inputs.question", "outputs.score", "inputs.user.mail"])
    assert warned() == [
        "inputs__qestion is null in all 250 rows\n  keys of inputs seen: question, user",
        "inputs__user__mail is null in all 250 rows\n  keys of inputs.user seen: email, n",
    ]
    nulls = {"inputs__qestion": 250, "inputs__question": 0, "outputs__score": 50, "inputs__user__mail": 250}
    assert read_manifest(result).nulls == nulls


def test_many_paths_without_values_take_few_lines(
    shop: LangSmithStandIn, tmp_path: Path, export: Export, warned: Warned
) -> None:
    """The log names ten columns without values, counts the others, and its lines fit."""
    export(tmp_path, flatten=[f"inputs.{'x' * 70}{number}" for number in range(25)])
    warnings = warned()
    assert len(warnings) == 11
    assert warnings[-1] == "15 more flat columns are null in all rows: see nulls in the manifest"
    assert max(len(line) for warning in warnings for line in warning.splitlines()) < 90


@pytest.mark.parametrize("arguments", [{}, {"flatten": "*"}, {"flatten": ["inputs.question"]}])
def test_a_path_with_values_is_not_logged(
    shop: LangSmithStandIn, tmp_path: Path, export: Export, warned: Warned, arguments: Any
) -> None:
    """A column with values is no warning, and without flat columns there are no counts."""
    result = export(tmp_path, **arguments)
    assert warned() == []
    assert bool(read_manifest(result).nulls) == bool(arguments)


def test_a_redacted_path_that_no_row_has_is_logged(
    shop: LangSmithStandIn, tmp_path: Path, export: Export, warned: Warned
) -> None:
    """A redaction rule for a path that no row has is a warning, because the data may have another name."""
    rules = {"inputs.user.emial": "drop", "inputs.user.email": "drop", "outputs.other": "drop", "error": "drop"}
    export(tmp_path, redact=rules)
    assert warned() == ["redact: no row of 250 has inputs.user.emial"]


def test_two_days_have_one_meaning_of_a_name(
    langsmith: LangSmithStandIn, tmp_path: Path, read_rows: ReadRows, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``*`` the column of a key does not depend on the other keys of the day."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection(requests_per_10s=1000))
    holds: dict[str, set[str]] = {}
    for day, keys in enumerate((["user_id"], ["user-id"], ["User_ID", "user_id"], ["user-id", "User_ID", "user_id"])):
        project = f"shop {day}"
        langsmith.add_run(project=project, start_time=START, extra={"metadata": {key: f"of {key}" for key in keys}})
        result = LangSmithExportOperator(
            task_id="export",
            project=project,
            start_time=START,
            end_time=START + DAY,
            destination=f"file://{tmp_path}",
            columns=["metadata"],
            flatten="*",
        ).execute({})
        (row,) = read_rows(result["manifest"])
        for name, value in row.items():
            if name != "metadata":
                holds.setdefault(name, set()).add(value)
    assert holds.pop("metadata__user_id") == {"of user_id"}
    assert sorted(map(sorted, holds.values())) == [["of User_ID"], ["of user-id"]]


@pytest.mark.parametrize("rules", [{"*": "hash"}, {"*": {"patterns": ["email"]}}, {"metadata": "drop"}, ["email"]])
@pytest.mark.parametrize("view", ["runs", "traces", "retrievals", "threads"])
def test_a_thread_that_is_an_address_lands_in_no_view(
    langsmith: LangSmithStandIn, tmp_path: Path, export: Export, view: str, rules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread id in metadata is redacted with the metadata in each view, and each thread lands."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection(requests_per_10s=1000))
    monkeypatch.setenv("AIRFLOW_CONN_SALT", '{"conn_type": "generic", "password": "a secret of ours"}')
    for number in range(3):
        metadata = {"session_id": f"{number}.{EMAIL}", "ls_model_name": f"model-{number}"}
        root = langsmith.add_run(project="shop", start_time=START, name="agent", extra={"metadata": metadata})
        langsmith.add_run(project="shop", start_time=START, parent_run_id=root, run_type="retriever")
    more = {"with_feedback": False} if view == "retrievals" else {}
    result = export(
        tmp_path, view=view, redact=rules, redact_conn_id="salt", format="jsonl", compression="none", **more
    )
    landed = content(result)
    assert result["rows"] == (6 if view == "runs" else 3)
    assert EMAIL.encode() not in landed
    if rules == {"metadata": "drop"}:
        assert b"model-1" not in landed
