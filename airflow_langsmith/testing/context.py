"""What every endpoint works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_langsmith.testing.exchange import Answer
from airflow_langsmith.testing.faults import FaultScript
from airflow_langsmith.testing.settings import Settings
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["Context", "Endpoint"]


@dataclass(frozen=True, slots=True)
class Context:
    """The stand-in's data, its settings, and the faults it was told to commit."""

    settings: Settings
    workspace: Workspace
    faults: FaultScript


Endpoint = Callable[..., Answer]  # (context, call, *path parameters)
