"""The view ``feedback``: a row is one piece of feedback; a window holds those created in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from airflow_langsmith import arguments
from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Feedback
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.views.columns import IDS, THREAD, Column, Rows, json_of
from airflow_langsmith.views.reading import ChangedFeedback
from airflow_langsmith.views.view import LOOKBACK, LOOKBACK_OPTION, Option, View, lookback_seconds
from airflow_langsmith.windows import duration

BATCH_PIECES = 1000


@dataclass(frozen=True)
class FeedbackView(View):
    """
    The view of feedback.

    With ``include_modified`` pieces that changed in the window are there, too, if they were given since ``lookback``
    before it.
    """

    include_modified: bool = False
    lookback: str | timedelta = LOOKBACK

    options = (
        Option(
            "include_modified",
            lambda value, name: bool(arguments.flag(value, name)),
            "include_modified is about the view feedback, not {view}. To export rows again whose feedback changed, "
            "use refresh='feedback'.",
        ),
        LOOKBACK_OPTION,
    )

    def __post_init__(self) -> None:
        """Refuse a lookback that is none."""
        _ = self.feedback_lookback

    @property
    def feedback_lookback(self) -> timedelta | None:
        """How far before the window a piece may have been given that changed in it; None if these are left out."""
        return duration(self.lookback, "lookback") if self.include_modified else None

    @property
    def narrowed_by(self) -> dict[str, Any]:
        """Which of its options leave rows out."""
        return lookback_seconds(self.feedback_lookback)

    def narrow(self, query: RunQuery) -> RunQuery:
        """Refuse what LangSmith's list of feedback cannot be narrowed by."""
        refused = [name for name in query.run_filter.serialize() if name != "run_ids"]
        if refused:
            raise ConfigurationError(
                f"The view feedback cannot be narrowed by {', '.join(refused)}, only by project, window and run_ids. "
                "Leave these out, and join the feedback to runs or traces where it lands."
            )
        return query

    def listings(self, query: RunQuery, negotiator: VersionNegotiator) -> Iterator[Flow[Rows]]:
        """Yield flows for batches of rows."""
        feedback = ChangedFeedback(query, self.feedback_lookback or timedelta(0), negotiator)
        while not feedback.done:
            yield self._batch(feedback)

    def _batch(self, feedback: ChangedFeedback) -> Flow[Rows]:
        pieces: list[Feedback] = []
        while len(pieces) < BATCH_PIECES and not feedback.done:
            pieces += yield from feedback.next_page()
        return replace(self.rows(pieces), times=[piece.created_at for piece in pieces if piece.created_at])


def _json(field: str) -> Callable[[list[Feedback]], list[Any]]:
    return lambda pieces: [json_of(getattr(piece, field)) for piece in pieces]


def _source(field: str) -> Callable[[list[Feedback]], list[str | None]]:
    def values(pieces: list[Feedback]) -> list[str | None]:
        found = [(piece.feedback_source or {}).get(field) for piece in pieces]
        return [None if value is None else str(value) for value in found]

    return values


def _scores(pieces: list[Feedback]) -> list[float | None]:
    return [None if piece.score is None else float(piece.score) for piece in pieces]


_SOURCE_TYPE: Any = {"repeats": True, "sources": ("source.type",)}
_THREAD_MEANING = "The conversation, of feedback that is about one as a whole."

VIEW = FeedbackView(
    "feedback",
    (
        Column("feedback_id", "string", "Its id; the key of this view.", "id", sources=IDS),
        Column("key", "string", "What was judged, such as user_score.", repeats=True),
        Column("score", "number", "The score; 1 and 0 for true and false.", _scores),
        Column("value", "json", "The value: a label, a number, an object.", _json("value")),
        Column("comment", "string", "The comment."),
        Column("correction", "json", "What would have been right.", _json("correction")),
        Column("source_type", "string", "Who judged: api, app, model.", _source("type"), **_SOURCE_TYPE),
        Column(
            "source_user_id", "string", "The user who did, if known.", _source("user_id"), sources=("source.user_id",)
        ),
        Column("source", "json", "The source, with its metadata.", _json("feedback_source")),
        Column("created_at", "timestamp", "When it was given; decides its window."),
        Column("modified_at", "timestamp", "When it was last changed."),
        Column("run_id", "string", "The run it is about; null for a project's.", sources=IDS),
        Column("trace_id", "string", "That run's trace.", sources=IDS),
        Column("is_root", "boolean", "Whether that run is a root."),
        Column("run_start_time", "timestamp", "When that run started.", "start_time"),
        Column("project_id", "string", "The project's id.", "session_id", repeats=True, sources=IDS),
        Column("feedback_group_id", "string", "Feedback given together.", sources=IDS),
        Column("comparative_experiment_id", "string", "The comparison it was given in.", sources=IDS),
        Column("feedback_thread_id", "string", _THREAD_MEANING, sources=THREAD),
        Column("extra", "json", "Whatever else came with it.", _json("extra")),
    ),
    key="feedback_id",
    time="created_at",
)
