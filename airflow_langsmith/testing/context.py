"""What every endpoint works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_langsmith.testing.bulk.exports import BulkExports
from airflow_langsmith.testing.faults import FaultScript
from airflow_langsmith.testing.http_messages import Response
from airflow_langsmith.testing.settings import Settings
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["Context", "Endpoint"]


@dataclass(frozen=True, slots=True)
class Context:
    """The settings, the data, the bulk exports and the faults of a stand-in."""

    settings: Settings
    workspace: Workspace
    faults: FaultScript
    bulk: BulkExports


Endpoint = Callable[..., Response]  # (context, request, *path parameters)
