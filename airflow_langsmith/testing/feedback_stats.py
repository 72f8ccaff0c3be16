"""The statistics of the feedback on runs, as each version writes them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from airflow_langsmith.testing.records import Feedback

__all__ = ["v1_feedback_stats", "v2_feedback_stats"]

_Stats = dict[str, Any]


def v1_feedback_stats(feedback: Iterable[Feedback]) -> dict[str, _Stats] | None:
    """Return the statistics by key. ``n`` counts feedback with a score only, and a source is JSON in a string."""
    return _by_key(feedback, _v1_stats)


def v2_feedback_stats(feedback: Iterable[Feedback]) -> dict[str, _Stats] | None:
    """Return the statistics by key."""
    return _by_key(feedback, _v2_stats)


def _by_key(feedback: Iterable[Feedback], stats_of: Callable[[list[Feedback]], _Stats]) -> dict[str, _Stats] | None:
    by_key: dict[str, list[Feedback]] = {}
    for item in feedback:
        by_key.setdefault(item.key, []).append(item)
    return {key: stats_of(items) for key, items in by_key.items()} or None


def _v1_stats(items: list[Feedback]) -> _Stats:
    scores = _scores(items)
    sources = [{"type": _source(item), "metadata": (item.feedback_source or {}).get("metadata")} for item in items]
    return {
        "n": len(scores),
        "avg": _mean(scores),
        "show_feedback_arrow": bool(scores),
        "values": _values(items),
        "comments": _comments(items),
        "sources": list(dict.fromkeys(json.dumps(source, separators=(",", ":")) for source in sources)),
    }


def _v2_stats(items: list[Feedback]) -> _Stats:
    scores = _scores(items)
    return {
        "n": len(items),
        "avg": _mean(scores),
        "min": min(scores, default=None),
        "max": max(scores, default=None),
        "stdev": _sample_deviation(scores),
        "errors": sum(item.error for item in items),
        "values": _values(items),
        "comments": _comments(items),
        "sources": list(dict.fromkeys(map(_source, items))),
        "contains_thread_feedback": False,
    }


def _scores(items: list[Feedback]) -> list[float]:
    return [float(item.score) for item in items if item.score is not None]


def _mean(scores: list[float]) -> float | None:
    return sum(scores) / len(scores) if scores else None


def _sample_deviation(scores: list[float]) -> float | None:
    """Return the standard deviation of a sample, or NaN if a score is NaN (``statistics.stdev`` would fail)."""
    if len(scores) <= 1:
        return None
    mean = sum(scores) / len(scores)
    return math.sqrt(sum((score - mean) ** 2 for score in scores) / (len(scores) - 1))


def _values(items: list[Feedback]) -> dict[str, int]:
    """Count the values that are strings; LangSmith leaves out others."""
    return dict(Counter(item.value for item in items if isinstance(item.value, str)))


def _comments(items: list[Feedback]) -> list[str]:
    return [item.comment for item in items if item.comment]


def _source(item: Feedback) -> str:
    return (item.feedback_source or {}).get("type") or "api"
