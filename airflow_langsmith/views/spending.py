"""
What a trace spent: the sum over its runs of what each run spent itself.

A run spent what it reports, less what the runs below it report if the API counts them in (v1), and nothing if its
numbers only repeat those of the runs below it. Both columns show what the API reports; each trace spent 150::

    agent              v1: 150   v2:   0
      model            v1: 150   v2: 120      30 of v1's 150 are those of the model below
        tool           v1:  30   v2:   0
          model        v1:  30   v2:  30

    agent              v1: 300   v2: 150      a wrapper that reports again what its model did
      model            v1: 150   v2: 150
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from operator import attrgetter
from typing import Any, NamedTuple

from airflow_langsmith.api.records import Run
from airflow_langsmith.views.columns import Column, ColumnType

TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")
COSTS = ("prompt_cost", "completion_cost", "total_cost")
AMOUNTS = (*TOKENS, *COSTS)

_amounts = attrgetter(*AMOUNTS)
_NOTHING = (0, 0, 0, None, None, None)

_TOLERANCE = 1e-9  # dollars are doubles: those of a parent differ from the sum of its children's in the last digits

Amounts = tuple[float, ...]  # one for each of AMOUNTS


class _Report(NamedTuple):
    """What a run reports: the numbers alone, because a run would keep its metadata and the page it came on."""

    above: list[str]
    includes_children: bool
    amounts: tuple[Any, ...]  # as in AMOUNTS; a cost that is unknown is None


class Spending:
    """What the runs of one trace spent, in whatever order they come."""

    def __init__(self) -> None:
        self._reports: dict[str, _Report] = {}
        self._totals: dict[str, Any] | None = None

    def add(self, run: Run) -> None:
        """Add a run, if it reports anything."""
        amounts = _amounts(run)
        if amounts != _NOTHING:
            self._reports[run.id] = _Report(run.ancestor_ids, run.includes_children, amounts)
            self._totals = None

    def total(self, name: str) -> Any:
        """Return the tokens or dollars of all runs; dollars are None if no run reports any."""
        if self._totals is None:
            self._totals = dict(zip(AMOUNTS, _sum(list(self._each_itself())), strict=True))
            for column, cost in enumerate(COSTS, len(TOKENS)):
                if all(report.amounts[column] is None for report in self._reports.values()):
                    self._totals[cost] = None
        return self._totals[name]

    def _each_itself(self) -> Iterator[Amounts]:
        """Yield what each run spent itself, children before their parents."""
        below = self._nearest_below()
        subtrees: dict[str, Amounts] = {}  # what a run and all runs below it spent
        for run_id in reversed(_parents_first(below)):
            own = subtrees[run_id] = _numbers(self._reports[run_id])
            if children := [child for child in below[run_id] if child in subtrees]:
                if self._reports[run_id].includes_children:
                    own = tuple(map(_less, own, _sum([_numbers(self._reports[child]) for child in children])))
                spent_below = _sum([subtrees[child] for child in children])
                if _repeats(own, spent_below):
                    own = tuple([0 if known else amount for amount, known in zip(own, spent_below, strict=True)])
                subtrees[run_id] = _sum([own, spent_below])
            yield own

    def _nearest_below(self) -> dict[str, list[str]]:
        """Return for each run the runs next below it, among those that report anything."""
        below: dict[str, list[str]] = {run_id: [] for run_id in self._reports}
        for run_id, report in self._reports.items():
            above = (ancestor for ancestor in reversed(report.above) if ancestor in below and ancestor != run_id)
            if (parent := next(above, None)) is not None:
                below[parent].append(run_id)
        return below


def _parents_first(below: dict[str, list[str]]) -> list[str]:
    """Return all runs, each before those below it; also runs that are their own ancestors, by broken data."""
    has_parent = {run_id for children in below.values() for run_id in children}
    ordered: dict[str, None] = {}
    stack = [*below, *(run_id for run_id in below if run_id not in has_parent)]
    while stack:
        run_id = stack.pop()
        if run_id not in ordered:
            ordered[run_id] = None
            stack += below[run_id]
    return list(ordered)


def _numbers(report: _Report) -> Amounts:
    return tuple([amount or 0 for amount in report.amounts])


def _sum(parts: list[Amounts]) -> Amounts:
    columns = zip(*parts, strict=True) if parts else [()] * len(AMOUNTS)
    return tuple(
        [(sum if name in TOKENS else math.fsum)(column) for name, column in zip(AMOUNTS, columns, strict=True)]
    )


def _less(reported: float, counted_in: float) -> float:
    return 0 if _equal(reported, counted_in) else max(0, reported - counted_in)


def _repeats(own: Amounts, below: Amounts) -> bool:
    """Return whether a run's tokens are those below it, and its dollars too if both are known."""
    pairs = list(zip(own, below, strict=True))
    tokens = [(mine, theirs) for mine, theirs in pairs[: len(TOKENS)] if mine]
    costs = [(mine, theirs) for mine, theirs in pairs[len(TOKENS) :] if mine and theirs]
    return bool(tokens or costs) and all(_equal(*pair) for pair in (*tokens, *costs))


def _equal(a: float, b: float) -> bool:
    return a == b if isinstance(a, int) else math.isclose(a, b, rel_tol=_TOLERANCE)


_MEANINGS = {
    "prompt_tokens": "Tokens read",
    "completion_tokens": "Tokens written",
    "total_tokens": "Tokens read and written",
    "prompt_cost": "US dollars for the tokens read",
    "completion_cost": "US dollars for the tokens written",
    "total_cost": "US dollars in all",
}


def columns(each: str) -> tuple[Column, ...]:
    """Return the columns of the totals of records, which are the sum of what ``each run`` spent itself."""
    types: dict[str, ColumnType] = {name: "integer" if name in TOKENS else "number" for name in _MEANINGS}
    return tuple(
        Column(name, types[name], f"{meaning}: the sum of what {each} spent itself.", f"total({name!r})")
        for name, meaning in _MEANINGS.items()
    )
