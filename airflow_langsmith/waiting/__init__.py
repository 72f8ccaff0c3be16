"""
Waiting for LangSmith: conditions on feedback, and looking at LangSmith until they hold.

Sensors and triggers share this room. A ``watch`` looks at selected runs. ``settled`` waits until a window
stops changing, ``bulk_export`` until files are written, ``feedback`` until a condition holds: ``parser`` reads a text
as a ``condition``, ``feedback`` makes ``figures`` of LangSmith's answers, and ``verdict`` compares the two. A look is a
flow, so that a worker and the triggerer run the same code.
"""

from airflow_langsmith.waiting.bulk_export import BulkExportWatch, BulkSelection
from airflow_langsmith.waiting.feedback import FeedbackWatch
from airflow_langsmith.waiting.figures import Figures, Tally
from airflow_langsmith.waiting.parser import parse
from airflow_langsmith.waiting.settled import SettledWatch
from airflow_langsmith.waiting.verdict import judge
from airflow_langsmith.waiting.watch import Selection

__all__ = [
    "BulkExportWatch",
    "BulkSelection",
    "FeedbackWatch",
    "Figures",
    "Selection",
    "SettledWatch",
    "Tally",
    "judge",
    "parse",
]
