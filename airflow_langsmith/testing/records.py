"""The records of a workspace: projects, runs, traces and feedback."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_langsmith.testing.timeline import Key
from airflow_langsmith.testing.times import to_micros
from airflow_langsmith.testing.usage import NO_USAGE, Usage

__all__ = ["PAYLOADS", "RUN_TYPES", "Attachment", "Feedback", "Project", "Run", "Trace"]

PAYLOADS = ("inputs", "outputs", "extra", "events", "error", "serialized")  # blob storage may have them
RUN_TYPES = ("tool", "chain", "llm", "retriever", "embedding", "prompt", "parser")
_THREAD_KEYS = ("session_id", "thread_id", "conversation_id")


@dataclass(slots=True)
class Project:
    """A tracing project; the API calls it a session."""

    id: str
    name: str
    start_time: datetime
    description: str | None = None
    extra: dict[str, Any] | None = None
    reference_dataset_id: str | None = None
    end_time: datetime | None = None
    trace_tier: str = "longlived"
    longlived_ttl_days: int | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file logged with a run."""

    mime_type: str
    content: bytes


@dataclass(slots=True)
class Run:
    """
    A span.

    ``offloaded`` names the payloads in blob storage. ``rest`` has the rare fields of the API, under their names.
    """

    id: str
    trace_id: str
    project_id: str
    name: str
    run_type: str
    start_time: datetime
    dotted_order: str
    received_at: datetime
    parent_run_id: str | None = None
    end_time: datetime | None = None
    status: str = "pending"
    error: str | None = None
    inputs: dict[str, Any] | None = None
    outputs: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None
    events: list[dict[str, Any]] | None = None
    tags: list[str] | None = None
    serialized: dict[str, Any] | None = None
    reference_example_id: str | None = None
    reference_dataset_id: str | None = None
    first_token_time: datetime | None = None
    usage: Usage = NO_USAGE
    attachments: dict[str, Attachment] = field(default_factory=dict)
    offloaded: frozenset[str] = frozenset()
    rest: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """The place of the run in the timeline of its project."""
        return to_micros(self.start_time), self.id

    @property
    def is_root(self) -> bool:
        """Whether the run has no parent."""
        return self.parent_run_id is None

    @property
    def latency(self) -> float | None:
        """Seconds from start to end. None before the end."""
        return None if self.end_time is None else (self.end_time - self.start_time).total_seconds()

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata in ``extra``."""
        metadata = self.extra.get("metadata") if self.extra else None
        return metadata if isinstance(metadata, dict) else {}

    @property
    def thread_id(self) -> str | None:
        """The thread: the first of its keys in the metadata."""
        return next((str(self.metadata[key]) for key in _THREAD_KEYS if self.metadata.get(key) is not None), None)

    @property
    def parent_run_ids(self) -> list[str]:
        """The ancestors from the root to the parent, read from the dotted order."""
        return [segment[-36:] for segment in self.dotted_order.split(".")[:-1]]


@dataclass(slots=True)
class Trace:
    """The runs of a trace. Totals are computed by the first read after a change."""

    runs: dict[str, Run] = field(default_factory=dict)
    _totals: dict[str, tuple[Usage, datetime | None]] | None = None

    @property
    def root(self) -> Run | None:
        """The run without a parent, if it has arrived."""
        return next((run for run in self.runs.values() if run.is_root), None)

    def put(self, run: Run) -> None:
        """Add or replace a run."""
        self.runs[run.id] = run
        self._totals = None

    def remove(self, run: Run) -> None:
        """Remove a run."""
        del self.runs[run.id]
        self._totals = None

    def subtree_totals(self, run_id: str) -> tuple[Usage, datetime | None]:
        """
        Return the usage and the first token of a run and all runs below it.

        A wrapper that repeats the usage of its child counts it twice, as in LangSmith.
        """
        if self._totals is None:
            self._totals = self._compute_totals()
        return self._totals[run_id]

    def _compute_totals(self) -> dict[str, tuple[Usage, datetime | None]]:
        children: dict[str | None, list[Run]] = {}
        for run in self.runs.values():
            children.setdefault(run.parent_run_id, []).append(run)
        totals: dict[str, tuple[Usage, datetime | None]] = {}
        for run in sorted(self.runs.values(), key=lambda run: run.dotted_order.count("."), reverse=True):
            subtrees = [totals[child.id] for child in children.get(run.id, ()) if child.id in totals]
            usage = Usage.sum([run.usage, *(usage for usage, _ in subtrees)])
            first_tokens = [time for time in (run.first_token_time, *(time for _, time in subtrees)) if time]
            totals[run.id] = usage, min(first_tokens, default=None)
        return totals


@dataclass(slots=True)
class Feedback:
    """A score, a value or a comment on a run, or on a project if it has no run."""

    id: str
    key: str
    created_at: datetime
    modified_at: datetime
    run_id: str | None = None
    trace_id: str | None = None
    session_id: str | None = None
    score: float | bool | None = None
    value: Any = None
    comment: str | None = None
    correction: dict[str, Any] | str | None = None
    feedback_source: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None
    feedback_group_id: str | None = None
    comparative_experiment_id: str | None = None
    feedback_thread_id: str | None = None
    error: bool = False
