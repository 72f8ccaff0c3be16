"""
Version 2 of the run query: ``POST /api/v2/runs/query`` (SmithDB).

Without ``selects`` it answers ids only, and without bounds the last day only; both always go out. It knows one order,
newest first.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from airflow_langsmith.api.attachments import Attached, Link, attach
from airflow_langsmith.api.errors import ConfigurationError
from airflow_langsmith.api.flow import Request
from airflow_langsmith.api.query import MARGIN, RunQuery, instant
from airflow_langsmith.api.records import Page, Project, Run
from airflow_langsmith.api.wire import ABSENT, WireRun, decode

NAME = "v2"
PATH = "/api/v2/runs/query"
LARGEST_PAGE = 1000
CANNOT_FILTER: frozenset[str] = frozenset()

# Field of a Run -> what to select.
SELECT: dict[str, tuple[str, ...]] = {
    **{name: (name.upper(),) for name in Run.__struct_fields__},
    "project": ("PROJECT_ID",),
    "parent_run_id": ("PARENT_RUN_IDS",),
    "thread_id": ("THREAD_ID", "METADATA"),
    "in_dataset": ("IS_IN_DATASET",),
    "serialized": ("MANIFEST",),
    "missing_payloads": (),
}


def body(query: RunQuery, page_size: int, cursor: str | None) -> dict[str, Any]:
    """Write a page's whole question; the cursor goes beside the rest, not in place of it."""
    asked: dict[str, Any] = {
        "project_ids": [query.project.id],
        "min_start_time": instant(query.start - MARGIN),
        "max_start_time": instant(query.end + MARGIN),
        "filter": query.window_filter,
        "trace_filter": query.trace_filter,
        "tree_filter": query.tree_filter,
        "run_type": query.run_type and query.run_type.upper(),
        "is_root": query.is_root,
        "has_error": query.error,
        "ids": list(query.run_ids) if query.run_ids is not None else None,
        "trace_id": query.trace_id,
        "reference_examples": [query.reference_example_id] if query.reference_example_id else None,
        "min_feedback_modified_at": query.feedback_since and instant(query.feedback_since),
        "selects": _selects(query.needed),
        "page_size": page_size,
        "cursor": cursor,
    }
    return {name: value for name, value in asked.items() if value is not None}


def read(content: bytes, project: Project, fields: tuple[str, ...], about: str) -> Page:  # noqa: ARG001  # all is sent
    """Read a page."""
    answer = decode(_PAGE, content, about)
    runs = [_run(wire, project) for wire in answer.items]
    attached = _attached(answer.items, runs)
    return Page(runs, answer.next_cursor or None, len(content), attachments=attached)


def question(run_id: str, project: Project | None, fields: tuple[str, ...]) -> Request:
    """Ask for one run, which v2 finds by its project."""
    if project is None:
        raise ConfigurationError(
            f"API v2 finds a run by its project, and none is given for run {run_id}. A retry will not help: give "
            "project=, or the run's link in LangSmith, which names it."
        )
    params = {"project_id": project.id, "selects": _selects(fields)}
    return Request("GET", f"/api/v2/runs/{run_id}", tier="v2 single", params=params, about=f"run {run_id}")


def read_one(content: bytes, project: Project | None, fields: tuple[str, ...], about: str) -> Page:  # noqa: ARG001
    """Read one run."""
    wire = decode(_ONE, content, about)
    run = _run(wire, project or Project(id="", name=""))
    return Page([run], None, len(content), attachments=_attached([wire], [run]))


def _selects(fields: tuple[str, ...]) -> list[str]:
    return sorted({select for name in ("id", "start_time", *fields) for select in SELECT[name]})


class _WireRun(WireRun, kw_only=True):
    parent_run_ids: list[str] | None = None  # from the root down
    is_in_dataset: bool | None = None
    metadata: Raw = ABSENT
    manifest: Raw = ABSENT
    attachments: dict[str, Raw] | None = None


class _WirePage(msgspec.Struct):
    items: list[_WireRun]
    next_cursor: str | None = None


_PAGE = msgspec.json.Decoder(_WirePage)
_ONE = msgspec.json.Decoder(_WireRun)
_LINK = msgspec.json.Decoder(str)


def _attached(wires: list[_WireRun], runs: list[Run]) -> list[Attached]:
    """List the attachments."""
    return [
        one
        for wire, run in zip(wires, runs, strict=True)
        if wire.attachments
        for one in attach(run, {name: _attachment(link) for name, link in wire.attachments.items()})
    ]


def _attachment(raw: Raw) -> Link:
    try:
        return Link(_LINK.decode(raw))
    except msgspec.ValidationError:
        return Link("")


def _run(wire: _WireRun, project: Project) -> Run:
    return wire.record(
        project,
        parent_run_id=wire.parent_run_ids[-1] if wire.parent_run_ids else None,
        in_dataset=wire.is_in_dataset,
        metadata=wire.metadata,
        serialized=wire.manifest,
    )
