"""The sensor that waits for a bulk export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_langsmith import arguments
from airflow_langsmith.airflow_sdk import Context
from airflow_langsmith.arguments import Reader
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.operators.base import LangSmithWindowOperator
from airflow_langsmith.sensors.base import NEVER, LangSmithSensor
from airflow_langsmith.waiting import BulkExportWatch, BulkSelection


class LangSmithBulkExportSensor(LangSmithSensor):
    """
    Wait until a bulk export has written its whole window, or until the exports of a schedule have written a window.

    ::

        LangSmithBulkExportSensor(task_id="written", schedule_id="82345678-...", window="1d")
        # waiting: bulk export 42345678-... is Running
        # met: schedule 82345678-... wrote 1,204,311 rows

    It succeeds when each run of the export has completed and their windows tile the window of the export. It fails when
    the export failed, timed out, was cancelled, or is not whole; ``soft_fail`` then skips the task.

    Returns ``bulk_export_ids``, ``rows``, ``files`` (their number), ``window_start``, ``window_end`` and ``url``.

    :param bulk_export_id: The export, such as ``export.output["bulk_export_id"]``. (templated)
    :param schedule_id: Or the schedule that makes exports (``source_bulk_export_id`` in the API), whose exports have to
        cover the window. LangSmith makes each ten minutes after the end of its interval. (templated)

    Which window of a schedule: the arguments of :class:`~airflow_langsmith.operators.base.LangSmithWindowOperator`. How
    to wait: those of :class:`~airflow_langsmith.sensors.base.LangSmithSensor`.
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        "bulk_export_id": arguments.text,
        "schedule_id": arguments.text,
        **LangSmithWindowOperator.readers,
    }
    template_fields: Sequence[str] = tuple(readers)
    watch_type = BulkExportWatch

    def __init__(self, *, bulk_export_id: str | None = None, schedule_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bulk_export_id = bulk_export_id
        self.schedule_id = schedule_id
        self.check_arguments(self._ids)

    def _ids(self) -> tuple[str | None, str | None]:
        ids = self.read("bulk_export_id"), self.read("schedule_id")
        if sum(map(bool, ids)) != 1:
            raise ConfigurationError("Give bulk_export_id= or schedule_id=, and not both.")
        return ids

    def _selection(self, context: Context) -> BulkSelection:
        export_id, schedule_id = self._ids()
        if export_id is not None:
            return BulkSelection(export_id=export_id)
        return BulkSelection(schedule_id=schedule_id, window=self.resolve_window(context, now=NEVER))

    def _map_name(self, context: Context) -> str:  # noqa: ARG002
        return str(self.bulk_export_id or self.schedule_id)
