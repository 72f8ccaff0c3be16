"""Public links to runs on v2: ``POST /public/{token}/runs/query`` needs no key, and has no payloads."""

from __future__ import annotations

from airflow_langsmith.testing import checks
from airflow_langsmith.testing.checks import Check
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.http_messages import Request, Response, json_response
from airflow_langsmith.testing.v1.shares import shared
from airflow_langsmith.testing.v2.rows import SELECTABLE, V2Rows
from airflow_langsmith.testing.v2.runs import refuse_before_v2

__all__ = ["query"]

_NOT_SHARED = ("INPUTS", "OUTPUTS", "EVENTS", "ATTACHMENTS", "MANIFEST", "APP_PATH")
_SELECTABLE = [name for name in SELECTABLE if name not in _NOT_SHARED]
_QUERY: dict[str, Check] = {"selects": checks.list_of(checks.one_of(_SELECTABLE))}


def query(context: Context, request: Request, share_token: str) -> Response:
    """Serve all runs of the trace, in the order of their starts."""
    refuse_before_v2(context)
    body = checks.check_body(request.json(), _QUERY, nulls=False)
    trace = context.workspace.traces[shared(context, share_token).trace_id]
    runs = sorted(trace.runs.values(), key=lambda run: run.key)
    rows = V2Rows(context.workspace, request.base_url, subtree=False)
    return json_response({"items": rows.write(runs, body.get("selects") or ("ID",))})
