"""A stand-in, and a plain HTTP client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from airflow_langsmith.testing import LangSmithStandIn

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)  # the time of the stand-in's clock
UNKNOWN_ID = "7f0c2d4e-0000-4000-8000-000000000000"


@pytest.fixture
def langsmith() -> Iterator[LangSmithStandIn]:
    """A stand-in whose clock stands at noon."""
    with LangSmithStandIn(now=lambda: NOON) as server:
        yield server


@pytest.fixture
def http(langsmith: LangSmithStandIn) -> Iterator[httpx.Client]:
    """A client that sends the key and nothing else."""
    key = {"X-API-Key": langsmith.api_key}
    with httpx.Client(base_url=langsmith.url, headers=key, verify=False) as client:  # no certificates to load
        yield client
