"""The summary of a run's feedback that rides on the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import stdev
from typing import Any

from airflow_langsmith.testing.records import Feedback

__all__ = ["feedback_stats"]


def feedback_stats(feedback: Iterable[Feedback]) -> dict[str, Any] | None:
    """Summarise feedback by key; None where there is none."""
    by_key: dict[str, list[Feedback]] = {}
    for item in feedback:
        by_key.setdefault(item.key, []).append(item)
    return {key: _summary(items) for key, items in by_key.items()} or None


def _summary(items: list[Feedback]) -> dict[str, Any]:
    scores = [float(item.score) for item in items if item.score is not None]
    sources = dict.fromkeys((item.feedback_source or {}).get("type") or "api" for item in items)
    return {
        "n": len(items),
        "avg": sum(scores) / len(scores) if scores else None,
        "min": min(scores, default=None),
        "max": max(scores, default=None),
        "stdev": stdev(scores) if len(scores) > 1 else None,
        "errors": sum(item.error for item in items),
        "values": dict(Counter(item.value for item in items if isinstance(item.value, str))),
        "comments": [item.comment for item in items if item.comment],
        "sources": list(sources),
        "contains_thread_feedback": False,
    }
