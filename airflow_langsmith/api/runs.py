"""Read a run by its id or its public link, count the runs of a query, list the runs that have not ended."""

from __future__ import annotations

import logging
from dataclasses import replace
from uuid import UUID

import msgspec

from airflow_langsmith.api.dialect import Dialect
from airflow_langsmith.api.flow import Flow, read_all, read_json, send
from airflow_langsmith.api.negotiation import DIALECTS, VersionNegotiator
from airflow_langsmith.api.pagination import DistinctRuns
from airflow_langsmith.api.payloads import fetch_blobs
from airflow_langsmith.api.projects import find_project
from airflow_langsmith.api.query import FIELDS, RunQuery, check_fields
from airflow_langsmith.api.records import Project, Run
from airflow_langsmith.api.statuses import ADDRESS_GONE
from airflow_langsmith.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    InvalidQueryError,
    NotFoundError,
    RateLimitError,
    RunNotFoundError,
    ServerError,
)
from airflow_langsmith.filters import eq

log = logging.getLogger(__name__)

MAX_COUNT_RETRIES = 3  # because pages of ids count as well


class _Count(msgspec.Struct):
    run_count: int | None = None


_COUNT = msgspec.json.Decoder(_Count)


def read_run(run_id: str, project: Project | None, fields: tuple[str, ...], negotiator: VersionNegotiator) -> Flow[Run]:
    """
    Read a run.

    :raises RunNotFoundError: if no run has this id.
    :raises ConfigurationError: if this is no id, or the version needs the project.
    """
    try:
        run_id = str(UUID(run_id))
    except ValueError:
        raise ConfigurationError(f"{run_id!r} is no run id; ids are UUIDs.") from None
    check_fields(fields)
    fields = tuple({"id", "start_time", *fields})  # every run has these

    def attempt(dialect: Dialect) -> Flow[Run]:
        request = dialect.run_request(run_id, project, fields)
        try:
            page = yield from send(
                request, lambda content: dialect.read_run(content, project, fields, request.purpose), negotiator.backoff
            )
        except NotFoundError as error:
            raise RunNotFoundError(*error.args) from error
        yield from fetch_blobs(page.blobs, negotiator.backoff)
        return page.runs[0]

    run = yield from negotiator.ask(attempt, may_fall_back=project is not None)  # v2 has to know the project
    if project is None:
        run = msgspec.structs.replace(run, project=(yield from find_project(run.project.id, negotiator.backoff)))
    return run


def read_shared(share_token: str, run_id: str | None, negotiator: VersionNegotiator) -> Flow[Run]:
    """
    Read the run of a public link, or another run of its trace.

    The first version that has the address answers. v1 needs no key and sends the whole run. v2 leaves out the payloads,
    but names the project: if the key can see that, the run is read with the key. Otherwise ``missing_payloads`` names
    what is missing. A run read without the key has a project without a name.
    """
    failure: ApiError | None = None
    for dialect in DIALECTS.values():
        try:
            page = yield from dialect.read_shared(share_token, run_id, negotiator.backoff)
        except (*ADDRESS_GONE, InvalidQueryError, ServerError, RateLimitError) as error:
            failure = failure or error
            if isinstance(error, RunNotFoundError):
                break
            continue
        (run,) = page.runs
        yield from fetch_blobs(page.blobs, negotiator.backoff)
        return (yield from _read_with_key(run, negotiator)) if run.missing_payloads else run
    raise failure or RuntimeError("no version of the API is registered")


def _read_with_key(run: Run, negotiator: VersionNegotiator) -> Flow[Run]:
    """Read a shared run again with the key, if the key can see it."""
    if run.project.id:
        try:
            project = yield from find_project(run.project.id, negotiator.backoff)
            return (yield from read_run(run.id, project, FIELDS, negotiator))
        except (ConfigurationError, AuthenticationError, NotFoundError) as error:
            log.info("Reading the run with the key: %s", error.cause)
    log.warning("A public link gives no inputs and outputs on API v2, and the key cannot see the run")
    return run


def count_runs(query: RunQuery, negotiator: VersionNegotiator) -> Flow[int]:
    """Count runs: by one page of ids, then by one request for their number or, if that fails, by all pages of ids."""
    runs = DistinctRuns(replace(query, fields=("id",)), negotiator)
    total = len((yield from runs.next_page()))
    request = None if runs.done else negotiator.count_request(query)
    if request:
        backoff = replace(negotiator.backoff, retries=min(negotiator.backoff.retries, MAX_COUNT_RETRIES))
        try:
            count = (yield from read_json(request, _COUNT, backoff)).run_count
            if count is not None:
                return count
        except ADDRESS_GONE:
            negotiator.can_count = False
        except ApiError as error:
            log.warning("Counting runs by their pages, because their stats failed: %s", error.cause)
    while not runs.done:
        total += len((yield from runs.next_page()))
    return total


def list_pending(query: RunQuery, negotiator: VersionNegotiator) -> Flow[list[Run]]:
    """List the runs that have not ended, by id, name and start."""
    pending = replace(query, fields=("id", "name", "start_time")).also(eq("status", "pending"))
    return (yield from read_all(DistinctRuns(pending, negotiator)))
