"""
What sensors and triggers do alike: look at LangSmith until something holds.

``selection`` says at which runs, ``looking`` what a look is; ``settled`` waits for the end of changes, ``feedback`` for
what people say. They ask by flows, so a task that blocks and a trigger that must not drive the same code.
"""

from airflow_langsmith.watch.feedback import FeedbackWatch
from airflow_langsmith.watch.looking import Outcome, Watch
from airflow_langsmith.watch.selection import Selection
from airflow_langsmith.watch.settled import SettledWatch

__all__ = ["FeedbackWatch", "Outcome", "Selection", "SettledWatch", "Watch"]
