"""The sensor that waits until a window is complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar

from airflow_langsmith import arguments
from airflow_langsmith.arguments import Reader
from airflow_langsmith.sensors.runs import LangSmithRunsSensor
from airflow_langsmith.waiting import SettledWatch
from airflow_langsmith.windows.time_window import duration


def _read_seconds(value: str | timedelta, name: str, *, may_be_zero: bool = False) -> float:
    return duration(value, name, may_be_zero=may_be_zero).total_seconds()


class LangSmithSettledSensor(LangSmithRunsSensor):
    """
    Wait until a window is complete, so that an export has all of its runs.

    ::

        LangSmithSettledSensor(task_id="settled", project="shop", lag="10m") >> export

    It succeeds when the window has ended and ``lag`` has passed, no run is pending, and the number of runs has not
    changed for ``quiet_for``. Returns ``runs``, ``pending``, ``given_up`` (with the first ``given_up_runs``),
    ``quiet_seconds``, ``project``, ``window_start``, ``window_end`` and ``url``.

    A look takes at most three requests on API v2 (pending runs, a page of ids, the stats) for any window, unless more
    than a page of runs is pending. Before the window has ended, one request finds the project.

    :param quiet_for: How long the number of runs must not change; ``"0s"`` disables this. (templated)
    :param pending_timeout: After this time the sensor no longer waits for a run that has not ended, and logs its id;
        None waits without limit. A day by default, because LangSmith's cloud accepts no end of a run that started
        earlier. (templated)

    Which project, runs and window: the arguments of
    :class:`~airflow_langsmith.operators.base.LangSmithRunsOperator`. How to wait: those of
    :class:`~airflow_langsmith.sensors.base.LangSmithSensor`.
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        **LangSmithRunsSensor.readers,
        "quiet_for": partial(_read_seconds, may_be_zero=True),
        "pending_timeout": arguments.optional(_read_seconds),
    }
    template_fields: Sequence[str] = tuple(readers)
    watch_type = SettledWatch

    def __init__(
        self, *, quiet_for: str | timedelta = "10m", pending_timeout: str | timedelta | None = "1d", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.quiet_for = quiet_for
        self.pending_timeout = pending_timeout
        self.check_arguments()
