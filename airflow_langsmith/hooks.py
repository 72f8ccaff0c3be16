"""From an Airflow connection to a LangSmith client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from typing import Any, Self

from airflow.providers.common.compat.sdk import BaseHook

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.query import BEGINNING, FIELDS, RunQuery
from airflow_langsmith.api.records import Run
from airflow_langsmith.api.settings import FIELDS as EXTRAS
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.provider_info import CONNECTION_TYPE

_COUNTED = 1000  # projects that "Test connection" counts before it says "more than"


class LangSmithHook(BaseHook):
    """
    Reads LangSmith by an Airflow connection of type ``langsmith``.

    A client is made when first needed and keeps its connections until :meth:`close`; the hook is a context manager.
    Methods raise the errors of :mod:`airflow_langsmith.api.errors`.

    :param langsmith_conn_id: The connection's id.
    """

    conn_name_attr = "langsmith_conn_id"
    default_conn_name = "langsmith_default"
    conn_type = CONNECTION_TYPE["connection-type"]
    hook_name = CONNECTION_TYPE["hook-name"]

    def __init__(self, langsmith_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.langsmith_conn_id = langsmith_conn_id

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
        connection = self.get_connection(self.langsmith_conn_id)
        extra = connection.extra_dejson
        if unknown := sorted(set(extra) - set(EXTRAS)):
            self.log.warning(
                "Connection %s: extra %s means nothing here and is ignored; known are %s.",
                self.langsmith_conn_id,
                ", ".join(unknown),
                ", ".join(EXTRAS),
            )
        host = _address(connection.host, connection.port, connection.schema)
        return Settings.parse(host=host, api_key=connection.password, extra=extra)

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
        project: str | Iterable[str],
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        run_type: str | None = None,
        is_root: bool | None = None,
        error: bool | None = None,
        filter: str | None = None,  # noqa: A002  # LangSmith's own name
        trace_filter: str | None = None,
        tree_filter: str | None = None,
        trace_id: str | None = None,
        run_ids: Iterable[str] | None = None,
        reference_example_id: str | None = None,
        select: Iterable[str] = FIELDS,
        limit: int | None = None,
    ) -> Iterator[Run]:
        """
        Read runs over all pages, newest first, project by project.

        :param project: Names or ids of projects.
        :param start_time: The runs that started at or after this time; None for all there are.
        :param end_time: The runs that started before this time; None for now.
        :param run_type: ``chain``, ``llm``, ``tool``, ``retriever``, ``embedding``, ``prompt`` or ``parser``.
        :param is_root: Only runs that began a trace, or only others.
        :param error: Only runs that failed, or only others.
        :param filter: An expression of LangSmith's filter language about the run itself.
        :param trace_filter: One about the root of its trace.
        :param tree_filter: One about any run of its trace.
        :param trace_id: Only runs of this trace.
        :param run_ids: Only these runs.
        :param reference_example_id: Only runs on this dataset example.
        :param select: Fields of :class:`~airflow_langsmith.api.records.Run` to fill; fewer are faster.
        :param limit: How many runs at most.
        """
        client = self.get_conn()
        end = end_time or datetime.now(UTC)
        queries = (
            RunQuery(
                project=client.project(name),
                start=start_time or BEGINNING,
                end=end,
                fields=tuple(select),
                run_type=run_type,
                is_root=is_root,
                error=error,
                filter=filter,
                trace_filter=trace_filter,
                tree_filter=tree_filter,
                trace_id=trace_id,
                run_ids=tuple(run_ids) if run_ids is not None else None,
                reference_example_id=reference_example_id,
            )
            for name in ([project] if isinstance(project, str) else project)
        )
        return islice((run for query in queries for run in client.runs(query)), limit)

    def test_connection(self) -> tuple[bool, str]:
        """Say which host, workspace and API version this is, and how many projects it sees."""
        try:
            with self:
                client = self.get_conn()
                projects = list(islice(client.projects(), _COUNTED + 1))
                version = client.api_version()
        except Exception as error:  # noqa: BLE001  # whatever it is belongs into the form, not into a traceback
            return False, f"{type(error).__name__}: {error}"
        workspace = self.settings.workspace_id or next((project.tenant_id for project in projects), None) or "unknown"
        count = f"more than {_COUNTED}" if len(projects) > _COUNTED else str(len(projects))
        return True, f"{self.settings.api_url}, workspace {workspace}, API {version}: sees {count} projects."


def _address(host: str | None, port: int | None, schema: str | None) -> str:
    """
    Put together again what a connection URI was taken apart into.

    >>> _address("http://127.0.0.1", 1984, "api/v1")
    'http://127.0.0.1:1984/api/v1'
    """
    scheme, mark, rest = (host or "").rpartition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{mark}{place}{f':{port}' if port else ''}{slash}{path}{f'/{schema}' if schema else ''}"
