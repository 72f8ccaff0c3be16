"""The export operator: a time window of LangSmith becomes files in object storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_langsmith import arguments
from airflow_langsmith.airflow_errors import airflow_errors
from airflow_langsmith.airflow_sdk import Context
from airflow_langsmith.api.query import ALL_TIME, MissingPayloadPolicy, RunQuery
from airflow_langsmith.api.records import Project
from airflow_langsmith.api.run_filter import ARGUMENTS, RunFilter
from airflow_langsmith.api.ui_urls import project_url
from airflow_langsmith.arguments import Reader
from airflow_langsmith.export.checkpoints import CheckpointPolicy
from airflow_langsmith.export.encoders import Format, format_of
from airflow_langsmith.export.export import Export
from airflow_langsmith.export.layout import partition_by_ids
from airflow_langsmith.export.pages import PageSource
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.messages import MAX_LINE, shorten
from airflow_langsmith.operators.base import takes
from airflow_langsmith.operators.publishing import LangSmithPublishingOperator, read_destination
from airflow_langsmith.operators.report import ProgressReporter, period
from airflow_langsmith.transform.paths import hidden_columns
from airflow_langsmith.views import View, option_defaults, options, view_of

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

_FORMAT: dict[str, Reader] = {"format": arguments.required, "compression": arguments.text}  # right or wrong together


def _any_query(**parts: Any) -> RunQuery:
    """Return a query of no project, to check its other parts."""
    return RunQuery(project=Project(id="", name=""), window=ALL_TIME, fields=(), **parts)


class LangSmithExportOperator(LangSmithPublishingOperator):
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
    :param only_with_tools: For ``traces``: only those that called a tool. (templated)
    :param with_feedback: For ``retrievals``: only those whose root has feedback (True), or feedback under a key (its
        name), or all (False). (templated)
    :param include_modified: For ``feedback``: also feedback that was created before the window and modified in it.
        (templated)
    :param refresh: ``feedback``: not the rows of the window, but rows whose feedback was created or modified in it, in
        the partition ``<view>_refreshed/...``, to merge by the view's key. (templated)
    :param lookback: How long before the window such feedback was created, or such rows started: ``"30d"`` by default.
        All feedback since then is listed, 100 a request. (templated)
    :param payloads: If a payload in blob storage cannot be fetched: ``fail`` the task, or ``flag`` the payload, as a
        null that the column ``missing_payloads`` names. (templated)
    :param attachments: For ``runs``: ``list`` the files attached to runs, or also ``download`` them beside the parts.
        (templated)
    :param concurrency: The maximum number of cursors that read in parallel; empty: as many as the budget allows. Rows
        and files are the same. (templated)

    Which columns, and how values are changed: the arguments of
    :class:`~airflow_langsmith.operators.publishing.LangSmithPublishingOperator`. Which project, runs and window: those
    of :class:`~airflow_langsmith.operators.base.LangSmithRunsOperator`.
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        "destination": read_destination,
        "view": arguments.as_is,
        **_FORMAT,
        **dict.fromkeys(options(), arguments.as_is),  # a view reads its own options
        **LangSmithPublishingOperator.readers,
        "payloads": lambda value, _: _any_query(payloads=value).payloads,
        "concurrency": arguments.optional(partial(arguments.whole_number, minimum=1)),
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
        payloads: MissingPayloadPolicy = "fail",
        concurrency: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        view_options = {name: kwargs.pop(name, default) for name, default in option_defaults().items()}
        super().__init__(**kwargs)
        for name, value in view_options.items():
            setattr(self, name, value)
        self.destination = destination
        self.view = view
        self.format = format
        self.compression = compression
        self.payloads = payloads
        self.concurrency = concurrency
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
            export = Export(
                source,
                query,
                view,
                output,
                transforms,
                on_page=ProgressReporter(self.log),
                before_publication=self.kill_switch.last_call,
            )
            return self._publish(export, query).summary()

    def _view(self, options: Iterable[str] = tuple(options())) -> View:
        """Return the view with these of its options."""
        columns = self.read("columns")
        return view_of(
            self.read("view"),
            columns and (*columns, *hidden_columns(self.read("flatten"), columns)),
            missing_payloads=self.read("payloads") == "flag",
            **{name: self.read(name) for name in options},
        )

    def _format(self) -> Format:
        return format_of(self.read("format"), self.read("compression"))

    def _check_narrowing(self, name: str) -> None:
        """Refuse an argument that the view cannot be narrowed by."""
        self._view(()).narrow(_any_query(run_filter=RunFilter(**{name: self.read(name)})))
