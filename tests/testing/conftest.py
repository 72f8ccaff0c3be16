"""A stand-in with a clock, a plain HTTP client, and a client of Bulk Export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_langsmith.testing import LangSmithStandIn

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)  # the time of the stand-in's clock
UNKNOWN_ID = "7f0c2d4e-0000-4000-8000-000000000000"


@dataclass
class Clock:
    """A clock that a test sets."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def advance(self, **time: float) -> None:
        """Let time pass: ``advance(minutes=10)``."""
        self.now += timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    """The stand-in's clock, which stands at noon."""
    return Clock()


@pytest.fixture
def langsmith(clock: Clock) -> Iterator[LangSmithStandIn]:
    """A stand-in whose clock stands at noon."""
    with LangSmithStandIn(now=clock) as server:
        yield server


@pytest.fixture
def http(langsmith: LangSmithStandIn) -> Iterator[httpx.Client]:
    """A client that sends the key and nothing else."""
    key = {"X-API-Key": langsmith.api_key}
    with httpx.Client(base_url=langsmith.url, headers=key, verify=False) as client:  # no certificates to load
        yield client


@dataclass
class BulkClient:
    """A client of Bulk Export with a project, a destination, and the bucket as a local folder."""

    http: httpx.Client
    project_id: str
    destination_id: str
    bucket: Path

    def post(self, **fields: Any) -> httpx.Response:
        """Ask for an export of the project on 28 February. A field of None is left out."""
        body = {
            "bulk_export_destination_id": self.destination_id,
            "session_id": self.project_id,
            "start_time": "2026-02-28T00:00:00Z",
            "end_time": "2026-03-01T00:00:00Z",
            **fields,
        }
        body = {name: value for name, value in body.items() if value is not None}
        return self.http.post("/api/v1/bulk-exports", json=body)

    def create(self, **fields: Any) -> str:
        """Create an export, and return its id."""
        answer = self.post(**fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def status(self, export_id: str) -> str:
        """Return the status of an export."""
        return str(self.http.get(f"/api/v1/bulk-exports/{export_id}").json()["status"])

    def cancel(self, export_id: str) -> httpx.Response:
        """Cancel an export."""
        return self.http.patch(f"/api/v1/bulk-exports/{export_id}", json={"status": "Cancelled"})

    def runs(self, export_id: str) -> list[dict[str, Any]]:
        """Return the runs of an export."""
        runs: list[dict[str, Any]] = self.http.get(f"/api/v1/bulk-exports/{export_id}/runs").json()
        return runs

    def results(self, export_id: str) -> list[Any]:
        """Return the results of the runs of an export: None of a run without one."""
        return [run["metadata"]["result"] for run in self.runs(export_id)]

    def files(self, export_id: str) -> list[Path]:
        """Return the files that the runs of an export name, which begin with the name of the bucket."""
        names = [name for result in self.results(export_id) for name in result["exported_files"]]
        return [self.bucket / name.removeprefix("lake/") for name in names]

    def tables(self, export_id: str) -> list[pa.Table]:
        """Read the files of an export. The values in their paths are no columns."""
        return [pq.read_table(file, partitioning=None) for file in self.files(export_id)]

    def rows(self, export_id: str) -> list[dict[str, Any]]:
        """Read the rows of an export."""
        return [row for table in self.tables(export_id) for row in table.to_pylist()]


@pytest.fixture
def bulk(langsmith: LangSmithStandIn, http: httpx.Client, tmp_path: Path) -> BulkClient:
    """A client of Bulk Export, and a project with three runs at 1, 10 and 23 o'clock on 28 February."""
    for hour in (1, 10, 23):
        langsmith.add_run(
            project="shop",
            name=f"run at {hour}",
            start_time=f"2026-02-28T{hour:02}:00:00Z",
            end_time=f"2026-02-28T{hour:02}:00:01.5Z",
        )
    destination_id = langsmith.add_bulk_destination(tmp_path / "lake")
    return BulkClient(http, langsmith.project_id("shop"), destination_id, tmp_path / "lake")
