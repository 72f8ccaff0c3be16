"""The view ``traces``: a row is one trace; a window holds the traces whose root starts in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_langsmith import arguments
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Run
from airflow_langsmith.filters import eq
from airflow_langsmith.views import spending
from airflow_langsmith.views.columns import MODEL, Column, json_of
from airflow_langsmith.views.roots import ROOT_COLUMNS, RootView, of_root
from airflow_langsmith.views.view import Option

_FirstUses = dict[str, tuple[datetime, str]]  # start and dotted order, which tells runs of one moment apart


class Trace:
    """A root, and what is known of the runs of its trace; none of their payloads is kept."""

    child_fields = (
        *("trace_id", "parent_run_id", "name", "run_type", "status", "dotted_order", "model", "first_token_time"),
        *spending.AMOUNTS,
    )

    def __init__(self, root: Run) -> None:
        self.root = root
        self.run_types: Counter[str] = Counter()
        self.error_count = 0
        self.tool_calls: Counter[str] = Counter()
        self.tool_errors: Counter[str] = Counter()
        self.first_token_time: datetime | None = None
        self.missing_payloads = set(root.missing_payloads)
        self._tools: _FirstUses = {}
        self._models: _FirstUses = {}
        self._spending = spending.Spending()
        self.total = self._spending.total

    def add(self, run: Run) -> None:
        """Add a run of the trace, the root too, in any order."""
        moment, failed = (run.start_time, run.dotted_order or ""), run.status == "error"
        self.run_types[run.run_type or "unknown"] += 1
        self.error_count += failed
        if run.run_type == "tool":
            name = run.name or ""
            self._tools[name] = min(self._tools.get(name, moment), moment)
            self.tool_calls[name] += 1
            self.tool_errors[name] += failed
        if model := run.model:
            self._models[model] = min(self._models.get(model, moment), moment)
        if run.first_token_time is not None:
            self.first_token_time = min(self.first_token_time or run.first_token_time, run.first_token_time)
        self.missing_payloads.update(run.missing_payloads)
        self._spending.add(run)

    @property
    def tools(self) -> list[str]:
        """The names of the tools, in order of first use."""
        return sorted(self._tools, key=self._tools.__getitem__)

    @property
    def models(self) -> list[str]:
        """The models, in order of first use."""
        return sorted(self._models, key=self._models.__getitem__)


_TOOLS_REFUSED = "only_with_tools is about the view traces, not {view}. Leave it out, and narrow the query by a filter."


@dataclass(frozen=True)
class Traces(RootView):
    """The view of traces; ``only_with_tools``, of those that called a tool."""

    only_with_tools: bool = False

    options = (
        *RootView.options,
        Option("only_with_tools", lambda value, name: bool(arguments.flag(value, name)), _TOOLS_REFUSED),
    )
    record = Trace
    child_fields = Trace.child_fields

    def narrow(self, query: RunQuery) -> RunQuery:
        """Return the query about roots."""
        query = super().narrow(query)
        return query.also(eq("run_type", "tool"), "tree_filter") if self.only_with_tools else query


def _counts(name: str, meaning: str, source: str, order: Callable[[Trace], Iterable[str]]) -> Column:
    def read(trace: Trace) -> Any:
        counts = getattr(trace, name)
        return json_of({key: counts[key] for key in order(trace) if counts[key]})

    return Column(name, "json", meaning, read, sources=(source,), sources_in="texts")


_FIRST_SECONDS = (
    "(record.first_token_time - record.root.start_time).total_seconds() if record.first_token_time else None"
)

VIEW = Traces(
    "traces",
    (
        *ROOT_COLUMNS,
        of_root("latency_seconds", "From the root's start to its end."),
        Column("first_token_seconds", "number", "From the root's start to the first token.", _FIRST_SECONDS),
        of_root("error", "The root's error, with its traceback."),
        of_root("tags", "The root's tags."),
        Column("run_count", "integer", "How many runs it has.", "run_types.total()"),
        Column("error_count", "integer", "How many of them failed."),
        _counts("run_types", "How many runs of each type.", "run_type", lambda trace: sorted(trace.run_types)),
        Column(
            "tools_involved", "strings", "Its tools, in order of first use.", "tools", repeats=True, sources=("name",)
        ),
        _counts("tool_calls", "How often each tool was called.", "name", lambda trace: trace.tools),
        _counts("tool_errors", "How often each tool failed, if it did.", "name", lambda trace: trace.tools),
        Column("models", "strings", "Its models, in order of first use.", repeats=True, sources=MODEL),
        *spending.columns("each run"),
        of_root("reference_example_id", "The dataset example it was run on, in an experiment."),
        of_root("inputs", "The root's inputs."),
        of_root("outputs", "The root's outputs; null if it failed or has not ended."),
        of_root("metadata", "The root's metadata."),
        of_root("feedback_stats", "The root's feedback, as in the view runs; null if it has none."),
        of_root("attachments", "The names and types of the root's files; null if it has none."),
    ),
    key="trace_id",
)
