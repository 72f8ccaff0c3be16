"""What a version of the API has. Every difference between the versions is in their classes, ``V1`` and ``V2``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from airflow_langsmith.api.flow import MAX_RUN_BYTES, Backoff, Flow, Request
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Page, Project


class Dialect(ABC):
    """
    One version of the API for runs.

    ``select`` maps each field of a :class:`Run` to the names that the version selects it by. ``is_being_removed`` is
    true for a version whose lasting failures may mean that it is gone.
    """

    name: ClassVar[str]
    max_page_size: ClassVar[int]  # runs
    unfilterable: ClassVar[frozenset[str]]  # attributes
    select: ClassVar[Mapping[str, tuple[str, ...]]]
    is_being_removed: ClassVar[bool]

    @abstractmethod
    def tier(self, query: RunQuery) -> str:
        """Return the budget of a query."""

    @abstractmethod
    def body(self, query: RunQuery, page_size: int, cursor: str | None) -> dict[str, Any]:
        """Write the request for a page: always the whole query, with the cursor beside it."""

    @abstractmethod
    def read_page(self, content: bytes, project: Project, fields: tuple[str, ...], purpose: str) -> Page:
        """Read a page."""

    @abstractmethod
    def run_request(self, run_id: str, project: Project | None, fields: tuple[str, ...]) -> Request:
        """Write the request for one run."""

    @abstractmethod
    def read_run(self, content: bytes, project: Project | None, fields: tuple[str, ...], purpose: str) -> Page:
        """Read one run, as a page of its own; without a project the run's has no name."""

    @abstractmethod
    def read_shared(self, share_token: str, run_id: str | None, backoff: Backoff) -> Flow[Page]:
        """
        Read the run of a public link, or another run of its trace, without a key; its project has no name.

        :raises RunNotFoundError: if the version has the address, and no such run.
        """

    @abstractmethod
    def count_request(self, query: RunQuery) -> Request | None:
        """Write the request for the number of runs, which answers ``{"run_count": 7}``; None if there is none."""

    def shared_request(self, method: str, share_token: str, path: str, json: dict[str, Any] | None = None) -> Request:
        """Write a request about a public link, which needs no key and is a secret."""
        return Request(
            method,
            f"/api/{self.name}/public/{share_token}{path}",
            json=json,
            purpose="a run by its public link",
            needs_key=False,
            display_path=f"/api/{self.name}/public/...{path}",
            secret=share_token,
            max_bytes=MAX_RUN_BYTES,
        )

    def selects(self, fields: Iterable[str]) -> list[str]:
        """Return what to select for some fields."""
        return sorted({name for field in fields for name in self.select[field]})
