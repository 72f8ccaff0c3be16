"""The log of an export: short lines, the numbers first, and what was replaced."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_langsmith.export.export import Exported
from airflow_langsmith.export.progress import Progress
from airflow_langsmith.manifest import Manifest, ManifestColumn, ManifestFile
from airflow_langsmith.messages import MAX_LINE
from airflow_langsmith.operators import (
    LangSmithExportOperator,
    LangSmithListRunsOperator,
    LangSmithReadRunOperator,
)
from airflow_langsmith.operators.report import ProgressReporter, closing_lines
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import TaskLog

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
Run = Callable[..., Any]
Lines = Callable[[Any], list[str]]


@pytest.fixture
def shop(langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> LangSmithStandIn:
    """A project with a day of twenty traces of two runs, and a connection to it."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection(max_retries=2, requests_per_10s=1000))
    for minute in range(20):
        start = START + timedelta(minutes=minute)
        root = langsmith.add_run(project="shop", name=f"ask {minute}", start_time=start, end_time=start)
        langsmith.add_run(project="shop", name="tool", start_time=start, parent_run_id=root, run_type="tool")
    return langsmith


@pytest.fixture
def lines(run: Run, task_log: TaskLog) -> Callable[[Any], list[str]]:
    """Run an operator, and return the lines of its log."""

    def lines(operator: Any) -> list[str]:
        before = len(task_log())
        run(operator)
        return [line for _, line in task_log()[before:]]

    return lines


def export(lake: Path, **arguments: Any) -> LangSmithExportOperator:
    """Export the day."""
    return LangSmithExportOperator(task_id="export", project="shop", destination=f"file://{lake}", **arguments)


def test_three_closing_lines(shop: LangSmithStandIn, tmp_path: Path, lines: Lines) -> None:
    """The last lines have the rows, the cost and the manifest, and no replaced export."""
    *_, rows, took, manifest = lines(export(tmp_path))
    assert rows == "Exported 40 rows (20 pending) of shop, 2026-03-01 to 2026-03-02 UTC"
    assert took.startswith("1 part, ")
    assert "; 2 requests, " in took
    assert manifest == f"Manifest: file://{tmp_path}/runs/project=shop/date=2026-03-01/_manifest.json"


def test_what_was_replaced(shop: LangSmithStandIn, tmp_path: Path, run: Run, lines: Lines) -> None:
    """The log of a re-run has the time of the replaced export, and how much changed."""
    run(export(tmp_path, max_rows_per_file=15))
    at = f"{datetime.now(UTC):%Y-%m-%d }"
    *_, same = lines(export(tmp_path, max_rows_per_file=15))
    assert same.startswith(f"Replaced the export of {at}")
    assert same.endswith(" UTC: 40 -> 40 rows, 0 parts changed")
    shop.add_run(project="shop", start_time=START, end_time=START)
    *_, more = lines(export(tmp_path, max_rows_per_file=15))
    assert more.endswith(" UTC: 40 -> 41 rows, 1 part changed")


def test_nothing_is_hidden_in_a_group(shop: LangSmithStandIn, tmp_path: Path, lines: Lines) -> None:
    """No line is in a group, because Airflow shows groups collapsed."""
    shop.misbehave("rate_limit", retry_after=0)
    shop.add_run(project="shop", start_time=START, inputs={"n": "many"})
    logged = lines(export(tmp_path, flatten=["inputs.n:int64"]))
    assert "1 values did not fit the type of their path; the column flatten_misfits keeps them" in logged
    assert not [line for line in logged if "group::" in line]


def manifest_of(project: str, start: datetime, length: timedelta, rows: int, pending: int, parts: int) -> Manifest:
    """Return a manifest with these numbers."""
    files = tuple(
        ManifestFile(name=f"part-{number:05d}-{number:08x}.parquet", rows=1, bytes=rows, sha256="")
        for number in range(parts)
    )
    return Manifest(
        package_version="1",
        view="retrievals",
        project=project,
        project_id="7b0f2f6e-0c35-4a4e-9d0a-1f6f0c7c1a11",
        window_start=start,
        window_end=start + length,
        query={},
        api_version="v2",
        format="parquet",
        compression="zstd",
        columns=(ManifestColumn(name="run_id", type="string"),),
        files=files,
        rows=rows,
        bytes=rows * 4000,
        pending=pending,
        min_start_time=None,
        max_start_time=None,
    )


COUNTS = st.integers(0, 999_999_999)
MANIFESTS = st.builds(
    manifest_of,
    st.text(min_size=1, max_size=1000),
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # zone beside it
    st.timedeltas(timedelta(microseconds=1), timedelta(400)),
    COUNTS,
    COUNTS,
    st.integers(1, 50),
)


