"""The view ``runs``: a row is one run (span); a window holds the runs whose ``start_time`` is in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from airflow_langsmith import arguments
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.views.columns import IDS, MODEL, THREAD, Column, ColumnType
from airflow_langsmith.views.view import Option, View

AttachmentMode = Literal["list", "download"]
MAX_DOWNLOAD_RUNS = 100  # of a page whose attachments are downloaded: links expire, so they are used soon


def _run(name: str, type_: ColumnType, meaning: str, of: str = "", **options: Any) -> Column:
    """Return a column that is a field of the run as it is."""
    return Column(name, type_, meaning, of, ((of or name).partition(".")[0],), **options)


_LATENCY_SECONDS = "(record.end_time - record.start_time).total_seconds() if record.end_time else None"
_ATTACHMENTS = "json_of(record.attachments) if record.attachments else None"
_STATS_MEANING = "The count (v1: only of scores), mean and labels of each feedback key, when read; null if it has none."

COLUMNS = (
    _run("run_id", "string", "The run's id; the key of this view.", "id", required=True, sources=IDS),
    _run("trace_id", "string", "The trace's id, which is the id of its root.", sources=IDS),
    _run("parent_run_id", "string", "The run that called it; null for a root.", sources=IDS),
    _run(
        *("project_id", "string", "The project's id (the API says session).", "project.id"),
        repeats=True,
        required=True,
        sources=IDS,
    ),
    _run("project_name", "string", "The project's name.", "project.name", repeats=True),
    _run("thread_id", "string", "The thread: metadata session_id, thread_id or conversation_id.", sources=THREAD),
    _run("name", "string", "The run's name.", repeats=True),
    _run("run_type", "string", "chain, llm, tool, retriever, embedding, prompt or parser.", repeats=True),
    _run("status", "string", "success, error or pending (not ended when it was read).", repeats=True),
    Column("is_root", "boolean", "Whether it is the root of its trace.", "parent_run_id is None", ("parent_run_id",)),
    _run("start_time", "timestamp", "When it started; decides its window.", required=True),
    _run("end_time", "timestamp", "When it ended; null while pending."),
    Column("latency_seconds", "number", "From start to end.", _LATENCY_SECONDS, ("start_time", "end_time")),
    _run("first_token_time", "timestamp", "When the first token of a streamed answer came."),
    _run("error", "string", "The error's text, with its traceback."),
    _run("tags", "strings", "Its tags.", repeats=True),
    _run("model", "string", "The model, from metadata ls_model_name.", repeats=True, sources=MODEL),
    _run("prompt_tokens", "integer", "Tokens read. On v1 a parent counts its children's too, on v2 only its own."),
    _run("completion_tokens", "integer", "Tokens written; parents as above."),
    _run("total_tokens", "integer", "Tokens read and written; parents as above."),
    _run("prompt_cost", "number", "US dollars for the tokens read; parents as above."),
    _run("completion_cost", "number", "US dollars for the tokens written; parents as above."),
    _run("total_cost", "number", "US dollars in all; parents as above."),
    _run("dotted_order", "string", "The start and id of each run from the root to it; compare only ids.", sources=IDS),
    _run("reference_example_id", "string", "The dataset example it was run on, in an experiment.", sources=IDS),
    _run("inputs", "json", "Its inputs."),
    _run("outputs", "json", "Its outputs; null if it failed or has not ended."),
    _run("metadata", "json", "Its metadata.", sources=("extra.metadata",)),
    _run("feedback_stats", "json", _STATS_MEANING),
    Column("attachments", "json", "Names, types and sizes of its files; null if none.", _ATTACHMENTS, ("attachments",)),
    _run("in_dataset", "boolean", "Whether it was added to a dataset.", default=False),
    _run("extra", "json", "All of extra: metadata, runtime, invocation parameters.", default=False),
    _run("events", "json", "Its events, such as new tokens.", default=False),
    _run("serialized", "json", "The serialised object that ran (v2: manifest).", default=False),
    _run("prompt_token_details", "json", "Tokens read, by kind.", default=False),
    _run("completion_token_details", "json", "Tokens written, by kind.", default=False),
    _run("prompt_cost_details", "json", "US dollars for tokens read, by kind.", default=False),
    _run("completion_cost_details", "json", "US dollars for tokens written, by kind.", default=False),
)


_DOWNLOAD_REFUSED = (
    "attachments='download' is for the view runs with its column attachments, which tells whose each file is. "
    "Add the column, or use attachments='list' here and download them with an export of the runs."
)


@dataclass(frozen=True)
class Runs(View):
    """The view of runs; its column ``attachments`` lists their files, which may be downloaded too."""

    attachments: AttachmentMode = "list"

    options = (
        *View.options,
        Option("attachments", arguments.one_of(AttachmentMode), _DOWNLOAD_REFUSED, lambda mode: mode == "download"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.downloads_attachments and "attachments" not in [column.name for column in self.columns]:
            raise ConfigurationError(_DOWNLOAD_REFUSED)

    @property
    def downloads_attachments(self) -> bool:
        """Whether the files logged with the runs of its pages are downloaded."""
        return self.attachments == "download"

    def narrow(self, query: RunQuery) -> RunQuery:
        """Return the query that is to be read."""
        size = query.page_size or (MAX_DOWNLOAD_RUNS if self.downloads_attachments else None)
        return replace(super().narrow(query), page_size=size)


VIEW = Runs("runs", COLUMNS)
