"""The operator of Bulk Export: LangSmith writes a window into the user's bucket, and the rows land like any export."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_langsmith import arguments
from airflow_langsmith.airflow_errors import LangSmithException, airflow_errors
from airflow_langsmith.airflow_sdk import (
    AirflowFailException,
    BaseOperator,
    Context,
    ResumableJobMixin,
    TaskDeferralError,
    TaskDeferralTimeout,
    TaskDeferred,
    conf,
)
from airflow_langsmith.api.bulk_exports import find_destination
from airflow_langsmith.api.bulk_request import (
    BulkExportRequest,
    Compression,
    FormatVersion,
    check_export_fields,
    filter_of,
)
from airflow_langsmith.api.bulk_rows import export_fields
from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.ui_urls import project_url
from airflow_langsmith.arguments import Reader
from airflow_langsmith.errors import BulkExportError, ConfigurationError, EmptyWindowError
from airflow_langsmith.export.bulk import BulkSource, check_readable
from airflow_langsmith.export.destination import path_at
from airflow_langsmith.export.encoders import Format
from airflow_langsmith.export.export import Export, check_destination
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.operators.bulk_export_job import RUNNING, BulkExportJob, Reuse, check_bucket
from airflow_langsmith.operators.bulk_export_of_task import STORE_KEY, BulkExportOfTask
from airflow_langsmith.operators.publishing import PARQUET, LangSmithPublishingOperator, read_destination
from airflow_langsmith.operators.report import ProgressReporter, number, period
from airflow_langsmith.transform.paths import hidden_columns
from airflow_langsmith.views import View, view_of
from airflow_langsmith.waiting import BulkSelection
from airflow_langsmith.windows.time_window import seconds

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

_GRACE = timedelta(minutes=2)  # for the trigger to report that it is too late; Airflow reports it if no trigger runs
_ABOUT_ROWS = ("columns", "sample", "flatten", "redact", "redact_conn_id", "schema_manifest")


def _read_export_fields(value: Any, name: str) -> tuple[str, ...] | None:
    fields = arguments.names(value, name)
    check_export_fields(fields)
    return fields


def _read_seconds(value: Any, name: str) -> float:
    return seconds(value, name)


class LangSmithBulkExportOperator(ResumableJobMixin, LangSmithPublishingOperator):
    """
    Let LangSmith write a time window of a project into your bucket by Bulk Export, and publish its rows.

    ::

        LangSmithBulkExportOperator(
            task_id="runs", project="shop", bulk_destination_id="22345678-...",
            files_at="s3://lake@bulk", destination="s3://lake@traces/langsmith",
        )
        # Adopting bulk export 42345678-..., which is Running
        # s3://traces/langsmith/runs/project=shop/date=2026-03-01/_manifest.json

    It adopts a running export of exactly this request, or starts one, and waits until it has ended. Then it verifies
    that each run of the export completed and that the windows of the runs tile the window; with ``files_at`` also that
    the files are there and have as many rows as LangSmith says. With ``destination`` it rewrites the rows into the
    columns of the view ``runs``, and publishes them as ``LangSmithExportOperator`` does: the same layout, types and
    manifest, so readers and loads see no difference. Columns that Bulk Export does not have are null.

    A retry goes on with the export of the try before (before Airflow 3.3: if it still runs). A task that a user ends or
    clears, or whose last try fails, cancels the export if the task started it, and never one that it adopted.

    Returns a dict for XCom, under 2 KB: ``bulk_export_id``, ``status``, ``rows``, ``files`` (their number), ``bytes``
    (None without ``files_at``), ``manifest`` (its URI, or None) and ``seconds``. With ``destination`` also what
    ``LangSmithExportOperator`` returns; ``rows``, ``files`` and ``bytes`` are then those of the partition.

    :param bulk_destination_id: Where LangSmith writes to: the id of a destination in LangSmith. (templated)
    :param export_fields: Columns of the files; by default all but ``feedbacks``. (templated)
    :param format_version: Of the files: ``v2_beta`` or ``v1``. (templated)
    :param compression: Of the files: ``zstandard``, ``snappy``, ``gzip`` or ``none``. (templated)
    :param reuse: Adopt a ``running`` export of the same request, or also the newest ``completed`` one that is whole, or
        ``none``. (templated)
    :param cancel_on_kill: Whether to cancel the export that this task started if no try of it will wait any more.
    :param files_at: The root of the bucket that LangSmith writes to, as the worker reads it: ``s3://conn_id@bucket``.
        (templated)
    :param destination: URI under which partitions are written, as for ``LangSmithExportOperator``. (templated)
    :param deferrable: Wait on the triggerer; by default as ``[operators] default_deferrable``.
    :param poll_interval: The time between two looks: seconds, a timedelta or like ``"30s"``. (templated)
    :param timeout: How long a try waits for the export. A retry waits for the same export. (templated)
    :param durable: Whether Airflow stores the id of the export for a retry (from 3.3 on).

    Bulk Export cannot narrow by ``trace_filter``, ``tree_filter`` and ``reference_example_id``. Which columns, and how
    values are changed: the arguments of
    :class:`~airflow_langsmith.operators.publishing.LangSmithPublishingOperator`. Which project, runs and window: those
    of :class:`~airflow_langsmith.operators.base.LangSmithRunsOperator`.
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        "project": arguments.required,
        "filter": LangSmithPublishingOperator.readers["filter"],
        "bulk_destination_id": arguments.required,
        "files_at": arguments.optional(read_destination),
        "destination": arguments.optional(read_destination),
        "export_fields": _read_export_fields,
        "format_version": arguments.one_of(FormatVersion),
        "compression": arguments.one_of(Compression),
        "reuse": arguments.one_of(Reuse),
        "poll_interval": _read_seconds,
        "timeout": _read_seconds,
        **LangSmithPublishingOperator.readers,
    }
    template_fields: Sequence[str] = tuple(readers)
    external_id_key = STORE_KEY

    def __init__(
        self,
        *,
        bulk_destination_id: str,
        export_fields: Iterable[str] | str | None = None,
        format_version: FormatVersion = "v2_beta",
        compression: Compression = "zstandard",
        reuse: Reuse = "running",
        cancel_on_kill: bool = True,
        files_at: str | ObjectStoragePath | None = None,
        destination: str | ObjectStoragePath | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | str | timedelta = 30,
        timeout: float | str | timedelta = "5h",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bulk_destination_id = bulk_destination_id
        self.export_fields = export_fields
        self.format_version = format_version
        self.compression = compression
        self.reuse = reuse
        self.cancel_on_kill = cancel_on_kill
        self.files_at = files_at
        self.destination = destination
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.check_arguments(
            lambda: filter_of(self.run_filter()),
            self._view,
            self._check_fields,
            self._check_transforms,
            self._check_destination,
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Start or adopt a bulk export, wait for it, and publish its rows."""
        self._began = datetime.now(UTC)
        with self._working(context) as hook:
            self._job = self._make_job(context, hook)
            self._check_all()
            self.execute_resumable(context)
            return self._finish()

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Publish the rows, now that the trigger has seen the end of the export."""
        self._began = datetime.fromisoformat(event["began"])
        with self._working(context) as hook:
            self._bulk.take(event["bulk_export_id"], is_own=event["is_own"])
            self._job = self._make_job(context, hook)
            if self._job.request.digest != event["request"]:
                raise BulkExportError(
                    f"The arguments of the task changed while it waited for bulk export {event['bulk_export_id']}, "
                    "which has other runs than the task wants now. A retry starts another one."
                )
            match event.get("state"):
                case "timeout":
                    raise self._job.overdue(event.get("line", ""))
                case "error" if event.get("retriable"):
                    raise LangSmithException(event.get("line", ""))
                case "error":
                    raise AirflowFailException(event.get("line", ""))
            return self._finish()

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after the trigger."""
        try:
            return BaseOperator.resume_execution(self, next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            problem = "No trigger has looked at the bulk export. Is a triggerer running?"
        except TaskDeferralError:
            problem = "The trigger of the bulk export failed. Its traceback is above, and in the triggerer's log."
        with self._working(context):
            raise BulkExportError(f"{problem} A retry waits on.")

    # What Airflow's mixin calls: it stores the external id, and finds it again on a retry.

    def submit_job(self, context: Context) -> dict[str, Any]:
        """Adopt or start an export, and return what Airflow stores of it."""
        reuse = self.read("reuse")
        if reuse == "none" and not self._bulk.is_stored and getattr(context.get("ti"), "try_number", 1) > 1:
            reuse = "running"  # it may be that of the try before
        self._job.begin(reuse)
        return self._bulk.serialize()

    def get_job_status(self, external_id: Any, context: Context) -> str:  # noqa: ARG002  # Airflow's contract
        """Return the state of the export of an earlier try; after a clear, or for another request, cancel that one."""
        return self._job.resume(may_cancel=self.cancel_on_kill)

    def is_job_active(self, status: str) -> bool:
        """Return whether the export has to be waited for."""
        return status == RUNNING

    def is_job_succeeded(self, status: str) -> bool:
        """Return whether the export has completed."""
        return status == "completed"

    def poll_until_complete(self, external_id: Any, context: Context) -> None:  # noqa: ARG002  # Airflow's contract
        """Wait until the export has ended, on the triggerer or here."""
        timeout = timedelta(seconds=self.read("timeout"))
        deadline = self._began + min(timeout, self.execution_timeout or timeout)
        if self.deferrable and not self._job.read().has_ended:
            self._defer(deadline)
        self._job.wait(deadline, self.read("poll_interval"))

    def get_job_result(self, external_id: Any, context: Context) -> None:
        """Return nothing, because :meth:`execute` returns what the export wrote."""

    def _defer(self, deadline: datetime) -> None:
        from airflow_langsmith.triggers import LangSmithBulkExportTrigger  # noqa: PLC0415  # DAGs parse without it

        export = self._bulk
        trigger = LangSmithBulkExportTrigger(
            langsmith_conn_id=self.read("langsmith_conn_id") or LangSmithHook.default_conn_name,
            selection=BulkSelection(export_id=export.export_id).serialize(),
            watched={},
            deadline=deadline.isoformat(),
            poke_interval=self.read("poll_interval"),
            cancel_on_kill=self.cancel_on_kill and export.is_own,
            event_extra={
                "bulk_export_id": export.export_id,
                "is_own": export.is_own,
                "request": self._job.request.digest,
                "began": self._began.isoformat(),
            },
        )
        left = max(deadline - datetime.now(UTC), timedelta(0))
        self.defer(trigger=trigger, method_name="execute_complete", timeout=left + _GRACE)

    @contextmanager
    def _working(self, context: Context) -> Iterator[LangSmithHook]:
        """Look up the export of an earlier try, and cancel it if the block fails and no try will go on with it."""
        with self.kill_switch.armed(context), airflow_errors(), LangSmithHook(self.read("langsmith_conn_id")) as hook:
            for name in ("project", "bulk_destination_id"):  # a blank one is refused before the connection
                self.read(name)
            client = hook.get_conn()
            store = context.get("task_state_store")  # from Airflow 3.3 on
            stored = store if store is not None and self.durable else None
            self._bulk = BulkExportOfTask.load(stored, self._task(context, client))
            try:
                yield hook
            except TaskDeferred:
                raise
            except BaseException as error:
                if self.cancel_on_kill and self._is_given_up(error, context):
                    self._bulk.try_to_cancel(client)
                raise

    def _task(self, context: Context, client: LangSmithClient) -> str:
        """Return a digest of the task, which is another one after a clear, and of the server."""
        attempt = self._attempt(context)
        return sha256(json.dumps([client.settings.api_url, attempt and attempt.task_key]).encode()).hexdigest()

    def _make_job(self, context: Context, hook: LangSmithHook) -> BulkExportJob:
        client, window = hook.get_conn(), self.resolve_window(context)
        self.name_map_index(context, f"{self.project}, {period(window)}")
        project = client.project(self.read("project"))
        self._query = RunQuery(project=project, window=window, run_filter=self.run_filter(), fields=self._view().fields)
        self.show_link(context, project_url(hook.settings, project, self._query))
        bulk_destination = client.drive(find_destination(self.read("bulk_destination_id"), client.negotiator.backoff))
        files_at = self.read("files_at")
        check_bucket(bulk_destination, str(files_at or ""))
        return BulkExportJob(
            client=client,
            export=self._bulk,
            request=BulkExportRequest(
                destination_id=bulk_destination.id,
                project_id=project.id,
                window=window,
                filter=filter_of(self._query.run_filter),
                **{name: self.read(name) for name in ("export_fields", "format_version", "compression")},
            ),
            destination=bulk_destination,
            files_at=path_at(files_at) if files_at else None,
        )

    def _finish(self) -> dict[str, Any]:
        """Verify what the export wrote, publish its rows, and return the numbers."""
        try:
            output, source, size_bytes = self._job.output()
            self.log.info("Bulk export %s wrote %s", output.export_id, number(output.rows, "row"))
            result: dict[str, Any] = {
                "bulk_export_id": output.export_id,
                "status": "Completed",
                "rows": output.rows,
                "files": len(output.files),
                "bytes": size_bytes,
                "manifest": None,
            }
            if source and self.read("destination"):
                result |= self._publish(self._export(source), self._query).summary()
        except (BulkExportError, EmptyWindowError) as error:  # this export stays as it is
            self._bulk.forget()
            error.advice_on_arguments = "A retry starts another one."
            raise
        result["requests"] = self._job.client.requests
        result["seconds"] = round((datetime.now(UTC) - self._began).total_seconds(), 3)
        return result

    def _export(self, source: BulkSource) -> Export:
        view = self._view()
        if absent := export_fields(view.fields)[1]:
            self.log.info("Null, because Bulk Export does not have them: %s", ", ".join(absent))
        return Export(
            source,
            self._query,
            view,
            self._output_options(),
            self._row_transforms(view, self._redact_key()),
            on_page=ProgressReporter(self.log),
            before_publication=self.kill_switch.last_call,
        )

    def _is_given_up(self, error: BaseException, context: Context) -> bool:
        """Return whether no try of the task will wait for the export any more."""
        attempt = self._attempt(context)
        if attempt is None or not attempt.may_retry:
            return True
        return not getattr(error, "retriable", not isinstance(error, AirflowFailException))

    def _view(self) -> View:
        columns = self.read("columns")
        return view_of("runs", columns and (*columns, *hidden_columns(self.read("flatten"), columns)))

    def _format(self) -> Format:
        return PARQUET

    def _check_all(self) -> None:
        """Check each argument: one with a template, and those of a mapped task, are not checked before."""
        for name in self.readers:
            self.read(name)
        self._check_fields()
        self._check_destination()
        if files_at := self.read("files_at"):
            check_readable(files_at)
        if self.read("destination"):
            self._row_transforms(self._view(), self._redact_key())
            check_destination(self._query, self._view(), self._output_options())

    def _check_fields(self) -> None:
        """Refuse a column of the rows that the named fields do not have."""
        named = self.read("export_fields")
        if named is None or not self.read("destination"):
            return
        view = self._view()
        needed = {*view.fields, *view.reading_fields, "id", "start_time", *self.run_filter().select_fields}
        if missing := sorted({*export_fields(needed)[0]} - {*named}):
            raise ConfigurationError(
                f"export_fields lacks {', '.join(missing)}, which the rows need. Add them, or name fewer columns."
            )

    def _check_destination(self) -> None:
        """Refuse arguments about rows that land nowhere."""
        if self.read("destination"):
            if not self.read("files_at"):
                raise ConfigurationError("destination needs files_at, the root of the bucket that LangSmith writes to.")
        elif ignored := [name for name in _ABOUT_ROWS if self.read(name)]:
            raise ConfigurationError(f"{ignored[0]} is about the rows at a destination. Give destination and files_at.")
