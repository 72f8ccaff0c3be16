"""Addresses in LangSmith's UI: of projects and runs, and what a pasted one refers to."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlencode
from uuid import UUID

from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Project, Run
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.errors import ConfigurationError

_UUID = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_PROJECT = re.compile(f"/projects/p/({_UUID})")
_RUN = re.compile(f"/r/({_UUID})")
_PEEKED = re.compile(f"[?&]peek=({_UUID})(?:[&#]|$)")  # the run opened beside a list of runs
_SHARED = re.compile(f"/public/({_UUID})/r(?:/({_UUID}))?(?:[/?#]|$)")


@dataclass(frozen=True)
class RunReference:
    """A run as a user writes it: an id, with its project if an address names it, or the token of a public link."""

    run_id: str | None
    project_id: str | None = None
    share_token: str | None = field(default=None, repr=False)


def parse_run_reference(text: str) -> RunReference:
    """
    Read a run's id, its address in the UI, or a public share link.

    :raises ConfigurationError: for anything else.
    """
    pasted = text.strip()
    with suppress(ValueError):
        return RunReference(str(UUID(pasted)))
    if shared := _SHARED.search(pasted):
        return RunReference(shared[2], share_token=shared[1])
    project = _PROJECT.search(pasted)
    run = _RUN.search(pasted) or _PEEKED.search(pasted)
    if run is None:
        text = "This public link" if "/public/" in pasted else repr(pasted[:200])
        raise ConfigurationError(
            f"{text} names no run: give a run's id, its address in LangSmith's UI (.../projects/p/.../r/...) "
            "or a public link to it (.../public/.../r)."
        )
    return RunReference(run[1], project[1] if project else None)


def project_url(settings: Settings, project: Project, query: RunQuery | None = None) -> str:
    """Return the address of a project; with a query, of its list of runs narrowed to that."""
    place = f"{settings.ui_url}/o/{project.tenant_id or settings.workspace_id or ''}/projects/p/{project.id}"
    if query is None:
        return place
    which = query.run_filter
    search = {"filter": query.window_filter, "traceFilter": which.trace_filter, "treeFilter": which.tree_filter}
    model = json.dumps({name: filter_ for name, filter_ in search.items() if filter_}, ensure_ascii=False)
    # The window is in the filter: what a time model may say beside a duration is nowhere documented.
    return f"{place}?{urlencode({'timeModel': '{}', 'searchModel': model})}"


def run_url(settings: Settings, run: Run) -> str:
    """Return the address of a run."""
    return f"{project_url(settings, run.project)}/r/{run.id}?poll=true"
