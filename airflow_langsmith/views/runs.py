"""The view ``runs``: a row is one run (span); a window holds the runs whose ``start_time`` is in it."""

from __future__ import annotations

from typing import Any

from airflow_langsmith.api.records import Run
from airflow_langsmith.views.columns import IDS, MODEL, THREAD, Column, ColumnType, View, json_of


def _field(
    name: str,
    type_: ColumnType,
    meaning: str,
    *,
    of: str | None = None,
    default: bool = True,
    repeats: bool = False,
    made_of: tuple[str, ...] | None = None,
) -> Column:
    """Make a column that is a field of the run as it is."""
    of = of or name
    # Compiled with the name in it, as dataclasses are: an attrgetter takes twice as long, for every value there is.
    read = eval(f"lambda runs: [run.{of} for run in runs]")  # noqa: S307  # of the names below
    return Column(name, type_, meaning, (of.split(".")[0],), read, default, repeats, made_of)


def _latency(runs: list[Run]) -> list[Any]:
    return [(run.end_time - run.start_time).total_seconds() if run.end_time else None for run in runs]


def _attachments(runs: list[Run]) -> list[Any]:
    return [json_of(run.attachments) if run.attachments else None for run in runs]


COLUMNS: tuple[Column, ...] = (
    _field("run_id", "string", "The run's id; the key of this view.", of="id", made_of=IDS),
    _field("trace_id", "string", "The trace it belongs to, which is its root's id.", made_of=IDS),
    _field("parent_run_id", "string", "The run it was called from; null for a root.", made_of=IDS),
    _field(
        "project_id",
        "string",
        "The project's id (the API says session).",
        of="project.id",
        repeats=True,
        made_of=IDS,
    ),
    _field("project_name", "string", "The project's name.", of="project.name", repeats=True),
    _field(
        "thread_id",
        "string",
        "The conversation, from metadata session_id, thread_id or conversation_id: a text or a number.",
        made_of=THREAD,
    ),
    _field("name", "string", "What it calls itself.", repeats=True),
    _field("run_type", "string", "chain, llm, tool, retriever, embedding, prompt or parser.", repeats=True),
    _field("status", "string", "success, error or pending (not ended when it was read).", repeats=True),
    Column(
        "is_root",
        "boolean",
        "Whether it began its trace.",
        ("parent_run_id",),
        lambda runs: [run.parent_run_id is None for run in runs],
    ),
    _field("start_time", "timestamp", "When it started; decides its window."),
    _field("end_time", "timestamp", "When it ended; null while pending."),
    Column("latency_seconds", "number", "From start to end.", ("start_time", "end_time"), _latency),
    _field("first_token_time", "timestamp", "When the first token of a streamed answer came."),
    _field("error", "string", "The error's text, with its traceback."),
    _field("tags", "strings", "Its tags.", repeats=True),
    _field("model", "string", "The model, from metadata ls_model_name.", repeats=True, made_of=MODEL),
    _field("prompt_tokens", "integer", "Tokens read. On v1 a parent counts its children's too, on v2 only its own."),
    _field("completion_tokens", "integer", "Tokens written; parents as above."),
    _field("total_tokens", "integer", "Tokens read and written; parents as above."),
    _field("prompt_cost", "number", "US dollars for the tokens read; parents as above."),
    _field("completion_cost", "number", "US dollars for the tokens written; parents as above."),
    _field("total_cost", "number", "US dollars in all; parents as above."),
    _field(
        "dotted_order",
        "string",
        "Its place in the trace: start and id of each run above it and of itself. Go by the ids; starts can be spelt "
        "differently by each run.",
        made_of=IDS,
    ),
    _field("reference_example_id", "string", "The dataset example it was run on, in an experiment.", made_of=IDS),
    _field("inputs", "json", "What it was given."),
    _field("outputs", "json", "What it gave; null if it failed or has not ended."),
    _field("metadata", "json", "Its metadata.", made_of=("extra.metadata",)),
    _field(
        "feedback_stats",
        "json",
        "Per feedback key the count (v1: of scores alone), mean and labels when it was read; null without.",
    ),
    Column(
        "attachments",
        "json",
        "The files logged with it: a list of their names, types and sizes, as far as known; null without.",
        ("attachments",),
        _attachments,
    ),
    _field("in_dataset", "boolean", "Whether it was added to a dataset.", default=False),
    _field("extra", "json", "All of extra: metadata, runtime, invocation parameters.", default=False),
    _field("events", "json", "Its events, such as new tokens.", default=False),
    _field("serialized", "json", "The serialised object that ran (v2: manifest).", default=False),
    _field("prompt_token_details", "json", "Tokens read, by kind.", default=False),
    _field("completion_token_details", "json", "Tokens written, by kind.", default=False),
    _field("prompt_cost_details", "json", "US dollars for tokens read, by kind.", default=False),
    _field("completion_cost_details", "json", "US dollars for tokens written, by kind.", default=False),
)

MARKS = Column(
    "missing_payloads",
    "strings",
    "The fields that could not be had from blob storage and are null; `extra` has the metadata.",
    (),
    lambda runs: [sorted(run.missing_payloads) for run in runs],
    made_of=("attachments",),  # whose names it has
    part="texts",
)

VIEW = View("runs", COLUMNS, marks=MARKS)
