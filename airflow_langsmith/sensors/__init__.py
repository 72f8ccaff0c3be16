"""Sensors: wait until a window is complete, or until feedback meets a condition."""

from airflow_langsmith.sensors.feedback import LangSmithFeedbackSensor
from airflow_langsmith.sensors.settled import LangSmithSettledSensor

__all__ = ["LangSmithFeedbackSensor", "LangSmithSettledSensor"]
