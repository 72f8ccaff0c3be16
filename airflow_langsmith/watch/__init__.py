"""
What sensors and triggers do alike: look at LangSmith until something holds.

``selection`` says at which runs, ``looking`` what a look is; ``settled`` waits for the end of changes, ``feedback`` for
what people say. They ask by flows, so that a blocking task and an async trigger drive the same code.
"""

from airflow_langsmith.watch.feedback import FeedbackWatch
from airflow_langsmith.watch.looking import CLOCK, Clock, LogThrottle, Outcome, Watch
from airflow_langsmith.watch.selection import Selection
from airflow_langsmith.watch.settled import SettledWatch

__all__ = ["CLOCK", "Clock", "FeedbackWatch", "LogThrottle", "Outcome", "Selection", "SettledWatch", "Watch"]
