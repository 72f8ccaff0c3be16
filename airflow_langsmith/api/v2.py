"""
Version 2 of the API for runs, such as ``POST /api/v2/runs/query`` (SmithDB).

Without ``selects`` it answers ids only, and without bounds the last day only; both are always sent. It knows one order,
newest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from airflow_langsmith.api.blob_links import read_links
from airflow_langsmith.api.decoding import decode
from airflow_langsmith.api.dialect import Dialect
from airflow_langsmith.api.flow import MAX_RUN_BYTES, Backoff, Flow, Request, read_json
from airflow_langsmith.api.query import FIELDS, MARGIN, RunQuery
from airflow_langsmith.api.records import Page, Project, Run
from airflow_langsmith.api.statuses import ADDRESS_GONE
from airflow_langsmith.api.wire_run import Payload, WireRun, normalize_runs, read_metadata
from airflow_langsmith.errors import ConfigurationError, InvalidQueryError, RunNotFoundError
from airflow_langsmith.filters import format_time

# The runs of a public link. The SDK uses the first address, the specification of mid-2026 has the second.
SHARED_PATHS = ("/runs/query", "/runs/v2/query")
NOT_SHARED = frozenset(("INPUTS", "OUTPUTS", "EVENTS", "ATTACHMENTS", "MANIFEST"))  # a public link has none of these
MISSING_OF_SHARED = ("inputs", "outputs", "events", "serialized")


class V2(Dialect):
    """Version 2."""

    name = "v2"
    max_page_size = 1000
    unfilterable = frozenset()
    is_being_removed = False
    select: ClassVar[dict[str, tuple[str, ...]]] = {
        **{name: (name.upper(),) for name in FIELDS},
        "project": ("PROJECT_ID",),
        "parent_run_id": ("PARENT_RUN_IDS",),
        "thread_id": ("THREAD_ID", "METADATA"),
        "model": ("METADATA",),
        "in_dataset": ("IS_IN_DATASET",),
        "serialized": ("MANIFEST",),
        "missing_payloads": (),
    }

    def tier(self, query: RunQuery) -> str:  # noqa: ARG002
        return "v2 query"

    def body(self, query: RunQuery, page_size: int, cursor: str | None) -> dict[str, Any]:
        run_filter = query.run_filter
        body: dict[str, Any] = {
            "project_ids": [query.project.id],
            "min_start_time": format_time(query.start - MARGIN),
            "max_start_time": format_time(query.end + MARGIN),
            "filter": query.window_filter,
            "trace_filter": run_filter.trace_filter,
            "tree_filter": run_filter.tree_filter,
            "run_type": run_filter.run_type and run_filter.run_type.upper(),
            "is_root": run_filter.is_root,
            "has_error": run_filter.error,
            "ids": list(run_filter.run_ids) if run_filter.run_ids is not None else None,
            "trace_id": run_filter.trace_id,
            "reference_examples": [run_filter.reference_example_id] if run_filter.reference_example_id else None,
            "selects": self.selects(query.wire_fields),
            "page_size": page_size,
            "cursor": cursor,
        }
        return {name: value for name, value in body.items() if value is not None}

    def read_page(self, content: bytes, project: Project, fields: tuple[str, ...], purpose: str) -> Page:
        answer = decode(_PAGE, content, purpose, levels=3)
        return _page(answer.items, project, fields, answer.next_cursor, len(content))

    def run_request(self, run_id: str, project: Project | None, fields: tuple[str, ...]) -> Request:
        if project is None:
            raise ConfigurationError(
                f"API v2 finds a run by its project, and none is given for run {run_id}. Name the project, or give "
                "the run's link in LangSmith, which names it."
            )
        params = {"project_id": project.id, "selects": self.selects(fields)}
        path, purpose = f"/api/v2/runs/{run_id}", f"run {run_id}"
        return Request("GET", path, tier="v2 single", params=params, purpose=purpose, max_bytes=MAX_RUN_BYTES)

    def read_run(self, content: bytes, project: Project | None, fields: tuple[str, ...], purpose: str) -> Page:
        return _page([decode(_ONE, content, purpose)], project or Project(id="", name=""), fields)

    def read_shared(self, share_token: str, run_id: str | None, backoff: Backoff) -> Flow[Page]:
        """Read the run of a public link, without its payloads, from all runs of its trace."""
        first, second = SHARED_PATHS
        try:
            return (yield from self._read_shared_at(first, share_token, run_id, backoff))
        except RunNotFoundError:
            raise
        except (*ADDRESS_GONE, InvalidQueryError):
            return (yield from self._read_shared_at(second, share_token, run_id, backoff))

    def count_request(self, query: RunQuery) -> None:
        """Return None: v2 cannot count."""

    def _read_shared_at(self, path: str, share_token: str, run_id: str | None, backoff: Backoff) -> Flow[Page]:
        selects = [*(name for name in self.selects(FIELDS) if name not in NOT_SHARED), "SHARE_URL"]
        request = self.shared_request("POST", share_token, path, {"selects": selects})
        runs = (yield from read_json(request, _SHARED, backoff)).items
        if run_id:
            matching = [run for run in runs if run.id == run_id]
        else:
            matching = [run for run in runs if run.share_url and share_token in run.share_url]
            matching = matching or [run for run in runs if not run.parent_run_ids]  # the root
        if not matching:
            raise RunNotFoundError(404, request.method, request.display_path, "", request.purpose)
        run = matching[0]
        run.share_url = None  # a secret
        run.missing_payloads = list(MISSING_OF_SHARED)
        return _page([run], Project(id=run.project_id, name=""), FIELDS)


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


def _page(
    runs: Sequence[_Run], project: Project, fields: tuple[str, ...], cursor: str | None = None, body_bytes: int = 0
) -> Page:
    """Normalize decoded runs, and list their blobs: files, and perhaps payloads one day."""
    names = {*fields, "metadata"}
    blobs, attachments = read_links(runs, names, _derive, ("attachments", ""))
    for run in runs:
        run.run_type = run.run_type and run.run_type.lower()
        run.status = run.status and run.status.lower()
        run.attachments = run.attachments or None
        if run.parent_run_ids:
            run.parent_run_id = run.parent_run_ids[-1]
    return Page(normalize_runs(runs, project, names), cursor or None, body_bytes, blobs, attachments)


def _derive(run: Run, name: str) -> None:
    """Fill what is made of a payload that came from blob storage."""
    if name == "metadata":
        read_metadata([run])
