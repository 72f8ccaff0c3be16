"""A run as v1 writes it: times without a zone, lower case, totals of the subtree, null for no value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

from airflow_langsmith.testing.blob_storage import blob_path
from airflow_langsmith.testing.feedback_stats import v1_feedback_stats
from airflow_langsmith.testing.records import PAYLOADS, Run
from airflow_langsmith.testing.settings import CostForm
from airflow_langsmith.testing.times import v1_time
from airflow_langsmith.testing.usage import Usage
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["DEFAULT_SELECT", "SELECTABLE", "V1Rows", "app_path", "preview"]

_ALWAYS = ("id", "name", "run_type", "start_time", "trace_id", "dotted_order", "status", "session_id", "app_path")
_REST = (
    "manifest_id manifest_s3_id manifest last_queued_at in_dataset share_token trace_tier ttl_seconds "
    "price_model_id messages"
).split()

DEFAULT_SELECT = tuple(
    "id name run_type start_time end_time status error extra events inputs outputs parent_run_id manifest_id "
    "manifest_s3_id manifest session_id serialized reference_example_id reference_dataset_id total_tokens "
    "prompt_tokens prompt_token_details completion_tokens completion_token_details total_cost prompt_cost "
    "prompt_cost_details completion_cost completion_cost_details price_model_id first_token_time trace_id "
    "dotted_order last_queued_at feedback_stats parent_run_ids tags in_dataset app_path share_token trace_tier "
    "trace_first_received_at ttl_seconds trace_upgrade thread_id".split()
)

SELECTABLE = (
    *DEFAULT_SELECT,
    *(
        "inputs_preview inputs_s3_urls inputs_or_signed_url outputs_preview outputs_s3_urls outputs_or_signed_url "
        "s3_urls error_or_signed_url events_or_signed_url extra_or_signed_url serialized_or_signed_url "
        "child_run_ids trace_min_max_start_time messages inserted_at"
    ).split(),
)

_MAX_PREVIEW_CHARACTERS = 150


def preview(payload: object) -> str | None:
    """Return the start of a payload."""
    if payload is None:
        return None
    text = payload if isinstance(payload, str) else str(payload)
    return text if len(text) <= _MAX_PREVIEW_CHARACTERS else text[: _MAX_PREVIEW_CHARACTERS - 1] + "…"


def app_path(workspace_id: str, run: Run) -> str:
    """Return the path of a run in the UI."""
    return (
        f"/o/{workspace_id}/projects/p/{run.project_id}/r/{run.id}"
        f"?trace_id={run.trace_id}&start_time={v1_time(run.start_time)}"
    )


class V1Rows:
    """Writes runs as v1 does."""

    def __init__(self, workspace: Workspace, costs: CostForm) -> None:
        self._workspace = workspace
        self._dollars: Callable[[Decimal], object] = float if costs == "number" else str
        self._writers: dict[str, Callable[[Run], Any]] = {
            **{name: attrgetter(name) for name in DEFAULT_SELECT if name in Run.__slots__},
            **{name: _rest(name) for name in _REST},
            "session_id": attrgetter("project_id"),
            "parent_run_ids": attrgetter("parent_run_ids"),
            "thread_id": attrgetter("thread_id"),
            "start_time": lambda run: v1_time(run.start_time),
            "end_time": lambda run: _time(run.end_time),
            "first_token_time": lambda run: _time(workspace.traces[run.trace_id].subtree_totals(run.id)[1]),
            "last_queued_at": lambda run: _time(run.rest.get("last_queued_at")),
            "trace_first_received_at": self._first_received,
            "inserted_at": lambda run: v1_time(run.received_at),
            "trace_upgrade": lambda run: run.rest.get("trace_upgrade", False),
            "trace_tier": lambda run: run.rest.get("trace_tier", "longlived"),
            "app_path": lambda run: app_path(workspace.id, run),
            "feedback_stats": lambda run: v1_feedback_stats(workspace.feedback_of(run.id)),
            "inputs_preview": lambda run: preview(run.inputs),
            "outputs_preview": lambda run: preview(run.outputs),
            **{name: _payload(name) for name in PAYLOADS},
            "inputs_s3_urls": lambda run: _root_url(run, "inputs"),
            "outputs_s3_urls": lambda run: _root_url(run, "outputs"),
            "s3_urls": _s3_urls,
            "child_run_ids": self._descendants,
            **{f"{name}_or_signed_url": _payload_or_url(name) for name in PAYLOADS},
        }

    def write(self, run: Run, select: Iterable[str]) -> dict[str, Any]:
        """Write the selected fields, and the fields that are always there."""
        row: dict[str, Any] = {}
        usage: Usage | None = None
        for name in dict.fromkeys((*_ALWAYS, *select)):
            writer = self._writers.get(name)
            if writer is not None:
                row[name] = writer(run)
            elif name == "trace_min_max_start_time":
                row.update(self._trace_span(run))
            else:
                usage = usage or self._workspace.traces[run.trace_id].subtree_totals(run.id)[0]
                row[name] = self._usage_value(usage, name)
        return row

    def _usage_value(self, usage: Usage, name: str) -> object:
        value = getattr(usage, name)
        if isinstance(value, Decimal):
            return self._dollars(value)
        if isinstance(value, dict):
            if not value:
                return None
            return {key: self._dollars(part) for key, part in value.items()} if "cost" in name else value
        return value

    def _first_received(self, run: Run) -> str:
        return v1_time(min(other.received_at for other in self._workspace.traces[run.trace_id].runs.values()))

    def _trace_span(self, run: Run) -> dict[str, str]:
        starts = [other.start_time for other in self._workspace.traces[run.trace_id].runs.values()]
        return {"trace_min_start_time": v1_time(min(starts)), "trace_max_start_time": v1_time(max(starts))}

    def _descendants(self, run: Run) -> list[str]:
        others = self._workspace.traces[run.trace_id].runs.values()
        return [other.id for other in others if run.id in other.parent_run_ids]


def _rest(name: str) -> Callable[[Run], Any]:
    return lambda run: run.rest.get(name)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else v1_time(moment)


def _payload(name: str) -> Callable[[Run], Any]:
    return lambda run: None if name in run.offloaded else getattr(run, name)


def _payload_or_url(name: str) -> Callable[[Run], Any]:
    return lambda run: blob_path(run, name) if name in run.offloaded else getattr(run, name)


def _root_url(run: Run, name: str) -> dict[str, Any] | None:
    return {"ROOT": {"presigned_url": blob_path(run, name)}} if name in run.offloaded else None


def _s3_urls(run: Run) -> dict[str, Any] | None:
    urls = {
        name: {"presigned_url": blob_path(run, name)}
        for name in sorted(run.offloaded)
        if name not in ("inputs", "outputs")
    }
    for name, attachment in run.attachments.items():
        urls[f"attachment.{name}"] = {
            "presigned_url": blob_path(run, name),
            "mime_type": attachment.mime_type,
        }
    return urls or None
