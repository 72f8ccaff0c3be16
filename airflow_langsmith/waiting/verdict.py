"""The verdict on a condition: met, failed or waiting, with every figure beside its bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_langsmith.waiting.condition import Comparison, Condition, Group, measures
from airflow_langsmith.waiting.figures import Figures, Measure, format_number

State = Literal["waiting", "met", "failed"]
FigureOf = Mapping[Measure, float | None]

_UNDEFINED = {"coverage": "no runs", "share": "no feedback"}  # all others are about scores


@dataclass(frozen=True)
class Outcome:
    """
    The outcome of a look.

    ``reason`` explains ``state`` to people, ``elapsed`` adds what changes only with time, and ``figures`` are the
    measurements as JSON::

        Outcome("met", "met: count(stars) 5 (>= 5 ok)", {"count(stars)": 5})
        Outcome("waiting", "waiting: 0 of 3 runs are pending", {"runs": 3}, "run count unchanged for 4 s (needs 600 s)")
    """

    state: State
    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    elapsed: str = ""

    @property
    def line(self) -> str:
        """The line for the log."""
        return f"{self.reason}; {self.elapsed}" if self.elapsed else self.reason


def judge(condition: Condition, fail_when: Condition | None, figures: Figures, min_runs: int = 1) -> Outcome:
    """
    Compare figures with a condition.

    With fewer than ``min_runs`` runs the state is waiting. Otherwise it is failed if ``fail_when`` is true, met if
    ``condition`` is, and waiting if neither is. The figures of the outcome are by measure, None if undefined.
    """
    figure_of = {measure: figures.measure(measure) for measure in measures(condition, fail_when)}
    by_text = {str(measure): figure for measure, figure in figure_of.items()}
    if figures.total < min_runs:
        return Outcome("waiting", f"waiting: {figures.total} runs (needs min_runs {min_runs})", by_text)
    failure = f"fail_when: {_describe(fail_when, figure_of, _yes_or_no)}" if fail_when else ""
    if fail_when and is_true(fail_when, figure_of):
        return Outcome("failed", f"failed: {failure}", by_text)
    state: State = "met" if is_true(condition, figure_of) else "waiting"
    progress = _describe(condition, figure_of, lambda comparison, figure: _need(comparison, figure, figures.total))
    return Outcome(state, f"{state}: {progress}{'; ' if failure else ''}{failure}", by_text)


def is_true(condition: Condition, figure_of: FigureOf) -> bool | None:
    """Return whether a condition is true. Kleene's logic: None if undefined figures decide."""
    if isinstance(condition, Comparison):
        return condition.holds(figure_of[condition.measure])
    decisive = condition.word == "or"
    parts = {is_true(part, figure_of) for part in condition.parts}
    return decisive if decisive in parts else None if None in parts else not decisive


def _describe(condition: Condition, figure_of: FigureOf, remark: Callable[[Comparison, float | None], str]) -> str:
    """Return each comparison with its figure and a remark; a group within a group is in brackets."""
    if isinstance(condition, Comparison):
        figure = figure_of[condition.measure]
        return f"{condition.measure} {_rounded(condition, figure)} ({remark(condition, figure)})"
    parts = [(part, _describe(part, figure_of, remark)) for part in condition.parts]
    joint = " · " if condition.word == "and" else " or "
    return joint.join(f"[{text}]" if isinstance(part, Group) else text for part, text in parts)


def _rounded(comparison: Comparison, figure: float | None) -> str:
    """Return a figure with as few decimals as keep it on its side of the bound."""
    if figure is None:
        return "undefined"
    candidates = (*(round(figure, decimals) for decimals in (4, 8, 12)), figure)
    return format_number(next(each for each in candidates if comparison.holds(each) == comparison.holds(figure)))


def _yes_or_no(comparison: Comparison, figure: float | None) -> str:
    return f"{comparison.bound} {'yes' if comparison.holds(figure) else 'no'}"


def _need(comparison: Comparison, figure: float | None, total: int) -> str:
    if comparison.holds(figure):
        return f"{comparison.bound} ok"
    if figure is None:
        return f"needs {comparison.bound}: {_UNDEFINED.get(comparison.measure.name, 'no score')} yet"
    return f"needs {comparison.bound}" + _more(comparison, figure, total)


def _more(comparison: Comparison, figure: float, total: int) -> str:
    """Return how many more runs or pieces are enough, if the measure counts them."""
    is_coverage = comparison.measure.name == "coverage"
    if comparison.operator not in (">=", ">", "==") or not (is_coverage or comparison.measure.kind.is_whole):
        return ""
    whole = total if is_coverage else 1
    least = math.floor(comparison.number * whole)
    for enough in range(least, least + 3):
        more = enough - round(figure * whole)
        if more > 0 and comparison.holds(enough / whole):
            return f": {more} more of {total} runs" if is_coverage else f": {more} more"
    return ""
