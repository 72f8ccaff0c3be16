"""What a LangSmith workspace holds: projects, traces of runs, and feedback on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_langsmith.testing.moments import micros
from airflow_langsmith.testing.timeline import Key
from airflow_langsmith.testing.usage import NOTHING, Usage

__all__ = ["PAYLOADS", "RUN_TYPES", "Attachment", "Feedback", "Project", "Run", "Trace"]

PAYLOADS = ("inputs", "outputs", "extra", "events", "error", "serialized")  # what may lie in blob storage
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
    One span.

    ``offloaded`` names the payloads that lie in blob storage; ``rest`` keeps the rare fields of the API under their
    own names.
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
    usage: Usage = NOTHING
    attachments: dict[str, Attachment] = field(default_factory=dict)
    offloaded: frozenset[str] = frozenset()
    rest: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """The place of this run in its project's timeline."""
        return micros(self.start_time), self.id

    @property
    def is_root(self) -> bool:
        """Whether this run is the top of its trace."""
        return self.parent_run_id is None

    @property
    def latency(self) -> float | None:
        """Seconds from start to end; None while it runs."""
        return None if self.end_time is None else (self.end_time - self.start_time).total_seconds()

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata logged in ``extra``."""
        found = self.extra.get("metadata") if self.extra else None
        return found if isinstance(found, dict) else {}

    @property
    def thread_id(self) -> str | None:
        """The thread this run belongs to, by the first of its metadata keys that names one."""
        metadata = self.metadata
        for name in _THREAD_KEYS:
            if metadata.get(name) is not None:
                return str(metadata[name])
        return None

    @property
    def parent_run_ids(self) -> list[str]:
        """The ancestors, from the root down to the direct parent, as the dotted order tells them."""
        return [segment[-36:] for segment in self.dotted_order.split(".")[:-1]]


@dataclass(slots=True)
class Trace:
    """All runs of one trace. Totals are rolled up when first asked for after a change."""

    runs: dict[str, Run] = field(default_factory=dict)
    _totals: dict[str, tuple[Usage, datetime | None]] | None = None

    @property
    def root(self) -> Run | None:
        """The run without a parent, unless it has not arrived."""
        return next((run for run in self.runs.values() if run.is_root), None)

    def changed(self) -> None:
        """Forget the totals."""
        self._totals = None

    def children(self) -> dict[str | None, list[Run]]:
        """Group the runs by their parent."""
        groups: dict[str | None, list[Run]] = {}
        for run in self.runs.values():
            groups.setdefault(run.parent_run_id, []).append(run)
        return groups

    def rolled_up(self, run_id: str) -> tuple[Usage, datetime | None]:
        """
        Total what a run and everything below it logged, and its earliest first token.

        Usage is added up as it was logged, so what a wrapper repeats counts twice.
        """
        if self._totals is None:
            self._totals = self._roll_up()
        return self._totals[run_id]

    def _roll_up(self) -> dict[str, tuple[Usage, datetime | None]]:
        children = self.children()
        totals: dict[str, tuple[Usage, datetime | None]] = {}
        for run in sorted(self.runs.values(), key=lambda run: run.dotted_order.count("."), reverse=True):
            below = [totals[child.id] for child in children.get(run.id, ()) if child.id in totals]
            usage = Usage.sum([run.usage, *(total for total, _ in below)])
            tokens = [time for time in (run.first_token_time, *(time for _, time in below)) if time is not None]
            totals[run.id] = usage, min(tokens, default=None)
        return totals


@dataclass(slots=True)
class Feedback:
    """A score, a label or a remark on a run (or, without a run, on a project)."""

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
