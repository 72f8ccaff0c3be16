"""The view ``feedback``: a row is one piece of feedback; a window holds those created in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from msgspec import structs

from airflow_langsmith import arguments
from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Feedback, Project
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.views.columns import IDS, THREAD, Column, Rows, json_of
from airflow_langsmith.views.reading import changed_feedback
from airflow_langsmith.views.view import LOOKBACK_OPTION, Option, View
from airflow_langsmith.windows.time_window import duration

_MODIFIED_REFUSED = (
    "include_modified is about the view feedback, not {view}. To export rows again whose feedback changed, use "
    "refresh='feedback'."
)


@dataclass(frozen=True)
class FeedbackView(View):
    """The view of feedback; ``include_modified`` adds pieces created since ``lookback`` and changed in the window."""

    include_modified: bool = False

    options = (
        Option("include_modified", lambda value, name: bool(arguments.flag(value, name)), _MODIFIED_REFUSED),
        LOOKBACK_OPTION,
    )
    row_is_run = False
    reads_more_than_runs = True

    @property
    def feedback_lookback(self) -> timedelta | None:
        """How long before the window a piece may be created that changed in it; None without ``include_modified``."""
        return duration(self.lookback, "lookback") if self.include_modified else None

    def narrow(self, query: RunQuery) -> RunQuery:
        """Refuse what LangSmith's list of feedback cannot be narrowed by."""
        if refused := [name for name in query.run_filter.serialize() if name != "run_ids"]:
            raise ConfigurationError(
                f"The view feedback cannot be narrowed by {', '.join(refused)}, only by project, window and run_ids. "
                "Leave these out, and join the feedback to runs or traces where it lands."
            )
        return query

    def queries(self, query: RunQuery, negotiator: VersionNegotiator) -> Flow[list[RunQuery]]:  # noqa: ARG002
        """Return none: no row comes from a page of runs."""
        yield from ()
        return []

    def listings(self, query: RunQuery, negotiator: VersionNegotiator) -> Iterator[Flow[Rows]]:
        """Yield flows for pages of feedback."""
        pages = changed_feedback(query, self.feedback_lookback or timedelta(0), negotiator)
        return (self._rows_of_page(page, query.project) for page in pages)

    def _rows_of_page(self, page: Flow[list[Feedback]], project: Project) -> Flow[Rows]:
        # LangSmith lists the feedback of one project, and may leave out the project's id.
        pieces = [
            piece if piece.session_id else structs.replace(piece, session_id=project.id) for piece in (yield from page)
        ]
        return replace(self.rows(pieces), times=[piece.created_at for piece in pieces if piece.created_at])


def score_of(piece: Feedback) -> float | None:
    """Return the score; 1 and 0 for true and false."""
    return None if piece.score is None else float(piece.score)


def _of_source(name: str, meaning: str, *, repeats: bool = False) -> Column:
    field = name.removeprefix("source_")

    def read(piece: Feedback) -> str | None:
        value = (piece.feedback_source or {}).get(field)
        return None if value is None else str(value)

    return Column(name, "string", meaning, read, repeats=repeats, sources=(f"source.{field}",))


VIEW = FeedbackView(
    "feedback",
    (
        Column("feedback_id", "string", "The feedback's id; the key of this view.", "id", required=True, sources=IDS),
        Column("key", "string", "What it measures, such as user_score.", repeats=True),
        Column("score", "number", "The score; 1 and 0 for true and false.", score_of),
        Column("value", "json", "The value: a label, a number, an object.", lambda piece: json_of(piece.value)),
        Column("comment", "string", "The comment."),
        Column("correction", "json", "The correct output.", lambda piece: json_of(piece.correction)),
        _of_source("source_type", "Where it comes from: api, app or model.", repeats=True),
        _of_source("source_user_id", "The user who gave it, if known."),
        Column("source", "json", "The source, with its metadata.", lambda piece: json_of(piece.feedback_source)),
        Column("created_at", "timestamp", "When it was created; decides its window.", required=True),
        Column("modified_at", "timestamp", "When it was last changed."),
        Column("run_id", "string", "The run it is about; null if it is about a project.", sources=IDS),
        Column("trace_id", "string", "The trace of that run.", sources=IDS),
        Column("is_root", "boolean", "Whether that run is a root."),
        Column("run_start_time", "timestamp", "When that run started.", "start_time"),
        Column("project_id", "string", "The project's id.", "session_id", repeats=True, required=True, sources=IDS),
        Column("feedback_group_id", "string", "The group of feedback that it was created with.", sources=IDS),
        Column("comparative_experiment_id", "string", "The comparison of experiments that it belongs to.", sources=IDS),
        Column("feedback_thread_id", "string", "The thread, if it is about a whole thread.", sources=THREAD),
        Column("extra", "json", "All other data of it.", lambda piece: json_of(piece.extra)),
    ),
    key="feedback_id",
    missing_payloads=None,
    time="created_at",
)
