"""Which version of the API to use with a server."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from airflow_langsmith.api.dialect import Dialect
from airflow_langsmith.api.flow import Backoff, Flow, Request, read_json
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Info
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.api.statuses import ADDRESS_GONE
from airflow_langsmith.api.v1 import V1
from airflow_langsmith.api.v2 import V2
from airflow_langsmith.errors import (
    ApiError,
    LangSmithError,
    PayloadError,
    RateLimitError,
    RunNotFoundError,
    ServerError,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (V1(), V2())}
FIRST_RELEASE_OF_V2, FIRST_RELEASE_WITHOUT_V1 = (0, 16), (0, 18)  # of self-hosted servers

_FAILING = (ServerError, RateLimitError)
_INFO = msgspec.json.Decoder(Info)


class VersionNegotiator:
    """
    Chooses the version once, by the connection's ``api_version`` or by what the server says of itself.

    With ``auto`` the choice may be wrong, because proxies and old servers say little. Then the first query decides: if
    its address is gone, the other version gets the query. LangSmith slows, limits and fails a version before it removes
    it; so for such a version an answer of 5xx or 429 after all retries means gone as well. After the first page the
    version stays: parents have other sums in the other one.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.backoff = Backoff(settings.max_retries)
        self.can_count = True  # until the address that counts runs proves to be gone
        self._dialect = DIALECTS.get(settings.api_version)
        self._is_confirmed = self._dialect is not None

    def choose(self) -> Flow[Dialect]:
        """Return the version to use."""
        if self._dialect is None:
            has_v2 = self.settings.is_saas or _has_v2((yield from self._read_info()))
            preferred = "v2" if has_v2 else "v1"
            self._dialect = DIALECTS.get(preferred) or next(iter(DIALECTS.values()))
            log.info("LangSmith at %s: using API %s", self.settings.api_url, self._dialect.name)
        return self._dialect

    def ask(
        self, attempt: Callable[[Dialect], Flow[T]], dialect: Dialect | None = None, *, may_fall_back: bool = True
    ) -> Flow[T]:
        """Make an attempt in a version, by default the chosen one, then in the other one if this one may be gone."""
        dialect = dialect or (yield from self.choose())
        try:
            return (yield from attempt(dialect))
        except RunNotFoundError:
            raise  # the address may be gone instead, but then the addresses of queries are, too
        except LangSmithError as error:
            other = self._other(dialect, error) if may_fall_back else None
            if other is None:
                self._add_advice(error)
                raise
            log.warning("Asking API %s instead: %s", other.name, error.cause)
            try:
                result = yield from attempt(other)
            except ADDRESS_GONE:
                if error.retriable:  # an outage: there is no other version
                    raise error from None
                raise
            self.confirm(other)
            return result

    def confirm(self, dialect: Dialect | None = None) -> None:
        """Keep to a version that works, by default the chosen one; from now on an error is an error."""
        self._dialect = dialect or self._dialect
        self._is_confirmed = True

    def count_request(self, query: RunQuery) -> Request | None:
        """Return the request for the number of runs, in whichever version has one."""
        requests = (dialect.count_request(query) for dialect in DIALECTS.values())
        return next(filter(None, requests), None) if self.can_count else None

    @property
    def removal_advice(self) -> str:
        """What to do if LangSmith removes an address."""
        if self._is_set_to_ending_version():
            return f"Set api_version to auto or v2 in {self.settings.connection_name}"
        return "There is nothing to do: this package changes to what takes its place"

    def _is_set_to_ending_version(self) -> bool:
        dialect = DIALECTS.get(self.settings.api_version)
        return dialect is not None and dialect.is_being_removed

    def _other(self, dialect: Dialect, error: LangSmithError) -> Dialect | None:
        """Return the version to try instead, if this error may mean that this one is gone."""
        is_failing = dialect.is_being_removed and isinstance(error, _FAILING)
        if self._is_confirmed or not (is_failing or isinstance(error, ADDRESS_GONE)):
            return None
        return next((other for other in DIALECTS.values() if other is not dialect), None)

    def _add_advice(self, error: LangSmithError) -> None:
        """Add advice to an error that may come from the removal of the version that the connection is set to."""
        if not self._is_set_to_ending_version():
            return
        if isinstance(error, ADDRESS_GONE) or (isinstance(error, _FAILING) and error.is_deprecated):
            version, connection = self.settings.api_version, self.settings.connection_name
            error.specific_advice = f"LangSmith removes API {version}: set api_version to auto or v2 in {connection}."

    def _read_info(self) -> Flow[Info]:
        request = Request("GET", "/api/v1/info", purpose="which version is this server?", needs_key=False)
        try:
            return (yield from read_json(request, _INFO, self.backoff))
        except (ApiError, PayloadError) as error:
            if error.retriable:
                raise  # the next run would choose another version, which has other sums in parents
            log.warning("The server does not say which version it is: %s", error.cause)
            return Info()


def _has_v2(info: Info) -> bool:
    # Self-hosted servers have v2 from 0.16 on, with any storage. If ClickHouse still answers and SmithDB
    # does not, older traces may be in ClickHouse alone.
    flags, release = info.instance_flags or {}, _release(info.version or "")
    is_on_smithdb = bool(flags.get("sdb_query_enabled", False)) or not flags.get("ch_query_enabled", True)
    return release >= FIRST_RELEASE_WITHOUT_V1 or (release >= FIRST_RELEASE_OF_V2 and is_on_smithdb)


def _release(version: str) -> tuple[int, ...]:
    """Parse a server's version for comparison; one that is no number is older than all."""
    numbers = re.match(r"v*([0-9]{1,9})(?:\.([0-9]{1,9}))?(?:\.|$)", version)
    return tuple(int(number) for number in numbers.groups() if number) if numbers else (0,)
