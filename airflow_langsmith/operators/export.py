"""The operator that lands a window of LangSmith in object storage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator, Context

from airflow_langsmith import arguments
from airflow_langsmith.api.filters import Expression
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Project
from airflow_langsmith.exceptions import airflow_errors
from airflow_langsmith.export import MAX_ROWS_PER_FILE, Exported, OnEmpty, Progress, Target, export, format_of
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.views import View, view_of
from airflow_langsmith.windows import Align, MissingWindow, TimeWindow, resolve

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

PROGRESS_EVERY = 10.0  # seconds between progress lines in the task log


class LangSmithExportOperator(BaseOperator):
    """
    Export a time window of a LangSmith project to object storage, as flat rows.

    The rows land in ``<destination>/<view>/project=.../date=.../``, with a ``_manifest.json`` that is written last.
    Exporting the same window again replaces it: the same rows give the same objects, and whoever reads by the
    manifest never sees half an export. A page that fails fails the task, and what was published before stands.

    Returns a dict for XCom: ``manifest`` (its URI), ``view``, ``project``, ``window_start``, ``window_end``, ``rows``,
    ``files``, ``bytes``, ``requests``.

    :param project: Name or id of the project. (templated)
    :param destination: URI under which partitions are written, with Airflow's connections: ``s3://conn_id@bucket/key``,
        ``gs://...``, ``abfs://...``, ``file:///...``. (templated)
    :param view: What a row is: ``runs``. (templated)
    :param run_type: Only runs of this type: ``chain``, ``llm``, ``tool``, ``retriever``, ``embedding``, ``prompt`` or
        ``parser``. (templated)
    :param is_root: Only runs that began a trace, or only others. (templated)
    :param error: Only runs that failed, or only others. (templated)
    :param filter: An expression of LangSmith's filter language about the run itself; the window is added to it.
        (templated)
    :param trace_filter: One about the root of its trace. (templated)
    :param tree_filter: One about any run of its trace. (templated)
    :param trace_id: Only runs of this trace. (templated)
    :param run_ids: Only these runs. (templated)
    :param reference_example_id: Only runs on this dataset example. (templated)
    :param start_time: Start of the window, inside it; with a time zone. Give both bounds or none. (templated)
    :param end_time: End of the window, outside it. (templated)
    :param window: How long the window is, where Airflow's run gives a moment only: a timedelta or like ``"1d"``,
        ``"6h"``. (templated)
    :param align: Floor both bounds to the ``hour`` or the ``day``. (templated)
    :param window_timezone: The time zone of those hours and days. (templated)
    :param lag: How long before now the window has to have closed; if it has not, the task fails and a retry may find
        it closed. (templated)
    :param missing_window: What to do where the run gives no moment at all: ``fail``, or take its ``run_after``.
        (templated)
    :param format: ``parquet``, ``jsonl`` or ``csv``. (templated)
    :param compression: Parquet: ``zstd`` (default), ``snappy``, ``gzip``, ``none``. JSONL and CSV: ``gzip`` (default),
        ``zstd``, ``none``. (templated)
    :param columns: The view's columns to write, in this order; by default the view's default ones. (templated)
    :param max_rows_per_file: Rows a part holds at most. (templated)
    :param on_empty: For a window without rows: ``write`` a part with none, ``skip`` the task and leave the destination
        as it is, or ``fail``. (templated)
    :param partition: ``auto``, or a format string over ``start`` and ``end``: ``"dt={start:%Y-%m-%d}"``. (templated)
    :param langsmith_conn_id: The connection's id. (templated)
    """

    template_fields: Sequence[str] = (
        "project",
        "destination",
        "view",
        "run_type",
        "is_root",
        "error",
        "filter",
        "trace_filter",
        "tree_filter",
        "trace_id",
        "run_ids",
        "reference_example_id",
        "start_time",
        "end_time",
        "window",
        "align",
        "window_timezone",
        "lag",
        "missing_window",
        "format",
        "compression",
        "columns",
        "max_rows_per_file",
        "on_empty",
        "partition",
        "langsmith_conn_id",
    )
    ui_color = "#e3f0ec"

    def __init__(
        self,
        *,
        project: str,
        destination: str | ObjectStoragePath,
        view: str = "runs",
        run_type: str | None = None,
        is_root: bool | str | None = None,
        error: bool | str | None = None,
        filter: Expression | None = None,  # noqa: A002  # LangSmith's own name
        trace_filter: Expression | None = None,
        tree_filter: Expression | None = None,
        trace_id: str | None = None,
        run_ids: Iterable[str] | str | None = None,
        reference_example_id: str | None = None,
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        window: str | timedelta | None = None,
        align: Align | None = None,
        window_timezone: str = "UTC",
        lag: str | timedelta | None = None,
        missing_window: MissingWindow = "fail",
        format: Literal["parquet", "jsonl", "csv"] = "parquet",  # noqa: A002  # what it is called everywhere
        compression: str | None = None,
        columns: Iterable[str] | str | None = None,
        max_rows_per_file: int | str = MAX_ROWS_PER_FILE,
        on_empty: OnEmpty = "write",
        partition: str = "auto",
        langsmith_conn_id: str = LangSmithHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.destination = destination
        self.view = view
        self.run_type = run_type
        self.is_root = is_root
        self.error = error
        self.filter = filter
        self.trace_filter = trace_filter
        self.tree_filter = tree_filter
        self.trace_id = trace_id
        self.run_ids = run_ids
        self.reference_example_id = reference_example_id
        self.start_time = start_time
        self.end_time = end_time
        self.window = window
        self.align = align
        self.window_timezone = window_timezone
        self.lag = lag
        self.missing_window = missing_window
        self.format = format
        self.compression = compression
        self.columns = columns
        self.max_rows_per_file = max_rows_per_file
        self.on_empty = on_empty
        self.partition = partition
        self.langsmith_conn_id = langsmith_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Resolve the window, export it, and say what landed."""
        began = time.monotonic()
        with airflow_errors(), LangSmithHook(self.langsmith_conn_id) as hook:
            window = self._window(context)
            self.log.info("Window %s, from %s", window, window.source)
            view, target = self._view(), self._target()
            client = hook.get_conn()
            query = self._query(client.project(self.project), window, view)
            self.log.info("::group::Reading %s of %s", view.name, query.about)
            try:
                exported = export(client, query, view, target, _Reporter(self.log))
            finally:
                self.log.info("::endgroup::")
        if exported is None:
            raise AirflowSkipException(f"No runs in {query.about}; nothing was written (on_empty='skip').")
        self._tell(exported, time.monotonic() - began)
        return exported.summary()

    def _window(self, context: Context) -> TimeWindow:
        return resolve(
            context,
            start_time=self.start_time,
            end_time=self.end_time,
            window=self.window,
            align=self.align,
            window_timezone=self.window_timezone,
            lag=self.lag,
            missing_window=self.missing_window,
        )

    def _view(self) -> View:
        return view_of(self.view, arguments.names(self.columns, "columns"))

    def _target(self) -> Target:
        return Target(
            destination=self.destination,
            format=format_of(self.format, arguments.text(self.compression, "compression")),
            partition=self.partition,
            max_rows_per_file=arguments.whole(self.max_rows_per_file, "max_rows_per_file"),
            on_empty=self.on_empty,
        )

    def _query(self, project: Project, window: TimeWindow, view: View) -> RunQuery:
        return RunQuery(
            project=project,
            start=window.start,
            end=window.end,
            fields=view.fields,
            run_type=arguments.text(self.run_type, "run_type"),
            is_root=arguments.flag(self.is_root, "is_root"),
            error=arguments.flag(self.error, "error"),
            filter=arguments.text(self.filter, "filter"),
            trace_filter=arguments.text(self.trace_filter, "trace_filter"),
            tree_filter=arguments.text(self.tree_filter, "tree_filter"),
            trace_id=arguments.text(self.trace_id, "trace_id"),
            run_ids=arguments.names(self.run_ids, "run_ids"),
            reference_example_id=arguments.text(self.reference_example_id, "reference_example_id"),
        )

    def _tell(self, exported: Exported, seconds: float) -> None:
        manifest, progress = exported.manifest, exported.progress
        self.log.info(
            "Exported %s rows (%s still pending) of project %r, window [%s, %s): %s parts, %s, %s requests, %.1f s. "
            "Manifest: %s",
            f"{manifest.rows:,}",
            f"{progress.pending:,}",
            manifest.project,
            manifest.window_start.isoformat(),
            manifest.window_end.isoformat(),
            len(manifest.files),
            _size(manifest.bytes),
            exported.requests,
            seconds,
            exported.uri,
        )


def _size(count: float) -> str:
    """
    Write a number of bytes for people.

    >>> _size(20_938)
    '20.9 KB'
    """
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:  # noqa: PLR2004
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


class _Reporter:
    """Says how far it is, every ten seconds or so."""

    def __init__(self, log: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._began = self._told = clock()

    def __call__(self, progress: Progress) -> None:
        now = self._clock()
        if now - self._told < PROGRESS_EVERY:
            return
        self._told = now
        self._log.info(
            "%s runs in %s pages, %.0f a second; %.0f %% of the window is done",
            f"{progress.runs:,}",
            progress.pages,
            progress.runs / (now - self._began),
            100 * progress.share,
        )
