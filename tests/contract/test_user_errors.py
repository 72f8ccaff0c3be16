"""Mistakes of users in Airflow's log view, which does not wrap and shows 90 characters of a line."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from airflow.sdk.io import attach
from airflow.triggers.base import BaseTrigger
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

from airflow_langsmith.airflow_errors import LangSmithException
from airflow_langsmith.airflow_sdk import AirflowException, AirflowFailException
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.operators.bulk_export import LangSmithBulkExportOperator
from airflow_langsmith.operators.export import LangSmithExportOperator
from airflow_langsmith.operators.runs import LangSmithListRunsOperator, LangSmithReadRunOperator
from airflow_langsmith.sensors import LangSmithBulkExportSensor, LangSmithFeedbackSensor, LangSmithSettledSensor
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.triggers import (
    LangSmithBulkExportTrigger,
    LangSmithFeedbackEventTrigger,
    LangSmithSettledTrigger,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
IN_SIGHT = 90  # characters


class ReadOnly(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """An object store that is read-only."""

    protocol = "memory"
    cachable = False

    def put_file(self, *_: Any, **__: Any) -> None:
        """Refuse an upload."""
        raise PermissionError("Access Denied")

    def pipe_file(self, *_: Any, **__: Any) -> None:
        """Refuse an object."""
        raise PermissionError("Access Denied")


@pytest.fixture
def shop(langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LangSmithStandIn:
    """A project of one run, a connection to it, one with a wrong key, and one with a wrong region."""
    langsmith.add_run(project="shop-assistant", start_time=START, run_type="llm", inputs={"question": "why?"})
    written = langsmith.connection(max_retries=0)
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", written)
    monkeypatch.setenv("AIRFLOW_CONN_WRONG_KEY", json.dumps(json.loads(written) | {"password": "lsv2_wrong"}))
    monkeypatch.setenv("AIRFLOW_CONN_WRONG_REGION", json.dumps(json.loads(written) | {"host": "europe", "port": None}))
    monkeypatch.setenv("AIRFLOW_CONN_READONLY", '{"conn_type": "generic"}')
    attach("memory", "readonly", fs=ReadOnly())
    monkeypatch.chdir(tmp_path)
    return langsmith


def run(operator: Any, **more: Any) -> Any:
    """Render and execute an operator in a scheduled run of the first day, as a worker does."""
    dag_run = SimpleNamespace(run_type="scheduled", run_after=START + DAY)
    context: Any = {"data_interval_start": START, "data_interval_end": START + DAY, "dag_run": dag_run, **more}
    operator.render_template_fields(context)
    return operator.execute(context=context)


def export(place: Path, **arguments: Any) -> LangSmithExportOperator:
    """Return an export that works, unless the arguments break it."""
    options = {"project": "shop-assistant", "destination": f"file://{place}", **arguments}
    return LangSmithExportOperator(task_id="export", **options)


def bulk(shop: LangSmithStandIn, place: Path, **arguments: Any) -> LangSmithBulkExportOperator:
    """Return a bulk export that works, unless the arguments break it."""
    destination_id = shop.add_bulk_destination(place / "bucket")
    options = {"project": "shop-assistant", "bulk_destination_id": destination_id, "deferrable": False, **arguments}
    return LangSmithBulkExportOperator(task_id="bulk", files_at=f"file://{place}/bucket", **options)


def export_twice(place: Path) -> None:
    """Export all runs of the day, then runs of one type to the same partition."""
    run(export(place))
    run(export(place, run_type="llm"))


# A mistake, and words in the first 90 characters: what is wrong, or what to do.
ERRORS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "wrong key": (lambda place: run(export(place, langsmith_conn_id="wrong_key")), "refused the API key"),
    "wrong region": (lambda place: run(export(place, langsmith_conn_id="wrong_region")), "'europe' is no region"),
    "unknown project": (lambda place: run(export(place, project="Shop-Asistant")), "no project 'Shop-Asistant'"),
    "filter typo": (lambda place: run(export(place, filter='eq(name "x")')), "filter is no expression"),
    "filter field": (lambda place: run(export(place, filter='eq(runtype, "llm")')), "no attribute 'runtype'"),
    "@daily": (lambda place: run(export(place), data_interval_start=START + DAY), "window|zero length|schedule"),
    "naive datetime": (
        lambda place: run(export(place, start_time="2026-03-01T00:00:00", end_time="2026-03-02T00:00:00+00:00")),
        r"start_time is 2026-03-01T00:00:00.* time zone",
    ),
    "extra of the store missing": (
        lambda place: run(export(place, destination="gs://lake/langsmith")),
        "gs|gcs|google",
    ),
    "no permission": (
        lambda place: run(export(place, destination="memory://readonly@lake/langsmith")),
        "not the right to write|Could not|[Pp]ermission",
    ),
    "bad flatten": (lambda place: run(export(place, flatten=["input.question"])), r"(no column|begins with) 'input'"),
    "bad condition": (
        lambda _: run(LangSmithFeedbackSensor(task_id="wait", project="shop-assistant", condition="avg(x) = 1")),
        "condition cannot be read: a single '='",
    ),
    "missing connection": (
        lambda place: run(export(place, langsmith_conn_id="langsmith_prod")),
        "Connection 'langsmith_prod' is not defined",
    ),
    "same destination, other query": (export_twice, "destination holds an export of another query"),
    "list: missing connection": (
        lambda _: run(LangSmithListRunsOperator(task_id="list", project="a", langsmith_conn_id="langsmith_prod")),
        "Connection 'langsmith_prod' is not defined",
    ),
    "read: missing connection": (
        lambda _: run(LangSmithReadRunOperator(task_id="read", run_id="a", langsmith_conn_id="langsmith_prod")),
        "Connection 'langsmith_prod' is not defined",
    ),
    "sensor: missing connection": (
        lambda _: run(LangSmithSettledSensor(task_id="wait", project="a", langsmith_conn_id="langsmith_prod")),
        "Connection 'langsmith_prod' is not defined",
    ),
    "missing connection of redact": (
        lambda place: run(export(place, redact={"inputs": "hash"}, redact_conn_id="pepper")),
        "Connection 'pepper' is not defined",
    ),
    "view": (lambda place: run(export(place, view="run")), "no view 'run'"),
    "column": (lambda place: run(export(place, columns=["id"])), "no column 'id'"),
    "run type": (lambda place: run(export(place, run_type="llms")), "no run type 'llms'"),
    "choice": (lambda place: run(export(place, on_empty="wirte")), "on_empty is 'wirte'"),
}


@pytest.mark.parametrize("what", ERRORS)
def test_the_first_line_says_what_is_wrong(shop: LangSmithStandIn, tmp_path: Path, what: str) -> None:
    """The first 90 characters say what is wrong, no line is longer, and a final error is logged once."""
    mistake, words = ERRORS[what]
    with pytest.raises(AirflowException) as caught:
        mistake(tmp_path)
    shown = f"{type(caught.value).__name__}: {caught.value}".splitlines()
    assert re.search(words, shown[0][:IN_SIGHT]), shown
    for line in shown:
        assert len(line) <= IN_SIGHT or len(line.split()) == 1, line  # an address is not broken
    if isinstance(caught.value, AirflowFailException):
        assert shown[-1] == "  A retry will not help."
        assert caught.value.__suppress_context__
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("what", "meant"),
    [
        ("wrong region", "eu"),
        ("unknown project", "shop-assistant"),
        ("filter field", "run_type"),
        ("bad flatten", "inputs"),
        ("view", "runs"),
        ("column", "run_id"),
        ("run type", "llm"),
        ("choice", "write"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_one_meant(
    shop: LangSmithStandIn, tmp_path: Path, what: str, meant: str
) -> None:
    """The second line asks for the closest name, before any list of all names."""
    mistake, _ = ERRORS[what]
    with pytest.raises(AirflowFailException) as caught:
        mistake(tmp_path)
    assert str(caught.value).splitlines()[1] == f"  Did you mean {meant!r}?"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_filter_field_on_either_version(
    shop: LangSmithStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """An unknown attribute is named with the closest one, for either API version."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", shop.connection(max_retries=0, api_version=version))
    with pytest.raises(AirflowFailException) as caught:
        run(export(tmp_path, tree_filter='and(eq(name, "x"), gt(latncy, 5))'))
    first, second, *_ = str(caught.value).splitlines()
    assert first == "LangSmith refused the query: there is no attribute 'latncy'."
    assert second == "  Did you mean 'latency'?"


