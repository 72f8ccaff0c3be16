"""What the operators that publish rows share: where rows land, which columns, and how values are changed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from airflow_langsmith import arguments
from airflow_langsmith.airflow_sdk import AirflowSkipException, Context
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.run_filter import RunFilter
from airflow_langsmith.api.sampling import Sample
from airflow_langsmith.arguments import Reader
from airflow_langsmith.connections import connection_of
from airflow_langsmith.export.checkpoints import TaskAttempt
from airflow_langsmith.export.destination import check_uri
from airflow_langsmith.export.encoders import Format, format_of
from airflow_langsmith.export.export import (
    MAX_BYTES_PER_FILE,
    MAX_ROWS_PER_FILE,
    Export,
    Exported,
    OnEmpty,
    OutputOptions,
    SchemaChanges,
)
from airflow_langsmith.export.row_transforms import RowTransforms
from airflow_langsmith.messages import format_message
from airflow_langsmith.operators.base import LangSmithRunsOperator
from airflow_langsmith.operators.report import closing_lines, warning_lines
from airflow_langsmith.views import View

PARQUET = format_of("parquet")


def read_destination(value: Any, name: str) -> Any:
    """Read the place under which partitions are written."""
    check_uri(arguments.required(value, name))
    return value


def _output_option(read: Reader) -> Reader:
    """Return a reader that also checks the value."""

    def read_and_check(value: Any, name: str) -> Any:
        option = {name: read(value, name)}
        OutputOptions(destination="", format=PARQUET, **option)
        return option[name]

    return read_and_check


_OUTPUT_OPTIONS = {
    "schema_changes": _output_option(arguments.as_is),
    "max_rows_per_file": _output_option(arguments.whole_number),
    "max_bytes_per_file": _output_option(arguments.whole_number),
    "on_empty": _output_option(arguments.as_is),
    "partition": _output_option(arguments.required),
}


class LangSmithPublishingOperator(LangSmithRunsOperator):
    """
    Base of the operators that publish rows of runs under a ``destination``.

    :param columns: Columns of the view, in this order; by default its default columns. (templated)
    :param sample: A share of the traces: ``0.1`` or ``{"rate": 0.1, "key": "thread_id"}``. A trace (or thread) is
        exported completely or not at all, and the same ones every time. (templated)
    :param flatten: Paths into JSON columns, each for a column of its own: ``"inputs.customer.id"``, with a type
        ``"inputs.turn:int64"``; ``"*"`` for all paths of the window. (templated)
    :param redact: Rules for columns, paths or all texts, applied before anything is written to a disk:
        ``{"inputs.email": "hash", "*": {"patterns": ["email", "card"]}}``, or names of patterns. A rule holds for every
        column that is made of its target, such as ``thread_id`` of ``metadata``. (templated)
    :param redact_conn_id: A connection whose password is the key of the hashes. (templated)
    :param schema_changes: If the columns differ from those of the replaced export: ``evolve`` (the manifest lists the
        changes) or ``fail``. (templated)
    :param schema_manifest: Another export to compare the columns with: its manifest, or what its operator returned.
        (templated)
    :param max_rows_per_file: The maximum number of rows of a part. (templated)
    :param max_bytes_per_file: The maximum bytes of a part's values before compression: text and JSON as UTF-8, 8 for
        any other value. With the default of 512 MiB, a part has at most the 512 MB that engines read well, and some 70
        MB if it compresses well. A larger row gets its own part. (templated)
    :param on_empty: If the window has no rows: ``write`` a part with none, ``skip`` the task and leave the destination
        as it is, or ``fail``. (templated)
    :param partition: ``auto``, or a format string over ``start`` and ``end``: ``"dt={start:%Y-%m-%d}"``. (templated)

    Which project, runs and window: the arguments of :class:`~airflow_langsmith.operators.base.LangSmithRunsOperator`.
    """

    destination: Any
    readers: ClassVar[Mapping[str, Reader]] = {
        **LangSmithRunsOperator.readers,
        "columns": arguments.names,
        "sample": Sample.parse,
        "flatten": lambda value, name: arguments.names(value, name) or (),
        "redact": arguments.redaction_rules,
        "redact_conn_id": arguments.text,
        "schema_manifest": arguments.export_reference,
        **_OUTPUT_OPTIONS,
    }
    template_fields: Sequence[str] = tuple(readers)

    def __init__(
        self,
        *,
        columns: Iterable[str] | str | None = None,
        sample: float | str | Mapping[str, Any] | None = None,
        flatten: Iterable[str] | str | None = None,
        redact: Mapping[str, Any] | Iterable[Any] | str | None = None,
        redact_conn_id: str | None = None,
        schema_changes: SchemaChanges = "evolve",
        schema_manifest: str | Mapping[str, Any] | None = None,
        max_rows_per_file: int | str = MAX_ROWS_PER_FILE,
        max_bytes_per_file: int | str = MAX_BYTES_PER_FILE,
        on_empty: OnEmpty = "write",
        partition: str = "auto",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)  # output["manifest"] is an XCom then
        super().__init__(**kwargs)
        self.columns = columns
        self.sample = sample
        self.flatten = flatten
        self.redact = redact
        self.redact_conn_id = redact_conn_id
        self.schema_changes = schema_changes
        self.schema_manifest = schema_manifest
        self.max_rows_per_file = max_rows_per_file
        self.max_bytes_per_file = max_bytes_per_file
        self.on_empty = on_empty
        self.partition = partition

    def run_filter(self) -> RunFilter:
        """Return which runs the arguments mean."""
        return replace(super().run_filter(), sample=self.read("sample"))

    @abstractmethod
    def _view(self) -> View:
        """Return the view, with its columns and options."""

    @abstractmethod
    def _format(self) -> Format:
        """Return the format of the parts."""

    def _publish(self, export: Export, query: RunQuery) -> Exported:
        """
        Run an export, and log what landed.

        :raises AirflowSkipException: if the window is empty, and an empty export is not wanted.
        """
        exported = export.run()
        if exported.is_skipped:
            raise AirflowSkipException(
                format_message(f"No runs in {query.description}. Nothing was written (on_empty='skip').")
            )
        for line in closing_lines(exported):
            self.log.info(line)
        for line in warning_lines(exported):
            self.log.warning(line)
        return exported

    def _row_transforms(self, view: View, redact_key: str | None) -> RowTransforms:
        paths = self.read("flatten")
        transforms = RowTransforms(
            redact=self.read("redact"),
            redact_key=redact_key,
            flatten="*" if paths == ("*",) else paths,
            columns=self.read("columns"),
        )
        transforms.check(view)
        return transforms

    def _redact_key(self) -> str | None:
        conn_id = self.read("redact_conn_id")
        if conn_id is None:
            return None
        what = "of any type, e.g. generic, with the key of the hashes as its password"
        return connection_of(conn_id, what).password

    def _output_options(self) -> OutputOptions:
        return OutputOptions(
            destination=self.read("destination"),
            format=self._format(),
            schema_manifest=self.read("schema_manifest"),
            **{name: self.read(name) for name in _OUTPUT_OPTIONS},
        )

    def _attempt(self, context: Context) -> TaskAttempt | None:
        """Return the attempt. If the task, or its DAG run, is cleared, the attempts begin anew."""
        ti, dag_run = context.get("ti"), context.get("dag_run")
        try_number, last = getattr(ti, "try_number", None), getattr(ti, "max_tries", None)
        if ti is None or not isinstance(try_number, int) or not isinstance(last, int):  # a test's context has none
            return None
        names = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
        # Both grow when the task is cleared. A DAG run that was deleted and made again began at another time.
        cleared = (last - (self.retries or 0), getattr(dag_run, "clear_number", None))
        begun = getattr(dag_run, "start_date", None)
        return TaskAttempt(" ".join(map(str, (*names, *cleared, begun))), may_retry=try_number <= last)

    def _check_transforms(self) -> None:
        if not _has_call(self.read("redact")):  # only the worker imports functions
            self._row_transforms(self._view(), self.read("redact_conn_id") and "a key")


def _has_call(rules: Any) -> bool:
    """Return whether a rule calls a function."""
    if isinstance(rules, Mapping):
        return "call" in rules or any(map(_has_call, rules.values()))
    return any(map(_has_call, rules)) if isinstance(rules, list | tuple) else "call" in str(rules)
