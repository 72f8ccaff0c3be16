"""
Version 1 of the API for runs, such as ``POST /api/v1/runs/query``.

Its body ``end_time`` may bound a run's *end* and then loses pending and long runs, so it is never sent. Its ``id``
and ``trace`` switch filters and paging off, so the filter has both conditions instead.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import msgspec

from airflow_langsmith.api.blob_links import read_links
from airflow_langsmith.api.decoding import decode
from airflow_langsmith.api.dialect import Dialect
from airflow_langsmith.api.flow import MAX_RUN_BYTES, Backoff, Flow, Request, send
from airflow_langsmith.api.query import FIELDS, MARGIN, RunQuery
from airflow_langsmith.api.records import Page, Project, Run
from airflow_langsmith.api.wire_run import SPENT_FIELDS, WireRun, normalize_runs, read_extra, read_metadata
from airflow_langsmith.errors import NotFoundError, RunNotFoundError
from airflow_langsmith.filters import format_time

WIDE_WINDOW = timedelta(days=7)  # beyond it the budget is smaller

# The message of a router or a proxy about an unknown address; any other message is LangSmith's, about a run.
_NO_ADDRESS = ("not found", "404 page not found")


class V1(Dialect):
    """Version 1. It leaves LangSmith's cloud on 31 January 2027, and self-hosted servers with release 0.18."""

    name = "v1"
    max_page_size = 100
    unfilterable = frozenset({"total_tokens", "execution_order", "error"})  # documented; the status shows errors
    is_being_removed = True

    # Metadata has no select of its own: it lies in `extra`. Beside each payload that LangSmith may have put into blob
    # storage goes the field with its link.
    select: ClassVar[dict[str, tuple[str, ...]]] = {
        **{name: (name,) for name in FIELDS},
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

    def tier(self, query: RunQuery) -> str:
        """Return the budget of a query; without an end in the body, the window counts until now."""
        wide = "wide " if datetime.now(UTC) - query.start > WIDE_WINDOW else ""
        return f"v1 {wide}{'search' if 'search(' in ''.join(query.run_filter.expressions.values()) else 'query'}"

    def body(self, query: RunQuery, page_size: int, cursor: str | None) -> dict[str, Any]:
        page: dict[str, Any] = {
            "select": self.selects(query.wire_fields),
            "order": "desc",
            "limit": page_size,
            "skip_prev_cursor": True,
        }
        return _conditions(query) | page | ({} if cursor is None else {"cursor": cursor})

    def read_page(self, content: bytes, project: Project, fields: tuple[str, ...], purpose: str) -> Page:
        answer = decode(_PAGE, content, purpose, levels=3)
        return _page(answer.runs, project, fields, (answer.cursors or {}).get("next"), len(content))

    def run_request(self, run_id: str, project: Project | None, fields: tuple[str, ...]) -> Request:  # noqa: ARG002
        params = {"session_id": project.id if project else None}
        path, purpose = f"/api/v1/runs/{run_id}", f"run {run_id}"
        return Request("GET", path, tier="v1 single", params=params, purpose=purpose, max_bytes=MAX_RUN_BYTES)

    def read_run(self, content: bytes, project: Project | None, fields: tuple[str, ...], purpose: str) -> Page:
        run = decode(_ONE, content, purpose)
        for name in SPENT_FIELDS - set(fields):
            setattr(run, name, None)  # v1 sends all fields, selected or not
        return _page([run], project or Project(id=run.session_id, name=""), fields)

    def read_shared(self, share_token: str, run_id: str | None, backoff: Backoff) -> Flow[Page]:
        request = self.shared_request("GET", share_token, f"/run/{run_id}" if run_id else "/run")
        try:
            read = partial(self.read_run, project=None, fields=FIELDS, purpose=request.purpose)
            return (yield from send(request, read, backoff))
        except NotFoundError as error:
            if error.detail.lower() in _NO_ADDRESS or error.detail.startswith("<"):
                raise
            raise RunNotFoundError(*error.args) from error

    def count_request(self, query: RunQuery) -> Request:
        """Write the request for the number of runs. Servers of both versions have the address."""
        body = {**_conditions(query), "select": ["run_count"]}
        return Request("POST", "/api/v1/runs/stats", tier="run stats", json=body, purpose=query.description)


def _conditions(query: RunQuery) -> dict[str, Any]:
    run_filter, parts = query.run_filter, [query.window_filter]
    if run_filter.run_ids is not None:
        parts.append(f"in(id, {json.dumps(run_filter.run_ids)})")
    if run_filter.trace_id is not None:
        parts.append(f"eq(trace_id, {json.dumps(run_filter.trace_id)})")
    conditions: dict[str, Any] = {
        "session": [query.project.id],
        "start_time": format_time(query.start - MARGIN),
        "filter": parts[0] if len(parts) == 1 else f"and({', '.join(parts)})",
        "trace_filter": run_filter.trace_filter,
        "tree_filter": run_filter.tree_filter,
        "run_type": run_filter.run_type and run_filter.run_type.lower(),
        "is_root": run_filter.is_root,
        "error": run_filter.error,
        "reference_example": [run_filter.reference_example_id] if run_filter.reference_example_id else None,
    }
    return {name: value for name, value in conditions.items() if value is not None}


class _Run(WireRun, kw_only=True, gc=False):
    includes_children: ClassVar[bool] = True

    session_id: str = ""


class _Page(msgspec.Struct):
    runs: list[_Run]
    cursors: dict[str, str | None] | None = None


_PAGE = msgspec.json.Decoder(_Page)
_ONE = msgspec.json.Decoder(_Run)
_INSIDE_EXTRA = frozenset(("metadata", "thread_id", "model"))


def _page(
    runs: list[_Run], project: Project, fields: tuple[str, ...], cursor: str | None = None, body_bytes: int = 0
) -> Page:
    """Normalize decoded runs, and list the blobs of their fields."""
    names = {*fields, "extra", "metadata"} if _INSIDE_EXTRA & set(fields) else set(fields)
    blobs, attachments = read_links(runs, names, _derive, ("s3_urls", "attachment."))
    if "metadata" in names:
        read_extra(runs)
    return Page(normalize_runs(runs, project, names), cursor or None, body_bytes, blobs, attachments)


def _derive(run: Run, name: str) -> None:
    """Fill what is made of a payload that came from blob storage."""
    if name == "extra":
        read_extra([run])
    if name in _INSIDE_EXTRA | {"extra"}:
        read_metadata([run])
