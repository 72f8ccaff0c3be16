"""The view ``retrievals``: a row is one trace that used a retriever; a window holds those whose root starts in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Run
from airflow_langsmith.filters import feedback
from airflow_langsmith.views.columns import IDS, Below, Column, ColumnType, Part, View, json_of
from airflow_langsmith.views.traces import OF_ROOT, about_roots, in_trees_with, of_root


class Retrieval:
    """A root and the retriever runs of its trace."""

    def __init__(self, root: Run) -> None:
        self.root = root
        self._runs: list[Run] = []

    def add(self, run: Run) -> None:
        """Take in a retriever run of the trace."""
        self._runs.append(run)

    def in_order(self) -> list[Run]:
        """List the retriever runs as they were called."""
        return sorted(self._runs, key=lambda run: (run.start_time, run.dotted_order or ""))

    def missing(self) -> list[str]:
        """Name what could not be had: of the root by its columns, of the retriever runs by theirs."""
        below = {f"retriever_{name}" for run in self._runs for name in run.missing_payloads}
        return sorted({*self.root.missing_payloads, *below})


def asked(query: RunQuery, *, with_feedback: bool | str) -> RunQuery:
    """Ask for roots of traces that used a retriever: with feedback, with some under a key, or all."""
    query = in_trees_with(about_roots(query), "retriever")
    if isinstance(with_feedback, str):
        return query.also(feedback(with_feedback))
    return query.narrowed(with_feedback=with_feedback or None)


def _calls(name: str, type_: ColumnType, meaning: str, read: Callable[[Run], Any], made_of: tuple[str, ...]) -> Column:
    """Make a column with a value for each retriever run, in the order of the calls."""

    def values(records: list[Retrieval]) -> list[Any]:
        found = [[read(run) for run in record.in_order()] for record in records]
        return [json_of(calls) for calls in found] if type_ == "json" else found

    part: Part = "items" if type_ == "json" else "whole"
    return Column(name, type_, f"{meaning}, in the order of the calls.", (), values, made_of=made_of, part=part)


VIEW = View(
    "retrievals",
    (
        *OF_ROOT,
        of_root("tags", "The root's tags."),
        of_root("inputs", "What the root was given."),
        of_root("outputs", "What the root gave, whatever it is; null if it failed or has not ended."),
        of_root("metadata", "The root's metadata."),
        of_root("feedback_stats", "The root's feedback, as in the view runs; null without."),
        _calls("retriever_run_ids", "strings", "The retriever runs", lambda run: run.id, IDS),
        _calls("retriever_names", "strings", "Their names", lambda run: run.name or "", ("name",)),
        _calls("retriever_inputs", "json", "A list of what each was given", lambda run: run.inputs, ("inputs",)),
        _calls(
            "retriever_outputs",
            "json",
            "A list of what each gave, whatever that is",
            lambda run: run.outputs,
            ("outputs",),
        ),
    ),
    Below(
        record=Retrieval,
        fields=("trace_id", "name", "dotted_order", "inputs", "outputs"),
        run_type="retriever",
        at_once=100,  # their payloads are held, too
    ),
    marks=Column(
        "missing_payloads",
        "strings",
        "What could not be had from blob storage and is null; `extra` has the root's metadata.",
        (),
        lambda records: [record.missing() for record in records],
        made_of=("attachments",),
        part="texts",
    ),
)
