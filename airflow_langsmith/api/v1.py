"""
Version 1 of the run query: ``POST /api/v1/runs/query``.

Its body ``end_time`` may bound a run's *end* and then loses pending and long runs, so it is never sent. Its ``id``
and ``trace`` switch filters and paging off, so both are asked for in the filter instead.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw

from airflow_langsmith.api.attachments import Attached, Link, attach
from airflow_langsmith.api.flow import Request
from airflow_langsmith.api.payloads import Blob, payload
from airflow_langsmith.api.query import MARGIN, RunQuery, instant
from airflow_langsmith.api.records import Page, Project, Run
from airflow_langsmith.api.wire import ABSENT, WireRun, decode, present, read_metadata, thread_of

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
    "attachments": ("s3_urls",),
    "missing_payloads": (),
}


def conditions(query: RunQuery) -> dict[str, Any]:
    """Write which runs are asked for, as all of v1's questions about runs take it."""
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
    }
    return {name: value for name, value in asked.items() if value is not None}


def body(query: RunQuery, page_size: int, cursor: str | None) -> dict[str, Any]:
    """Write a page's whole question; the cursor goes beside the rest, not in place of it."""
    page: dict[str, Any] = {
        "select": sorted({select for name in query.needed for select in SELECT[name]}),
        "order": "desc",
        "limit": page_size,
        "skip_prev_cursor": True,
    }
    return conditions(query) | page | ({} if cursor is None else {"cursor": cursor})


def read(content: bytes, project: Project, fields: tuple[str, ...], about: str) -> Page:
    """Read a page."""
    answer = decode(_PAGE, content, about)
    cursor = (answer.cursors or {}).get("next") or None
    runs = [_run(wire, project) for wire in answer.runs]
    return Page(runs, cursor, len(content), _elsewhere(answer.runs, runs, fields), _attached(answer.runs, runs))


def question(run_id: str, project: Project | None, fields: tuple[str, ...]) -> Request:  # noqa: ARG001  # all come
    """Ask for one run; where it is, the server finds by itself."""
    params = {"session_id": project.id} if project else {}
    return Request("GET", f"/api/v1/runs/{run_id}", tier="v1 single", params=params, about=f"run {run_id}")


def read_one(content: bytes, project: Project | None, fields: tuple[str, ...], about: str) -> Page:
    """Read one run; a project that was not given has no name yet."""
    wire = decode(_ONE, content, about)
    run = _run(wire, project or Project(id=wire.session_id, name=""))
    return Page([run], None, len(content), _elsewhere([wire], [run], fields), _attached([wire], [run]))


class _Extra(msgspec.Struct):
    metadata: Raw = ABSENT


class _Link(msgspec.Struct):
    presigned_url: str
    mime_type: str | None = None


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


_ATTACHMENT = "attachment."
_NOTHING = (None, ABSENT, Raw(b"null"))
_PAGE = msgspec.json.Decoder(_WirePage)
_ONE = msgspec.json.Decoder(_WireRun)
_EXTRA = msgspec.json.Decoder(_Extra)
_LINK = msgspec.json.Decoder(_Link)


def _elsewhere(wires: list[_WireRun], runs: list[Run], fields: tuple[str, ...]) -> list[Blob]:
    """List the payloads that are wanted, and were not sent because they lie in blob storage."""
    wanted = {*fields, "extra"} if {"metadata", "thread_id"} & set(fields) else set(fields)
    found = []
    for wire, run in zip(wires, runs, strict=True):
        if not (wire.inputs_s3_urls or wire.outputs_s3_urls or wire.s3_urls):
            continue
        links = {"inputs": _link(wire.inputs_s3_urls, "ROOT"), "outputs": _link(wire.outputs_s3_urls, "ROOT")}
        links |= {name: _link(wire.s3_urls, name) for name in ("error", "events", "extra", "serialized")}
        for name, url in links.items():
            if url and name in wanted and getattr(wire, name) in _NOTHING:
                found.append(payload(run, name, url, partial(_put, run, name)))
    return found


def _attached(wires: list[_WireRun], runs: list[Run]) -> list[Attached]:
    """List the attachments, which lie among the payloads in blob storage."""
    return [
        one
        for wire, run in zip(wires, runs, strict=True)
        if wire.s3_urls
        for one in attach(
            run,
            {
                name.removeprefix(_ATTACHMENT): _attachment(link)
                for name, link in wire.s3_urls.items()
                if name.startswith(_ATTACHMENT)
            },
        )
    ]


def _attachment(raw: Raw) -> Link:
    try:
        link = _LINK.decode(raw)
    except msgspec.ValidationError:
        return Link("")
    return Link(link.presigned_url, link.mime_type)


def _link(urls: dict[str, Raw] | None, name: str) -> str | None:
    try:
        return _LINK.decode(urls[name]).presigned_url if urls and name in urls else None
    except msgspec.ValidationError:
        return None


def _put(run: Run, name: str, payload: Raw) -> None:
    """Put a payload that came late where it belongs, and what follows from it."""
    if name == "error":
        run.error = str(msgspec.json.decode(payload))
        return
    setattr(run, name, present(payload))
    if name == "extra":
        run.metadata = present(_metadata(payload))
        run.thread_id = run.thread_id or thread_of(read_metadata(run.metadata))


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
