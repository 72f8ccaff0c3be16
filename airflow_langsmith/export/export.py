"""An export: from a query to published files, with memory for a page and a row group."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from airflow_langsmith import __version__
from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.errors import ConfigurationError, EmptyWindowError, SchemaChangeError
from airflow_langsmith.export.attachments import Attachments
from airflow_langsmith.export.checkpoints import CheckpointPolicy, Checkpoints, TaskAttempt
from airflow_langsmith.export.cursor_limit import ParallelReadPolicy
from airflow_langsmith.export.destination import path_at
from airflow_langsmith.export.expired import warn_if_expired
from airflow_langsmith.export.exported import Exported
from airflow_langsmith.export.identity import Identity
from airflow_langsmith.export.layout import MANIFEST, partition
from airflow_langsmith.export.options import OutputOptions
from airflow_langsmith.export.parts import Parts
from airflow_langsmith.export.progress import Observer, Progress
from airflow_langsmith.export.publication import Publication
from airflow_langsmith.export.read import RowReader
from airflow_langsmith.export.row_file import RowCodec
from airflow_langsmith.export.row_transforms import RowTransforms, TransformedRows, transform_rows
from airflow_langsmith.export.workdir import working_directory
from airflow_langsmith.manifest import Manifest, ManifestColumn, read_manifest
from airflow_langsmith.transform.redact import Redaction
from airflow_langsmith.views import View


class Export:
    """
    One export of what a query finds, as rows of a view.

    Pages of runs become rows, which are redacted, left out if they came before, transformed, cut into parts and
    uploaded; then the manifest is replaced, which publishes them. What fails on the way leaves the previous export as
    it was.

    :param transforms: What becomes of the rows.
    :param observer: Called after pages, and before the manifest is replaced.
    :param concurrency: How many cursors read at a time at most; by default as many as the budget has use for.
    :param attempt: Whose attempt it is. It goes on from the checkpoints of an earlier one, and writes its own.
    :raises ConfigurationError: for arguments that do not go together.
    """

    def __init__(
        self,
        client: LangSmithClient,
        query: RunQuery,
        view: View,
        output: OutputOptions,
        transforms: RowTransforms | None = None,
        *,
        observer: Observer | None = None,
        concurrency: int | None = None,
        attempt: TaskAttempt | None = None,
        checkpoint_policy: CheckpointPolicy | None = None,
        read_policy: ParallelReadPolicy | None = None,
    ) -> None:
        if concurrency is not None and concurrency < 1:
            raise ConfigurationError(f"concurrency is {concurrency}; it is 1 or more, or left out.")
        self._client, self._view, self._output = client, view, output
        self._query = view.narrow(query)
        self._transforms = transforms or RowTransforms()
        self._attempt = attempt
        self._checkpoint_policy, self._read_policy = checkpoint_policy, read_policy or ParallelReadPolicy()
        if max_cursors := 1 if view.downloads_attachments else concurrency:  # to download takes longer than to read
            self._read_policy = replace(self._read_policy, max_cursors=max_cursors)
        self._progress = Progress(observer=observer or Observer())
        self._identity = Identity(
            view=view.name,
            project=query.project.name,
            project_id=query.project.id,
            window=self._query.window,
            query=self._query.run_filter.serialize() | view.narrowed_by,
        )
        folder = partition(view.partition_name, query.project.name, self._query.window, output.partition)
        self._path = path_at(output.destination) / folder

    def run(self) -> Exported:
        """
        Export, and return what was published.

        :raises LangSmithError: if a page or a file fails.
        """
        client = self._client
        began, requests_before, waited_before = time.monotonic(), client.requests, client.waited_seconds
        with (
            working_directory() as directory,
            Publication(self._path) as publication,
            self._checkpoints(directory) as checkpoints,
        ):
            self._identity.refuse_another(publication.previous, self._path)
            publication.probe()
            schema = self._output.schema_manifest
            previous = read_manifest(schema) if schema else publication.previous
            redaction = self._transforms.redaction(self._view)
            with (
                closing(self._reader(publication, redaction, checkpoints, directory).rows()) as rows,
                transform_rows(rows, self._view, self._transforms, directory) as transformed,
                closing(self._parts(transformed.view, directory)) as parts,
            ):
                for batch in transformed.batches:
                    for part in parts.add(batch):
                        publication.upload(part)
                is_skipped = self._is_skipped()
                for part in () if is_skipped else parts.finish():
                    publication.upload(part)
            manifest = self._manifest(publication, transformed, None if is_skipped else previous)
            if not is_skipped:
                publication.commit(manifest, self._progress.observer.before_publication)
        return Exported(
            uri=str(self._path / MANIFEST),
            manifest=manifest,
            progress=self._progress,
            is_skipped=is_skipped,
            previous=publication.previous,
            previous_at=publication.previous_at,
            requests=client.requests - requests_before,
            seconds=time.monotonic() - began,
            waited_seconds=client.waited_seconds - waited_before,
            empty_columns=transformed.empty_columns,
            unmet_paths=redaction.unmatched(manifest.rows),
        )

    def _checkpoints(self, directory: Path) -> Checkpoints:
        compression = self._output.format.checkpoint_compression
        digest = self._identity.digest(
            self._client.settings.api_url,
            self._attempt and self._attempt.task_key,
            [column.name for column in self._view.columns],
            self._query.payloads,
            self._transforms.redact,
            self._transforms.redact_key,
            compression,
        )
        return Checkpoints(
            self._path,
            self._client,
            self._attempt,
            digest,
            RowCodec(self._view),
            compression,
            directory,
            self._checkpoint_policy,
        )

    def _reader(
        self, publication: Publication, redaction: Redaction, checkpoints: Checkpoints, directory: Path
    ) -> RowReader:
        attachments = Attachments(publication, directory, flag=self._query.payloads == "flag")
        return RowReader(
            self._client,
            self._query,
            self._view,
            redact=redaction.apply,
            download=attachments.download if self._view.downloads_attachments else None,
            progress=self._progress,
            directory=directory,
            checkpoints=checkpoints,
            policy=self._read_policy,
        )

    def _parts(self, view: View, directory: Path) -> Parts:
        output = self._output
        return Parts(output.format, view, directory, output.max_rows_per_file, output.max_bytes_per_file)

    def _is_skipped(self) -> bool:
        """Return whether nothing is to be written, once all rows are read."""
        is_empty = self._progress.runs == 0
        warn_if_expired(self._client, self._query, is_empty=is_empty)
        if is_empty and self._output.on_empty == "fail":
            raise EmptyWindowError(
                f"There are no runs in {self._query.about}. A retry helps if they come late; else look at the query, "
                "or at the project's retention (base traces are gone after 14 days)."
            )
        return is_empty and self._output.on_empty == "skip"

    def _manifest(self, publication: Publication, rows: TransformedRows, previous: Manifest | None) -> Manifest:
        columns = tuple(ManifestColumn(name=column.name, type=column.type) for column in rows.view.columns)
        return Manifest(
            package_version=__version__,
            view=self._view.name,
            project=self._identity.project,
            project_id=self._identity.project_id,
            window_start=self._query.start,
            window_end=self._query.end,
            query=self._identity.query,
            api_version=self._client.api_version(),
            format=self._output.format.name,
            compression=self._output.format.compression,
            columns=columns,
            schema_changes=self._schema_changes(columns, previous),
            files=tuple(publication.files),
            rows=sum(file.rows for file in publication.files),
            bytes=sum(file.bytes for file in publication.files),
            pending=self._progress.pending,
            misfits=rows.misfits,
            nulls=rows.nulls,
            missing_payloads=self._progress.missing,
            attachments=tuple(sorted(publication.attachments.values(), key=lambda attachment: attachment.name)),
            min_start_time=self._progress.first,
            max_start_time=self._progress.last,
        )

    def _schema_changes(self, columns: tuple[ManifestColumn, ...], previous: Manifest | None) -> tuple[str, ...]:
        """Return how the columns differ from those of another export, or fail if they may not."""
        if previous is None:
            return ()
        before, now = ({column.name: column.type for column in each} for each in (previous.columns, columns))
        changes = (
            *(f"+ {name} {now[name]}" for name in now if name not in before),
            *(f"- {name} {before[name]}" for name in before if name not in now),
            *(f"{name} {before[name]} -> {now[name]}" for name in now if before.get(name, now[name]) != now[name]),
        )
        if changes and self._output.schema_changes == "fail":
            other = "of the other manifest" if self._output.schema_manifest else "published before"
            raise SchemaChangeError(
                f"The columns differ from those {other} ({'; '.join(changes)}). What was published stands."
            )
        return changes
