"""One run, by its id or by its public link."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from msgspec.structs import replace

from airflow_langsmith.api import v1
from airflow_langsmith.api.backend import Backend
from airflow_langsmith.api.errors import ConfigurationError, NotFoundError, RunNotFoundError
from airflow_langsmith.api.flow import Flow, Request, exchange
from airflow_langsmith.api.payloads import fetch
from airflow_langsmith.api.query import FIELDS
from airflow_langsmith.api.reads import find_project
from airflow_langsmith.api.records import Page, Project, Run


def read_run(run_id: str, project: Project | None, fields: tuple[str, ...], backend: Backend) -> Flow[Run]:
    """
    Read one run.

    :raises RunNotFoundError: where there is none with this id.
    :raises ConfigurationError: where the id is none, or the version needs the project.
    """
    try:
        run_id = str(UUID(run_id))
    except ValueError:
        raise ConfigurationError(f"{run_id!r} is no run id; ids are UUIDs.") from None
    fields = tuple({"id", "start_time", *fields})  # which no run is without
    dialect = yield from backend.choose()
    request = dialect.question(run_id, project, fields)
    run = yield from _one(request, lambda body: dialect.read_one(body, project, fields, request.about), backend)
    if project is None:
        run = replace(run, project=(yield from find_project(run.project.id, backend.backoff)))
    return run


def read_shared(share_token: str, run_id: str | None, backend: Backend) -> Flow[Run]:
    """
    Read the run of a public link, or another one of its trace.

    Only v1 has an address for that which needs no more than the link; it needs no key. The run's project has an id
    and no name, for the key may not see it.
    """
    place = f"/api/v1/public/{share_token}/run" + (f"/{run_id}" if run_id else "")
    about = "a run by its public link"
    request = Request("GET", place, about=about, needs_key=False, shown="/api/v1/public/.../run")
    return (yield from _one(request, lambda body: v1.read_one(body, None, FIELDS, about), backend))


def _one(request: Request, read: Callable[[bytes], Page], backend: Backend) -> Flow[Run]:
    """Ask for one run, and for what of it lies elsewhere."""
    try:
        page = yield from exchange(lambda: request, read, backend.backoff)
    except NotFoundError as error:
        raise RunNotFoundError(*error.args) from error
    yield from fetch(page.elsewhere, backend.backoff)
    return page.runs[0]
