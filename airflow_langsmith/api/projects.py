"""Projects: find one, list them, and how long their traces are kept."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from airflow_langsmith.api.flow import Backoff, Flow, Request, read_json
from airflow_langsmith.api.listing import Listing
from airflow_langsmith.api.records import Project
from airflow_langsmith.errors import ApiError, ConfigurationError, LangSmithError, PayloadError
from airflow_langsmith.messages import did_you_mean

MAX_PAGE = 100  # projects; more is refused
MAX_NAMES = 10  # in the error about a project that does not exist

BASE_RETENTION, EXTENDED_RETENTION = timedelta(days=14), timedelta(days=400)  # documented; EXTENDED is the longest


class _RetentionSetting(msgspec.Struct):
    tenant_id: str | None = None  # None for the organisation's own
    longlived_ttl_days: int | None = None


_PROJECTS = msgspec.json.Decoder(list[Project])
_RETENTION_SETTINGS = msgspec.json.Decoder(list[_RetentionSetting])


def find_project(name_or_id: str, backoff: Backoff) -> Flow[Project]:
    """
    Find a project by its exact name, or by its id.

    :raises ConfigurationError: if there is no such project.
    """
    keys = ["name"]
    with suppress(ValueError):
        UUID(name_or_id)
        keys.insert(0, "id")
    for key in keys:
        projects = yield from _read_page({key: name_or_id, "limit": 1}, f"project {name_or_id!r}", backoff)
        if projects:
            return projects[0]
    names = yield from _similar_names(backoff)
    listed = f"It can see {', '.join(map(repr, names[:MAX_NAMES]))}{', ...' if len(names) > MAX_NAMES else ''}."
    raise ConfigurationError(
        f"LangSmith has no project {name_or_id!r} that this key can see. {did_you_mean(name_or_id, names)} Check the "
        "name (it is matched exactly, capitals too), the connection's workspace_id, and that host is the project's "
        f"region. {listed if names else ''}"
    )


def list_projects(name_contains: str | None, backoff: Backoff) -> Listing[Project]:
    """Return the listing of all projects, or of those whose name contains a text."""

    def read_page(offset: int) -> Flow[list[Project]]:
        params = {"name_contains": name_contains, "offset": offset, "limit": MAX_PAGE}
        return (yield from _read_page(params, f"projects from {offset}", backoff))

    return Listing(read_page, "projects")


def known_retention(project: Project) -> timedelta | None:
    """Return how long the traces of a project are kept, if the project itself says so."""
    if (project.trace_tier or "").replace("_", "").lower() == "shortlived":
        return BASE_RETENTION
    return _days(project.longlived_ttl_days) if project.longlived_ttl_days else None


def read_retention(project: Project, backoff: Backoff) -> Flow[timedelta]:
    """Return how long the traces of a project are kept at most; if it does not say, ask the workspace."""
    known = known_retention(project)
    if known is not None:
        return known
    request = Request("GET", "/api/v1/ttl-settings", purpose="how long traces are kept")
    try:
        settings = yield from read_json(request, _RETENTION_SETTINGS, backoff)
    except (ApiError, PayloadError):  # old servers do not say, and some keys may not ask
        return EXTENDED_RETENTION
    of_workspace = [setting for setting in settings if setting.tenant_id is not None]
    days = [setting.longlived_ttl_days for setting in of_workspace or settings if setting.longlived_ttl_days]
    return _days(max(days)) if days else EXTENDED_RETENTION


def _similar_names(backoff: Backoff) -> Flow[list[str]]:
    """Read names of projects to suggest from; none if that fails as well."""
    params = {"limit": MAX_PAGE, "reference_free": "true"}
    try:
        projects = yield from _read_page(params, "names of projects", replace(backoff, retries=0))
    except LangSmithError:
        return []
    return [project.name for project in projects]


def _read_page(params: dict[str, Any], purpose: str, backoff: Backoff) -> Flow[list[Project]]:
    request = Request("GET", "/api/v1/sessions", params={**params, "include_stats": "false"}, purpose=purpose)
    return (yield from read_json(request, _PROJECTS, backoff))


def _days(number: int) -> timedelta:
    return timedelta(days=min(max(number, 0), 36_500))  # LangSmith may send any number