def test_a_conflict_tells_both_exports(shop: LangSmithStandIn, tmp_path: Path) -> None:
    """The error of two exports for one partition has both projects' names and queries."""
    with pytest.raises(AirflowFailException) as caught:
        export_twice(tmp_path)
    message = " ".join(str(caught.value).split())
    window = "[2026-03-01T00:00:00Z, 2026-03-02T00:00:00Z)"
    assert f"There: runs of 'shop-assistant', {window}, not narrowed." in message
    assert f"This export: runs of 'shop-assistant', {window}, run_type=llm." in message
    assert shop.project_id("shop-assistant") not in message


def test_an_error_names_its_connection(shop: LangSmithStandIn, tmp_path: Path) -> None:
    """An error has the connection's id and host, and not the key."""
    with pytest.raises(AirflowFailException) as caught:
        run(export(tmp_path, langsmith_conn_id="wrong_key"))
    assert f"  Connection wrong_key: {shop.url}." in str(caught.value).splitlines()
    assert "lsv2_wrong" not in str(caught.value)


def test_a_wait_is_one_short_line(
    shop: LangSmithStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A wait before a retry is one line with its cause; only the final error has the cure."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", shop.connection(max_retries=2))
    shop.misbehave("status", path="/sessions", times=None)
    with pytest.raises(AirflowException):
        run(export(tmp_path))
    shop.behave()
    shop.misbehave("reset", path="/sessions", times=None)
    with pytest.raises(AirflowException) as caught:
        run(export(tmp_path))
    waits = [record.getMessage() for record in caplog.records if "Waiting" in record.getMessage()]
    assert len(waits) == 4
    assert all(len(wait) <= IN_SIGHT and "\n" not in wait for wait in waits)
    assert all("before retry" in wait and "A retry" not in wait for wait in waits)
    assert "503 to GET /api/v1/sessions" in waits[0]
    assert "No whole answer from 127.0.0.1" in waits[2]
    assert str(caught.value).count("check the connection") == 1


