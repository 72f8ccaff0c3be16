"""How a task ends when Airflow kills it: a user marked or cleared it, or its worker has to stop."""

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

    It is raised wherever the task is, so that each ``with`` on the way out stops its threads, aborts its uploads and
    removes its files. It is no ``Exception``, so that no handler takes it for a failure.
    """

    def __init__(self, is_task_running: Callable[[], bool]) -> None:
        super().__init__()
        self._is_task_running = is_task_running

    @cached_property
    def retriable(self) -> bool:
        """Whether Airflow will try again, so that checkpoints are worth keeping."""
        return self._is_task_running()


class KillSwitch:
    """
    Ends the task once, by :class:`Killed`, from the signal handler in which Airflow calls ``on_kill``.

    The handler interrupts the main thread between two instructions, where it may hold any lock. So the handler only
    raises: it neither logs nor waits. Python drops an error raised in some places, such as finalizers, so
    :meth:`last_call` raises it again.
    """

    def __init__(self) -> None:
        self._is_armed = self._is_pressed = False
        self._is_task_running: Callable[[], bool] = bool

    @contextmanager
    def armed(self, context: Mapping[str, Any]) -> Iterator[None]:
        """
        Let :meth:`press` end the block.

        :raises LangSmithException: after a kill, for a retry if Airflow wants one.
        """
        self._is_task_running = lambda: _is_running(context.get("ti"))
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
        End the task. After the task is over, do nothing.

        :raises Killed: while the task can still be ended.
        """
        self._is_pressed = True
        if self._is_armed:
            self._raise()

    def last_call(self) -> None:
        """Disarm the switch, because the task now finishes what it began, in a moment."""
        self._is_armed = False  # before the check, so that no signal comes between the two
        if self._is_pressed:
            self._raise()

    def _raise(self) -> None:
        self._is_armed = False
        raise Killed(self._is_task_running)


def _is_running(ti: Any) -> bool:
    """
    Return whether Airflow still wants this task instance to run, which is so when only its worker stops.

    A task that a user marked or cleared is in another state by now. Without an answer the result is true.
    """
    try:
        states = ti.get_task_states(
            dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
        )
        return "running" in states[ti.run_id].values()
    except Exception:  # noqa: BLE001  # a test's context, or an Airflow that does not answer
        return True
