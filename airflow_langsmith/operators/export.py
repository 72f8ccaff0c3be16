"""The export operator: a time window of LangSmith becomes files in object storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_langsmith import arguments
from airflow_langsmith.airflow_errors import airflow_errors
from airflow_langsmith.airflow_sdk import AirflowSkipException, Context
from airflow_langsmith.api.query import ALL_TIME, MissingPayloadPolicy, RunQuery
from airflow_langsmith.api.records import Project
from airflow_langsmith.api.run_filter import ARGUMENTS, RunFilter
from airflow_langsmith.api.sampling import Sample
from airflow_langsmith.api.ui_urls import project_url
from airflow_langsmith.arguments import Reader
from airflow_langsmith.connections import connection_of
from airflow_langsmith.export.checkpoints import CheckpointPolicy, TaskAttempt
from airflow_langsmith.export.destination import check_uri
from airflow_langsmith.export.encoders import Format, format_of
from airflow_langsmith.export.export import (
    MAX_BYTES_PER_FILE,
    MAX_ROWS_PER_FILE,
    Export,
    OnEmpty,
    OutputOptions,
    SchemaChanges,
)
from airflow_langsmith.export.layout import partition_by_ids
from airflow_langsmith.export.pages import PageSource
from airflow_langsmith.export.row_transforms import RowTransforms
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.messages import MAX_LINE, format_message, shorten
from airflow_langsmith.operators.base import LangSmithRunsOperator, takes
from airflow_langsmith.operators.report import ProgressReporter, closing_lines, period, warning_lines
from airflow_langsmith.transform.paths import hidden_columns
from airflow_langsmith.views import View, option_defaults, options, view_of

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

_PARQUET = format_of("parquet")
_FORMAT: dict[str, Reader] = {"format": arguments.required, "compression": arguments.text}  # right or wrong together


def _any_query(**parts: Any) -> RunQuery:
    """Return a query of no project, to check its other parts."""
    return RunQuery(project=Project(id="", name=""), window=ALL_TIME, fields=(), **parts)


def _read_destination(value: Any, name: str) -> Any:
    check_uri(arguments.required(value, name))
    return value


def _output_option(read: Reader) -> Reader:
    """Return a reader that also checks the value."""

    def read_and_check(value: Any, name: str) -> Any:
        option = {name: read(value, name)}
        OutputOptions(destination="", format=_PARQUET, **option)
        return option[name]

    return read_and_check


_OUTPUT_OPTIONS = {
    "schema_changes": _output_option(arguments.as_is),
    "max_rows_per_file": _output_option(arguments.whole_number),
    "max_bytes_per_file": _output_option(arguments.whole_number),
    "on_empty": _output_option(arguments.as_is),
    "partition": _output_option(arguments.required),
}


class LangSmithExportOperator(LangSmithRunsOperator):
    """
    Export a time window of a LangSmith project to object storage, as flat rows.

    ::

        LangSmithExportOperator(task_id="runs", project="shop", destination="s3://lake@traces/langsmith")
        # s3://traces/langsmith/runs/project=shop/date=2026-03-01/part-00000-3f9a1c2b.parquet
        # s3://traces/langsmith/runs/project=shop/date=2026-03-01/_manifest.json

    The manifest is written last. Exporting the same window again replaces it: the same rows give the same objects, and
    a reader that goes by the manifest never sees half an export. A page that fails fails the task, and the published
    export stands. A retry of a long export continues from its checkpoints; a cleared task begins anew. A task that
    Airflow kills publishes nothing, and leaves nothing on the disk.

    With ``trace_id`` or ``run_ids``, and neither ``start_time``, ``end_time`` nor ``window``, it exports these runs
    whenever they started, into the partition ``trace=<id>`` or ``runs=<digest of the ids>``.

    Returns a dict for XCom, under 2 KB: ``manifest`` (its URI), ``view``, ``project``, ``project_id``,
    ``window_start``, ``window_end``, ``rows``, ``files``, ``bytes``, ``pending``, ``misfits``, ``missing_payloads``,
    ``schema_changes`` (their number), ``requests``, ``seconds`` and ``waited_seconds`` (for the rate limit and for
    retries). Each is an XCom of its own, too: ``export.output["manifest"]``.

    Arguments without a template are checked when the DAG is parsed.

    :param destination: URI under which partitions are written, with Airflow's connections: ``s3://conn_id@bucket/key``,
        ``gs://...``, ``abfs://...``, ``file:///...``. (templated)
    :param view: What a row is: ``runs``, ``traces`` (with their tools, models, tokens, costs), ``retrievals`` (traces
        that used a retriever, with its inputs and outputs), ``feedback`` or ``threads`` (conversations). The row of a
        trace belongs to the window in which its root starts, and the query is about the roots. (templated)
    :param format: ``parquet``, ``jsonl`` or ``csv``. (templated)
    :param compression: Parquet: ``zstd`` (default), ``snappy``, ``gzip``, ``none``. JSONL and CSV: ``gzip`` (default),
        ``zstd``, ``none``. (templated)
    :param columns: Columns of the view, in this order; by default its default columns. (templated)
    :param only_with_tools: For ``traces``: only those that called a tool. (templated)
    :param with_feedback: For ``retrievals``: only those whose root has feedback (True), or feedback under a key (its
        name), or all (False). (templated)
    :param include_modified: For ``feedback``: also feedback that was created before the window and modified in it.
        (templated)
    :param refresh: ``feedback``: not the rows of the window, but rows whose feedback was created or modified in it, in
        the partition ``<view>_refreshed/...``, to merge by the view's key. (templated)
    :param lookback: How long before the window such feedback was created, or such rows started: ``"30d"`` by default.
        All feedback since then is listed, 100 a request. (templated)
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
    :param payloads: If a payload in blob storage cannot be fetched: ``fail`` the task, or ``flag`` the payload, as a
        null that the column ``missing_payloads`` names. (templated)
    :param attachments: For ``runs``: ``list`` the files attached to runs, or also ``download`` them beside the parts.
        (templated)
    :param max_rows_per_file: The maximum number of rows of a part. (templated)
    :param max_bytes_per_file: The maximum bytes of a part's values before compression: text and JSON as UTF-8, 8 for
        any other value. With the default of 512 MiB, a part has at most the 512 MB that engines read well, and some 70
        MB if it compresses well. A larger row gets its own part. (templated)
    :param on_empty: If the window has no rows: ``write`` a part with none, ``skip`` the task and leave the destination
        as it is, or ``fail``. (templated)
    :param concurrency: The maximum number of cursors that read in parallel; empty: as many as the budget allows. Rows
        and files are the same. (templated)
    :param partition: ``auto``, or a format string over ``start`` and ``end``: ``"dt={start:%Y-%m-%d}"``. (templated)

    Which project, runs and window: the arguments of :class:`~airflow_langsmith.operators.base.LangSmithRunsOperator`.
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        **LangSmithRunsOperator.readers,
        "destination": _read_destination,
        "view": arguments.as_is,
        **_FORMAT,
        "columns": arguments.names,
        **dict.fromkeys(options(), arguments.as_is),  # a view reads its own options
        "sample": Sample.parse,
        "flatten": lambda value, name: arguments.names(value, name) or (),
        "redact": arguments.redaction_rules,
        "redact_conn_id": arguments.text,
        "schema_manifest": arguments.export_reference,
        "payloads": lambda value, _: _any_query(payloads=value).payloads,
        "concurrency": arguments.optional(partial(arguments.whole_number, minimum=1)),
        **_OUTPUT_OPTIONS,
    }
    # In the order of Airflow's UI: first what differs between exports.
    template_fields: Sequence[str] = tuple(
        dict.fromkeys(["project", "filter", "destination", "view", "flatten", "redact", "columns", *_FORMAT, *readers])
    )
    checkpoint_policy: ClassVar = CheckpointPolicy()

    @takes(option_defaults())
    def __init__(
        self,
        *,
        destination: str | ObjectStoragePath,
        view: str = "runs",
        format: Literal["parquet", "jsonl", "csv"] = "parquet",  # noqa: A002  # the usual word
        compression: str | None = None,
        columns: Iterable[str] | str | None = None,
        sample: float | str | Mapping[str, Any] | None = None,
        flatten: Iterable[str] | str | None = None,
        redact: Mapping[str, Any] | Iterable[Any] | str | None = None,
        redact_conn_id: str | None = None,
        schema_changes: SchemaChanges = "evolve",
        schema_manifest: str | Mapping[str, Any] | None = None,
        payloads: MissingPayloadPolicy = "fail",
        max_rows_per_file: int | str = MAX_ROWS_PER_FILE,
        max_bytes_per_file: int | str = MAX_BYTES_PER_FILE,
        on_empty: OnEmpty = "write",
        concurrency: int | str | None = None,
        partition: str = "auto",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)  # output["manifest"] is an XCom then
        view_options = {name: kwargs.pop(name, default) for name, default in option_defaults().items()}
        super().__init__(**kwargs)
        for name, value in view_options.items():
            setattr(self, name, value)
        self.destination = destination
        self.view = view
        self.format = format
        self.compression = compression
        self.columns = columns
        self.sample = sample
        self.flatten = flatten
        self.redact = redact
        self.redact_conn_id = redact_conn_id
        self.schema_changes = schema_changes
        self.schema_manifest = schema_manifest
        self.payloads = payloads
        self.max_rows_per_file = max_rows_per_file
        self.max_bytes_per_file = max_bytes_per_file
        self.on_empty = on_empty
        self.concurrency = concurrency
        self.partition = partition
        self.check_arguments(
            *(partial(self._check_narrowing, name) for name in (*ARGUMENTS, "sample")),
            self._format,
            self._view,
            *(partial(self._view, (name,)) for name in options()),
            self._check_transforms,
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Resolve the window, export it, and return the numbers of the export."""
        self.name_map_index(context, str(self.project))
        with self.kill_switch.armed(context), airflow_errors(), LangSmithHook(self.read("langsmith_conn_id")) as hook:
            project, run_filter, ids_partition = self.read("project"), self.run_filter(), None
            if not any(map(self.read, ("start_time", "end_time", "window"))):
                run_filter = run_filter.with_normal_ids()
                ids_partition = partition_by_ids(run_filter)
            window = ALL_TIME if ids_partition else self.resolve_window(context)
            self.name_map_index(context, f"{self.project}, {ids_partition or period(window)}")
            view, output = self._view(), self._output_options()
            if ids_partition and output.partition == "auto":
                output = replace(output, partition=ids_partition)
            transforms = self._row_transforms(view, self._redact_key())
            client = hook.get_conn()
            query = RunQuery(
                project=client.project(project),
                window=window,
                run_filter=run_filter,
                fields=view.fields,
                payloads=self.read("payloads"),
            )
            self.show_link(context, project_url(hook.settings, query.project, query))
            self.log.info(shorten(f"Reading {view.name} of project {query.project.name!r}", MAX_LINE))
            source = PageSource(
                client,
                concurrency=1 if ids_partition else self.read("concurrency"),  # most of all time is empty
                attempt=self._attempt(context),
                checkpoint_policy=self.checkpoint_policy,
            )
            exported = Export(
                source,
                query,
                view,
                output,
                transforms,
                on_page=ProgressReporter(self.log),
                before_publication=self.kill_switch.last_call,
            ).run()
        if exported.is_skipped:
            raise AirflowSkipException(
                format_message(f"No runs in {query.description}. Nothing was written (on_empty='skip').")
            )
        for line in closing_lines(exported):
            self.log.info(line)
        for line in warning_lines(exported):
            self.log.warning(line)
        return exported.summary()

    def run_filter(self) -> RunFilter:
        """Return which runs the arguments mean."""
        return replace(super().run_filter(), sample=self.read("sample"))

    def _view(self, options: Iterable[str] = tuple(options())) -> View:
        """Return the view with these of its options."""
        columns = self.read("columns")
        return view_of(
            self.read("view"),
            columns and (*columns, *hidden_columns(self.read("flatten"), columns)),
            missing_payloads=self.read("payloads") == "flag",
            **{name: self.read(name) for name in options},
        )

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

    def _format(self) -> Format:
        return format_of(self.read("format"), self.read("compression"))

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

    def _check_narrowing(self, name: str) -> None:
        """Refuse an argument that the view cannot be narrowed by."""
        self._view(()).narrow(_any_query(run_filter=RunFilter(**{name: self.read(name)})))

    def _check_transforms(self) -> None:
        if not _has_call(self.read("redact")):  # only the worker imports functions
            self._row_transforms(self._view(), self.read("redact_conn_id") and "a key")


def _has_call(rules: Any) -> bool:
    """Return whether a rule calls a function."""
    if isinstance(rules, Mapping):
        return "call" in rules or any(map(_has_call, rules.values()))
    return any(map(_has_call, rules)) if isinstance(rules, list | tuple) else "call" in str(rules)
