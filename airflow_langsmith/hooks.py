"""The hook: an Airflow connection, and queries of LangSmith from Python."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from itertools import islice
from typing import Any, Required, Self, Unpack, cast

import msgspec

from airflow_langsmith import arguments
from airflow_langsmith.airflow_sdk import BaseHook, mask_secret
from airflow_langsmith.api.bulk_exports import (
    cancel_bulk_export,
    create_bulk_export,
    list_bulk_exports,
    list_destinations,
    list_runs_of,
    read_bulk_export,
)
from airflow_langsmith.api.bulk_records import BulkDestination, BulkExport, BulkExportRun
from airflow_langsmith.api.bulk_request import BulkExportRequest, Compression, FormatVersion, filter_of
from airflow_langsmith.api.client import AsyncLangSmithClient, LangSmithClient
from airflow_langsmith.api.hosts import address_from_fields
from airflow_langsmith.api.query import BEGINNING, FIELDS, RunQuery, bounded
from airflow_langsmith.api.records import Feedback, Project, Run, tree_order
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

__all__ = ["LangSmithHook"]

_MAX_PAGE_SIZE = 100  # of both API versions
_TEST_TIMEOUT_SECONDS = 10.0  # of "Test connection": a person waits for it
_TEST_MAX_PROJECTS = 1000  # more are not counted


_read_limit = arguments.optional(partial(arguments.whole_number, minimum=0))


class RunArguments(RunFilterArguments, total=False):
    """
    The arguments of a query of runs.

    ``project`` is the name or id of a project, or several. The window is ``[start_time, end_time)``: without a start
    all runs, without an end those until now. :class:`~airflow_langsmith.api.run_filter.RunFilter` explains the others.
    """

    project: Required[str | Iterable[str]]
    start_time: datetime | None
    end_time: datetime | None


def _fields(select: Iterable[str]) -> tuple[str, ...]:
    names = arguments.names(select, "select")
    return FIELDS if names is None else names


class LangSmithHook(BaseHook):
    """
    Queries LangSmith with an Airflow connection of type ``langsmith``.

    ::

        with LangSmithHook() as hook:
            slow = hook.query_runs(project="shop", filter=gt("latency", 10), select=["name", "total_cost"])

    The client keeps its HTTP connections until :meth:`close`, or the end of ``with``. Methods raise the errors of
    :mod:`airflow_langsmith.errors`.

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
        """Return the connection form for Airflow 3.0 and 3.1. Later releases read the provider's metadata."""
        behaviour = CONNECTION_TYPE["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    @cached_property
    def settings(self) -> Settings:
        """
        The settings of the connection.

        :raises ConfigurationError: naming the field that is wrong.
        """
        connection = connection_of(self.langsmith_conn_id, "of type LangSmith, with the API key as its password")
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
        Return a new client for an event loop. The caller closes it.

        A thread reads the connection and the CA bundle, because they may block.
        """
        from asgiref.sync import sync_to_async  # noqa: PLC0415  # only triggers need it

        return await sync_to_async(lambda: AsyncLangSmithClient(self.settings))()

    def get_conn(self) -> LangSmithClient:
        """Return the client, the same one each time."""
        return self._client

    @cached_property
    def _client(self) -> LangSmithClient:
        return LangSmithClient(self.settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the client's connections. A later call opens new ones."""
        if client := self.__dict__.pop("_client", None):
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

        ::

            hook.query_runs(project="shop", start_time=datetime(2026, 3, 1, tzinfo=UTC), error=True, limit=10)

        :param select: Fields of :class:`~airflow_langsmith.api.records.Run` to read; fewer are faster. By default those
            of the default columns of the view ``runs``. Other fields are None.
        :param limit: The maximum number of runs.
        :param parent_run_id: Only runs that this run called directly.
        :param query: The arguments of :class:`RunArguments`.
        """
        fields = view_of("runs").fields if select is None else _fields(select)
        parent, limit = arguments.text(parent_run_id, "parent_run_id"), _read_limit(limit, "limit")
        if parent is None:
            return islice(self._runs(fields, query, limit if limit and limit < _MAX_PAGE_SIZE else None), limit)
        project = query.get("project")
        if isinstance(project, str) and arguments.text(query.get("trace_id"), "trace_id") is None:
            query["trace_id"] = self.read_run(parent, project, ["trace_id"]).trace_id
        runs = self._runs((*fields, "parent_run_id"), query)
        return islice((run for run in runs if run.parent_run_id == parent), limit)

    def count_runs(self, **query: Unpack[RunArguments]) -> int:
        """Count runs, in at most two requests a project: a page of ids and, if there are more, LangSmith's count."""
        client = self.get_conn()
        return sum(client.count(run_query) for run_query in self._queries(("id",), query))

    def read_run(self, run_id: str, project: str | None = None, select: Iterable[str] = FIELDS) -> Run:
        """
        Read one run.

        :param run_id: Its id, its URL in LangSmith's UI, or a public share link.
        :param project: Name or id of its project, which API v2 needs. A URL contains it.
        :raises NotFoundError: if there is no such run.
        """
        client, reference = self.get_conn(), parse_run_reference(arguments.required(run_id, "run_id"))
        if reference.share_token:
            return client.shared_run(reference.share_token, reference.run_id)
        name = arguments.text(project, "project") or reference.project_id
        return client.run(str(reference.run_id), client.project(name) if name else None, _fields(select))

    def read_trace(self, trace_id: str, project: str, select: Iterable[str] = FIELDS) -> list[Run]:
        """Read all runs of a trace, in the order of the tree: each run before the runs that it called."""
        query: RunArguments = {"project": project, "trace_id": arguments.required(trace_id, "trace_id")}
        runs = list(self._runs((*_fields(select), "dotted_order"), query))
        place = tree_order(run.dotted_order or "" for run in runs)
        return sorted(runs, key=lambda run: place(run.dotted_order or ""))

    def read_thread(self, thread_id: str, project: str, select: Iterable[str] = FIELDS) -> list[Run]:
        """Read the turns of a thread, oldest first: the roots with its id under any of the three metadata keys."""
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
        """
        List feedback: of a project or of runs, under any of the keys, created in ``[created_after, created_before)``.

        Each piece comes once. No ``keys`` are all keys, no ``run_ids`` (an empty list) no feedback.
        """
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
        """List the projects that the key can see: all, or those whose name contains a text."""
        return self.get_conn().projects(arguments.text(name_contains, "name_contains"))

    @staticmethod
    def plain(records: Any) -> Any:
        """
        Return the result of another method as plain values, which a ``@task`` can return.

        Runs, projects and feedback become dicts, an iterator a list, times ISO text, and payloads the values of their
        JSON::

            return hook.plain(hook.query_runs(project="shop", select=["name", "inputs"], limit=10))
        """
        return json.loads(msgspec.json.encode(list(records) if isinstance(records, Iterator) else records))

    def project_id(self, name: str) -> str:
        """
        Return a project's id by its exact name.

        :raises ConfigurationError: if there is no such project.
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
        Let LangSmith check filters, by a query for one run of the last second.

        :raises ConfigurationError: for a filter that is no expression, or not for this API version, without a request.
        :raises InvalidQueryError: for a filter that LangSmith refuses, with its reason.
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

    def create_bulk_export(
        self,
        *,
        project: str,
        bulk_destination_id: str,
        start_time: datetime,
        end_time: datetime,
        filter: Expression | None = None,  # noqa: A002  # LangSmith's own name
        export_fields: Iterable[str] | None = None,
        format_version: FormatVersion = "v2_beta",
        compression: Compression = "zstandard",
    ) -> BulkExport:
        """
        Let LangSmith write the runs that start in ``[start_time, end_time)`` into a bucket, and return the export.

        If the answer is lost, the exports are listed before the request is sent again, so there is one export.

        :param bulk_destination_id: Where to: the id of one of :meth:`list_bulk_destinations`.
        :param export_fields: Columns of Bulk Export; by default all but ``feedbacks``.
        """
        client = self.get_conn()
        bounds = arguments.moment(start_time, "start_time"), arguments.moment(end_time, "end_time")
        request = BulkExportRequest(
            destination_id=arguments.required(bulk_destination_id, "bulk_destination_id"),
            project_id=client.project(arguments.required(project, "project")).id,
            window=TimeWindow.of(dict(zip(("start_time", "end_time"), bounds, strict=True))),
            filter=filter_of(RunFilter.parse({"filter": filter})),
            export_fields=arguments.names(export_fields, "export_fields"),
            format_version=format_version,
            compression=compression,
        )
        existing_ids = {export.id for export in self.list_bulk_exports()}
        return client.drive(create_bulk_export(request, existing_ids, client.negotiator.backoff))

    def get_bulk_export(self, bulk_export_id: str) -> BulkExport:
        """Return a bulk export, with its ``status``."""
        client, id_ = self.get_conn(), arguments.required(bulk_export_id, "bulk_export_id")
        return client.drive(read_bulk_export(id_, client.negotiator.backoff))

    def list_bulk_exports(self) -> Iterator[BulkExport]:
        """List the bulk exports of the workspace and their schedules, in no order that LangSmith documents."""
        client = self.get_conn()
        return client.items(list_bulk_exports(client.negotiator.backoff))

    def bulk_export_runs(self, bulk_export_id: str) -> Iterator[BulkExportRun]:
        """List the runs of a bulk export: parts of its window, with their rows, files and errors."""
        client, id_ = self.get_conn(), arguments.required(bulk_export_id, "bulk_export_id")
        return client.items(list_runs_of(id_, client.negotiator.backoff))

    def cancel_bulk_export(self, bulk_export_id: str) -> BulkExport:
        """Cancel a bulk export, or a schedule, and return it. One that has ended stays as it is."""
        client, id_ = self.get_conn(), arguments.required(bulk_export_id, "bulk_export_id")
        return client.drive(cancel_bulk_export(id_, client.negotiator.backoff))

    def list_bulk_destinations(self) -> list[BulkDestination]:
        """List the buckets that LangSmith may write to."""
        client = self.get_conn()
        return client.drive(list_destinations(client.negotiator.backoff))

    def _runs(self, fields: tuple[str, ...], query: RunArguments, page_size: int | None = None) -> Iterator[Run]:
        client = self.get_conn()
        for run_query in self._queries(fields, query, page_size):
            yield from client.runs(run_query)

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
        """Return whether the connection works, and its host, workspace, API version and number of projects."""
        try:
            settings = replace(self.settings, timeout=min(self.settings.timeout, _TEST_TIMEOUT_SECONDS), max_retries=0)
            with LangSmithClient(settings) as client:
                projects = list(islice(client.projects(), _TEST_MAX_PROJECTS + 1))
                version = client.api_version()
        except Exception as error:  # noqa: BLE001  # the form shows the error
            return False, str(error)
        workspace = self.settings.workspace_id or next((project.tenant_id for project in projects), None) or "unknown"
        count = f"more than {_TEST_MAX_PROJECTS}" if len(projects) > _TEST_MAX_PROJECTS else str(len(projects))
        return True, f"{self.settings.api_url}, workspace {workspace}, API {version}: sees {count} projects."
