"""Which of the two API versions a server is asked in."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from airflow_langsmith.api import v1, v2
from airflow_langsmith.api.errors import ApiError, LangSmithError, NotFoundError, PayloadError, UnsupportedError
from airflow_langsmith.api.flow import Backoff, Flow, Request
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.reads import read_info
from airflow_langsmith.api.records import Info, Page, Project
from airflow_langsmith.api.settings import Settings

log = logging.getLogger(__name__)


class Dialect(Protocol):
    """One version of the run query; the modules ``v1`` and ``v2`` are its two speakers."""

    NAME: str
    PATH: str
    LARGEST_PAGE: int
    CANNOT_FILTER: frozenset[str]
    SELECT: dict[str, tuple[str, ...]]

    def body(self, query: RunQuery, page_size: int, cursor: str | None) -> dict[str, Any]:
        """Write a page's question."""

    def read(self, content: bytes, project: Project, fields: tuple[str, ...], about: str) -> Page:
        """Read its answer."""

    def question(self, run_id: str, project: Project | None, fields: tuple[str, ...]) -> Request:
        """Write the question for one run."""

    def read_one(self, content: bytes, project: Project | None, fields: tuple[str, ...], about: str) -> Page:
        """Read its answer."""


DIALECTS: dict[str, Dialect] = {v1.NAME: v1, v2.NAME: v2}


class Backend:
    """
    Decides once, by the connection's ``api_version`` or by what the server says of itself.

    With ``auto`` the choice may be wrong, for proxies and old servers say little: then the first query decides, by
    one change to the other version.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.backoff = Backoff(settings.max_retries)
        self.info: Info | None = None
        self._dialect = DIALECTS.get(settings.api_version)
        self._settled = self._dialect is not None

    def choose(self) -> Flow[Dialect]:
        """Find the version to speak."""
        if self._dialect is None:
            if not self.settings.is_saas:  # whose answer is known
                yield from self.ask_info()
            self._dialect = DIALECTS["v2" if self._speaks_v2() else "v1"]
            log.info("LangSmith at %s: using API %s", self.settings.api_url, self._dialect.NAME)
        return self._dialect

    def ask_info(self) -> Flow[Info]:
        """Ask the server what it is; one that does not say is taken for an unknown one."""
        if self.info is None:
            try:
                self.info = yield from read_info(self.backoff)
            except (ApiError, PayloadError) as error:
                if error.retriable:
                    raise  # the next run would find another version, and that has other sums in parents
                log.warning("The server does not say which version it is: %s", error)
                self.info = Info()
        return self.info

    def settle(self) -> None:
        """Note that the version works; from here on an error is an error."""
        self._settled = True

    def switch(self, error: LangSmithError) -> Dialect | None:
        """Change to the other version if this error may mean that; at most once."""
        if self._settled or self._dialect is None or not isinstance(error, NotFoundError | UnsupportedError):
            return None
        self._dialect = DIALECTS["v1" if self._dialect.NAME == "v2" else "v2"]
        self._settled = True
        log.warning("Changing to API %s, for: %s", self._dialect.NAME, error)
        return self._dialect

    def _speaks_v2(self) -> bool:
        # Self-hosted servers have v2 from 0.16 on, whatever they store in; where ClickHouse still answers and
        # SmithDB does not, older traces may be in ClickHouse alone.
        info = self.info or Info()
        flags = info.instance_flags or {}
        smithdb = bool(flags.get("sdb_query_enabled", False))
        clickhouse = bool(flags.get("ch_query_enabled", True))
        return self.settings.is_saas or (_release(info.version or "") >= (0, 16) and (smithdb or not clickhouse))


def _release(version: str) -> tuple[int, ...]:
    """
    Read a server's version for comparison; one that is no number is older than all.

    >>> _release("0.16.3") >= (0, 16)
    True
    """
    numbers = version.lstrip("v").split(".")[:2]
    return tuple(int(number) for number in numbers) if all(number.isdigit() for number in numbers) else (0,)
