"""Errors as Airflow acts on them: the one place where the tree in ``api/errors.py`` meets Airflow's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_langsmith.airflow_sdk import AirflowException, AirflowFailException
from airflow_langsmith.errors import LangSmithError


class LangSmithException(AirflowException):  # Airflow's own name for its kind
    """Something that a retry may cure: the task fails and Airflow tries it again."""


class FailWhenError(AirflowFailException):
    """A sensor's ``fail_when`` holds: no retry changes what people said, but ``soft_fail`` may skip the task for it."""


@contextmanager
def airflow_errors() -> Iterator[None]:
    """
    Let a task fail as its error asks for.

    What no retry cures (a wrong key, an unknown project, a refused filter, an impossible window) fails at once, as
    ``AirflowFailException``; the rest as :class:`LangSmithException`, which Airflow tries again.
    """
    try:
        yield
    except LangSmithError as error:
        message = "\n".join([str(error), *getattr(error, "__notes__", ())])
        if error.retriable:
            raise LangSmithException(message) from error
        raise AirflowFailException(message) from None  # the way here helps nobody, and shows the message twice