@given(MANIFESTS, MANIFESTS, st.datetimes(timezones=st.just(UTC)) | st.none(), COUNTS, st.floats(0, 1e5))
def test_every_line_is_seen_and_every_summary_is_small(
    manifest: Manifest, previous: Manifest, at: datetime | None, requests: int, seconds: float
) -> None:
    """No line except the manifest's is too long for Airflow, and no result is over 2 KB, for any name."""
    exported = Exported(
        uri="s3://lake@" + "k" * 1024,
        manifest=manifest,
        progress=Progress(),
        previous=previous,
        previous_at=at,
        requests=requests,
        seconds=seconds,
        waited_seconds=seconds / 2,
    )
    rows, took, place, replaced = closing_lines(exported)
    assert place == f"Manifest: {exported.uri}"
    assert len(took) <= MAX_LINE
    assert len(replaced) <= MAX_LINE + 10  # hundreds of millions of rows, twice
    if manifest.rows < 1_000_000 and manifest.pending < 1000 and manifest.window_start.second == 0:
        assert len(rows) <= MAX_LINE + 30
    assert len(msgspec.json.encode(exported.summary())) < 2048
    assert len(json_ascii(exported.summary())) < 2048


def json_ascii(value: Any) -> str:
    """Write JSON as Airflow's database may store it: six bytes for a letter that is not ASCII."""
    import json  # noqa: PLC0415  # beside msgspec's

    return json.dumps(value)


def test_a_usual_line_fits() -> None:
    """The line about an hour of a project with a usual name fits."""
    manifest = manifest_of("customer-support-agent-production", START + timedelta(hours=9), DAY / 24, 999_999, 999, 1)
    exported = Exported(
        uri="",
        manifest=manifest,
        progress=Progress(),
        previous=None,
        previous_at=None,
        requests=1,
        seconds=1.0,
        waited_seconds=0.0,
    )
    rows, *_ = closing_lines(exported)
    assert len(rows) <= MAX_LINE
    assert rows.startswith("Exported 999,999 rows (999 pending) of custom")
    assert rows.endswith(", 2026-03-01 09:00 to 10:00 UTC")


def test_a_list_names_its_first_runs(shop: LangSmithStandIn, lines: Lines) -> None:
    """The log of a list has the number of runs, and the names of the first five."""
    *_, count, names = lines(LangSmithListRunsOperator(task_id="list", project="shop", is_root=True))
    assert count.startswith("20 runs of project 'shop'")
    assert names == "ask 19, ask 18, ask 17, ask 16, ask 15, ..."
    logged = lines(LangSmithListRunsOperator(task_id="list", project="shop", filter='eq(name, "nobody")'))
    assert logged[-1].startswith("0 runs of project 'shop'")
    unnamed = LangSmithListRunsOperator(task_id="list", project="shop", is_root=True, select="run_id")
    assert lines(unnamed)[-1].startswith("20 runs of")


def test_a_read_names_its_run(shop: LangSmithStandIn, lines: Lines) -> None:
    """The log of a read has the run's name and id, the number of runs below it, and the size."""
    root = shop.add_run(project="shop", name="agent", start_time=START, inputs={"q": "x" * 2000})
    for _ in range(3):
        shop.add_run(project="shop", name="tool", start_time=START, parent_run_id=root)
    read: Any = {"task_id": "read", "run_id": root, "project": "shop", "columns": "run_id, dotted_order, inputs"}
    assert lines(LangSmithReadRunOperator(**read))[-1] == f"Read run agent ({root}), 0 runs below, 2.14 KB"
    whole = lines(LangSmithReadRunOperator(**read, load_children=True))[-1]
    assert whole.startswith(f"Read run agent ({root}), 3 runs below, ")


def test_progress_every_ten_seconds() -> None:
    """Progress is logged every ten seconds for any number of pages: runs, pages, rate, share."""
    clock = iter([0.0, *(second / 4 for second in range(1, 101))])
    logged: list[str] = []
    log = SimpleNamespace(info=lambda text, *values: logged.append(text % values))
    reporter = ProgressReporter(log, lambda: next(clock))
    for page in range(1, 101):
        reporter(Progress(runs=1000 * page, pages=page, share=page / 100))
    assert logged == [
        "40,000 runs in 40 pages, 4000 a second; 40 % of the window is done",
        "80,000 runs in 80 pages, 4000 a second; 80 % of the window is done",
    ]
