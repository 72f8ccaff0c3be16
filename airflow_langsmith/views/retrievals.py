"""The view ``retrievals``: a row is one trace that used a retriever; a window holds those whose root starts in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import Raw

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

    @property
    def inputs(self) -> Raw | None:
        """What each was given."""
        return json_of([run.inputs for run in self.calls])

    @property
    def outputs(self) -> Raw | None:
        """What each gave."""
        return json_of([run.outputs for run in self.calls])

    @property
    def missing_payloads(self) -> list[str]:
        """What could not be read: of the root by the names of its columns, of the retriever runs by theirs."""
        of_calls = {f"retriever_{name}" for run in self._runs for name in run.missing_payloads}
        return sorted({*self.root.missing_payloads, *of_calls})


def _read_with_feedback(value: Any, name: str) -> bool | str:
    """Read whether roots need feedback, or under which key."""
    if isinstance(value, str) and value.strip().lower() not in ("true", "false"):
        return arguments.text(value, name) or True
    return arguments.flag(value, name) is not False


@dataclass(frozen=True)
class Retrievals(RootView):
    """The view of retrievals: those whose root has feedback, has some under a key, or all (False)."""

    with_feedback: bool | str = True

    options = (
        *RootView.options,
        Option(
            "with_feedback",
            _read_with_feedback,
            "with_feedback names a key for the view retrievals, not {view}. "
            "Leave it out, and narrow the query by a filter.",
            lambda value: isinstance(value, str),
        ),
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


def _of_calls(name: str, type_: ColumnType, meaning: str, of: Any, sources: tuple[str, ...]) -> Column:
    """Return a column with a value for each retriever run."""
    meaning = f"{meaning}, in the order of the calls."
    return Column(name, type_, meaning, of, sources=sources, sources_in="items" if type_ == "json" else "whole")


def _ids(records: list[Retrieval]) -> list[list[str]]:
    return [[run.id for run in record.calls] for record in records]


def _names(records: list[Retrieval]) -> list[list[str]]:
    return [[run.name or "" for run in record.calls] for record in records]


VIEW = Retrievals(
    "retrievals",
    (
        *ROOT_COLUMNS,
        of_root("tags", "The root's tags."),
        of_root("inputs", "What the root was given."),
        of_root("outputs", "What the root gave, of any type; null if it failed or has not ended."),
        of_root("metadata", "The root's metadata."),
        of_root("feedback_stats", "The root's feedback, as in the view runs; null without."),
        _of_calls("retriever_run_ids", "strings", "The retriever runs", _ids, IDS),
        _of_calls("retriever_names", "strings", "Their names", _names, ("name",)),
        _of_calls("retriever_inputs", "json", "A list of what each was given", "inputs", ("inputs",)),
        _of_calls("retriever_outputs", "json", "A list of what each gave, of any type", "outputs", ("outputs",)),
    ),
    key="trace_id",
    missing_payloads=missing_payloads(
        "What could not be had from blob storage and is null; `extra` has the root's metadata."
    ),
)
