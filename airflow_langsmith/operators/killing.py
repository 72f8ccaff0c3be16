"""What ends a task that Airflow kills: because a user marked or cleared it, or because its worker has to stop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from airflow_langsmith.airflow_errors import LangSmithException

log = logging.getLogger(__name__)


class Killed(BaseException):
    """
    Airflow kills this task.

    It is raised wherever the task is at that moment, so that every ``with`` on the way out stops its threads, takes
    back its uploads and removes its files. It is no ``Exception``: nothing on the way may take it for a failure.
    """

    def __init__(self, is_wanted: Callable[[], bool]) -> None:
        super().__init__()
        self._is_wanted = is_wanted

    @cached_property
    def retriable(self) -> bool:
        """Whether Airflow tries again by itself, so that it is worth to keep what was read."""
        return self._is_wanted()


class KillSwitch:
    """
    Ends the task once: by :class:`Killed`, from the signal handler in which Airflow calls ``on_kill``.

    The handler interrupts the main thread between two instructions, where it may hold any lock. So the handler only
    raises: it neither logs, nor waits, nor asks anybody. Python itself swallows what is raised in some places, such as
    finalizers: :meth:`last_call` raises it again.
    """

    def __init__(self) -> None:
        self._is_armed = self._is_pressed = False
        self._is_wanted: Callable[[], bool] = bool

    @contextmanager
    def armed(self, context: Mapping[str, Any]) -> Iterator[None]:
        """
        Let :meth:`press` end what is done inside.

        :raises LangSmithException: once it has ended, for a retry if Airflow wants one.
        """
        self._is_wanted = lambda: _is_running(context.get("ti"))
        self._is_armed, self._is_pressed = True, False
        try:
            yield
            if self._is_pressed:
                log.info("Airflow kills this task, but it is done already: what it published stands.")
        except Killed:
            raise LangSmithException("Airflow killed this task before it was done. It published nothing.") from None
        finally:
            self._is_armed = False

    def press(self) -> None:
        """
        End the task; called by Airflow's signal handler, or after the task is over, which does nothing.

        :raises Killed: while the task can still be ended.
        """
        self._is_pressed = True
        if self._is_armed:
            self._raise()

    def last_call(self) -> None:
        """From here on the task is too far to be ended: it finishes what it began, in a moment."""
        self._is_armed = False  # before the question, so that no signal comes between the two
        if self._is_pressed:
            self._raise()

    def _raise(self) -> None:
        self._is_armed = False
        raise Killed(self._is_wanted)


def _is_running(ti: Any) -> bool:
    """
    Ask Airflow whether this task instance is meant to run, as it is when a worker has to stop.

    A task that a user marked or cleared is in another state by now. Without an answer it is taken to be meant to run.
    """
    try:
        states = ti.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
        return "running" in states[ti.run_id].values()
    except Exception:  # noqa: BLE001  # a test's context, an Airflow that does not answer any more, ...
        return True
