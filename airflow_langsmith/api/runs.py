"""Runs: read one, by its id or by its public link; count those of a query; list those that have not ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from uuid import UUID

import msgspec

from airflow_langsmith.api import v1, v2
from airflow_langsmith.api.flow import MAX_RUN_BYTES, Flow, Request, read_all, read_json, with_retries
from airflow_langsmith.api.negotiation import Dialect, VersionNegotiator
from airflow_langsmith.api.pagination import DistinctRuns
from airflow_langsmith.api.payloads import fetch_blobs
from airflow_langsmith.api.projects import find_project
from airflow_langsmith.api.query import FIELDS, RunQuery, check_fields
from airflow_langsmith.api.records import Page, Project, Run
from airflow_langsmith.errors import (
    ADDRESS_GONE,
    ApiError,
    AuthenticationError,
    ConfigurationError,
    InvalidQueryError,
    LangSmithError,
    NotFoundError,
    RateLimitError,
    RunNotFoundError,
    ServerError,
    UnsupportedError,
)
from airflow_langsmith.filters import eq

log = logging.getLogger(__name__)

STATS_PATH = "/api/v1/runs/stats"
MAX_STATS_RETRIES = 3  # because pages of ids count as well


def read_run(run_id: str, project: Project | None, fields: tuple[str, ...], negotiator: VersionNegotiator) -> Flow[Run]:
    """
    Read one run.

    :raises RunNotFoundError: where there is none with this id.
    :raises ConfigurationError: where the id is none, or the version needs the project.
    """
    try:
        run_id = str(UUID(run_id))
    except ValueError:
        raise ConfigurationError(f"{run_id!r} is no run id; ids are UUIDs.") from None
    check_fields(fields)
    fields = tuple({"id", "start_time", *fields})  # which no run is without
    dialect = yield from negotiator.choose()
    try:
        run = yield from _ask(dialect, run_id, project, fields, negotiator)
    except RunNotFoundError:
        raise  # or its address is gone, and then v1's other addresses are, too
    except LangSmithError as error:
        other = negotiator.fallback(error) if project else None  # v2 has to know the project
        if other is None:
            negotiator.add_advice(error)
            raise
        try:
            run = yield from _ask(other, run_id, project, fields, negotiator)
        except ADDRESS_GONE:
            if error.retriable:  # an outage: there is no other version
                raise error from None
            raise
        negotiator.confirm(other)
    if project is None:
        run = msgspec.structs.replace(run, project=(yield from find_project(run.project.id, negotiator.backoff)))
    return run


def read_shared(share_token: str, run_id: str | None, negotiator: VersionNegotiator) -> Flow[Run]:
    """
    Read the run of a public link, or another one of its trace.

    v1 has an address for it that needs no key and gives all of the run. When that is gone, v2 gives the run without
    its payloads, and says which project it is in: if the key can see that, the run is read with the key. Otherwise the
    run's ``missing_payloads`` names what is missing. A run read without the key has a project without a name.
    """
    place = f"/api/v1/public/{share_token}/run" + (f"/{run_id}" if run_id else "")
    about = "a run by its public link"
    display_path = "/api/v1/public/.../run"
    request = Request(
        "GET",
        place,
        about=about,
        needs_key=False,
        display_path=display_path,
        secret=share_token,
        max_bytes=MAX_RUN_BYTES,
    )
    try:
        return (yield from _one(request, lambda body: v1.read_one(body, None, FIELDS, about), negotiator))
    except (RunNotFoundError, UnsupportedError, ServerError, RateLimitError) as error:
        is_unknown = isinstance(error, RunNotFoundError) and not _is_no_address(error)
        run = None if is_unknown else (yield from _shared_on_v2(share_token, run_id, negotiator))
        if run is None:
            raise error from None
    return (yield from _with_key(run, negotiator))


class _Stats(msgspec.Struct):
    run_count: int | None = None


_STATS = msgspec.json.Decoder(_Stats)


def count_runs(query: RunQuery, negotiator: VersionNegotiator) -> Flow[int]:
    """
    Count runs: by one page of ids and, if there are more, by one request for their stats.

    A server without stats, or whose stats fail, is counted by all pages of ids. Servers of both versions have the
    address of the stats, and v2 has nothing in its place if it goes with v1.
    """
    runs = DistinctRuns(replace(query, fields=("id",)), negotiator)
    total = len((yield from runs.next_page()))
    if not runs.done and negotiator.has_stats:
        request = Request("POST", STATS_PATH, tier="run stats", json=v1.stats_body(query), about=query.about)
        backoff = replace(negotiator.backoff, retries=min(negotiator.backoff.retries, MAX_STATS_RETRIES))
        try:
            stats = yield from read_json(request, _STATS, backoff)
        except ADDRESS_GONE:
            negotiator.has_stats = False
        except ApiError as error:
            log.warning("Counting runs by their pages, because their stats failed: %s", error.cause)
        else:
            if stats.run_count is not None:
                return stats.run_count
    while not runs.done:
        total += len((yield from runs.next_page()))
    return total


def list_pending(query: RunQuery, negotiator: VersionNegotiator) -> Flow[list[Run]]:
    """List the runs that have not ended, by id, name and start."""
    pending = replace(query, fields=("id", "name", "start_time")).also(eq("status", "pending"))
    return (yield from read_all(DistinctRuns(pending, negotiator)))


def _shared_on_v2(share_token: str, run_id: str | None, negotiator: VersionNegotiator) -> Flow[Run | None]:
    """Read a run by its public link on v2; None if there is no such run or no such address."""
    for path in v2.SHARED_PATHS:
        request = v2.shared_question(share_token, path)
        read = partial(v2.read_shared, share_token=share_token, run_id=run_id, about=request.about)
        try:
            return (yield from with_retries(partial(_same, request), read, negotiator.backoff))
        except (*ADDRESS_GONE, InvalidQueryError):
            continue
    return None


def _is_no_address(error: ApiError) -> bool:
    """Tell a 404 of an address that is gone, by a router or a proxy, from LangSmith's own about a run."""
    return error.detail.lower() in ("not found", "404 page not found") or error.detail.startswith("<")


def _with_key(run: Run, negotiator: VersionNegotiator) -> Flow[Run]:
    """Read a shared run again with the key, if the key can see it."""
    try:
        if not run.project.id:
            raise ConfigurationError("The public link does not say which project its run is in.")  # noqa: TRY301
        project = yield from find_project(run.project.id, negotiator.backoff)
        return (yield from read_run(run.id, project, FIELDS, negotiator))
    except (ConfigurationError, AuthenticationError, NotFoundError) as error:
        log.warning("A public link gives no inputs and outputs on API v2, and the key cannot see the run")
        log.info("Reading the run with the key: %s", error.cause)
        return run


def _ask(
    dialect: Dialect, run_id: str, project: Project | None, fields: tuple[str, ...], negotiator: VersionNegotiator
) -> Flow[Run]:
    request = dialect.question(run_id, project, fields)
    return (yield from _one(request, lambda body: dialect.read_one(body, project, fields, request.about), negotiator))


def _same(request: Request) -> Request:
    return request


def _one(request: Request, read: Callable[[bytes], Page], negotiator: VersionNegotiator) -> Flow[Run]:
    """Ask for one run, and for what of it lies elsewhere."""
    try:
        page = yield from with_retries(lambda: request, read, negotiator.backoff)
    except NotFoundError as error:
        raise RunNotFoundError(*error.args) from error
    yield from fetch_blobs(page.blobs, negotiator.backoff)
    return page.runs[0]
