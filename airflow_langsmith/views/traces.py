"""The view ``traces``: a row is one trace; a window holds the traces whose root starts in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec import Raw

from airflow_langsmith import arguments
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Run
from airflow_langsmith.views import spending
from airflow_langsmith.views.columns import MODEL, Column, json_of
from airflow_langsmith.views.roots import ROOT_COLUMNS, RootView, of_root, with_runs_of_type
from airflow_langsmith.views.runs import missing_payloads
from airflow_langsmith.views.view import Option

_Moment = tuple[datetime, str]  # start and dotted order, which tells runs of one moment apart


@dataclass
class _ToolUse:
    first: _Moment
    calls: int = 0
    errors: int = 0


class Trace:
    """A root, and what the row of its trace says of the runs below it; none of their payloads is kept."""

    child_fields = (
        *("trace_id", "parent_run_id", "name", "run_type", "status", "dotted_order", "model", "first_token_time"),
        *spending.AMOUNTS,
    )

    def __init__(self, root: Run) -> None:
        self.root = root
        self.run_count = self.error_count = 0
        self.missing = set(root.missing_payloads)
        self.spending = spending.Spending()
        self._types: Counter[str] = Counter()
        self._tools: dict[str, _ToolUse] = {}
        self._models: dict[str, _Moment] = {}
        self._first_token_time: datetime | None = None

    def add(self, run: Run) -> None:
        """Add a run of the trace, the root too, in whatever order they come."""
        self.run_count += 1
        self.missing.update(run.missing_payloads)
        self.error_count += run.status == "error"
        self._types[run.run_type or "unknown"] += 1
        moment = (run.start_time, run.dotted_order or "")
        if run.run_type == "tool":
            use = self._tools.setdefault(run.name or "", _ToolUse(moment))
            use.first = min(use.first, moment)
            use.calls += 1
            use.errors += run.status == "error"
        if model := run.model:
            self._models[model] = min(self._models.get(model, moment), moment)
        if run.first_token_time is not None:
            self._first_token_time = min(self._first_token_time or run.first_token_time, run.first_token_time)
        self.spending.add(run)

    @property
    def first_token_seconds(self) -> float | None:
        """From the root's start to the first token of any run."""
        first = self._first_token_time
        return None if first is None else (first - self.root.start_time).total_seconds()

    @property
    def run_types(self) -> Raw | None:
        """How many runs of each type."""
        return json_of(dict(sorted(self._types.items())))

    @property
    def tools_involved(self) -> list[str]:
        """The names of the tools, in order of first use."""
        return sorted(self._tools, key=lambda name: self._tools[name].first)

    @property
    def tool_calls(self) -> Raw | None:
        """How often each tool was called."""
        return json_of({name: self._tools[name].calls for name in self.tools_involved})

    @property
    def tool_errors(self) -> Raw | None:
        """How often a tool failed, for those that did."""
        errors = {name: self._tools[name].errors for name in self.tools_involved}
        return json_of({name: count for name, count in errors.items() if count})

    @property
    def models(self) -> list[str]:
        """The models, in order of first use."""
        return sorted(self._models, key=lambda model: self._models[model])

    @property
    def missing_payloads(self) -> list[str]:
        """The names of the fields that could not be read."""
        return sorted(self.missing)

    def spent(self, amount: str) -> Any:
        """Return the tokens or dollars that the trace spent."""
        return self.spending.total(amount)


@dataclass(frozen=True)
class Traces(RootView):
    """The view of traces; those that called a tool alone, ``only_with_tools``."""

    only_with_tools: bool = False

    options = (
        *RootView.options,
        Option(
            "only_with_tools",
            lambda value, name: bool(arguments.flag(value, name)),
            "only_with_tools is about the view traces, not {view}. Leave it out, and narrow the query by a filter.",
        ),
    )
    record = Trace
    child_fields = Trace.child_fields

    def narrow(self, query: RunQuery) -> RunQuery:
        """Return the query about roots, of traces that called a tool if these alone are wanted."""
        query = super().narrow(query)
        return with_runs_of_type(query, "tool") if self.only_with_tools else query


_TOOL: Any = {"sources": ("name",), "sources_in": "texts"}
_TOOLS_MEANING = "The names of the tools called, each once, in order of first use."
_MODELS_MEANING = "The models used, each once, in order of first use."

VIEW = Traces(
    "traces",
    (
        *ROOT_COLUMNS,
        of_root("latency_seconds", "From the root's start to its end."),
        Column("first_token_seconds", "number", "From the root's start to the first token of any run."),
        of_root("error", "The root's error, with its traceback."),
        of_root("tags", "The root's tags."),
        Column("run_count", "integer", "How many runs it has."),
        Column("error_count", "integer", "How many of them failed."),
        Column("run_types", "json", "How many runs of each type.", sources=("run_type",), sources_in="texts"),
        Column("tools_involved", "strings", _TOOLS_MEANING, repeats=True, sources=("name",)),
        Column("tool_calls", "json", "How often each tool was called.", **_TOOL),
        Column("tool_errors", "json", "How often a tool failed, for those that did.", **_TOOL),
        Column("models", "strings", _MODELS_MEANING, repeats=True, sources=MODEL),
        *spending.columns("each run"),
        of_root("reference_example_id", "The dataset example it was run on, in an experiment."),
        of_root("inputs", "What the root was given."),
        of_root("outputs", "What the root gave; null if it failed or has not ended."),
        of_root("metadata", "The root's metadata."),
        of_root("feedback_stats", "The root's feedback, as in the view runs; null without."),
        of_root("attachments", "The files logged with the root: a list of their names and types; null without."),
    ),
    key="trace_id",
    missing_payloads=missing_payloads(
        "The fields of its runs that could not be had from blob storage and are null; `extra` has the metadata."
    ),
)
