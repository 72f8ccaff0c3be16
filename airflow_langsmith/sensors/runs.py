"""What the sensors of runs share: which runs they look at, and when their window is complete."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import ClassVar

from airflow_langsmith.airflow_sdk import AirflowFailException, Context
from airflow_langsmith.api.query import BEGINNING
from airflow_langsmith.arguments import Reader
from airflow_langsmith.errors import LangSmithError
from airflow_langsmith.operators.base import LangSmithRunsOperator
from airflow_langsmith.operators.report import period
from airflow_langsmith.sensors.base import NEVER, LangSmithSensor
from airflow_langsmith.waiting import Selection
from airflow_langsmith.windows import TimeWindow
from airflow_langsmith.windows.time_window import duration


class LangSmithRunsSensor(LangSmithSensor, LangSmithRunsOperator):
    """
    Base of the sensors of the runs of a project in a window.

    A sensor waits for the end of the window, and for ``lag`` after it. With ``run_ids``, and neither ``start_time`` nor
    ``window``, it looks at these runs whenever they started.
    """

    readers: ClassVar[Mapping[str, Reader]] = LangSmithRunsOperator.readers

    def _selection(self, context: Context) -> Selection:
        run_filter, project = self.run_filter(), self.read("project")
        if run_filter.run_ids is not None and not self.read("start_time") and not self.read("window"):
            now = self._clock.now()
            return Selection(project=project, window=TimeWindow(BEGINNING, now), closes=now, run_filter=run_filter)
        window = self.resolve_window(context, now=NEVER)
        lag = self.read("lag")
        closes = window.end + (timedelta(0) if lag is None else duration(lag, "lag", may_be_zero=True))
        return Selection(project=project, window=window, closes=closes, run_filter=run_filter)

    def _map_name(self, context: Context) -> str:
        """Return the project, and the window or the number of runs, unless an argument is wrong."""
        with suppress(LangSmithError, AirflowFailException):
            selection = self._selection(context)
            if selection.window.start == BEGINNING:
                return f"{self.project}, {len(selection.run_filter.run_ids or ())} runs"
            return f"{self.project}, {period(selection.window)}"
        return str(self.project)
