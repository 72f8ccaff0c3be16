"""Public links to runs on v2: ``POST /public/{token}/runs/query``, with no key and without payloads."""

from __future__ import annotations

from airflow_langsmith.testing.bodies import Check, check_body, each, one_of
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.exchange import Answer, Call, json_answer
from airflow_langsmith.testing.v1.shares import shared
from airflow_langsmith.testing.v2.rows import SELECTABLE, V2Rows
from airflow_langsmith.testing.v2.runs import refuse_before_v2

__all__ = ["query"]

_NOT_SHARED = ("INPUTS", "OUTPUTS", "EVENTS", "ATTACHMENTS", "MANIFEST", "APP_PATH")
_QUERY: dict[str, Check] = {"selects": each(one_of(tuple(name for name in SELECTABLE if name not in _NOT_SHARED)))}


def query(context: Context, call: Call, share_token: str) -> Answer:
    """Serve all runs of the shared run's trace, in the order of their starts."""
    refuse_before_v2(context)
    body = check_body(call.json(), _QUERY, nulls=False)
    trace = context.workspace.traces[shared(context, share_token).trace_id]
    runs = sorted(trace.runs.values(), key=lambda run: run.key)
    rows = V2Rows(context.workspace, call.base_url, subtree=False)
    return json_answer({"items": rows.write(runs, body.get("selects") or ("ID",))})
