"""Blob storage: attachments, and the payloads that LangSmith keeps apart, behind URLs that need no key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import quote

from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.exchange import Answer, Call, json_answer
from airflow_langsmith.testing.moments import zoned
from airflow_langsmith.testing.records import PAYLOADS, Run
from airflow_langsmith.testing.refusals import Refusal

__all__ = ["offloaded", "read", "storage_path"]


def read(context: Context, call: Call, run_id: str, name: str) -> Answer:
    """Serve one blob, to whoever holds a signed URL."""
    if call.text("signed") is None:
        raise Refusal(403, "Forbidden", body={"error": "Forbidden"})
    run = context.workspace.runs.get(run_id)
    if run is None:
        raise Refusal(404, "Not Found")
    if name in run.offloaded:
        return json_answer(getattr(run, name))
    if name in run.attachments:
        return Answer(200, run.attachments[name].content, run.attachments[name].mime_type)
    raise Refusal(404, "Not Found")


def storage_path(run: Run, name: str) -> str:
    """Point at a blob by a path relative to the API, as the real one may."""
    return f"/storage/{run.id}/{quote(name, safe='')}?signed={zoned(run.received_at)}"


def offloaded(run: Run, names: Iterable[str]) -> Run:
    """
    Move payloads of a run into blob storage.

    :raises ValueError: For what is no payload, or is not there.
    """
    wanted = frozenset(names)
    wrong = [name for name in wanted if name not in PAYLOADS or getattr(run, name) is None]
    if wrong:
        raise ValueError(f"The run has no payload {', '.join(sorted(wrong))}; payloads are {', '.join(PAYLOADS)}")
    return replace(run, offloaded=run.offloaded | wanted)
