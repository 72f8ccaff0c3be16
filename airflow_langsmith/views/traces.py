"""The view ``traces``: a row is one trace; a window holds the traces whose root starts in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Run
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.filters import eq
from airflow_langsmith.views.columns import MODEL, Below, Column, ColumnType, Part, View, json_of
from airflow_langsmith.views.runs import COLUMNS as RUNS
from airflow_langsmith.views.spending import COLUMNS as SPENDING_FIELDS
from airflow_langsmith.views.spending import Spending


class _Use:
    """How a tool was used: when first, how often, how often in vain."""

    def __init__(self, first: tuple[datetime, str]) -> None:
        self.first = first
        self.calls = 0
        self.errors = 0


class Trace:
    """A root and what has been seen of the runs below it; nothing of their payloads is kept."""

    def __init__(self, root: Run) -> None:
        self.root = root
        self.runs = 0
        self.errors = 0
        self.types: Counter[str] = Counter()
        self.tools: dict[str, _Use] = {}
        self.models: dict[str, tuple[datetime, str]] = {}
        self.first_token_time: datetime | None = None
        self.missing = set(root.missing_payloads)
        self.spending = Spending()

    def add(self, run: Run) -> None:
        """Take in a run of the trace, the root too, in whatever order they come."""
        self.runs += 1
        self.missing.update(run.missing_payloads)
        self.errors += run.status == "error"
        self.types[run.run_type or "unknown"] += 1
        first = (run.start_time, run.dotted_order or "")
        if run.run_type == "tool":
            use = self.tools.setdefault(run.name or "", _Use(first))
            use.first = min(use.first, first)
            use.calls += 1
            use.errors += run.status == "error"
        if model := run.model:
            self.models[model] = min(self.models.get(model, first), first)
        if run.first_token_time is not None:
            self.first_token_time = min(self.first_token_time or run.first_token_time, run.first_token_time)
        self.spending.add(run)

    def used(self) -> dict[str, _Use]:
        """List the tools in order of their first use."""
        return dict(sorted(self.tools.items(), key=lambda tool: tool[1].first))


def asked(query: RunQuery, *, only_with_tools: bool) -> RunQuery:
    """Ask for roots; of traces that called a tool, if only those are wanted."""
    query = about_roots(query)
    return in_trees_with(query, "tool") if only_with_tools else query


def about_roots(query: RunQuery) -> RunQuery:
    """Make a query one about roots, which is what stands for a trace."""
    if query.run_filter.is_root is False:
        raise ConfigurationError("is_root=False leaves no traces: a trace is found by its root.")
    return query.narrowed(is_root=True)


def in_trees_with(query: RunQuery, run_type: str) -> RunQuery:
    """Narrow a query to traces that have a run of a type."""
    return query.also(eq("run_type", run_type), "tree_filter")


def of_root(name: str, meaning: str | None = None) -> Column:
    """Take a column of the view ``runs``, for the root of a trace."""
    column = next(column for column in RUNS if column.name == name)
    return replace(
        column,
        meaning=meaning or column.meaning,
        read=lambda records: column.read([record.root for record in records]),
        default=True,
    )


def _whole(
    name: str,
    type_: ColumnType,
    meaning: str,
    read: Callable[[Trace], Any],
    *,
    repeats: bool = False,
    made_of: tuple[str, ...] | None = None,
    part: Part = "whole",
) -> Column:
    """Make a column of what is known of the whole trace."""

    def values(traces: list[Trace]) -> list[Any]:
        return [read(trace) for trace in traces]

    return Column(name, type_, meaning, (), values, repeats=repeats, made_of=made_of, part=part)


def _to_first_token(trace: Trace) -> float | None:
    first = trace.first_token_time
    return None if first is None else (first - trace.root.start_time).total_seconds()


def _spent(name: str, type_: ColumnType, meaning: str) -> Column:
    return _whole(
        name, type_, f"{meaning}: the sum of what each run spent itself.", lambda trace: trace.spending.total(name)
    )


# What every view of traces says of the root first.
OF_ROOT = (
    of_root("trace_id", "The trace's id, which is its root's; the key of this view."),
    of_root("project_id"),
    of_root("project_name"),
    of_root("thread_id"),
    of_root("name", "What the root calls itself."),
    of_root("status", "The root's: success, error or pending (not ended when it was read)."),
    of_root("start_time", "When the root started; decides the window."),
    of_root("end_time", "When the root ended; null while pending."),
)

BELOW = Below(
    record=Trace,
    fields=(
        "trace_id",
        "parent_run_id",
        "name",
        "run_type",
        "status",
        "dotted_order",
        "model",
        "first_token_time",
        *SPENDING_FIELDS,
    ),
)

VIEW = View(
    "traces",
    (
        *OF_ROOT,
        of_root("latency_seconds", "From the root's start to its end."),
        _whole(
            "first_token_seconds", "number", "From the root's start to the first token of any run.", _to_first_token
        ),
        of_root("error", "The root's error, with its traceback."),
        of_root("tags", "The root's tags."),
        _whole("run_count", "integer", "How many runs it has.", lambda trace: trace.runs),
        _whole("error_count", "integer", "How many of them failed.", lambda trace: trace.errors),
        _whole(
            "run_types",
            "json",
            "How many runs of each type.",
            lambda trace: json_of(dict(sorted(trace.types.items()))),
            made_of=("run_type",),
            part="texts",
        ),
        _whole(
            "tools_involved",
            "strings",
            "The names of the tools called, each once, in order of first use.",
            lambda trace: list(trace.used()),
            repeats=True,
            made_of=("name",),
        ),
        _whole(
            "tool_calls",
            "json",
            "How often each tool was called.",
            lambda trace: json_of({name: use.calls for name, use in trace.used().items()}),
            made_of=("name",),
            part="texts",
        ),
        _whole(
            "tool_errors",
            "json",
            "How often a tool failed, for those that did.",
            lambda trace: json_of({name: use.errors for name, use in trace.used().items() if use.errors}),
            made_of=("name",),
            part="texts",
        ),
        _whole(
            "models",
            "strings",
            "The models used, each once, in order of first use.",
            lambda trace: sorted(trace.models, key=lambda model: trace.models[model]),
            repeats=True,
            made_of=MODEL,
        ),
        _spent("prompt_tokens", "integer", "Tokens read"),
        _spent("completion_tokens", "integer", "Tokens written"),
        _spent("total_tokens", "integer", "Tokens read and written"),
        _spent("prompt_cost", "number", "US dollars for the tokens read"),
        _spent("completion_cost", "number", "US dollars for the tokens written"),
        _spent("total_cost", "number", "US dollars in all"),
        of_root("reference_example_id", "The dataset example it was run on, in an experiment."),
        of_root("inputs", "What the root was given."),
        of_root("outputs", "What the root gave; null if it failed or has not ended."),
        of_root("metadata", "The root's metadata."),
        of_root("feedback_stats", "The root's feedback, as in the view runs; null without."),
        of_root("attachments", "The files logged with the root: a list of their names and types; null without."),
    ),
    BELOW,
    marks=_whole(
        "missing_payloads",
        "strings",
        "The fields of its runs that could not be had from blob storage and are null; `extra` has the metadata.",
        lambda trace: sorted(trace.missing),
        made_of=("attachments",),
        part="texts",
    ),
)
