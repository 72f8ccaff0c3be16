"""The summary of a run's feedback that rides on the run, as each version gives it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from airflow_langsmith.testing.records import Feedback

__all__ = ["v1_feedback_stats", "v2_feedback_stats"]

_Summary = dict[str, Any]


def v1_feedback_stats(feedback: Iterable[Feedback]) -> dict[str, _Summary] | None:
    """
    Summarise feedback by key; None where there is none.

    ``n`` counts the pieces with a score alone, and a source is a text that holds JSON.
    """
    return _by_key(feedback, _v1_summary)


def v2_feedback_stats(feedback: Iterable[Feedback]) -> dict[str, _Summary] | None:
    """Summarise feedback by key; None where there is none."""
    return _by_key(feedback, _v2_summary)


def _by_key(feedback: Iterable[Feedback], summary: Callable[[list[Feedback]], _Summary]) -> dict[str, _Summary] | None:
    by_key: dict[str, list[Feedback]] = {}
    for item in feedback:
        by_key.setdefault(item.key, []).append(item)
    return {key: summary(items) for key, items in by_key.items()} or None


def _v1_summary(items: list[Feedback]) -> _Summary:
    scores = _scores(items)
    sources = [{"type": _source(item), "metadata": (item.feedback_source or {}).get("metadata")} for item in items]
    return {
        "n": len(scores),
        "avg": _mean(scores),
        "show_feedback_arrow": bool(scores),
        "values": _labels(items),
        "comments": _comments(items),
        "sources": list(dict.fromkeys(json.dumps(source, separators=(",", ":")) for source in sources)),
    }


def _v2_summary(items: list[Feedback]) -> _Summary:
    scores = _scores(items)
    return {
        "n": len(items),
        "avg": _mean(scores),
        "min": min(scores, default=None),
        "max": max(scores, default=None),
        "stdev": _deviation(scores),
        "errors": sum(item.error for item in items),
        "values": _labels(items),
        "comments": _comments(items),
        "sources": list(dict.fromkeys(map(_source, items))),
        "contains_thread_feedback": False,
    }


def _scores(items: list[Feedback]) -> list[float]:
    return [float(item.score) for item in items if item.score is not None]


def _mean(scores: list[float]) -> float | None:
    return sum(scores) / len(scores) if scores else None


def _deviation(scores: list[float]) -> float | None:
    """Take the standard deviation of a sample; NaN where a score is no number."""
    if len(scores) <= 1:
        return None
    mean = sum(scores) / len(scores)
    return math.sqrt(sum((score - mean) ** 2 for score in scores) / (len(scores) - 1))


def _labels(items: list[Feedback]) -> dict[str, int]:
    """Count the values that are texts; values of other types show nowhere."""
    return dict(Counter(item.value for item in items if isinstance(item.value, str)))


def _comments(items: list[Feedback]) -> list[str]:
    return [item.comment for item in items if item.comment]


def _source(item: Feedback) -> str:
    return (item.feedback_source or {}).get("type") or "api"
