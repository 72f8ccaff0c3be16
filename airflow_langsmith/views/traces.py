"""The view ``traces``: a row is one trace; a window holds the traces whose root starts in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_langsmith import arguments
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Run
from airflow_langsmith.views import spending
from airflow_langsmith.views.columns import MODEL, Column, json_of
from airflow_langsmith.views.roots import ROOT_COLUMNS, RootView, of_root, with_runs_of_type
from airflow_langsmith.views.runs import missing_payloads
from airflow_langsmith.views.view import Option

_Moment = tuple[datetime, str]  # start and dotted order, which tells runs of one moment apart


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
        self.missing = set(root.missing_payloads)
        self.spending = spending.Spending()
        self._first_uses: tuple[dict[str, _Moment], dict[str, _Moment]] = ({}, {})  # of tools and of models

    def add(self, run: Run) -> None:
        """Add a run of the trace, the root too, in any order."""
        tools, models = self._first_uses
        moment, failed = (run.start_time, run.dotted_order or ""), run.status == "error"
        self.run_types[run.run_type or "unknown"] += 1
        self.error_count += failed
        if run.run_type == "tool":
            name = run.name or ""
            tools[name] = min(tools.get(name, moment), moment)
            self.tool_calls[name] += 1
            self.tool_errors[name] += failed
        if model := run.model:
            models[model] = min(models.get(model, moment), moment)
        if run.first_token_time is not None:
            self.first_token_time = min(self.first_token_time or run.first_token_time, run.first_token_time)
        self.missing.update(run.missing_payloads)
        self.spending.add(run)

    @property
    def tools(self) -> list[str]:
        """The names of the tools, in order of first use."""
        return sorted(self._first_uses[0], key=self._first_uses[0].__getitem__)

    @property
    def models(self) -> list[str]:
        """The models, in order of first use."""
        return sorted(self._first_uses[1], key=self._first_uses[1].__getitem__)


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
        return with_runs_of_type(query, "tool") if self.only_with_tools else query


def _first_token_seconds(trace: Trace) -> float | None:
    first = trace.first_token_time
    return None if first is None else (first - trace.root.start_time).total_seconds()


def _run_types(trace: Trace) -> Any:
    return json_of(dict(sorted(trace.run_types.items())))


def _tool_calls(trace: Trace) -> Any:
    return json_of({name: trace.tool_calls[name] for name in trace.tools})


def _tool_errors(trace: Trace) -> Any:
    return json_of({name: trace.tool_errors[name] for name in trace.tools if trace.tool_errors[name]})


_FIRST_MEANING = "From the root's start to the first token of any run."
_TOOLS_MEANING = "The names of the tools called, each once, in order of first use."
_MODELS_MEANING = "The models used, each once, in order of first use."
_ERRORS_MEANING = "How often a tool failed, for those that did."
_IN_TEXTS: Any = {"sources_in": "texts"}

VIEW = Traces(
    "traces",
    (
        *ROOT_COLUMNS,
        of_root("latency_seconds", "From the root's start to its end."),
        Column("first_token_seconds", "number", _FIRST_MEANING, _first_token_seconds),
        of_root("error", "The root's error, with its traceback."),
        of_root("tags", "The root's tags."),
        Column("run_count", "integer", "How many runs it has.", "run_types.total()"),
        Column("error_count", "integer", "How many of them failed."),
        Column("run_types", "json", "How many runs of each type.", _run_types, sources=("run_type",), **_IN_TEXTS),
        Column("tools_involved", "strings", _TOOLS_MEANING, "tools", repeats=True, sources=("name",)),
        Column("tool_calls", "json", "How often each tool was called.", _tool_calls, sources=("name",), **_IN_TEXTS),
        Column("tool_errors", "json", _ERRORS_MEANING, _tool_errors, sources=("name",), **_IN_TEXTS),
        Column("models", "strings", _MODELS_MEANING, repeats=True, sources=MODEL),
        *spending.columns("each run", lambda trace, amount: trace.spending.total(amount)),
        of_root("reference_example_id", "The dataset example it was run on, in an experiment."),
        of_root("inputs", "What the root was given."),
        of_root("outputs", "What the root gave; null if it failed or has not ended."),
        of_root("metadata", "The root's metadata."),
        of_root("feedback_stats", "The root's feedback, as in the view runs; null without."),
        of_root("attachments", "The files logged with the root: a list of their names and types; null without."),
    ),
    key="trace_id",
    missing_payloads=missing_payloads(
        "The fields of its runs that could not be read from blob storage and are null; `extra` has the metadata.",
        lambda trace: trace.missing,
    ),
)
