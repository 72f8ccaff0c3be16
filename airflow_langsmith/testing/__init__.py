"""
A LangSmith server in a box, for tests of DAGs, the demo and our own tests.

HTTP over real sockets, with the standard library alone. ``stand_in`` has the public class. A request passes ``server``
(sockets) -> ``application`` (faults, keys, rate limits) -> ``routes`` -> the endpoints in ``v1``, ``v2`` and ``bulk``
-> ``workspace`` (the data).
"""

from __future__ import annotations

from airflow_langsmith.testing.bulk.behaviour import BulkExportBehaviour
from airflow_langsmith.testing.faults import Fault
from airflow_langsmith.testing.http_messages import RecordedRequest
from airflow_langsmith.testing.sample import sample_feedback, sample_runs
from airflow_langsmith.testing.stand_in import LangSmithStandIn

__all__ = ["BulkExportBehaviour", "Fault", "LangSmithStandIn", "RecordedRequest", "sample_feedback", "sample_runs"]
