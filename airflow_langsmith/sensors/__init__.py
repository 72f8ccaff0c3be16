"""Sensors: wait until a window is complete, a bulk export is written, or feedback meets a condition."""

from airflow_langsmith.sensors.bulk_export import LangSmithBulkExportSensor
from airflow_langsmith.sensors.feedback import LangSmithFeedbackSensor
from airflow_langsmith.sensors.settled import LangSmithSettledSensor

__all__ = ["LangSmithBulkExportSensor", "LangSmithFeedbackSensor", "LangSmithSettledSensor"]
