"""Blob storage: attachments and large payloads, behind signed URLs that need no key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import quote

from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.http_messages import Request, Response, json_response
from airflow_langsmith.testing.records import PAYLOADS, Run
from airflow_langsmith.testing.refusals import Refusal
from airflow_langsmith.testing.times import v2_time

__all__ = ["blob_path", "offload", "read"]


def read(context: Context, request: Request, run_id: str, name: str) -> Response:
    """Serve a blob to a client with a signed URL."""
    if "signed" not in request.query:
        raise Refusal(403, "Forbidden", body={"error": "Forbidden"})
    run = context.workspace.runs.get(run_id)
    if run is not None and name in run.offloaded:
        return json_response(getattr(run, name))
    if run is not None and name in run.attachments:
        return Response(200, run.attachments[name].content, run.attachments[name].mime_type)
    raise Refusal(404, "Not Found")


def blob_path(run: Run, name: str) -> str:
    """Return the signed path of a blob, relative to the API, as LangSmith may."""
    return f"/storage/{run.id}/{quote(name, safe='')}?signed={v2_time(run.received_at)}"


def offload(run: Run, names: Iterable[str]) -> Run:
    """
    Move payloads of a run into blob storage.

    :raises ValueError: If a name is not that of a payload, or the run has no such payload.
    """
    payloads = frozenset(names)
    unknown = [name for name in payloads if name not in PAYLOADS or getattr(run, name) is None]
    if unknown:
        raise ValueError(f"The run has no payload {', '.join(sorted(unknown))}; payloads are {', '.join(PAYLOADS)}")
    return replace(run, offloaded=run.offloaded | payloads)
