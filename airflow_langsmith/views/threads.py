"""The view ``threads``: a row is one conversation up to the window's end; a window holds those with a turn in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.filters import THREAD_KEYS, in_
from airflow_langsmith.views.columns import IDS, THREAD, Column, ColumnType, Part, View, json_of
from airflow_langsmith.views.traces import BELOW, Trace, about_roots
from airflow_langsmith.views.traces import VIEW as TRACES


class Thread:
    """
    A conversation: its turns, each a trace, oldest first.

    ``scores`` has the feedback on the turns, by key: the score of each piece, None for a piece without.
    """

    def __init__(self, thread_id: str, turns: list[Trace], scores: Mapping[str, Sequence[float | None]]) -> None:
        self.thread_id = thread_id
        self.scores = scores
        self.turns = sorted(turns, key=lambda turn: (turn.root.start_time, turn.root.dotted_order or ""))

    @property
    def end_time(self) -> datetime | None:
        """When the last turn to end did; None if none has."""
        return max((turn.root.end_time for turn in self.turns if turn.root.end_time), default=None)

    def feedback(self) -> dict[str, dict[str, Any]] | None:
        """Sum up the feedback on the turns: per key how many pieces there are, and the mean of the scores."""
        return {key: {"n": len(scores), "avg": _mean(scores)} for key, scores in sorted(self.scores.items())} or None


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return math.fsum(known) / len(known) if known else None


def asked(query: RunQuery) -> RunQuery:
    """Ask for roots that belong to a thread, under any of its names."""
    named = in_("metadata_key", THREAD_KEYS)
    return about_roots(query).also(named)


def _column(
    name: str,
    type_: ColumnType,
    meaning: str,
    read: Callable[[Thread], Any],
    *,
    repeats: bool = False,
    made_of: tuple[str, ...] | None = None,
    part: Part = "whole",
) -> Column:
    def values(threads: list[Thread]) -> list[Any]:
        return [read(thread) for thread in threads]

    return Column(name, type_, meaning, (), values, repeats=repeats, made_of=made_of, part=part)


def _spent(name: str, type_: ColumnType, meaning: str) -> Column:
    def read(thread: Thread) -> Any:
        spent = [total for turn in thread.turns if (total := turn.spending.total(name)) is not None]
        return sum(spent) if spent else None

    return _column(name, type_, f"{meaning}: the sum of what each run of its turns spent itself.", read)


def _duration(thread: Thread) -> float | None:
    return (thread.end_time - thread.turns[0].root.start_time).total_seconds() if thread.end_time else None


VIEW = View(
    "threads",
    (
        _column(
            "thread_id",
            "string",
            "The conversation's id; the key of this view.",
            lambda thread: thread.thread_id,
            made_of=THREAD,
        ),
        _column(
            "project_id",
            "string",
            "The project's id.",
            lambda t: t.turns[0].root.project.id,
            repeats=True,
            made_of=IDS,
        ),
        _column("project_name", "string", "The project's name.", lambda t: t.turns[0].root.project.name, repeats=True),
        _column("turns", "integer", "How many turns (traces) it has so far.", lambda thread: len(thread.turns)),
        _column("start_time", "timestamp", "When its first turn started.", lambda t: t.turns[0].root.start_time),
        _column("last_start_time", "timestamp", "When its last turn started.", lambda t: t.turns[-1].root.start_time),
        _column("end_time", "timestamp", "When the last turn to end did.", lambda thread: thread.end_time),
        _column("duration_seconds", "number", "From the start of the first turn to there.", _duration),
        _column(
            "first_inputs",
            "json",
            "What its first turn was given.",
            lambda t: t.turns[0].root.inputs,
            made_of=("inputs",),
        ),
        _column(
            "last_outputs", "json", "What its last turn gave.", lambda t: t.turns[-1].root.outputs, made_of=("outputs",)
        ),
        _column("status", "string", "The last turn's status.", lambda t: t.turns[-1].root.status, repeats=True),
        _column(
            "errored_turns",
            "integer",
            "How many turns failed.",
            lambda t: sum(turn.root.status == "error" for turn in t.turns),
        ),
        _column(
            "last_error",
            "string",
            "The error of the last turn that failed.",
            lambda t: next((turn.root.error for turn in reversed(t.turns) if turn.root.error), None),
            made_of=("error",),
        ),
        _column("run_count", "integer", "How many runs all turns have.", lambda t: sum(turn.runs for turn in t.turns)),
        _spent("prompt_tokens", "integer", "Tokens read"),
        _spent("completion_tokens", "integer", "Tokens written"),
        _spent("total_tokens", "integer", "Tokens read and written"),
        _spent("prompt_cost", "number", "US dollars for the tokens read"),
        _spent("completion_cost", "number", "US dollars for the tokens written"),
        _spent("total_cost", "number", "US dollars in all"),
        _column(
            "trace_ids",
            "strings",
            "Its turns, oldest first.",
            lambda t: [turn.root.id for turn in t.turns],
            made_of=IDS,
        ),
        _column(
            "feedback_stats",
            "json",
            "Per key how many pieces of feedback its turns have and the mean of the scores; null without.",
            lambda thread: json_of(thread.feedback()),
        ),
    ),
    ask=asked,
    source="threads",
    marks=_column(
        "missing_payloads",
        "strings",
        "The fields of its turns that could not be had from blob storage and are null; `extra` has the metadata.",
        lambda thread: sorted(set().union(*(turn.missing for turn in thread.turns))),
        made_of=("attachments",),
        part="texts",
    ),
)

# What is asked of the roots of a conversation.
ROOT_FIELDS = tuple(sorted({*TRACES.fields, "thread_id", "dotted_order"}))
TURNS = BELOW
