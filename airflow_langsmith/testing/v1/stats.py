"""``POST /runs/stats``: numbers about many runs."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from airflow_langsmith.testing import checks
from airflow_langsmith.testing.checks import Check
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.feedback_stats import v1_feedback_stats
from airflow_langsmith.testing.http_messages import Request, Response, json_response
from airflow_langsmith.testing.records import Run
from airflow_langsmith.testing.refusals import Refusal, invalid_field
from airflow_langsmith.testing.times import v1_time
from airflow_langsmith.testing.usage import Usage
from airflow_langsmith.testing.v1.runs import CRITERIA, matching_runs, refuse_without_clickhouse

__all__ = ["read"]

_SELECTABLE = (
    "run_count latency_p50 latency_p99 latency_avg first_token_p50 first_token_p99 total_tokens prompt_tokens "
    "completion_tokens median_tokens completion_tokens_p50 prompt_tokens_p50 tokens_p99 completion_tokens_p99 "
    "prompt_tokens_p99 last_run_start_time feedback_stats thread_feedback_stats run_facets error_rate streaming_rate "
    "total_cost prompt_cost completion_cost cost_p50 cost_p99 session_feedback_stats all_run_stats all_token_stats "
    "group_count prompt_token_details completion_token_details prompt_cost_details completion_cost_details"
).split()
_UNSUPPORTED = ("group_by", "groups", "reference_dataset_id")

_BODY: dict[str, Check] = {
    **CRITERIA,
    "select": checks.list_of(checks.one_of(_SELECTABLE)),
    "include_details": checks.boolean,
    "group_by": lambda value: value,
    "groups": checks.list_of(checks.text),
    "reference_dataset_id": checks.uuid,
}


def read(context: Context, request: Request) -> Response:
    """Serve the statistics of the runs that a query with the same conditions would list."""
    refuse_without_clickhouse(context)
    body = checks.check_body(request.json(), _BODY, nulls=True)
    if not body.get("session"):
        raise invalid_field("session", "Field required", kind="missing")
    for name in _UNSUPPORTED:
        if name in body:
            raise Refusal(501, f"{name!r} is not available on this deployment")
    stats = _stats(context, list(matching_runs(context, body)))
    return json_response({name: stats.get(name) for name in body["select"]} if body.get("select") else stats)


def _stats(context: Context, runs: list[Run]) -> dict[str, Any]:
    workspace = context.workspace
    latencies = [run.latency for run in runs if run.latency is not None]
    usage = _total(context, runs)
    feedback = [item for run in runs for item in workspace.feedback_of(run.id)]
    return {
        "run_count": len(runs),
        "latency_p50": _percentile(latencies, 50),
        "latency_p99": _percentile(latencies, 99),
        "total_tokens": usage.total_tokens,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_cost": _number(usage.total_cost),
        "prompt_cost": _number(usage.prompt_cost),
        "completion_cost": _number(usage.completion_cost),
        "last_run_start_time": v1_time(runs[0].start_time) if runs else None,
        "error_rate": _share(run.error is not None for run in runs),
        "streaming_rate": _share(run.first_token_time is not None for run in runs),
        "feedback_stats": v1_feedback_stats(feedback) or {},
        "run_facets": [],
    }


def _total(context: Context, runs: list[Run]) -> Usage:
    """Add up the usage of the topmost runs, which includes that of the runs below them."""
    run_ids = {run.id for run in runs}
    tops = [run for run in runs if run_ids.isdisjoint(run.parent_run_ids)]
    return Usage.sum(context.workspace.traces[run.trace_id].subtree_totals(run.id)[0] for run in tops)


def _percentile(values: list[float], percent: int) -> float | None:
    return sorted(values)[(len(values) - 1) * percent // 100] if values else None


def _share(flags: Iterable[bool]) -> float | None:
    values = list(flags)
    return sum(values) / len(values) if values else None


def _number(cost: Decimal | None) -> float | None:
    return None if cost is None else float(cost)
