"""
A LangSmith server in a box, for the demo, our own tests and yours.

Real HTTP over real sockets, from the standard library alone. ``stand_in`` is the front door; behind it a request
walks ``server`` (sockets) -> ``application`` (faults, access, limits) -> ``routes`` -> the endpoints in ``v1`` and
``v2`` -> ``workspace`` (the data).
"""

from __future__ import annotations

from airflow_langsmith.testing.exchange import RecordedRequest
from airflow_langsmith.testing.faults import Fault
from airflow_langsmith.testing.sample import sample_feedback, sample_runs
from airflow_langsmith.testing.stand_in import LangSmithStandIn

__all__ = ["Fault", "LangSmithStandIn", "RecordedRequest", "sample_feedback", "sample_runs"]
