"""A run as v2 writes it: selected properties only, upper case, times with a zone, a run's own usage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from airflow_langsmith.testing.blob_storage import blob_path
from airflow_langsmith.testing.feedback_stats import v2_feedback_stats
from airflow_langsmith.testing.records import Run
from airflow_langsmith.testing.times import v2_time
from airflow_langsmith.testing.usage import Usage
from airflow_langsmith.testing.v1.rows import app_path, preview
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["SELECTABLE", "V2Rows"]

_Writer = Callable[[Run], Any]

SELECTABLE = tuple(
    "ID NAME RUN_TYPE STATUS START_TIME END_TIME LATENCY_SECONDS FIRST_TOKEN_TIME ERROR ERROR_PREVIEW EXTRA METADATA "
    "EVENTS INPUTS INPUTS_PREVIEW OUTPUTS OUTPUTS_PREVIEW MANIFEST PARENT_RUN_IDS PROJECT_ID TRACE_ID THREAD_ID "
    "DOTTED_ORDER IS_ROOT REFERENCE_EXAMPLE_ID REFERENCE_DATASET_ID TOTAL_TOKENS PROMPT_TOKENS COMPLETION_TOKENS "
    "TOTAL_COST PROMPT_COST COMPLETION_COST PROMPT_TOKEN_DETAILS COMPLETION_TOKEN_DETAILS PROMPT_COST_DETAILS "
    "COMPLETION_COST_DETAILS PRICE_MODEL_ID TAGS APP_PATH ATTACHMENTS THREAD_EVALUATION_TIME IS_IN_DATASET "
    "LAST_QUEUED_AT SHARE_URL FEEDBACK_STATS LS_USER_ID".split()
)

_NULLABLE = "END_TIME"  # null before the end; of the others, null is left out


class V2Rows:
    """
    Writes runs as v2 does.

    :param base_url: The URL of the stand-in: v2 has whole URLs of attachments.
    :param subtree: Whether tokens, costs and first token include the runs below.
    """

    def __init__(self, workspace: Workspace, base_url: str, *, subtree: bool) -> None:
        self._workspace = workspace
        self._base_url = base_url
        self._subtree = subtree
        self._writers: dict[str, _Writer] = {
            **{name: _attribute(name.lower()) for name in SELECTABLE if name.lower() in Run.__slots__},
            **{name: self._usage_writer(name.lower()) for name in SELECTABLE if name.lower() in Usage.__slots__},
            "RUN_TYPE": lambda run: run.run_type.upper(),
            "STATUS": lambda run: run.status.upper(),
            "START_TIME": lambda run: v2_time(run.start_time),
            "END_TIME": lambda run: _time(run.end_time),
            "LATENCY_SECONDS": lambda run: run.latency,
            "FIRST_TOKEN_TIME": self._first_token,
            "ERROR_PREVIEW": lambda run: preview(run.error),
            "METADATA": lambda run: run.metadata or None,
            "INPUTS_PREVIEW": lambda run: preview(run.inputs),
            "OUTPUTS_PREVIEW": lambda run: preview(run.outputs),
            "MANIFEST": lambda run: run.serialized,
            "PARENT_RUN_IDS": lambda run: run.parent_run_ids or None,
            "THREAD_ID": lambda run: run.thread_id,
            "IS_ROOT": lambda run: run.is_root,
            "PRICE_MODEL_ID": lambda run: run.rest.get("price_model_id"),
            "APP_PATH": lambda run: app_path(workspace.id, run),
            "ATTACHMENTS": self._attachments,
            "THREAD_EVALUATION_TIME": lambda run: _time(run.rest.get("thread_evaluation_time")),
            "IS_IN_DATASET": lambda run: run.rest.get("in_dataset"),
            "LAST_QUEUED_AT": lambda run: _time(run.rest.get("last_queued_at")),
            "SHARE_URL": self._share_url,
            "FEEDBACK_STATS": lambda run: v2_feedback_stats(workspace.feedback_of(run.id)),
            "LS_USER_ID": lambda run: run.rest.get("ls_user_id"),
        }

    def write(self, runs: Iterable[Run], selects: Iterable[str]) -> list[dict[str, Any]]:
        """Write the selected properties that each run has."""
        writers = [(name.lower(), self._writers[name], name == _NULLABLE) for name in dict.fromkeys(selects)]
        rows = []
        for run in runs:
            row = {}
            for name, writer, nullable in writers:
                value = writer(run)
                if value is not None or nullable:
                    row[name] = value
            rows.append(row)
        return rows

    def _usage(self, run: Run) -> Usage:
        return self._workspace.traces[run.trace_id].subtree_totals(run.id)[0] if self._subtree else run.usage

    def _usage_writer(self, name: str) -> _Writer:
        return lambda run: _usage_value(getattr(self._usage(run), name))

    def _first_token(self, run: Run) -> str | None:
        if self._subtree:
            return _time(self._workspace.traces[run.trace_id].subtree_totals(run.id)[1])
        return _time(run.first_token_time)

    def _attachments(self, run: Run) -> dict[str, str] | None:
        return {name: f"{self._base_url}/api{blob_path(run, name)}" for name in run.attachments} or None

    def _share_url(self, run: Run) -> str | None:
        token = run.rest.get("share_token")
        return None if token is None else f"{self._base_url}/public/{token}/r"


def _attribute(name: str) -> _Writer:
    return lambda run: getattr(run, name)


def _usage_value(value: object) -> object:
    """Write tokens as they are, dollars as floats, and details in ``raw``."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {"raw": {name: _usage_value(part) for name, part in value.items()}} if value else None
    return value


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else v2_time(moment)
