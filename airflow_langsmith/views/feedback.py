"""The view ``feedback``: a row is one piece of feedback; a window holds those created in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Feedback
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.views.columns import IDS, THREAD, Column, ColumnType, View, json_of


def asked(query: RunQuery) -> RunQuery:
    """Refuse what LangSmith's list of feedback cannot be narrowed by."""
    given = [name for name in query.run_filter.serialize() if name != "run_ids"]
    if given:
        raise ConfigurationError(
            f"The view feedback cannot be narrowed by {', '.join(given)}, only by project, window and run_ids. "
            "Leave these out, and join the feedback to runs or traces where it lands."
        )
    return query


def _column(
    name: str,
    type_: ColumnType,
    meaning: str,
    read: Callable[[Feedback], Any],
    *,
    repeats: bool = False,
    made_of: tuple[str, ...] | None = None,
) -> Column:
    def values(pieces: list[Feedback]) -> list[Any]:
        return [read(piece) for piece in pieces]

    return Column(name, type_, meaning, (), values, repeats=repeats, made_of=made_of)


def _source(piece: Feedback, name: str) -> str | None:
    found = (piece.feedback_source or {}).get(name)
    return None if found is None else str(found)


VIEW = View(
    "feedback",
    (
        _column("feedback_id", "string", "Its id; the key of this view.", lambda piece: piece.id, made_of=IDS),
        _column("key", "string", "What was judged, such as user_score.", lambda piece: piece.key, repeats=True),
        _column(
            "score",
            "number",
            "The score; 1 and 0 for true and false.",
            lambda piece: None if piece.score is None else float(piece.score),
        ),
        _column("value", "json", "The value: a label, a number, an object.", lambda piece: json_of(piece.value)),
        _column("comment", "string", "The comment.", lambda piece: piece.comment),
        _column("correction", "json", "What would have been right.", lambda piece: json_of(piece.correction)),
        _column(
            "source_type",
            "string",
            "Who judged: api, app, model.",
            lambda piece: _source(piece, "type"),
            repeats=True,
            made_of=("source.type",),
        ),
        _column(
            "source_user_id",
            "string",
            "The user who did, if known.",
            lambda piece: _source(piece, "user_id"),
            made_of=("source.user_id",),
        ),
        _column("source", "json", "The source, with its metadata.", lambda piece: json_of(piece.feedback_source)),
        _column("created_at", "timestamp", "When it was given; decides its window.", lambda piece: piece.created_at),
        _column("modified_at", "timestamp", "When it was last changed.", lambda piece: piece.modified_at),
        _column(
            "run_id", "string", "The run it is about; null for a project's.", lambda piece: piece.run_id, made_of=IDS
        ),
        _column("trace_id", "string", "That run's trace.", lambda piece: piece.trace_id, made_of=IDS),
        _column("is_root", "boolean", "Whether that run is a root.", lambda piece: piece.is_root),
        _column("run_start_time", "timestamp", "When that run started.", lambda piece: piece.start_time),
        _column("project_id", "string", "The project's id.", lambda piece: piece.session_id, repeats=True, made_of=IDS),
        _column(
            "feedback_group_id",
            "string",
            "Feedback given together.",
            lambda piece: piece.feedback_group_id,
            made_of=IDS,
        ),
        _column(
            "comparative_experiment_id",
            "string",
            "The comparison it was given in.",
            lambda piece: piece.comparative_experiment_id,
            made_of=IDS,
        ),
        _column(
            "feedback_thread_id",
            "string",
            "The conversation, of feedback that is about one as a whole.",
            lambda piece: piece.feedback_thread_id,
            made_of=THREAD,
        ),
        _column("extra", "json", "Whatever else came with it.", lambda piece: json_of(piece.extra)),
    ),
    ask=asked,
    source="feedback",
)
