"""The load operator: what exports landed becomes rows of a table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_langsmith import arguments
from airflow_langsmith.airflow_errors import airflow_errors
from airflow_langsmith.airflow_sdk import Context
from airflow_langsmith.arguments import Reader
from airflow_langsmith.operators.base import LangSmithOperator
from airflow_langsmith.operators.report import load_lines
from airflow_langsmith.tables import table_at
from airflow_langsmith.tables.load import Load, LoadOptions, SchemaChanges
from airflow_langsmith.tables.table import Mode
from airflow_langsmith.tables.uri import TableUri

if TYPE_CHECKING:
    from airflow.sdk import XComArg

_OPTIONS = ("mode", "schema_changes")


def _read_table(value: Any, name: str) -> str:
    return TableUri.parse(arguments.required(value, name)).uri


class LangSmithLoadOperator(LangSmithOperator):
    """
    Load what an export landed into a table, exactly once.

    ::

        export >> LangSmithLoadOperator(
            task_id="load", exported=export.output, table="iceberg://lake/langsmith.runs"
        )

    The load goes by the manifest alone. In one transaction it deletes the rows of the export's project and window, and
    adds the rows of its parts. So a table has each window once, whatever was exported again, loaded again, or killed in
    between: a load that dies leaves the old rows. The table, and new columns, are made by the load; columns that an
    export lacks are null. Needs an extra: ``iceberg``, ``delta``, ``duckdb`` or ``postgres``.

    Returns a dict for XCom, under 2 KB: ``table``, ``view``, ``mode``, ``version`` (the table's snapshot or version;
    empty for databases), ``rows_deleted``, ``rows_added``, ``exports`` (their number), ``seconds`` and ``is_changed``
    (false if the table had these rows already).

    :param exported: What an export returned, or the URI of its manifest; or a list of them, as a mapped export returns
        it, which is loaded in one transaction. (templated)
    :param table: The table: ``iceberg://<conn_id>/<namespace>.<table>``, ``delta:///<path>`` or
        ``delta+s3://<conn_id>@<bucket>/<path>`` (gs, abfs alike), ``duckdb:///<file>?table=<schema>.<table>``,
        ``postgres://<conn_id>/<schema>.<table>``. (templated)
    :param mode: ``replace`` the rows of the window, by the view's time column; or ``merge`` by the view's key: rows
        with the same key are updated unless they are later, others are added, none is deleted. Empty: ``merge`` for
        ``threads``, for exports with ``refresh`` or ``include_modified``, and for exports by ``trace_id`` or
        ``run_ids`` without a window; else ``replace``. (templated)
    :param schema_changes: If the columns differ from the table's: ``evolve`` the table, or ``fail``. A column of
        another type always fails. (templated)
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        "exported": arguments.export_references,
        "table": _read_table,
        "mode": arguments.text,
        "schema_changes": arguments.required,
    }
    template_fields: Sequence[str] = tuple(readers)

    def __init__(
        self,
        *,
        exported: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] | XComArg,
        table: str,
        mode: Mode | None = None,
        schema_changes: SchemaChanges = "evolve",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.exported = exported
        self.table = table
        self.mode = mode
        self.schema_changes = schema_changes
        self.check_arguments(lambda: LoadOptions(**{name: self.read(name) for name in _OPTIONS}))

    def execute(self, context: Context) -> dict[str, Any]:
        """Load, and return the numbers of the load."""
        began = time.monotonic()
        with self.kill_switch.armed(context), airflow_errors():
            uri = self.read("table")
            self.name_map_index(context, uri)
            options = LoadOptions(**{name: self.read(name) for name in _OPTIONS})
            load = Load(self.read("exported"), table_at(uri), options, before_commit=self.kill_switch.last_call)
            change, loaded = load.run()
        for line in load_lines(change, loaded, uri):
            self.log.info(line)
        if loaded.nul_values:
            self.log.warning("%s texts lost their NUL characters, which PostgreSQL cannot store", loaded.nul_values)
        return {
            "table": uri,
            "view": change.view.name,
            "mode": change.mode,
            "version": loaded.version,
            "rows_deleted": loaded.rows_deleted,
            "rows_added": loaded.rows_added,
            "exports": len(change.exports),
            "is_changed": loaded.is_changed,
            "seconds": round(time.monotonic() - began, 3),
        }
