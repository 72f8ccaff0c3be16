"""The view ``retrievals``: a row is one trace that used a retriever; a window holds those whose root starts in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_langsmith import arguments
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Run
from airflow_langsmith.filters import eq, feedback
from airflow_langsmith.views.columns import IDS, Column
from airflow_langsmith.views.roots import ROOT_COLUMNS, RootView, of_root
from airflow_langsmith.views.view import Option


class Retrieval:
    """A root and the retriever runs of its trace."""

    def __init__(self, root: Run) -> None:
        self.root = root
        self.missing_payloads = set(root.missing_payloads)
        self._runs: list[Run] = []

    def add(self, run: Run) -> None:
        """Add a retriever run of the trace."""
        self._runs.append(run)
        self.missing_payloads.update(f"retriever_{name}" for name in run.missing_payloads)

    @property
    def calls(self) -> list[Run]:
        """The retriever runs in the order of their calls."""
        return sorted(self._runs, key=lambda run: (run.start_time, run.dotted_order or ""))


def _read_with_feedback(value: Any, name: str) -> bool | str:
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
        query = super().narrow(query).also(eq("run_type", "retriever"), "tree_filter")
        if isinstance(self.with_feedback, str):
            return query.also(feedback(self.with_feedback))
        return query.narrowed(with_feedback=self.with_feedback or None)


def _payloads(name: str) -> Column:
    """Return a column with a list of the inputs or the outputs of the retriever runs."""
    return Column(
        f"retriever_{name}",
        "json",
        f"A list of their {name}, of any type, in the same order.",
        f"json_of([run.{name} for run in record.calls])",
        sources=(name,),
        sources_in="items",
    )


_RUN_IDS = "[run.id for run in record.calls]"
_NAMES = "[run.name or '' for run in record.calls]"

VIEW = Retrievals(
    "retrievals",
    (
        *ROOT_COLUMNS,
        of_root("tags", "The root's tags."),
        of_root("inputs", "The root's inputs."),
        of_root("outputs", "The root's outputs, of any type; null if it failed or has not ended."),
        of_root("metadata", "The root's metadata."),
        of_root("feedback_stats", "The root's feedback, as in the view runs; null if it has none."),
        Column(
            "retriever_run_ids", "strings", "The ids of the retriever runs, in order of call.", _RUN_IDS, sources=IDS
        ),
        Column("retriever_names", "strings", "Their names, in the same order.", _NAMES, sources=("name",)),
        _payloads("inputs"),
        _payloads("outputs"),
    ),
    key="trace_id",
)
