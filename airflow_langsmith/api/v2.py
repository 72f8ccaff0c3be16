"""
Version 2 of the run query: ``POST /api/v2/runs/query`` (SmithDB).

Without ``selects`` it answers ids only, and without bounds the last day only; both always go out. It knows one order,
newest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from airflow_langsmith.api import blob_links
from airflow_langsmith.api.attachments import LinkedAttachment
from airflow_langsmith.api.decoding import decode
from airflow_langsmith.api.flow import MAX_RUN_BYTES, Request
from airflow_langsmith.api.payloads import Blob
from airflow_langsmith.api.query import FIELDS, MARGIN, RunQuery
from airflow_langsmith.api.records import Page, Project, Run
from airflow_langsmith.api.wire_run import Payload, WireRun, normalize_runs, read_metadata
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.filters import format_time

NAME = "v2"
PATH = "/api/v2/runs/query"
LARGEST_PAGE = 1000
CANNOT_FILTER: frozenset[str] = frozenset()

# Where the runs of a public link are. The SDK asks the first address, the specification of mid-2026 has the second.
SHARED_PATHS = ("/runs/query", "/runs/v2/query")
NOT_SHARED = frozenset(("INPUTS", "OUTPUTS", "EVENTS", "ATTACHMENTS", "MANIFEST"))  # a public link has none of these
MISSING_OF_SHARED = ("inputs", "outputs", "events", "serialized")

# Field of a Run -> what to select.
SELECT: dict[str, tuple[str, ...]] = {
    **{name: (name.upper(),) for name in Run.__struct_fields__},
    "project": ("PROJECT_ID",),
    "parent_run_id": ("PARENT_RUN_IDS",),
    "thread_id": ("THREAD_ID", "METADATA"),
    "model": ("METADATA",),
    "in_dataset": ("IS_IN_DATASET",),
    "serialized": ("MANIFEST",),
    "missing_payloads": (),
}


def body(query: RunQuery, page_size: int, cursor: str | None) -> dict[str, Any]:
    """Write a page's whole question; the cursor goes beside the rest, not in place of it."""
    which = query.run_filter
    asked: dict[str, Any] = {
        "project_ids": [query.project.id],
        "min_start_time": format_time(query.start - MARGIN),
        "max_start_time": format_time(query.end + MARGIN),
        "filter": query.window_filter,
        "trace_filter": which.trace_filter,
        "tree_filter": which.tree_filter,
        "run_type": which.run_type and which.run_type.upper(),
        "is_root": which.is_root,
        "has_error": which.error,
        "ids": list(which.run_ids) if which.run_ids is not None else None,
        "trace_id": which.trace_id,
        "reference_examples": [which.reference_example_id] if which.reference_example_id else None,
        "selects": _selects(query.wire_fields),
        "page_size": page_size,
        "cursor": cursor,
    }
    return {name: value for name, value in asked.items() if value is not None}


def read(content: bytes, project: Project, fields: tuple[str, ...], about: str) -> Page:
    """Read a page."""
    answer = decode(_PAGE, content, about, levels=3)
    runs, blobs, attached = _runs(answer.items, project, fields)
    return Page(runs, answer.next_cursor or None, len(content), blobs, attached)


def question(run_id: str, project: Project | None, fields: tuple[str, ...]) -> Request:
    """Ask for one run, which v2 finds by its project."""
    if project is None:
        raise ConfigurationError(
            f"API v2 finds a run by its project, and none is given for run {run_id}. Give "
            "project=, or the run's link in LangSmith, which names it."
        )
    params = {"project_id": project.id, "selects": _selects(fields)}
    path, about = f"/api/v2/runs/{run_id}", f"run {run_id}"
    return Request("GET", path, tier="v2 single", params=params, about=about, max_bytes=MAX_RUN_BYTES)


def read_one(content: bytes, project: Project | None, fields: tuple[str, ...], about: str) -> Page:
    """Read one run."""
    run = decode(_ONE, content, about)
    runs, blobs, attached = _runs([run], project or Project(id="", name=""), fields)
    return Page(runs, None, len(content), blobs, attached)


def shared_question(share_token: str, path: str) -> Request:
    """Ask for all runs of a public link's trace; it needs no key."""
    return Request(
        "POST",
        f"/api/v2/public/{share_token}{path}",
        json={"selects": [*(select for select in _selects(FIELDS) if select not in NOT_SHARED), "SHARE_URL"]},
        about="a run by its public link",
        needs_key=False,
        display_path=f"/api/v2/public/...{path}",
        secret=share_token,
        max_bytes=MAX_RUN_BYTES,
    )


def read_shared(content: bytes, share_token: str, run_id: str | None, about: str) -> Run | None:
    """
    Read the run of a public link, or another one, of all runs of its trace; None if it is not among them.

    If no run says that it is the shared one, that is the root. Payloads are missing, and its project has no name.
    """
    runs = decode(_SHARED, content, about).items
    shared = [run for run in runs if run.share_url and share_token in run.share_url]
    roots = [run for run in runs if not run.parent_run_ids]
    wanted = [run for run in runs if run.id == run_id] if run_id else shared or roots
    for run in wanted[:1]:
        run.share_url = None  # a secret
        run.missing_payloads = list(MISSING_OF_SHARED)
        return _runs([run], Project(id=run.project_id, name=""), FIELDS)[0][0]
    return None


def _selects(fields: tuple[str, ...]) -> list[str]:
    return sorted({select for name in fields for select in SELECT[name]})


class _Run(WireRun, kw_only=True, gc=False):
    parent_run_ids: list[str] | None = None  # from the root down
    in_dataset: bool | None = msgspec.field(name="is_in_dataset", default=None)
    attachments: Any = None
    serialized: Payload = msgspec.field(name="manifest", default=None)


class _Page(msgspec.Struct):
    items: list[_Run]
    next_cursor: str | None = None


class _SharedRun(_Run, kw_only=True):
    project_id: str = ""
    share_url: str | None = None


class _SharedPage(msgspec.Struct):
    items: list[_SharedRun]


_PAGE = msgspec.json.Decoder(_Page)
_ONE = msgspec.json.Decoder(_Run)
_SHARED = msgspec.json.Decoder(_SharedPage)
_Runs = tuple[list[Run], list[Blob], list[LinkedAttachment]]


def _runs(runs: Sequence[_Run], project: Project, fields: tuple[str, ...]) -> _Runs:
    """Make runs of what was decoded, and list what of them lies in blob storage: files, and more one day."""
    wanted = {*fields, "metadata"}
    blobs: list[Blob] = []
    attached: list[LinkedAttachment] = []
    for run in runs:
        run.run_type = run.run_type and run.run_type.lower()
        run.status = run.status and run.status.lower()
        if run.parent_run_ids:
            run.parent_run_id = run.parent_run_ids[-1]
        if run.attachments is not None or blob_links.are_in(run):
            of_run, files = blob_links.read(run, wanted, _derive, run.attachments)
            blobs += of_run
            attached += files
    return normalize_runs(runs, project, wanted), blobs, attached


def _derive(run: Run, name: str) -> None:
    """Fill what is made of a payload that came late."""
    if name == "metadata":
        read_metadata([run])
