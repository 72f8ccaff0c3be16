"""
Version 1 of the run query: ``POST /api/v1/runs/query``.

Its body ``end_time`` may bound a run's *end* and then loses pending and long runs, so it is never sent. Its ``id``
and ``trace`` switch filters and paging off, so both are asked for in the filter instead.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import Raw

from airflow_langsmith.api.errors import PayloadError
from airflow_langsmith.api.flow import Request
from airflow_langsmith.api.query import MARGIN, RunQuery, instant
from airflow_langsmith.api.records import Page, Project, Run
from airflow_langsmith.api.wire import ABSENT, WireRun, decode, present

NAME = "v1"
PATH = "/api/v1/runs/query"
LARGEST_PAGE = 100
CANNOT_FILTER = frozenset({"total_tokens", "execution_order", "error"})  # documented; the status tells of errors

# Field of a Run -> what to select. Metadata has no select of its own here: it lies in `extra`. Beside every payload
# that LangSmith may have put into blob storage goes the field that tells.
SELECT: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in Run.__struct_fields__},
    "project": ("session_id",),
    "thread_id": ("thread_id", "extra", "s3_urls"),
    "metadata": ("extra", "s3_urls"),
    "extra": ("extra", "s3_urls"),
    "error": ("error", "s3_urls"),
    "events": ("events", "s3_urls"),
    "serialized": ("serialized", "s3_urls"),
    "inputs": ("inputs", "inputs_s3_urls"),
    "outputs": ("outputs", "outputs_s3_urls"),
}


def body(query: RunQuery, page_size: int, cursor: str | None) -> dict[str, Any]:
    """Write a page's whole question; the cursor goes beside the rest, not in place of it."""
    parts = [query.window_filter]
    if query.run_ids is not None:
        parts.append(f"in(id, {json.dumps(query.run_ids)})")
    if query.trace_id is not None:
        parts.append(f"eq(trace_id, {json.dumps(query.trace_id)})")
    asked: dict[str, Any] = {
        "session": [query.project.id],
        "start_time": instant(query.start - MARGIN),
        "filter": parts[0] if len(parts) == 1 else f"and({', '.join(parts)})",
        "trace_filter": query.trace_filter,
        "tree_filter": query.tree_filter,
        "run_type": query.run_type and query.run_type.lower(),
        "is_root": query.is_root,
        "error": query.error,
        "reference_example": [query.reference_example_id] if query.reference_example_id else None,
        "select": sorted({select for name in query.needed for select in SELECT[name]}),
        "order": "desc",
        "limit": page_size,
        "cursor": cursor,
        "skip_prev_cursor": True,
    }
    return {name: value for name, value in asked.items() if value is not None}


def read(content: bytes, project: Project, fields: tuple[str, ...], about: str) -> Page:
    """Read a page."""
    answer = decode(_PAGE, content, about)
    for wire in answer.runs:
        _refuse_offloaded(wire, fields, about)
    cursor = (answer.cursors or {}).get("next") or None
    return Page([_run(wire, project) for wire in answer.runs], cursor, len(content))


def question(run_id: str, project: Project | None, fields: tuple[str, ...]) -> Request:  # noqa: ARG001  # all come
    """Ask for one run; where it is, the server finds by itself."""
    params = {"session_id": project.id} if project else {}
    return Request("GET", f"/api/v1/runs/{run_id}", tier="v1 single", params=params, about=f"run {run_id}")


def read_one(content: bytes, project: Project | None, fields: tuple[str, ...], about: str) -> Run:
    """Read one run; a project that was not given has no name yet."""
    wire = decode(_ONE, content, about)
    _refuse_offloaded(wire, fields, about)
    return _run(wire, project or Project(id=wire.session_id, name=""))


class _Extra(msgspec.Struct):
    metadata: Raw = ABSENT


class _WireRun(WireRun, kw_only=True):
    session_id: str = ""
    parent_run_id: str | None = None
    in_dataset: bool | None = None
    serialized: Raw = ABSENT
    inputs_s3_urls: dict[str, Raw] | None = None
    outputs_s3_urls: dict[str, Raw] | None = None
    s3_urls: dict[str, Raw] | None = None


class _WirePage(msgspec.Struct):
    runs: list[_WireRun]
    cursors: dict[str, str | None] | None = None


_OFFLOADED = ("inputs", "outputs", "error", "events", "extra", "serialized")
_NOTHING = (None, ABSENT, Raw(b"null"))
_PAGE = msgspec.json.Decoder(_WirePage)
_ONE = msgspec.json.Decoder(_WireRun)
_EXTRA = msgspec.json.Decoder(_Extra)


def _refuse_offloaded(wire: _WireRun, fields: tuple[str, ...], about: str) -> None:
    """Fail rather than let a payload in blob storage pass for an empty one."""
    if not (wire.inputs_s3_urls or wire.outputs_s3_urls or wire.s3_urls):
        return
    elsewhere = set(wire.s3_urls or {})
    elsewhere |= {"inputs"} if wire.inputs_s3_urls else set()
    elsewhere |= {"outputs"} if wire.outputs_s3_urls else set()
    wanted = {*fields, "extra"} if {"metadata", "thread_id"} & set(fields) else set(fields)
    offloaded = [name for name in _OFFLOADED if name in elsewhere & wanted]
    missing = [name for name in offloaded if getattr(wire, name) in _NOTHING]
    if missing:
        raise PayloadError(
            f"LangSmith keeps the {' and '.join(missing)} of run {wire.id} in blob storage and did not send them "
            f"[{about}]. A retry will not help: leave these columns out, or set 'api_version' to 'v2' in the "
            "connection's extra, which sends payloads whole."
        )


def _run(wire: _WireRun, project: Project) -> Run:
    return wire.record(
        project,
        parent_run_id=wire.parent_run_id,
        in_dataset=wire.in_dataset,
        metadata=_metadata(wire.extra),
        serialized=wire.serialized,
    )


def _metadata(extra: Raw) -> Raw:
    """Find the metadata; an extra that is no object has none."""
    try:
        return ABSENT if present(extra) is None else _EXTRA.decode(extra).metadata
    except msgspec.ValidationError:
        return ABSENT