# What Bulk Export does wrong -> words in the first 90 characters.
BULK_FAULTS: dict[Any, str] = {
    "fail_run": r"Bulk export \S+ ended as Failed",
    "time_out": r"Bulk export \S+ ended as TimedOut",
    "gap": r"Bulk export \S+ is Completed, but",
    "lost_files": "A file that the bulk export reports is not there",
    "wrong_rows": "A run of the bulk export has 1 row.* in its files, and reports 2",
    "cut_file": "is no whole Parquet file",
}


@pytest.mark.parametrize("fault", BULK_FAULTS)
def test_what_bulk_export_does_wrong_is_said_first(shop: LangSmithStandIn, tmp_path: Path, fault: Any) -> None:
    """The first line names what Bulk Export did wrong, no line is too long, and Airflow tries the task again."""
    shop.misbehave_bulk_export(fault, errors={"retry_0": "Access Denied"})
    with pytest.raises(LangSmithException) as caught:
        run(bulk(shop, tmp_path))
    shown = f"{type(caught.value).__name__}: {caught.value}".splitlines()
    assert re.search(BULK_FAULTS[fault], shown[0][:IN_SIGHT]), shown
    assert all(len(line) <= IN_SIGHT or len(line.split()) == 1 for line in shown)
    assert ("Access Denied" in str(caught.value)) is (fault == "fail_run")


def test_a_plan_without_bulk_export(shop: LangSmithStandIn, tmp_path: Path) -> None:
    """The message names the plan, the permission and the other way."""
    shop.bulk.has_plan = False
    with pytest.raises(AirflowFailException) as caught:
        run(bulk(shop, tmp_path))
    message = " ".join(str(caught.value).split())
    for words in ("not available on the plan", "needs an Enterprise plan", "bulk-exports:manage", "through the API"):
        assert words in message


def connection(**fields: Any) -> str:
    """Return a connection to a port at which no server listens."""
    return json.dumps({"conn_type": "langsmith", "host": "http://127.0.0.1:1", "password": "k", **fields})


