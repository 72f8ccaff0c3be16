"""The verdict on a condition: met, failed or waiting, with every figure beside its bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from airflow_langsmith.waiting.condition import And, Comparison, Condition, Measure, Node, format_number
from airflow_langsmith.waiting.figures import Figures

State = Literal["waiting", "met", "failed"]
FigureOf = Mapping[Measure, float | None]
Remark = Callable[[Comparison, float | None], str]

_UNDEFINED = {"coverage": "no runs", "share": "no feedback"}  # all others are about scores


@dataclass(frozen=True)
class Verdict:
    """
    The state of a condition.

    ``figures`` has each measure by its text, None if undefined. ``line`` is for the log::

        Verdict("met", {"count(stars)": 5}, "met: count(stars) 5 (>= 5 ok)")
    """

    state: State
    figures: dict[str, float | None]
    line: str


def judge(condition: Condition, fail_when: Condition | None, figures: Figures, min_runs: int = 1) -> Verdict:
    """
    Compare figures with a condition.

    With fewer than ``min_runs`` runs the state is waiting. Otherwise it is failed if ``fail_when`` is true, met if
    ``condition`` is, and waiting if neither is.
    """
    measures = [*condition.measures, *(fail_when.measures if fail_when else ())]
    figure_of = {measure: figures.measure(measure) for measure in measures}
    by_text = {str(measure): figure for measure, figure in figure_of.items()}
    if figures.total < min_runs:
        return Verdict("waiting", by_text, f"waiting: {figures.total} runs (needs min_runs {min_runs})")
    failure = f"fail_when: {_describe(fail_when.tree, figure_of, _yes_or_no)}" if fail_when else ""
    if fail_when and is_true(fail_when.tree, figure_of):
        return Verdict("failed", by_text, f"failed: {failure}")
    progress = _describe(condition.tree, figure_of, partial(_need, total=figures.total))
    state: State = "met" if is_true(condition.tree, figure_of) else "waiting"
    return Verdict(state, by_text, f"{state}: {progress}{'; ' if failure else ''}{failure}")


def is_true(node: Node, figure_of: FigureOf) -> bool | None:
    """Return whether a node is true. Kleene's logic: None if undefined figures decide."""
    if isinstance(node, Comparison):
        return node.holds(figure_of[node.measure])
    decisive = not isinstance(node, And)
    parts = {is_true(part, figure_of) for part in node.parts}
    return decisive if decisive in parts else None if None in parts else not decisive


def _describe(node: Node, figure_of: FigureOf, remark: Remark) -> str:
    """Return each comparison with its figure and a remark; a group within a group is in brackets."""
    if isinstance(node, Comparison):
        figure = figure_of[node.measure]
        return f"{node.measure} {_rounded(node, figure)} ({remark(node, figure)})"
    parts = [
        _describe(part, figure_of, remark)
        if isinstance(part, Comparison)
        else f"[{_describe(part, figure_of, remark)}]"
        for part in node.parts
    ]
    return (" · " if isinstance(node, And) else " or ").join(parts)


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


def _rounded(comparison: Comparison, figure: float | None) -> str:
    """Return a figure with as few decimals as keep it on its side of the bound."""
    if figure is None:
        return "undefined"
    for decimals in (4, 8, 12):
        if comparison.holds(round(figure, decimals)) == comparison.holds(figure):
            return format_number(round(figure, decimals))
    return format_number(figure)
