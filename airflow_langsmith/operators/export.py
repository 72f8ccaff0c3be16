"""The operator that lands a window of LangSmith in object storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
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
from airflow_langsmith.connections import connection_of
from airflow_langsmith.export.checkpoints import CheckpointPolicy, TaskAttempt
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.export import Export
from airflow_langsmith.export.exported import Exported
from airflow_langsmith.export.layout import partition_by_ids
from airflow_langsmith.export.options import (
    MAX_BYTES_PER_FILE,
    MAX_ROWS_PER_FILE,
    OnEmpty,
    OutputOptions,
    SchemaChanges,
)
from airflow_langsmith.export.progress import Observer
from airflow_langsmith.export.row_transforms import RowTransforms
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.messages import MAX_LINE, format_message, shorten
from airflow_langsmith.operators.base import LangSmithRunsOperator
from airflow_langsmith.operators.landing import check_destination, landing_format
from airflow_langsmith.operators.literals import check_literals
from airflow_langsmith.operators.report import ProgressReporter, closing_lines, period, warning_lines
from airflow_langsmith.transform.paths import hidden_columns
from airflow_langsmith.views import View, options, view_of
from airflow_langsmith.views.runs import AttachmentMode
from airflow_langsmith.views.view import LOOKBACK

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

_PLAIN = format_of("parquet")
VIEW_OPTIONS = tuple(options())


class LangSmithExportOperator(LangSmithRunsOperator):
    """
    Export a time window of a LangSmith project to object storage, as flat rows.

    The rows land in ``<destination>/<view>/project=.../date=.../``, with a ``_manifest.json`` that is written last.
    Exporting the same window again replaces it: the same rows give the same objects, and whoever reads by the
    manifest never sees half an export. A page that fails fails the task, and what was published before stands. A retry
    of a long export goes on where the try before it was cut off; a task that was cleared begins anew.

    Returns a dict for XCom, under 2 KB: ``manifest`` (its URI), ``view``, ``project``, ``project_id``,
    ``window_start``, ``window_end``, ``rows``, ``files``, ``bytes``, ``pending``, ``misfits``, ``missing_payloads``,
    ``schema_changes`` (how many), ``requests``, ``seconds`` and ``waited_seconds`` (for the rate limit, or to ask
    again). Each is an XCom of its own, too: ``export.output["manifest"]``.

    Killed by Airflow (marked failed, cleared, its worker stopped) it publishes nothing and leaves nothing on the disk.

    Arguments that hold no template are checked when the DAG is parsed.

    :param destination: URI under which partitions are written, with Airflow's connections: ``s3://conn_id@bucket/key``,
        ``gs://...``, ``abfs://...``, ``file:///...``. (templated)
    :param view: What a row is: ``runs``, ``traces`` (with their tools, models, tokens, costs), ``retrievals`` (traces
        that used a retriever, with its inputs and outputs), ``feedback`` or ``threads`` (conversations). Rows of traces
        belong to the window that their root starts in, and the query is about the roots. (templated)
    :param format: ``parquet``, ``jsonl`` or ``csv``. (templated)
    :param compression: Parquet: ``zstd`` (default), ``snappy``, ``gzip``, ``none``. JSONL and CSV: ``gzip`` (default),
        ``zstd``, ``none``. (templated)
    :param columns: The view's columns to write, in this order; by default the view's default ones. (templated)
    :param only_with_tools: Of ``traces``, only those that called a tool. (templated)
    :param with_feedback: Of ``retrievals``, only those whose root has feedback: any, some under a key, or all with
        False. (templated)
    :param include_modified: Of ``feedback``, also pieces given before the window and changed in it. (templated)
    :param refresh: ``feedback``: not the rows of the window, but those whose feedback came or changed in it, in the
        partition ``<view>_refreshed/...`` to be merged over the others by the view's key. (templated)
    :param lookback: How far before the window these pieces may have been given, or these rows started, ``"30d"`` by
        default: all feedback since then is listed, 100 a request. (templated)
    :param sample: A share of the traces, ``0.1`` or ``{"rate": 0.1, "key": "thread_id"}``: a trace (or thread) is in as
        a whole or not at all, and the same ones every time. (templated)
    :param flatten: Paths into JSON columns, each for a column of its own: ``"inputs.customer.id"``, with a type
        ``"inputs.turn:int64"``; ``"*"`` for all that occur in the window. (templated)
    :param redact: What to do to columns, paths or all texts before anything touches a disk:
        ``{"inputs.email": "hash", "*": {"patterns": ["email", "card"]}}``, or names of patterns. A rule holds for all
        columns that are made of what it names, such as ``thread_id`` of ``metadata``. (templated)
    :param redact_conn_id: A connection whose password is the key of the hashes. (templated)
    :param schema_changes: Where the columns differ from those that this export replaces: ``evolve``, and say so in the
        manifest, or ``fail``. (templated)
    :param schema_manifest: Another export's manifest, or what its operator returned, to compare the columns with
        instead. (templated)
    :param payloads: Where a payload in LangSmith's blob storage cannot be had: ``fail`` the task, or ``flag`` it, as a
        null that the column ``missing_payloads`` names. (templated)
    :param attachments: The files logged with runs: ``list`` them in the column of that name, or ``download`` them too,
        beside the parts; for ``runs``. (templated)
    :param max_rows_per_file: Rows a part holds at most. (templated)
    :param max_bytes_per_file: Bytes of values that a part holds at most, before it is compressed: texts and JSON as
        UTF-8, 8 for any other value. 512 MiB by default: what compresses well makes files of some 70 MB, and what does
        not stays within the 128 to 512 MB that engines read best (Spark's ``maxPartitionBytes`` is 128 MB, Iceberg's
        ``write.target-file-size-bytes`` 512 MB). A larger row is a part of its own. (templated)
    :param on_empty: For a window without rows: ``write`` a part with none, ``skip`` the task and leave the destination
        as it is, or ``fail``. (templated)
    :param concurrency: How many cursors read the window at a time at most; empty for as many as the budget has use for,
        1 for one page after the other. Rows and files are the same. (templated)
    :param partition: ``auto``, or a format string over ``start`` and ``end``: ``"dt={start:%Y-%m-%d}"``. (templated)

    With ``trace_id`` or ``run_ids``, and neither ``start_time``, ``end_time`` nor ``window``, these runs are exported
    whenever they started, into the partition ``trace=<id>`` or ``runs=<digest of the ids>``.

    Which project, runs and window: as for :class:`~airflow_langsmith.operators.base.LangSmithRunsOperator`.
    """

    template_fields: Sequence[str] = tuple(
        dict.fromkeys(  # as Airflow's UI lists them: first what differs between exports
            (
                "project",
                "filter",
                "destination",
                "view",
                "flatten",
                "redact",
                "columns",
                "format",
                "compression",
                *LangSmithRunsOperator.template_fields,
                "sample",
                "only_with_tools",
                "with_feedback",
                "include_modified",
                "refresh",
                "lookback",
                "redact_conn_id",
                "schema_changes",
                "schema_manifest",
                "payloads",
                "attachments",
                "max_rows_per_file",
                "max_bytes_per_file",
                "on_empty",
                "concurrency",
                "partition",
            )
        )
    )

    checkpoint_policy: ClassVar = CheckpointPolicy()

    # The options of an OutputOptions that are right or wrong each by itself.
    OPTIONS: ClassVar[Mapping[str, Callable[[Any, str], Any]]] = {
        "partition": lambda value, name: arguments.text(value, name) or "auto",
        "max_rows_per_file": arguments.whole,
        "max_bytes_per_file": arguments.whole,
        "on_empty": lambda value, _: value,
        "schema_changes": lambda value, _: value,
    }

    def __init__(
        self,
        *,
        destination: str | ObjectStoragePath,
        view: str = "runs",
        format: Literal["parquet", "jsonl", "csv"] = "parquet",  # noqa: A002  # what it is called everywhere
        compression: str | None = None,
        columns: Iterable[str] | str | None = None,
        only_with_tools: bool | str = False,
        with_feedback: bool | str = True,
        include_modified: bool | str = False,
        refresh: Literal["feedback"] | None = None,
        lookback: str | timedelta = LOOKBACK,
        sample: float | str | Mapping[str, Any] | None = None,
        flatten: Iterable[str] | str | None = None,
        redact: Mapping[str, Any] | Iterable[Any] | str | None = None,
        redact_conn_id: str | None = None,
        schema_changes: SchemaChanges = "evolve",
        schema_manifest: str | Mapping[str, Any] | None = None,
        payloads: MissingPayloadPolicy = "fail",
        attachments: AttachmentMode = "list",
        max_rows_per_file: int | str = MAX_ROWS_PER_FILE,
        max_bytes_per_file: int | str = MAX_BYTES_PER_FILE,
        on_empty: OnEmpty = "write",
        concurrency: int | str | None = None,
        partition: str = "auto",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)  # output["manifest"] is an XCom then
        super().__init__(**kwargs)
        self.destination = destination
        self.view = view
        self.format = format
        self.compression = compression
        self.columns = columns
        self.only_with_tools = only_with_tools
        self.with_feedback = with_feedback
        self.include_modified = include_modified
        self.refresh = refresh
        self.lookback = lookback
        self.sample = sample
        self.flatten = flatten
        self.redact = redact
        self.redact_conn_id = redact_conn_id
        self.schema_changes = schema_changes
        self.schema_manifest = schema_manifest
        self.payloads = payloads
        self.attachments = attachments
        self.max_rows_per_file = max_rows_per_file
        self.max_bytes_per_file = max_bytes_per_file
        self.on_empty = on_empty
        self.concurrency = concurrency
        self.partition = partition
        cls = type(self)
        check_literals(
            self,
            *(partial(cls._check_option, name=name) for name in self.OPTIONS),
            *(partial(cls._check_asked, name=name) for name in ARGUMENTS),
            *(cls._check_payloads, check_destination, landing_format, cls._view, cls._check_shape),
            *(partial(cls._view, names=(name,)) for name in VIEW_OPTIONS),
            *(cls._check_sample, cls._concurrency),
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Resolve the window, export it, and say what landed."""
        self.name_map_index(context, str(self.project))
        self.use_defaults_for_blanks()
        with self.kill_switch.armed(context), airflow_errors(), LangSmithHook(self.langsmith_conn_id) as hook:
            run_filter = replace(self.run_filter(), sample=self._sample())
            by_ids = None
            if not (self.start_time or self.end_time or self.window):
                run_filter = run_filter.with_normal_ids()
                by_ids = partition_by_ids(run_filter)
            window = ALL_TIME if by_ids else self.resolve_window(context)
            self.name_map_index(context, f"{self.project}, {by_ids or period(window)}")
            view, target = self._view(), self._target()
            if by_ids and target.partition == "auto":
                target = replace(target, partition=by_ids)
            shape = self._shape(view, self._redact_key())
            client = hook.get_conn()
            query = RunQuery(
                project=client.project(self.project_named()),
                window=window,
                run_filter=run_filter,
                fields=view.fields,
                payloads=self.payloads,
            )
            self.show_link(context, project_url(hook.settings, query.project, query))
            self.log.info(shorten(f"Reading {view.name} of project {query.project.name!r}", MAX_LINE))
            exported = Export(
                client,
                query,
                view,
                target,
                shape,
                observer=Observer(ProgressReporter(self.log), self.kill_switch.last_call),
                concurrency=1 if by_ids else self._concurrency(),  # most of all time is empty
                attempt=self._attempt(context),
                checkpoint_policy=self.checkpoint_policy,
            ).run()
        if exported.is_skipped:
            raise AirflowSkipException(
                format_message(f"No runs in {query.about}. Nothing was written (on_empty='skip').")
            )
        self._tell(exported)
        return exported.summary()

    def _view(self, names: Iterable[str] = VIEW_OPTIONS) -> View:
        """Read the view with these of its options."""
        columns = arguments.names(self.columns, "columns")
        return view_of(
            self.view,
            columns and (*columns, *self._hidden(columns)),
            missing_payloads=self.payloads == "flag",
            **{name: getattr(self, name) for name in names},
        )

    def _paths(self) -> tuple[str, ...]:
        return arguments.names(self.flatten, "flatten") or ()

    def _hidden(self, columns: tuple[str, ...] | None) -> tuple[str, ...]:
        """Return the columns that paths look into and that are not to be written themselves."""
        return () if columns is None else hidden_columns([path for path in self._paths() if path != "*"], columns)

    def _shape(self, view: View, redact_key: str | None) -> RowTransforms:
        paths = self._paths()
        shape = RowTransforms(
            redact=arguments.rules(self.redact, "redact"),
            redact_key=redact_key,
            flatten="*" if paths == ("*",) else paths,
            hidden=frozenset(self._hidden(arguments.names(self.columns, "columns"))),
        )
        shape.check(view)
        return shape

    def _redact_key(self) -> str | None:
        conn_id = arguments.text(self.redact_conn_id, "redact_conn_id")
        if conn_id is None:
            return None
        what = "of any type, e.g. generic, with the key of the hashes as its password"
        return connection_of(conn_id, what).password

    def _target(self) -> OutputOptions:
        return OutputOptions(
            destination=self.destination or "",
            format=landing_format(self),
            schema_manifest=arguments.exported(self.schema_manifest, "schema_manifest"),
            **{name: read(getattr(self, name), name) for name, read in self.OPTIONS.items()},
        )

    def _concurrency(self) -> int | None:
        given = arguments.text(self.concurrency, "concurrency")
        return arguments.whole(given, "concurrency", least=1) if given else None

    def _attempt(self, context: Context) -> TaskAttempt | None:
        """Tell which try this is, and of what; to clear a task, or anything in its run, makes something else of it."""
        ti, dag_run = context.get("ti"), context.get("dag_run")
        this, last = getattr(ti, "try_number", None), getattr(ti, "max_tries", None)
        if ti is None or not isinstance(this, int) or not isinstance(last, int):  # a test's context has none
            return None
        names = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
        # Both grow when the task is cleared; a run that was deleted and made anew began at another time.
        cleared = (last - (self.retries or 0), getattr(dag_run, "clear_number", None))
        begun = getattr(dag_run, "start_date", None)
        return TaskAttempt(" ".join(map(str, (*names, *cleared, begun))), may_retry=this <= last)

    def _sample(self) -> Sample | None:
        return Sample.parse(self.sample)

    def _check_option(self, name: str) -> None:
        OutputOptions(destination="", format=_PLAIN, **{name: self.OPTIONS[name](getattr(self, name), name)})

    def _check_payloads(self) -> None:
        _any_query(payloads=self.payloads)

    def _check_asked(self, name: str) -> None:
        """See whether the view can be narrowed by an argument."""
        self._view(()).narrow(_any_query(run_filter=RunFilter.parse({name: getattr(self, name)})))

    def _check_sample(self) -> None:
        self._view(()).narrow(_any_query(run_filter=RunFilter(sample=self._sample())))

    def _check_shape(self) -> None:
        if not _calls(self.redact):  # functions are the worker's to import
            self._shape(self._view(), self.redact_conn_id and "a key")

    def _tell(self, exported: Exported) -> None:
        for line in closing_lines(exported):
            self.log.info(line)
        for line in warning_lines(exported):
            self.log.warning(line)


def _any_query(**parts: Any) -> RunQuery:
    """Make a query of no project, to see whether the rest of it can be asked."""
    return RunQuery(project=Project(id="", name=""), window=ALL_TIME, fields=(), **parts)


def _calls(rules: Any) -> bool:
    """Tell whether any rule calls a function."""
    if isinstance(rules, Mapping):
        return "call" in rules or any(map(_calls, rules.values()))
    return any(map(_calls, rules)) if isinstance(rules, list | tuple) else "call" in str(rules)
