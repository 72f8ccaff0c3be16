"""Which start times a filter leaves, so that no other run has to be looked at."""

from __future__ import annotations

from functools import reduce

from airflow_langsmith.testing.filters.syntax import Call, Literal, Name
from airflow_langsmith.testing.moments import micros, parse
from airflow_langsmith.testing.timeline import Bounds

__all__ = ["starts_of"]


def starts_of(call: Call) -> Bounds:
    """Bound the start times of the runs for which a filter, found good before, can hold."""
    parts = call.arguments
    if call.operator == "and":
        return reduce(Bounds.both, (starts_of(part) for part in parts if isinstance(part, Call)), Bounds())
    match parts:
        case (Name(text="start_time"), Literal(value=str(moment))):
            return _beside(call.operator, micros(parse(moment, zone_required=False)))
    return Bounds()


def _beside(comparator: str, moment: int) -> Bounds:
    return {
        "gt": Bounds(low=moment + 1),
        "gte": Bounds(low=moment),
        "lt": Bounds(high=moment),
        "lte": Bounds(high=moment + 1),
    }[comparator]