# A mistake in the connection or the worker -> the connection, the environment, and words of the error.
MISTAKES: dict[str, tuple[str, dict[str, str], str]] = {
    "host": (connection(host="[oops"), {}, "host is no API address: '[oops'"),
    "port": (connection(host="us", port=8443), {}, "Leave the port out"),
    "CA file": (connection(extra={"verify": "/gone.pem"}), {}, "'verify' names no readable CA bundle"),
    "proxy": (connection(), {"ALL_PROXY": "socks5://me:hunter2@127.0.0.1:1"}, "pip install 'httpx[socks]'"),
    "unreadable": ("{nope", {}, "AIRFLOW_CONN_WRONG"),
    "timeout": (connection(extra={"timeout": 1e300}), {}, "'timeout' is '1e+300'"),
    "ui_host": (connection(extra={"ui_host": "[oops"}), {}, "'ui_host' is no address"),
}
RUNS: dict[str, Any] = {"project": "shop", "langsmith_conn_id": "wrong"}
WAITS: dict[str, Any] = {"langsmith_conn_id": "wrong", "deadline": START.isoformat(), "poke_interval": 0.01}
SELECTED = {"project": "shop", **dict.fromkeys(("start", "end", "closes"), START.isoformat())}
SELECTED["end"] = (START + DAY).isoformat()


def event(trigger: BaseTrigger) -> dict[str, Any]:
    """Return the first event of a trigger."""

    async def first() -> Any:
        return (await anext(aiter(trigger.run()))).payload

    payload: dict[str, Any] = asyncio.run(first())
    return payload


# Each entry point that uses a connection.
ENTRIES: dict[str, Callable[[Path], Any]] = {
    "export": lambda place: run(LangSmithExportOperator(task_id="t", destination=f"file://{place}", **RUNS)),
    "bulk export": lambda _: run(LangSmithBulkExportOperator(task_id="t", bulk_destination_id="a", **RUNS)),
    "list": lambda _: run(LangSmithListRunsOperator(task_id="t", **RUNS)),
    "read": lambda _: run(LangSmithReadRunOperator(task_id="t", run_id=str(UUID(int=0)), **RUNS)),
    "bulk export sensor": lambda _: run(
        LangSmithBulkExportSensor(task_id="t", bulk_export_id="a", langsmith_conn_id="wrong")
    ),
    "feedback sensor": lambda _: run(LangSmithFeedbackSensor(task_id="t", condition="count(x) > 1", **RUNS)),
    "settled sensor": lambda _: run(LangSmithSettledSensor(task_id="t", **RUNS)),
    "trigger": lambda _: event(
        LangSmithSettledTrigger(selection=SELECTED, watched={"quiet_for": 0.0}, **WAITS),
    ),
    "bulk export trigger": lambda _: event(
        LangSmithBulkExportTrigger(selection={"export_id": "a"}, watched={}, **WAITS),
    ),
    "event trigger": lambda _: event(LangSmithFeedbackEventTrigger(condition="count(x) > 1", **RUNS)),
    "hook": lambda _: LangSmithHook("wrong").project_id("shop"),
    "test button": lambda _: LangSmithHook("wrong").test_connection(),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_has_the_same_error_at_every_entry(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mistake: str, entry: str
) -> None:
    """A wrong setup of connection or worker is the same error with its cure, at each entry point."""
    written, environment, cure = MISTAKES[mistake]
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AIRFLOW_CONN_WRONG", written)
    monkeypatch.setitem(sys.modules, "socksio", None)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    try:
        outcome = ENTRIES[entry](tmp_path)
    except (AirflowFailException, ConfigurationError) as error:
        outcome = str(error)
        assert isinstance(error, ConfigurationError) is (entry in ("hook", "event trigger"))  # noqa: PT017
    parts = {"trigger": "line", "bulk export trigger": "line", "test button": 1}
    message = outcome[parts[entry]] if entry in parts else outcome
    assert cure in " ".join(message.split())
    assert message.splitlines()[-1] == "  A retry will not help."
    assert all(len(line) <= IN_SIGHT for line in message.splitlines())
    assert "hunter2" not in message
