"""The view ``retrievals``: a row is one trace that used a retriever; a window holds those whose root starts in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_langsmith import arguments
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Run
from airflow_langsmith.filters import feedback
from airflow_langsmith.views.columns import IDS, Column, ColumnType, json_of
from airflow_langsmith.views.roots import ROOT_COLUMNS, RootView, of_root, with_runs_of_type
from airflow_langsmith.views.runs import missing_payloads
from airflow_langsmith.views.view import Option


class Retrieval:
    """A root and the retriever runs of its trace."""

    def __init__(self, root: Run) -> None:
        self.root = root
        self._runs: list[Run] = []

    def add(self, run: Run) -> None:
        """Add a retriever run of the trace."""
        self._runs.append(run)

    @property
    def calls(self) -> list[Run]:
        """The retriever runs in the order of their calls."""
        return sorted(self._runs, key=lambda run: (run.start_time, run.dotted_order or ""))


def _read_with_feedback(value: Any, name: str) -> bool | str:
    """Read whether roots need feedback, or under which key."""
    if isinstance(value, str) and value.strip().lower() not in ("true", "false"):
        return arguments.text(value, name) or True
    return arguments.flag(value, name) is not False


_FEEDBACK_REFUSED = (
    "with_feedback names a key for the view retrievals, not {view}. Leave it out, and narrow the query by a filter."
)


@dataclass(frozen=True)
class Retrievals(RootView):
    """The view of retrievals; ``with_feedback``, of those whose root has any, has some under a key, or all (False)."""

    with_feedback: bool | str = True

    options = (
        *RootView.options,
        Option("with_feedback", _read_with_feedback, _FEEDBACK_REFUSED, lambda value: isinstance(value, str)),
    )
    record = Retrieval
    child_fields = ("trace_id", "name", "dotted_order", "inputs", "outputs")
    child_type = "retriever"
    page_size = 100  # traces: the payloads of their retriever runs are held, too

    def narrow(self, query: RunQuery) -> RunQuery:
        """Return the query about roots of traces that used a retriever."""
        query = with_runs_of_type(super().narrow(query), "retriever")
        if isinstance(self.with_feedback, str):
            return query.also(feedback(self.with_feedback))
        return query.narrowed(with_feedback=self.with_feedback or None)


def _missing_payloads(record: Retrieval) -> set[str]:
    """Name what could not be read: of the root by its columns, of the retriever runs by theirs."""
    of_calls = {f"retriever_{name}" for run in record.calls for name in run.missing_payloads}
    return of_calls.union(record.root.missing_payloads)


def _of_calls(name: str, type_: ColumnType, meaning: str, of: Callable[[Run], Any], sources: tuple[str, ...]) -> Column:
    """Return a column with a value for each retriever run."""

    def read(record: Retrieval) -> Any:
        values = [of(run) for run in record.calls]
        return json_of(values) if type_ == "json" else values

    meaning = f"{meaning}, in the order of the calls."
    return Column(name, type_, meaning, read, sources=sources, sources_in="items" if type_ == "json" else "whole")


VIEW = Retrievals(
    "retrievals",
    (
        *ROOT_COLUMNS,
        of_root("tags", "The root's tags."),
        of_root("inputs", "What the root was given."),
        of_root("outputs", "What the root gave, of any type; null if it failed or has not ended."),
        of_root("metadata", "The root's metadata."),
        of_root("feedback_stats", "The root's feedback, as in the view runs; null without."),
        _of_calls("retriever_run_ids", "strings", "The retriever runs", lambda run: run.id, IDS),
        _of_calls("retriever_names", "strings", "Their names", lambda run: run.name or "", ("name",)),
        _of_calls("retriever_inputs", "json", "A list of what each was given", lambda run: run.inputs, ("inputs",)),
        _of_calls(
            "retriever_outputs", "json", "A list of what each gave, of any type", lambda run: run.outputs, ("outputs",)
        ),
    ),
    key="trace_id",
    missing_payloads=missing_payloads(
        "What could not be read from blob storage and is null; `extra` has the root's metadata.", _missing_payloads
    ),
)
