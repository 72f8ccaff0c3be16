"""
LangSmith's HTTP API, in either of its versions, as pages of run records.

``settings`` says where and with which key; ``query`` what is asked; ``v1`` and ``v2`` write and read it on the wire;
``walk`` turns one query into all its pages; ``flow`` retries, without I/O; ``pacing`` keeps the budget; ``transport``
is the network; ``client`` drives them. Knows nothing of Airflow, files or tables.
"""

from airflow_langsmith.api.client import AsyncLangSmithClient, LangSmithClient
from airflow_langsmith.api.errors import LangSmithError
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Feedback, Page, Project, Run
from airflow_langsmith.api.settings import Settings

__all__ = [
    "AsyncLangSmithClient",
    "Feedback",
    "LangSmithClient",
    "LangSmithError",
    "Page",
    "Project",
    "Run",
    "RunQuery",
    "Settings",
]
