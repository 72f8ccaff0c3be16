"""
Errors as Airflow acts on them, and advice on the arguments of operators.

Lower rooms know no operator. They say what happened, with its ``Problem``; the table here says which argument helps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from airflow_langsmith.airflow_sdk import AirflowException, AirflowFailException
from airflow_langsmith.errors import LangSmithError
from airflow_langsmith.problems import Problem

ADVICE: Mapping[Problem, str] = {
    Problem.PAYLOAD_MISSING: (
        "Or go on without it by payloads='flag', leave the column out, or set 'api_version' to 'v2' in the "
        "connection's extra, which sends payloads whole."
    ),
    Problem.ATTACHMENT_MISSING: (
        "Or go on without it by payloads='flag', or only list the attachments by attachments='list'."
    ),
    Problem.WINDOW_EMPTY: "The task fails because of on_empty='fail'.",
    Problem.COLUMNS_CHANGED: (
        "schema_changes='fail' refuses that. Use schema_changes='evolve', or correct columns and flatten."
    ),
    Problem.PARTITION_TAKEN: "If the windows differ, let partition= tell them apart.",
    Problem.LOCAL_DISK_FULL: (
        "Less room is needed with concurrency=1, a lower max_bytes_per_file, or named paths in flatten."
    ),
    Problem.NO_ROOM_FOR_PART: ("A load needs room for one part: max_bytes_per_file= of the export makes smaller ones."),
    Problem.WINDOW_NOT_WHOLE: "Use mode='merge', or leave mode= out.",
    Problem.KEY_COLUMN_MISSING: "Add them to columns= of the export.",
    Problem.KEY_NULL: "Let redact= of the export hash the column instead of dropping it.",
    Problem.NOT_PARQUET: "Export the window with format='parquet'.",
    Problem.NAME_TOO_LONG: "Give the table, or the path in flatten= of the export, a shorter name.",
    Problem.HASH_KEY_MISSING: "Set redact_conn_id= to a connection whose password is the key.",
    Problem.TOO_MANY_PATHS: "Write flatten=['inputs.customer.id', ...], or leave the JSON column out of columns=.",
}


class LangSmithException(AirflowException):  # Airflow's own name for its kind
    """An error that a retry may cure: the task fails, and Airflow tries it again."""


class FailWhenError(AirflowFailException):
    """A sensor's ``fail_when`` is true. No retry changes that, but ``soft_fail`` may skip the task."""


@contextmanager
def airflow_errors() -> Iterator[None]:
    """
    Turn an error into the one that Airflow acts on, with advice on the operator's arguments.

    An error that no retry cures (a wrong key, an unknown project, an impossible window) becomes an
    ``AirflowFailException``, any other a :class:`LangSmithException`, after which Airflow tries again.
    """
    try:
        yield
    except LangSmithError as error:
        if error.problem:
            error.advice_on_arguments = ADVICE[error.problem]
        message = "\n".join([str(error), *getattr(error, "__notes__", ())])
        if error.retriable:
            raise LangSmithException(message) from error
        raise AirflowFailException(message) from None  # a chained error would show the message twice
