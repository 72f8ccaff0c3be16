"""From figures to a verdict: whether a condition is met, or the one to fail by, and what is still missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Literal

from airflow_langsmith.waiting.comparing import spell
from airflow_langsmith.waiting.condition import And, Comparison, Condition, Measure, Node, joined
from airflow_langsmith.waiting.figures import Figures, Tally

Measured = Mapping[Measure, Fraction | None]
Tell = Callable[[Comparison, Fraction | None], str]

_UNDEFINED = {"coverage": "no runs", "share": "no feedback"}  # all others are about scores


@dataclass(frozen=True)
class Verdict:
    """
    How things stand.

    ``figures`` has every measure by its text, None where undefined. ``line`` is for the log: every figure beside its
    bound. ``missing`` is what has not come about yet, empty unless waiting.
    """

    state: Literal["waiting", "met", "failed"]
    figures: dict[str, float | None]
    line: str
    missing: str = ""


def judge(condition: Condition, fail_when: Condition | None, figures: Figures, min_runs: int = 1) -> Verdict:
    """
    Judge figures.

    With fewer than ``min_runs`` selected there is nothing to judge yet. Otherwise ``fail_when`` is looked at first.

    :raises ValueError: for averages where single scores are needed, because the wait for those would never end.
    """
    measures = [*condition.measures, *(fail_when.measures if fail_when else ())]
    measured = {measure: figures.measure(measure) for measure in measures}
    plain = {str(measure): measure.plain(figure) for measure, figure in measured.items()}
    if figures.total < min_runs:
        missing = f"{figures.total} runs (needs min_runs {min_runs})"
        return Verdict("waiting", plain, f"waiting: {missing}", missing)
    if blind := [str(m) for m in measures if measured[m] is None and figures.tallies.get(m.key, Tally()).averages]:
        raise ValueError(f"Averages were measured where {', '.join(blind)} needs every single score.")
    danger = f"fail_when: {_told(fail_when.tree, measured, _answered)}" if fail_when else ""
    if fail_when and truth(fail_when.tree, measured):
        return Verdict("failed", plain, f"failed: {danger}")
    tell = partial(_needed, total=figures.total)
    line = "; ".join(text for text in (_told(condition.tree, measured, tell), danger) if text)
    if truth(condition.tree, measured):
        return Verdict("met", plain, f"met: {line}")
    missing = _told(_unfulfilled(condition.tree, measured), measured, tell)
    return Verdict("waiting", plain, f"waiting: {line}", missing)


def truth(node: Node, measured: Measured) -> bool | None:
    """Tell whether something holds; None, as in Kleene's logic, if figures that would decide it are undefined."""
    if isinstance(node, Comparison):
        return node.holds(measured[node.measure])
    decisive = not isinstance(node, And)
    parts = {truth(part, measured) for part in node.parts}
    return decisive if decisive in parts else None if None in parts else not decisive


def _unfulfilled(node: Node, measured: Measured) -> Node:
    """Leave out what holds of something that does not."""
    if isinstance(node, Comparison):
        return node
    return joined(type(node), [_unfulfilled(part, measured) for part in node.parts if not truth(part, measured)])


def _told(node: Node, measured: Measured, tell: Tell) -> str:
    """Write every figure of a tree beside what is told of it; groups within groups stand in brackets."""
    if isinstance(node, Comparison):
        figure = measured[node.measure]
        return f"{node.measure} {_figure(node, figure)} ({tell(node, figure)})"
    parts = [
        _told(part, measured, tell) if isinstance(part, Comparison) else f"[{_told(part, measured, tell)}]"
        for part in node.parts
    ]
    return (" · " if isinstance(node, And) else " or ").join(parts)


def _answered(comparison: Comparison, figure: Fraction | None) -> str:
    return f"{comparison.need} {'yes' if comparison.holds(figure) else 'no'}"


def _needed(comparison: Comparison, figure: Fraction | None, total: int) -> str:
    if comparison.holds(figure):
        return f"{comparison.need} ok"
    if figure is None:
        return f"needs {comparison.need}: {_UNDEFINED.get(comparison.measure.name, 'no score')} yet"
    return f"needs {comparison.need}" + _more(comparison, figure, total)


def _more(comparison: Comparison, figure: Fraction, total: int) -> str:
    """Say how many more would do, of what can be counted."""
    covers = comparison.measure.name == "coverage"
    if comparison.operator not in (">=", ">", "==") or not (covers or comparison.measure.kind.whole):
        return ""
    whole = total if covers else 1
    least = math.floor(comparison.bound * whole)
    for enough in range(least, least + 3):
        more = enough - int(figure * whole)
        if more > 0 and comparison.holds(Fraction(enough, whole)):
            return f": {more} more of {total} runs" if covers else f": {more} more"
    return ""


def _figure(comparison: Comparison, figure: Fraction | None) -> str:
    """Write a figure with as few decimals as do not belie the comparison."""
    if figure is None:
        return "undefined"
    for decimals in (4, 8, 12):
        rounded = round(figure, decimals)
        if comparison.holds(rounded) == comparison.holds(figure):
            return spell(float(rounded))
    return spell(float(figure))
