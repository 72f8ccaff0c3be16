"""How long LangSmith keeps the traces of a project."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from airflow_langsmith.api.decoding import decode
from airflow_langsmith.api.flow import Backoff, Flow, Request, with_retries
from airflow_langsmith.api.records import Project
from airflow_langsmith.errors import ApiError, PayloadError

BASE, EXTENDED = timedelta(days=14), timedelta(days=400)  # documented; EXTENDED is the most there is


class _Setting(msgspec.Struct):
    tenant_id: str | None = None  # None for the organisation's own
    longlived_ttl_days: int | None = None


_SETTINGS = msgspec.json.Decoder(list[_Setting])


def certain_retention(project: Project) -> timedelta | None:
    """Return how long the traces of a project are kept, as far as the project itself says so."""
    if _is_base(project):
        return BASE
    return _days(project.longlived_ttl_days) if project.longlived_ttl_days else None


def read_retention(project: Project, backoff: Backoff) -> Flow[timedelta]:
    """Return how long the traces of a project are kept at most; if it does not say, the workspace is asked."""
    certain = certain_retention(project)
    if certain is not None:
        return certain
    request = Request("GET", "/api/v1/ttl-settings", about="how long traces are kept")
    try:
        found = yield from with_retries(lambda: request, lambda body: decode(_SETTINGS, body, request.about), backoff)
    except (ApiError, PayloadError):  # old servers do not say, and some keys may not ask
        return EXTENDED
    own = [setting for setting in found if setting.tenant_id is not None]
    days = [setting.longlived_ttl_days for setting in own or found if setting.longlived_ttl_days]
    return _days(max(days)) if days else EXTENDED


def _days(number: int) -> timedelta:
    """Make a length of time of a number that may be anything: no calendar has more than a century of runs."""
    return timedelta(days=min(max(number, 0), 36_500))


def _is_base(project: Project) -> bool:
    return (project.trace_tier or "").replace("_", "").lower() == "shortlived"
