"""Which of the two API versions a server is asked in."""

from __future__ import annotations

import logging
import re
from typing import Any, Protocol

import msgspec

from airflow_langsmith.api import v1, v2
from airflow_langsmith.api.flow import Backoff, Flow, Request, read_json
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Info, Page, Project
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.errors import (
    ADDRESS_GONE,
    ApiError,
    LangSmithError,
    PayloadError,
    RateLimitError,
    ServerError,
)

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


V1_GONE = (0, 18)  # the release of self-hosted servers that has no v1 any more
_FAILING = (ServerError, RateLimitError)

_INFO = msgspec.json.Decoder(Info)

DIALECTS: dict[str, Dialect] = {v1.NAME: v1, v2.NAME: v2}


class VersionNegotiator:
    """
    Decides once, by the connection's ``api_version`` or by what the server says of itself.

    With ``auto`` the choice may be wrong, because proxies and old servers say little. Then the first query decides: if
    its address is gone, the other version is asked. v1 leaves LangSmith's cloud on 31 January 2027, and is slowed,
    limited and failed before; so an answer of 5xx or 429 that outlasts all retries counts as gone, too, for v1. After
    the first page nothing changes any more: parents have other sums in the other version.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.backoff = Backoff(settings.max_retries)
        self.info: Info | None = None
        self._dialect = DIALECTS.get(settings.api_version)
        self._settled = self._dialect is not None
        self.has_stats = True  # until the address that counts runs proves to be gone

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
            request = Request("GET", "/api/v1/info", about="which version is this server?", needs_key=False)
            try:
                self.info = yield from read_json(request, _INFO, self.backoff)
            except (ApiError, PayloadError) as error:
                if error.retriable:
                    raise  # the next run would find another version, and that has other sums in parents
                log.warning("The server does not say which version it is: %s", error.cause)
                self.info = Info()
        return self.info

    def confirm(self, dialect: Dialect | None = None) -> None:
        """Note that a version works, by default the chosen one; from here on an error is an error."""
        self._dialect = dialect or self._dialect
        self._settled = True

    def fallback(self, error: LangSmithError) -> Dialect | None:
        """Return the version to ask instead, if this error may mean that the chosen one is gone."""
        if self._settled or self._dialect is None:
            return None
        if not isinstance(error, ADDRESS_GONE) and not (self._dialect is v1 and isinstance(error, _FAILING)):
            return None
        other = DIALECTS["v1" if self._dialect is v2 else "v2"]
        log.warning("Asking API %s instead: %s", other.NAME, error.cause)
        return other

    def add_advice(self, error: LangSmithError) -> None:
        """Let an error say what to do, if the connection insists on v1 and the error may come from v1's removal."""
        if self.settings.api_version != "v1" or not isinstance(error, ApiError):
            return
        if isinstance(error, ADDRESS_GONE) or (error.is_deprecated and isinstance(error, _FAILING)):
            error.specific_advice = (
                f"LangSmith removes API v1: set api_version to auto or v2 in {self.settings.connection_name}."
            )

    def _speaks_v2(self) -> bool:
        # Self-hosted servers have v2 from 0.16 on, whatever they store in; where ClickHouse still answers and
        # SmithDB does not, older traces may be in ClickHouse alone.
        info = self.info or Info()
        flags = info.instance_flags or {}
        smithdb = bool(flags.get("sdb_query_enabled", False))
        clickhouse = bool(flags.get("ch_query_enabled", True))
        release = _release(info.version or "")
        return self.settings.is_saas or release >= V1_GONE or (release >= (0, 16) and (smithdb or not clickhouse))


def _release(version: str) -> tuple[int, ...]:
    """
    Read a server's version for comparison; one that is no number is older than all.

    >>> _release("0.16.3") >= (0, 16)
    True
    """
    numbers = re.match(r"v*([0-9]{1,9})(?:\.([0-9]{1,9}))?(?:\.|$)", version)
    return tuple(int(number) for number in numbers.groups() if number) if numbers else (0,)
