"""
Version 1 of the run query: ``POST /api/v1/runs/query``.

Its body ``end_time`` may bound a run's *end* and then loses pending and long runs, so it is never sent. Its ``id``
and ``trace`` switch filters and paging off, so both are asked for in the filter instead.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import msgspec
from msgspec import Raw

from airflow_langsmith.api import blob_links
from airflow_langsmith.api.attachments import LinkedAttachment
from airflow_langsmith.api.decoding import NULL, decode, payload_reader
from airflow_langsmith.api.flow import MAX_RUN_BYTES, Request
from airflow_langsmith.api.payloads import Blob
from airflow_langsmith.api.query import MARGIN, RunQuery
from airflow_langsmith.api.records import Page, Project, Run
from airflow_langsmith.api.wire_run import SPENT_FIELDS, WireRun, normalize_runs, read_metadata
from airflow_langsmith.filters import format_time

NAME = "v1"
PATH = "/api/v1/runs/query"
LARGEST_PAGE = 100
WIDE_WINDOW = timedelta(days=7)  # beyond it the budget is smaller
CANNOT_FILTER = frozenset({"total_tokens", "execution_order", "error"})  # documented; the status tells of errors

# Field of a Run -> what to select. Metadata has no select of its own here: it lies in `extra`. Beside every payload
# that LangSmith may have put into blob storage goes the field that tells.
SELECT: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in Run.__struct_fields__},
    "project": ("session_id",),
    "thread_id": ("thread_id", "extra", "s3_urls"),
    "model": ("extra", "s3_urls"),
    "metadata": ("extra", "s3_urls"),
    "extra": ("extra", "s3_urls"),
    "error": ("error", "s3_urls"),
    "events": ("events", "s3_urls"),
    "serialized": ("serialized", "s3_urls"),
    "inputs": ("inputs", "inputs_s3_urls"),
    "outputs": ("outputs", "outputs_s3_urls"),
    "attachments": ("s3_urls",),
    "missing_payloads": (),
}


def conditions(query: RunQuery) -> dict[str, Any]:
    """Write which runs are asked for, as all of v1's questions about runs take it."""
    which, parts = query.run_filter, [query.window_filter]
    if which.run_ids is not None:
        parts.append(f"in(id, {json.dumps(which.run_ids)})")
    if which.trace_id is not None:
        parts.append(f"eq(trace_id, {json.dumps(which.trace_id)})")
    asked: dict[str, Any] = {
        "session": [query.project.id],
        "start_time": format_time(query.start - MARGIN),
        "filter": parts[0] if len(parts) == 1 else f"and({', '.join(parts)})",
        "trace_filter": which.trace_filter,
        "tree_filter": which.tree_filter,
        "run_type": which.run_type and which.run_type.lower(),
        "is_root": which.is_root,
        "error": which.error,
        "reference_example": [which.reference_example_id] if which.reference_example_id else None,
    }
    return {name: value for name, value in asked.items() if value is not None}


def v1_tier(start: datetime, filters: str, now: datetime | None = None) -> str:
    """
    Return the budget of a query.

    The server takes a missing end for now, so the width counts from the start of the window until today.
    """
    wide = "wide " if (now or datetime.now(UTC)) - start > WIDE_WINDOW else ""
    return f"v1 {wide}{'search' if 'search(' in filters else 'query'}"


def stats_body(query: RunQuery) -> dict[str, Any]:
    """Write the request for the number of runs."""
    return {**conditions(query), "select": ["run_count"]}


def body(query: RunQuery, page_size: int, cursor: str | None) -> dict[str, Any]:
    """Write a page's whole question; the cursor goes beside the rest, not in place of it."""
    page: dict[str, Any] = {
        "select": sorted({select for name in query.wire_fields for select in SELECT[name]}),
        "order": "desc",
        "limit": page_size,
        "skip_prev_cursor": True,
    }
    return conditions(query) | page | ({} if cursor is None else {"cursor": cursor})


def read(content: bytes, project: Project, fields: tuple[str, ...], about: str) -> Page:
    """Read a page."""
    answer = decode(_PAGE, content, about, levels=3)
    cursor = (answer.cursors or {}).get("next") or None
    runs, blobs, attached = _runs(answer.runs, project, fields)
    return Page(runs, cursor, len(content), blobs, attached)


def question(run_id: str, project: Project | None, fields: tuple[str, ...]) -> Request:  # noqa: ARG001  # all come
    """Ask for one run; where it is, the server finds by itself."""
    params = {"session_id": project.id} if project else {}
    path, about = f"/api/v1/runs/{run_id}", f"run {run_id}"
    return Request("GET", path, tier="v1 single", params=params, about=about, max_bytes=MAX_RUN_BYTES)


def read_one(content: bytes, project: Project | None, fields: tuple[str, ...], about: str) -> Page:
    """Read one run; a project that was not given has no name yet."""
    run = decode(_ONE, content, about)
    for name in SPENT_FIELDS - set(fields):
        setattr(run, name, None)  # all are sent, whatever is asked for
    runs, blobs, attached = _runs([run], project or Project(id=run.session_id, name=""), fields)
    return Page(runs, None, len(content), blobs, attached)


class _Run(WireRun, kw_only=True, gc=False):
    includes_children: ClassVar[bool] = True

    session_id: str = ""


class _Page(msgspec.Struct):
    runs: list[_Run]
    cursors: dict[str, str | None] | None = None


class _Extra(msgspec.Struct, gc=False):
    metadata: Raw = NULL


_PAGE = msgspec.json.Decoder(_Page)
_ONE = msgspec.json.Decoder(_Run)
_Runs = tuple[list[Run], list[Blob], list[LinkedAttachment]]
_ATTACHMENT = "attachment."
_extras = payload_reader(_Extra)
_INSIDE_EXTRA = frozenset(("metadata", "thread_id", "model"))


def _runs(runs: list[_Run], project: Project, fields: tuple[str, ...]) -> _Runs:
    """Make runs of what was decoded, and list what is wanted of them and lies in blob storage."""
    wanted = {*fields, "extra", "metadata"} if _INSIDE_EXTRA & set(fields) else set(fields)
    blobs: list[Blob] = []
    attached: list[LinkedAttachment] = []
    for run in filter(blob_links.are_in, runs):
        of_run, files = blob_links.read(run, wanted, _derive, run.s3_urls, _ATTACHMENT)
        blobs += of_run
        attached += files
    if "metadata" in wanted:
        _read_extra(runs)
    return normalize_runs(runs, project, wanted), blobs, attached


def _derive(run: Run, name: str) -> None:
    """Fill what is made of a payload that came late."""
    if name == "extra":
        _read_extra([run])
    if name in _INSIDE_EXTRA | {"extra"}:
        read_metadata([run])


def _read_extra(runs: Sequence[Run]) -> None:
    """Find the metadata; an extra that is no object has none."""
    for run, extra in zip(runs, _extras([run.extra for run in runs]), strict=True):
        run.metadata = extra.metadata if extra and extra.metadata != NULL else None
