"""A retry of a long export goes on from its checkpoints: nothing is read twice, nothing of two answers is mixed."""

from __future__ import annotations

import runpy
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, ClassVar
from uuid import UUID

import msgspec
import pytest
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.flow import Flow, Request, Response
from airflow_langsmith.api.pagination import Pagination
from airflow_langsmith.api.records import Page
from airflow_langsmith.errors import LangSmithError, ServerError
from airflow_langsmith.export.checkpoints import Checkpoint, CheckpointPolicy, Checkpoints, TaskAttempt
from airflow_langsmith.export.cursor_limit import ParallelReadPolicy
from airflow_langsmith.export.destination import StoragePath, path_at
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.export import Export, Exported, OutputOptions
from airflow_langsmith.export.layout import CHECKPOINT
from airflow_langsmith.export.pages import PageSource
from airflow_langsmith.export.parallel_read import ReadJob
from airflow_langsmith.export.progress import Progress
from airflow_langsmith.export.row_file import RowCodec
from airflow_langsmith.export.row_transforms import RowTransforms
from airflow_langsmith.export.storage import Store
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.views import Rows, view_of
from tests.conftest import ClientOf, ReadRows
from tests.wording import words

CUT_OFF = str(Path(__file__).with_name("cut_off.py"))
cut_off = SimpleNamespace(**runpy.run_path(CUT_OFF))
PAGES = 60
RUNS = PAGES * cut_off.PAGE - 1
PLAIN = RowTransforms()
MIN_PAGES = CheckpointPolicy().min_pages


@pytest.fixture
def shop(langsmith: LangSmithStandIn) -> LangSmithStandIn:
    """A project with a day of traces, some of them begun in one microsecond."""
    for number in range(RUNS):
        start = cut_off.START + (number - number % 3) * timedelta(minutes=2)
        root = langsmith.add_run(project="shop", start_time=start, end_time=start, inputs={"n": number})
        langsmith.add_run(project="shop", start_time=start, parent_run_id=root, run_type="retriever", outputs={"d": []})
        langsmith.add_feedback(root, score=1)
    return langsmith


def exported(
    client: LangSmithClient,
    where: str | StoragePath,
    attempt: TaskAttempt | None = None,
    view: str = "runs",
    format_: str = "jsonl",
    columns: list[str] | None = None,
    cursors: int = 1,
    shape: RowTransforms = PLAIN,
    policy: CheckpointPolicy | None = None,
    **narrowed: Any,
) -> Exported:
    """Export the day."""
    chosen = view_of(view, columns)
    query = cut_off.query(client, chosen.fields, **narrowed)
    target = OutputOptions(destination=where, format=format_of(format_))
    source = PageSource(client, concurrency=cursors, attempt=attempt, checkpoint_policy=policy)
    return Export(source, query, chosen, target, shape).run()


FIRST, LAST = (TaskAttempt("the export of the day", may_retry=may_retry) for may_retry in (True, False))


@pytest.fixture
def client(shop: LangSmithStandIn, client_of: ClientOf) -> LangSmithClient:
    """A client that lets the first failure be one."""
    return client_of(shop, "v2", max_retries=0)


def cut_off_at(
    page: int,
    shop: LangSmithStandIn,
    client: LangSmithClient,
    where: str | StoragePath,
    format_: str = "jsonl",
    policy: CheckpointPolicy | None = None,
) -> None:
    """Let a first try fail at a page, by what a retry may cure, and LangSmith be well again."""
    shop.misbehave("status", after=page, times=None)
    with pytest.raises(ServerError):
        exported(client, where, FIRST, format_=format_, policy=policy)
    shop.behave()
    shop.requests.clear()


def pages_requested(shop: LangSmithStandIn) -> int:
    """Count the pages that were requested."""
    return len(shop.requests_to("/runs/query"))


def checkpoints_at(where: str | StoragePath, view: str = "runs") -> list[str]:
    """Name the checkpoints of the export below a place, oldest first."""
    partition = path_at(where) / view / "project=shop" / "date=2026-03-01"
    return sorted(name for name in Store(partition).sizes() if CHECKPOINT.fullmatch(name))


