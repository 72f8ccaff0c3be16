"""From an Airflow connection to a LangSmith client."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Required, Self, Unpack, cast

import msgspec

from airflow_langsmith import arguments
from airflow_langsmith.airflow_sdk import BaseHook, mask_secret
from airflow_langsmith.api.client import AsyncLangSmithClient, LangSmithClient
from airflow_langsmith.api.dotted_order import tree_order
from airflow_langsmith.api.hosts import address_from_fields
from airflow_langsmith.api.query import BEGINNING, FIELDS, RunQuery, bounded
from airflow_langsmith.api.records import Feedback, Project, Run
from airflow_langsmith.api.run_filter import RunFilter, RunFilterArguments
from airflow_langsmith.api.settings import EXTRA_FIELDS as EXTRAS
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.api.ui_urls import parse_run_reference
from airflow_langsmith.connections import connection_of, extra_of
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.filters import Expression, thread
from airflow_langsmith.messages import suggest
from airflow_langsmith.provider_info import CONNECTION_TYPE
from airflow_langsmith.views import view_of
from airflow_langsmith.windows import TimeWindow

if TYPE_CHECKING:
    from airflow_langsmith.airflow_sdk import Connection

__all__ = ["LangSmithHook"]

_SMALL = 100  # a page of either version
_PATIENCE = 10.0  # seconds that "Test connection" waits for an answer: somebody waits for it
_COUNTED = 1000  # projects that "Test connection" counts before it says "more than"


_read_limit = arguments.optional(partial(arguments.whole_number, minimum=0))


class RunArguments(RunFilterArguments, total=False):
    """
    What a query of runs asks for.

    ``project`` names one or several projects, by name or id. ``start_time`` is inside the window, None for all there
    are, ``end_time`` outside, None for now. The others narrow
    (:class:`~airflow_langsmith.api.run_filter.RunFilter`).
    """

    project: Required[str | Iterable[str]]
    start_time: datetime | None
    end_time: datetime | None


def _fields(select: Iterable[str]) -> tuple[str, ...]:
    names = arguments.names(select, "select")
    return FIELDS if names is None else names


class LangSmithHook(BaseHook):
    """
    Reads LangSmith by an Airflow connection of type ``langsmith``.

    A client is made when first needed and keeps its connections until :meth:`close`; the hook is a context manager.
    Methods raise the errors of :mod:`airflow_langsmith.errors`.

    :param langsmith_conn_id: The connection's id.
    """

    conn_name_attr = "langsmith_conn_id"
    default_conn_name = "langsmith_default"
    conn_type = CONNECTION_TYPE["connection-type"]
    hook_name = CONNECTION_TYPE["hook-name"]

    def __init__(self, langsmith_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.langsmith_conn_id = arguments.text(langsmith_conn_id, "langsmith_conn_id") or self.default_conn_name

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Shape the connection form before Airflow 3.2, which reads it from the provider's metadata."""
        behaviour = CONNECTION_TYPE["ui-field-behaviour"]
        return {
            "hidden_fields": behaviour["hidden-fields"],
            "relabeling": behaviour["relabeling"],
            "placeholders": behaviour["placeholders"],
        }

    @cached_property
    def settings(self) -> Settings:
        """
        What the connection says.

        :raises ConfigurationError: naming the field that is wrong.
        """
        what = "of type LangSmith, with the API key as its password"
        return self._read(connection_of(self.langsmith_conn_id, what))

    def _read(self, connection: Connection) -> Settings:
        if connection.password:
            mask_secret(connection.password)  # Airflow 3.0 does not, for connections of the environment
        try:
            extra = extra_of(connection, self.langsmith_conn_id)
            host = address_from_fields(connection.host, connection.port, connection.schema)
            settings = Settings.parse(
                host=host, api_key=connection.password, extra=extra, conn_id=self.langsmith_conn_id
            )
        except ConfigurationError as error:
            error.where = f"Connection {self.langsmith_conn_id}."
            raise
        for name in sorted(set(extra) - set(EXTRAS)):
            self.log.warning(
                "Connection %s: extra %r is unknown and ignored. %s",
                self.langsmith_conn_id,
                name,
                suggest(name, EXTRAS),
            )
        return settings

    async def aget_conn(self) -> AsyncLangSmithClient:
        """
        Make a client that does not block, for triggers; whoever asks for it closes it.

        The connection, and the CA bundle, are read in a thread, where every Airflow 3 may wait for them.
        """
        from asgiref.sync import sync_to_async  # noqa: PLC0415  # triggers alone need it

        return await sync_to_async(lambda: AsyncLangSmithClient(self.settings))()

    def get_conn(self) -> LangSmithClient:
        """Give the client, the same one each time."""
        return self._client

    @cached_property
    def _client(self) -> LangSmithClient:
        return LangSmithClient(self.settings)

    def __enter__(self) -> Self:
        """Give the hook."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the client."""
        self.close()

    def close(self) -> None:
        """Close the client's connections, if there are any; a later call makes new ones."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()

    def query_runs(
        self,
        *,
        select: Iterable[str] | None = None,
        limit: int | None = None,
        parent_run_id: str | None = None,
        **query: Unpack[RunArguments],
    ) -> Iterator[Run]:
        """
        Read runs over all pages, newest first, project by project.

        :param select: Fields of :class:`~airflow_langsmith.api.records.Run` to fill; fewer are faster. By default those
            of the default columns of the view ``runs``.
        :param limit: How many runs at most.
        :param parent_run_id: Only runs called directly from this one; found through its trace.
        :param query: What :class:`RunArguments` says.
        """
        fields = view_of("runs").fields if select is None else _fields(select)
        parent, most = arguments.text(parent_run_id, "parent_run_id"), _read_limit(limit, "limit")
        if parent is None:
            return islice(self._runs(fields, query, most if most and most < _SMALL else None), most)
        project = query.get("project")
        if isinstance(project, str) and arguments.text(query.get("trace_id"), "trace_id") is None:
            query["trace_id"] = self.read_run(parent, project, ["trace_id"]).trace_id
        runs = self._runs((*fields, "parent_run_id"), query)
        return islice((run for run in runs if run.parent_run_id == parent), most)

    def count_runs(self, **query: Unpack[RunArguments]) -> int:
        """Count runs: by a page of ids and, where there are more, by LangSmith's own count, so in two requests."""
        client = self.get_conn()
        return sum(client.count(asked) for asked in self._queries(("id",), query))

    def read_run(self, run_id: str, project: str | None = None, select: Iterable[str] = FIELDS) -> Run:
        """
        Read one run.

        :param run_id: Its id, its address in LangSmith's UI, or a public share link.
        :param project: Name or id of its project, which API v2 has to know; an address names it.
        :raises NotFoundError: where there is no such run.
        """
        client, wanted = self.get_conn(), parse_run_reference(arguments.required(run_id, "run_id"))
        if wanted.share_token:
            return client.shared_run(wanted.share_token, wanted.run_id)
        place = arguments.text(project, "project") or wanted.project_id
        return client.run(str(wanted.run_id), client.project(place) if place else None, _fields(select))

    def read_trace(self, trace_id: str, project: str, select: Iterable[str] = FIELDS) -> list[Run]:
        """Read all runs of a trace, in the order of the tree: each before what it called, and that in order."""
        query: RunArguments = {"project": project, "trace_id": arguments.required(trace_id, "trace_id")}
        runs = list(self._runs((*_fields(select), "dotted_order"), query))
        place = tree_order(run.dotted_order or "" for run in runs)
        return sorted(runs, key=lambda run: place(run.dotted_order or ""))

    def read_thread(self, thread_id: str, project: str, select: Iterable[str] = FIELDS) -> list[Run]:
        """Read the turns of a thread: the roots that bear its id under any of the three metadata keys, oldest first."""
        turns = self.query_runs(
            project=project, is_root=True, filter=thread(arguments.required(thread_id, "thread_id")), select=select
        )
        return sorted(turns, key=lambda run: run.start_time)

    def list_feedback(
        self,
        *,
        project: str | None = None,
        run_ids: Iterable[str] | None = None,
        keys: Iterable[str] = (),
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Iterator[Feedback]:
        """List feedback, each piece once: of a project, of runs, under keys, created in ``[after, before)``."""
        client, name = self.get_conn(), arguments.text(project, "project")
        return client.feedback(
            project=client.project(name) if name else None,
            run_ids=arguments.ids(run_ids, "run_ids"),
            keys=arguments.names(keys, "keys") or (),
            created=(
                arguments.moment(created_after, "created_after"),
                arguments.moment(created_before, "created_before"),
            ),
        )

    def list_projects(self, name_contains: str | None = None) -> Iterator[Project]:
        """List the projects that the key sees, all or those whose name contains a text."""
        return self.get_conn().projects(arguments.text(name_contains, "name_contains"))

    @staticmethod
    def plain(records: Any) -> Any:
        """
        Return what this hook's methods return as plain values: a ``@task`` can return them, to XCom.

        Runs, projects and feedback become dicts, an iterator becomes a list, times become ISO texts, and payloads the
        values that their JSON holds::

            return hook.plain(hook.query_runs(project="shop", select=["name", "inputs"], limit=10))
        """
        return json.loads(msgspec.json.encode(list(records) if isinstance(records, Iterator) else records))

    def project_id(self, name: str) -> str:
        """
        Find a project's id by its exact name.

        :raises ConfigurationError: where there is none.
        """
        return self.get_conn().project(arguments.required(name, "name")).id

    def validate_filter(
        self,
        filter: Expression | None = None,  # noqa: A002  # LangSmith's own name
        *,
        project: str,
        trace_filter: Expression | None = None,
        tree_filter: Expression | None = None,
    ) -> None:
        """
        Let LangSmith judge filters, by asking for one run of the last second.

        :raises ConfigurationError: for what is no expression, or none for this API version; nothing is asked then.
        :raises InvalidQueryError: for what LangSmith refuses, with its reason.
        """
        now = datetime.now(UTC)
        query: RunArguments = {
            "project": project,
            "start_time": now - timedelta(seconds=1),
            "end_time": now,
            "filter": filter,
            "trace_filter": trace_filter,
            "tree_filter": tree_filter,
        }
        next(self._runs(("id",), query, page_size=1), None)

    def _runs(self, fields: tuple[str, ...], query: RunArguments, page_size: int | None = None) -> Iterator[Run]:
        client = self.get_conn()
        for asked in self._queries(fields, query, page_size):
            yield from client.runs(asked)

    def _queries(
        self, fields: tuple[str, ...], query: RunArguments, page_size: int | None = None
    ) -> Iterator[RunQuery]:
        client, narrowing = self.get_conn(), cast("dict[str, Any]", {**query})
        projects, start, end = (narrowing.pop(name, None) for name in ("project", "start_time", "end_time"))
        run_filter = RunFilter.parse(narrowing)
        window = TimeWindow(
            bounded(arguments.moment(start, "start_time") or BEGINNING, "start_time"),
            bounded(arguments.moment(end, "end_time") or datetime.now(UTC), "end_time"),
        )
        names = None if isinstance(projects, str) else arguments.names(projects, "project")
        for name in [projects] if names is None else names:
            yield RunQuery(
                project=client.project(arguments.required(name, "project")),
                window=window,
                run_filter=run_filter,
                fields=fields,
                page_size=page_size,
            )

    def test_connection(self) -> tuple[bool, str]:
        """Say which host, workspace and API version this is, and how many projects it sees."""
        try:
            settings = replace(self.settings, timeout=min(self.settings.timeout, _PATIENCE), max_retries=0)
            with LangSmithClient(settings) as client:
                projects = list(islice(client.projects(), _COUNTED + 1))
                version = client.api_version()
        except Exception as error:  # noqa: BLE001  # whatever it is belongs into the form, not into a traceback
            return False, str(error)
        workspace = self.settings.workspace_id or next((project.tenant_id for project in projects), None) or "unknown"
        count = f"more than {_COUNTED}" if len(projects) > _COUNTED else str(len(projects))
        return True, f"{self.settings.api_url}, workspace {workspace}, API {version}: sees {count} projects."
