"""Which runs of a project and a window a query is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Self, TypedDict
from uuid import UUID

from airflow_langsmith import arguments
from airflow_langsmith.api import filter_syntax
from airflow_langsmith.api.records import Run
from airflow_langsmith.api.sampling import Sample
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.filters import Expression
from airflow_langsmith.messages import suggest

RUN_TYPES = ("tool", "chain", "llm", "retriever", "embedding", "prompt", "parser")

# The arguments of operators, sensors, triggers and the hook, with their readers.
ARGUMENTS: Mapping[str, Callable[[Any, str], Any]] = {
    "run_type": arguments.text,
    "is_root": arguments.flag,
    "error": arguments.flag,
    "filter": arguments.text,
    "trace_filter": arguments.text,
    "tree_filter": arguments.text,
    "trace_id": arguments.text,
    "run_ids": arguments.ids,
    "reference_example_id": arguments.text,
}


class RunFilterArguments(TypedDict, total=False):
    """The arguments of a :class:`RunFilter` as users write them. Blank text is None; empty ``run_ids`` are no runs."""

    run_type: str | None
    is_root: bool | None
    error: bool | None
    filter: Expression | None
    trace_filter: Expression | None
    tree_filter: Expression | None
    trace_id: str | None
    run_ids: Iterable[str] | None
    reference_example_id: str | None


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """
    Which runs a query is about. Each field narrows it; None does not.

    ::

        RunFilter(run_type="llm", filter='has(tags, "prod")')

    :param run_type: ``chain``, ``llm``, ``tool``, ``retriever``, ``embedding``, ``prompt`` or ``parser``.
    :param is_root: True: only runs that began a trace. False: only others.
    :param error: True: only runs that failed. False: only others.
    :param filter: An expression of LangSmith's filter language, or of :mod:`airflow_langsmith.filters`, about the run.
    :param trace_filter: An expression about the root of the run's trace.
    :param tree_filter: An expression about any run of its trace.
    :param trace_id: Only the runs of this trace.
    :param run_ids: Only these runs; no ids are no runs.
    :param reference_example_id: Only runs on this dataset example.

    LangSmith cannot narrow by the next three, so :meth:`select_rows` does.

    :param subtree_of: Only this run and all runs below it.
    :param sample: Only a share of the traces.
    :param with_feedback: True: only runs that have feedback.
    :raises ConfigurationError: for a run type that LangSmith does not have, and for a filter that is no expression.
    """

    run_type: str | None = None
    is_root: bool | None = None
    error: bool | None = None
    filter: str | None = None
    trace_filter: str | None = None
    tree_filter: str | None = None
    trace_id: str | None = None
    run_ids: tuple[str, ...] | None = None
    reference_example_id: str | None = None
    subtree_of: str | None = None
    sample: Sample | None = None
    with_feedback: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what LangSmith would misread."""
        if self.run_type is not None and self.run_type.lower() not in RUN_TYPES:
            raise ConfigurationError(f"There is no run type {self.run_type!r}. {suggest(self.run_type, RUN_TYPES)}")
        for name, expression in self.expressions.items():
            filter_syntax.check(expression, name)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """
        Read arguments as users write them, or as a template prints them.

        >>> RunFilter.parse({"run_type": "", "is_root": "True", "run_ids": "['a', 'b']"}).serialize()
        {'is_root': True, 'run_ids': ['a', 'b']}

        :raises ConfigurationError: for an argument that does not exist, and for a value that cannot be read.
        """
        if unknown := [name for name in values if name not in ARGUMENTS]:
            raise ConfigurationError(f"Runs cannot be narrowed by {unknown[0]!r}. {suggest(unknown[0], ARGUMENTS)}")
        return cls(**{name: ARGUMENTS[name](value, name) for name, value in values.items()})

    def serialize(self) -> dict[str, Any]:
        """Return the fields that narrow, as JSON."""
        state = {field.name: getattr(self, field.name) for field in fields(self)}
        state["run_ids"] = None if self.run_ids is None else list(self.run_ids)
        state["sample"] = self.sample and asdict(self.sample)
        return {name: value for name, value in state.items() if value is not None}

    @classmethod
    def deserialize(cls, state: Mapping[str, Any]) -> Self:
        """Return what :meth:`serialize` wrote."""
        run_ids, sample = state.get("run_ids"), state.get("sample")
        return cls(
            **{
                **state,
                "run_ids": None if run_ids is None else tuple(run_ids),
                "sample": None if sample is None else Sample(**sample),
            }
        )

    def with_normal_ids(self) -> Self:
        """
        Return the same filter with its ids in lower case and in order, so that equal ids name one partition.

        :raises ConfigurationError: for a trace id that is no UUID.
        """
        try:
            trace_id = self.trace_id and str(UUID(self.trace_id))
        except ValueError:
            raise ConfigurationError(f"trace_id is {self.trace_id!r}; trace ids are UUIDs.") from None
        run_ids = None if self.run_ids is None else tuple(sorted({run_id.lower() for run_id in self.run_ids}))
        return replace(self, trace_id=trace_id, run_ids=run_ids)

    @cached_property
    def expressions(self) -> dict[str, str]:
        """The expressions of LangSmith's filter language, by their names."""
        names = ("filter", "trace_filter", "tree_filter")
        return {name: text for name in names if (text := getattr(self, name)) is not None}

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        """The expressions about the run itself. LangSmith has to find all of them true."""
        return () if self.filter is None else (self.filter,)

    @cached_property
    def select_fields(self) -> frozenset[str]:
        """The fields of a run that :meth:`select_rows` reads."""
        fields_ = {"dotted_order", "parent_run_id"} if self.subtree_of is not None else set()
        fields_ |= {"trace_id", self.sample.key} if self.sample is not None else set()
        fields_ |= {"feedback_stats"} if self.with_feedback else set()
        return frozenset(fields_)

    def select_rows(self, runs: list[Run]) -> list[Run]:
        """Apply the conditions that the server cannot: place in the tree, sample, any feedback."""
        subtree_of, sample = self.subtree_of, self.sample
        if subtree_of is not None:
            runs = [run for run in runs if run.id == subtree_of or subtree_of in run.ancestor_ids]
        if sample is not None:
            runs = [run for run in runs if sample.keeps(run)]
        if self.with_feedback:
            runs = [run for run in runs if run.feedback_stats is not None]
        return runs


EVERY_RUN = RunFilter()