@pytest.mark.parametrize(
    ("version", "view", "format_", "cursors"),
    [
        ("v1", "runs", "parquet", 1),
        ("v2", "traces", "jsonl", 1),
        ("v1", "retrievals", "csv", 1),
        ("v2", "runs", "parquet", 4),
    ],
)
def test_killed_at_four_fifths(
    shop: LangSmithStandIn, client_of: ClientOf, tmp_path: Path, version: str, view: str, format_: str, cursors: int
) -> None:
    """
    Killed at 80 % of its pages, a long export repeats at most 5 % of its requests, and lands the same bytes.

    Each cursor more repeats the page that was on its way, and asks for parts of pages where it stopped and began.
    """
    if cursors > 1:
        shop.misbehave("delay", seconds=0.05, times=None)
    whole = exported(client_of(shop, version), f"file://{tmp_path}/whole", None, view, format_)
    arguments = [shop.url, shop.api_key, version, view, format_, f"file://{tmp_path}/cut", FIRST.task_key]
    shop.requests.clear()
    died = subprocess.run(
        [sys.executable, CUT_OFF, *arguments, str(PAGES * 4 // 5), str(cursors)], timeout=60, check=False
    )
    assert died.returncode == -signal.SIGKILL
    assert checkpoints_at(f"file://{tmp_path}/cut", view)
    done = exported(client_of(shop, version), f"file://{tmp_path}/cut", LAST, view, format_, cursors=cursors)
    assert done.manifest == whole.manifest
    assert done.progress.runs == RUNS
    a_page = len(shop.requests_to("/runs/query")) / PAGES
    assert len(shop.requests_to("/runs/query")) <= 1.05 * whole.requests + (cursors - 1) * 3 * a_page
    assert not checkpoints_at(f"file://{tmp_path}/cut", view)


def test_each_moment_is_of_one_answer(
    shop: LangSmithStandIn, client: LangSmithClient, tmp_path: Path, read_rows: ReadRows
) -> None:
    """A run that came later into the part of a checkpoint does not land; one that came anywhere else does, once."""
    where = f"file://{tmp_path}"
    cut_off_at(40, shop, client, where, "parquet")
    match = CHECKPOINT.fullmatch(checkpoints_at(where)[0])
    assert match is not None
    edge = datetime.fromisoformat(match[2])
    moments = [cut_off.START, edge - timedelta(microseconds=1), edge, cut_off.START + timedelta(hours=9)]
    late = {shop.add_run(project="shop", start_time=moment, end_time=moment): moment for moment in moments}
    done = exported(client, where, LAST, format_="parquet")
    ids = [row["run_id"] for row in read_rows(done.uri)]
    assert len(ids) == len(set(ids)) == done.progress.runs == RUNS + 2
    assert {late[run] for run in set(ids) & set(late)} == set(moments[:2])


@pytest.mark.parametrize("few", [3, 5, 7])
def test_runs_of_one_moment_stay_together(
    langsmith: LangSmithStandIn,
    client_of: ClientOf,
    tmp_path: Path,
    read_rows: ReadRows,
    few: int,
) -> None:
    """Where more runs start in a microsecond than pages hold, no checkpoint ends among them."""
    for number in range(16 * cut_off.PAGE):
        moment = cut_off.START + timedelta(hours=number // 20)
        langsmith.add_run(project="shop", start_time=moment, end_time=moment)
    client, where, policy = client_of(langsmith, max_retries=0), f"file://{tmp_path}", CheckpointPolicy(min_pages=few)
    cut_off_at(few, langsmith, client, where, "parquet", policy)
    done = exported(client_of(langsmith), where, LAST, format_="parquet", policy=policy)
    ids = [row["run_id"] for row in read_rows(done.uri)]
    assert len(ids) == len(set(ids)) == 16 * cut_off.PAGE


def test_bounds_may_be_in_any_zone(
    shop: LangSmithStandIn, client: LangSmithClient, tmp_path: Path, read_rows: ReadRows
) -> None:
    """A checkpoint is found by its bounds in any time zone: nothing comes twice."""
    where = f"file://{tmp_path}"
    there = timezone(-timedelta(hours=5))
    bounds = {"start": cut_off.START.astimezone(there), "end": (cut_off.START + timedelta(hours=10)).astimezone(there)}
    shop.misbehave("status", after=MIN_PAGES, times=None)
    with pytest.raises(ServerError):
        exported(client, where, FIRST, "runs", "parquet", **bounds)
    shop.behave()
    done = exported(client, where, LAST, "runs", "parquet", **bounds)
    ids = [row["run_id"] for row in read_rows(done.uri)]
    assert len(ids) == len(set(ids)) == RUNS


def test_cut_off_again_and_again(shop: LangSmithStandIn, client: LangSmithClient, place: StoragePath) -> None:
    """Every attempt goes on from all earlier ones, in any object store, and the last one leaves the export alone."""
    destination = place.parent.parent
    whole = exported(client, destination / "whole")
    for pages in (25, 10, 10):
        cut_off_at(pages, shop, client, destination)
    done = exported(client, destination, LAST)
    assert pages_requested(shop) <= PAGES - 45 + 4
    assert done.manifest == whole.manifest
    assert not checkpoints_at(destination)


CHANGED: dict[str, dict[str, Any]] = {
    "another run, or one that was cleared": {"attempt": TaskAttempt("the next day", may_retry=False)},
    "another query": {"filter": 'eq(status, "success")'},
    "other columns": {"columns": ["run_id", "start_time"]},
    "another redaction": {"shape": RowTransforms(redact={"name": "hash"}, redact_key="k")},
    "other payloads": {"payloads": "flag"},
    "another way to pack": {"format_": "parquet"},
}


@pytest.mark.parametrize("changed", CHANGED.values(), ids=CHANGED)
def test_nothing_else_goes_on_from_it(
    shop: LangSmithStandIn, client: LangSmithClient, tmp_path: Path, changed: dict[str, Any]
) -> None:
    """An export that differs in anything reads all, and deletes the checkpoints of others."""
    where = f"file://{tmp_path}"
    cut_off_at(40, shop, client, where)
    assert checkpoints_at(where)
    done = exported(client, where, **{"attempt": LAST, **changed})
    assert pages_requested(shop) == PAGES
    assert done.manifest.rows == RUNS
    assert not checkpoints_at(where)


def test_another_api_version_begins_anew(
    shop: LangSmithStandIn, client: LangSmithClient, client_of: ClientOf, tmp_path: Path
) -> None:
    """The versions differ in what a parent's tokens are, so rows of both never come together."""
    cut_off_at(40, shop, client, f"file://{tmp_path}")
    assert exported(client_of(shop, "v1"), f"file://{tmp_path}", LAST).manifest.rows == RUNS
    assert pages_requested(shop) == PAGES


@pytest.mark.parametrize(("attempt", "status"), [(LAST, 503), (FIRST, 401)])
def test_nothing_is_kept_for_nobody(
    shop: LangSmithStandIn, client: LangSmithClient, tmp_path: Path, attempt: TaskAttempt, status: int
) -> None:
    """A last attempt, and one whose error no retry cures, leave no checkpoint."""
    where = f"file://{tmp_path}"
    cut_off_at(30, shop, client, where)
    shop.misbehave("status", status=status, after=20, times=None)
    with pytest.raises(LangSmithError):
        exported(client, where, attempt)
    assert not checkpoints_at(where)


def test_a_short_export_keeps_nothing(shop: LangSmithStandIn, client: LangSmithClient, tmp_path: Path) -> None:
    """An export of a few pages writes no checkpoint: to read them again takes no time."""
    cut_off_at(MIN_PAGES - 1, shop, client, f"file://{tmp_path}")
    assert not checkpoints_at(f"file://{tmp_path}")


class Counting(RowCodec):
    """Counts the rows that are encoded."""

    encoded = 0

    def encode(self, rows: Rows) -> bytes:
        """Encode rows."""
        self.encoded += rows.count
        return super().encode(rows)


@pytest.mark.parametrize(("pages", "most"), [(MIN_PAGES // 2, 0.25), (MIN_PAGES * 2, 1.0)])
def test_a_short_export_encodes_no_rows(client: LangSmithClient, tmp_path: Path, pages: int, most: float) -> None:
    """If the first pages show that few follow, only the last run of each page is encoded for a checkpoint."""
    view = view_of("runs", ["run_id", "start_time"])
    query, codec, partition = cut_off.query(client, view.fields), Counting(view), path_at(f"file://{tmp_path}")
    times = [
        query.end - timedelta(days=1) / pages / cut_off.PAGE * (run + 1) for run in range(pages * cut_off.PAGE - 1)
    ]
    job = ReadJob(client, query, view, ParallelReadPolicy(), Progress(), tmp_path)
    with Checkpoints(job, partition, FIRST, 16 * "0", codec) as checkpoints:
        checkpoints.split(query)
        make = checkpoints.recorded(lambda _, __, page: iter([view.rows(page.runs)]))
        pagination = Pagination(query, client.negotiator)
        while not pagination.done:
            list(make(client, pagination, answered(pagination.next_page(), times)))
    assert most - 0.25 < codec.encoded / len(times) <= most


@pytest.mark.parametrize(("limit", "value"), [("every", timedelta(0)), ("min_pages", 1), ("max_bytes", 1)])
def test_long_is_a_matter_of_time_too(
    shop: LangSmithStandIn,
    client: LangSmithClient,
    tmp_path: Path,
    limit: str,
    value: Any,
) -> None:
    """An export writes checkpoints after so many pages, seconds or bytes, whichever comes first."""
    cut_off_at(5, shop, client, f"file://{tmp_path}", policy=CheckpointPolicy(**{limit: value}))
    assert len(checkpoints_at(f"file://{tmp_path}")) == 5


@pytest.mark.parametrize("left", [0, 10, 200])
@pytest.mark.parametrize("format_", ["jsonl", "parquet"])
def test_what_is_broken_is_read_anew(
    shop: LangSmithStandIn,
    client: LangSmithClient,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    left: int,
    format_: str,
) -> None:
    """Of checkpoints that are not whole nothing is used; LangSmith is asked again for their runs, and no others."""
    where = f"file://{tmp_path}"
    whole = exported(client, f"file://{tmp_path}/whole", format_=format_)
    cut_off_at(40, shop, client, where, format_)
    cut, lost, holed = (next(tmp_path.rglob(name)) for name in checkpoints_at(where)[3:6])
    cut.write_bytes(cut.read_bytes()[:left])
    lost.write_bytes(bytes(1000))  # as some file systems have it after their machine died
    content = holed.read_bytes()
    holed.write_bytes(content.replace(b"run", bytes(3)))  # and a text may well be of zeros
    done = exported(client, where, LAST, format_=format_)
    assert caplog.text.count("cannot be used, so its rows are read from LangSmith") == 3
    assert pages_requested(shop) <= PAGES - 40 + 9
    assert done.manifest == whole.manifest
    assert done.progress.runs == RUNS


def test_what_is_gone_is_read_anew(client: LangSmithClient, tmp_path: Path) -> None:
    """A checkpoint that somebody removed since it was listed counts as broken."""
    view, partition = view_of("runs"), path_at(f"file://{tmp_path}")
    query = cut_off.query(client, view.fields)
    job = ReadJob(client, query, view, ParallelReadPolicy(), Progress(), tmp_path)
    with Checkpoints(job, partition, FIRST, 16 * "0", RowCodec(view)) as checkpoints:
        assert checkpoints.rows(Checkpoint("gone", query.window)) is None


class Stubborn(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """An object store that takes everything but checkpoints."""

    protocol = "memory"
    cachable = False

    def put_file(self, lpath: str, rpath: str, *args: Any, **kwargs: Any) -> None:
        """Upload, or refuse to."""
        if "_checkpoint" in rpath:
            raise PermissionError("names that begin like this are not for you")
        super().put_file(lpath, rpath, *args, **kwargs)


def test_an_export_goes_on_where_nothing_can_be_kept(
    shop: LangSmithStandIn, client: LangSmithClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints never fail an export; the log says that a retry would read all again."""
    monkeypatch.setenv("AIRFLOW_CONN_STUBBORN", "generic://")
    attach("memory", "stubborn", fs=Stubborn())
    done = exported(client, "memory://stubborn@lake", FIRST)
    assert done.manifest.rows == RUNS
    assert pages_requested(shop) == PAGES
    assert words(caplog.text).count("names that begin like this are not for you") == 1


class Narrow(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """An object store that tells how many checkpoints were on their way to it at a time."""

    protocol = "memory"
    cachable = False
    under_way: ClassVar[list[str]] = []
    at_a_time: ClassVar[list[int]] = []

    def put_file(self, lpath: str, rpath: str, *args: Any, **kwargs: Any) -> None:
        """Upload, in so long a time that all who want to are on their way."""
        self.under_way.append(rpath)
        Event().wait(0.01)
        if "_checkpoint" in rpath:
            self.at_a_time.append(len(self.under_way))
        super().put_file(lpath, rpath, *args, **kwargs)
        self.under_way.remove(rpath)


def test_one_cursor_uploads_at_a_time(
    shop: LangSmithStandIn, client: LangSmithClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many cursors there are, one checkpoint at most is in memory as a whole."""
    monkeypatch.setenv("AIRFLOW_CONN_NARROW", "generic://")
    attach("memory", "narrow", fs=Narrow())
    shop.misbehave("delay", seconds=0.02, times=None)
    exported(client, "memory://narrow@lake", FIRST, cursors=4)
    assert len(Narrow.at_a_time) > 10
    assert set(Narrow.at_a_time) == {1}


def test_progress_goes_on_too(shop: LangSmithStandIn, client: LangSmithClient, tmp_path: Path) -> None:
    """The rows of a checkpoint count as done as soon as they are read, before LangSmith is asked for more."""
    where = f"file://{tmp_path}"
    cut_off_at(40, shop, client, where)
    steps: list[tuple[float, int]] = []
    chosen, target = view_of("runs"), OutputOptions(destination=where, format=format_of("jsonl"))

    def tell(progress: Progress) -> None:
        steps.append((progress.share, progress.pages))

    source = PageSource(client, attempt=LAST)
    Export(source, cut_off.query(client, chosen.fields), chosen, target, on_page=tell).run()
    assert steps == sorted(steps)
    assert steps[0][0] > 0.5
    assert steps[0][1] == 0
    assert steps[-1][0] == pytest.approx(1)


def test_runs_out_of_order_are_not_kept(client: LangSmithClient, tmp_path: Path) -> None:
    """If runs do not come newest first, no part of the window is known to be finished: its checkpoints are deleted."""
    view = view_of("runs", ["run_id", "start_time"])
    query = cut_off.query(client, view.fields)
    walk = Pagination(query, client.negotiator)
    times = [
        cut_off.START + timedelta(minutes=minute) for minute in [*range(1000, 850, -1), 1001, *range(850, 800, -1)]
    ]
    seen, partition = [], path_at(f"file://{tmp_path}")
    job = ReadJob(client, query, view, ParallelReadPolicy(), Progress(), tmp_path)
    with Checkpoints(job, partition, FIRST, 16 * "0", RowCodec(view)) as checkpoints:
        checkpoints.split(query)
        make = checkpoints.recorded(lambda _, __, page: iter([view.rows(page.runs)]))
        while not walk.done:
            list(make(client, walk, answered(walk.next_page(), times)))
            seen.append(len(list(tmp_path.glob("_checkpoint-*"))))
    assert max(seen) > 10
    assert seen[-1] == 0


def answered(flow: Flow[Page], times: list[datetime]) -> Page:
    """Answer a page with the runs of given times, in their order."""
    step = next(flow)
    assert isinstance(step, Request)
    arguments = step.json or {}
    at = int(arguments.get("cursor", 0))
    to = at + arguments["page_size"]
    items = [{"id": str(UUID(int=place)), "start_time": times[place]} for place in range(at, min(to, len(times)))]
    body = msgspec.json.encode({"items": items, "next_cursor": str(to) if to < len(times) else None})
    with pytest.raises(StopIteration) as end:
        flow.send(Response(200, {}, body))
    page: Page = end.value.value
    return page
