"""An export: from a query to published files, with memory for a page and a row group."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from airflow_langsmith import __version__
from airflow_langsmith.api.projects import BASE_RETENTION, EXTENDED_RETENTION, known_retention
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.errors import ConfigurationError, EmptyWindowError, LangSmithError, SchemaChangeError
from airflow_langsmith.export.destination import StoragePath, path_at
from airflow_langsmith.export.encoders import Format
from airflow_langsmith.export.layout import MANIFEST, partition
from airflow_langsmith.export.parts import Parts
from airflow_langsmith.export.progress import Progress
from airflow_langsmith.export.publication import Identity, Publication
from airflow_langsmith.export.row_transforms import RowTransforms, transform_rows
from airflow_langsmith.export.source import Reading, RowSource
from airflow_langsmith.export.workdir import working_directory
from airflow_langsmith.manifest import Manifest, ManifestColumn, read_manifest
from airflow_langsmith.messages import suggest
from airflow_langsmith.transform.flatten import Flattening
from airflow_langsmith.transform.redact import Redaction
from airflow_langsmith.views import View
from airflow_langsmith.windows import TimeWindow

log = logging.getLogger(__name__)

OnEmpty = Literal["write", "skip", "fail"]
SchemaChanges = Literal["evolve", "fail"]
MAX_ROWS_PER_FILE = 100_000  # of 5 KB each, that is a file of about 70 MB
MAX_BYTES_PER_FILE = 512 * 1024**2  # of values; what Iceberg writes, and no file is over what engines like to read
_MIN_FILE_BYTES = 1024**2  # less is most likely meant as megabytes, and would make a file of every few rows
_MAX_NAME_BYTES = 256  # of JSON; the longest key that S3 takes and all the rest of a summary leave more than this
_A_DAY = TimeWindow(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """
    Where and how an export lands.

    ``schema_manifest`` is a manifest to compare the columns with, instead of the one that is replaced.
    """

    destination: str | StoragePath
    format: Format
    partition: str = "auto"
    max_rows_per_file: int = MAX_ROWS_PER_FILE
    max_bytes_per_file: int = MAX_BYTES_PER_FILE
    on_empty: OnEmpty = "write"
    schema_changes: SchemaChanges = "evolve"
    schema_manifest: str | StoragePath | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, known in (("on_empty", OnEmpty), ("schema_changes", SchemaChanges)):
            value = getattr(self, name)
            if value not in get_args(known):
                raise ConfigurationError(f"{name} is {value!r}. {suggest(value, get_args(known))}")
        if self.max_rows_per_file < 1:
            raise ConfigurationError(f"max_rows_per_file is {self.max_rows_per_file}; it is 1 or more.")
        if self.max_bytes_per_file < _MIN_FILE_BYTES:
            raise ConfigurationError(
                f"max_bytes_per_file is {self.max_bytes_per_file} bytes; it is {_MIN_FILE_BYTES} (1 MiB) or more. "
                f"The default is {MAX_BYTES_PER_FILE} (512 MiB)."
            )
        partition("view", "project", _A_DAY, self.partition)  # a pattern that no window can fill in


@dataclass(frozen=True, kw_only=True)
class Exported:
    """
    The result of an export: its manifest, where that lies, what it replaced, and what it took.

    If ``is_skipped``, the window was empty and nothing was written: ``manifest`` is what would lie at ``uri``.
    ``previous`` is the manifest that was there before, written at ``previous_at`` if the store says so.
    Of its ``seconds`` it waited ``waited_seconds`` for the rate limit or before another request.
    ``empty_columns`` are the flat columns that are null in all rows, each with a hint; ``unmet_paths`` the paths of
    ``redact`` that no row has.
    """

    uri: str
    manifest: Manifest
    progress: Progress
    is_skipped: bool = False
    previous: Manifest | None = field(compare=False)
    previous_at: datetime | None = field(compare=False)
    requests: int = field(compare=False)
    seconds: float = field(compare=False)
    waited_seconds: float = field(compare=False)
    empty_columns: dict[str, str] = field(default_factory=dict)
    unmet_paths: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Return the numbers of the export for XCom: under 2 KB, however long the project's name is."""
        manifest, project = self.manifest, self.manifest.project
        while len(json.dumps(project)) > _MAX_NAME_BYTES:
            project = f"{project.removesuffix('…')[:-1]}…"
        return {
            "manifest": self.uri,
            "view": manifest.view,
            "project": project,
            "project_id": manifest.project_id,
            "window_start": manifest.window_start.isoformat(),
            "window_end": manifest.window_end.isoformat(),
            "rows": manifest.rows,
            "files": len(manifest.files),
            "bytes": manifest.bytes,
            "pending": manifest.pending,
            "misfits": manifest.misfits,
            "missing_payloads": manifest.missing_payloads,
            "schema_changes": len(manifest.schema_changes),
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "waited_seconds": round(self.waited_seconds, 3),
        }


class Export:
    """
    One export of the runs of a query, as rows of a view.

    Rows come from the source, which redacts them and leaves out those that came before. They are transformed, cut into
    parts and uploaded; then the manifest is replaced, which publishes them. An error on the way leaves the previous
    export as it was.

    :param source: Where the rows come from: :class:`~airflow_langsmith.export.pages.PageSource` or
        :class:`~airflow_langsmith.export.bulk.BulkSource`.
    :param on_page: Called after pages, in the thread that runs the export.
    :param before_publication: Called last before the manifest is replaced; what it raises prevents that.
    :raises ConfigurationError: for arguments that do not go together.
    """

    def __init__(
        self,
        source: RowSource,
        query: RunQuery,
        view: View,
        output: OutputOptions,
        transforms: RowTransforms | None = None,
        *,
        on_page: Callable[[Progress], None] = lambda _: None,
        before_publication: Callable[[], None] = lambda: None,
    ) -> None:
        self._source, self._view, self._output = source, view, output
        self._query = view.narrow(query)
        self._transforms = transforms or RowTransforms()
        self._progress = Progress(on_page=on_page)
        self._before_publication = before_publication
        self._identity, self._path = _partition(self._query, view, output)

    def run(self) -> Exported:
        """
        Export, and return what was published.

        :raises LangSmithError: if a page or a file fails.
        """
        with working_directory() as directory:
            return self._run(directory)

    def _run(self, directory: Path) -> Exported:
        source, output = self._source, self._output
        began, requests_before, waited_before = time.monotonic(), source.requests, source.waited_seconds
        redaction = self._transforms.redaction(self._view)
        with (
            Publication(self._path) as publication,
            source.open(self._reading(publication, redaction, directory)) as rows,
        ):
            publication.check(self._identity)
            schema = output.schema_manifest
            previous = read_manifest(schema) if schema else publication.previous
            redacted = replace(self._view, columns=redaction.columns)
            limits = output.max_rows_per_file, output.max_bytes_per_file
            with (
                transform_rows(rows, redacted, self._transforms, directory) as (batches, view, flattening),
                closing(Parts(output.format, view, directory, *limits)) as parts,
            ):
                for batch in batches:
                    for part in parts.add(batch):
                        publication.upload(part)
                is_skipped = self._is_skipped()
                for part in () if is_skipped else parts.finish():
                    publication.upload(part)
            manifest = self._manifest(publication, view, flattening, None if is_skipped else previous)
            if not is_skipped:
                publication.commit(manifest, self._before_publication)
        return Exported(
            uri=str(self._path / MANIFEST),
            manifest=manifest,
            progress=self._progress,
            is_skipped=is_skipped,
            previous=publication.previous,
            previous_at=publication.previous_at,
            requests=source.requests - requests_before,
            seconds=time.monotonic() - began,
            waited_seconds=source.waited_seconds - waited_before,
            empty_columns={} if self._transforms.flatten == "*" else flattening.empty(),
            unmet_paths=redaction.unmatched(manifest.rows),
        )

    def _reading(self, publication: Publication, redaction: Redaction, directory: Path) -> Reading:
        identity, transforms = self._identity, self._transforms
        return Reading(
            query=self._query,
            view=self._view,
            redact=redaction.apply,
            progress=self._progress,
            publication=publication,
            path=self._path,
            directory=directory,
            rows_key=(
                __version__,
                *(identity.view, identity.project_id, identity.window.arguments(), identity.query),
                [column.name for column in self._view.columns],
                *(self._query.payloads, transforms.redact, transforms.redact_key),
            ),
            has_pyarrow=self._output.format.needs_pyarrow,
        )

    def _is_skipped(self) -> bool:
        """Return whether nothing is to be written, once all rows are read."""
        is_empty = self._progress.runs == 0
        self._warn_if_expired(is_empty=is_empty)
        if is_empty and self._output.on_empty == "fail":
            raise EmptyWindowError(
                f"There are no runs in {self._query.description}. A retry helps if they come late; else look at the "
                "query, or at the project's retention (base traces are gone after 14 days)."
            )
        return is_empty and self._output.on_empty == "skip"

    def _warn_if_expired(self, *, is_empty: bool) -> None:
        """Warn if LangSmith may have deleted traces of the window: an empty export looks like a success."""
        project, which, age = self._query.project, self._query.run_filter, datetime.now(UTC) - self._query.start
        if age <= BASE_RETENTION or which.run_ids is not None or which.trace_id is not None:  # named runs exist
            return
        retention = known_retention(project)
        if retention is None and is_empty and age <= EXTENDED_RETENTION:
            with suppress(LangSmithError):  # what is not known is no reason to warn
                retention = self._source.retention(project)
        if age > (retention := retention or EXTENDED_RETENTION):
            days = age.days, retention.days
            log.warning("The window began %s days ago; traces of this project are kept for %s days", *days)
            log.warning("LangSmith deletes older traces, so rows may be missing, and no rows may mean deleted ones")

    def _manifest(
        self, publication: Publication, view: View, flattening: Flattening, previous: Manifest | None
    ) -> Manifest:
        columns = tuple(ManifestColumn(name=column.name, type=column.type) for column in view.columns)
        return Manifest(
            package_version=__version__,
            view=self._view.name,
            project=self._identity.project,
            project_id=self._identity.project_id,
            window_start=self._query.start,
            window_end=self._query.end,
            query=self._identity.query,
            **self._source.provenance(),
            format=self._output.format.name,
            compression=self._output.format.compression,
            columns=columns,
            schema_changes=self._schema_changes(columns, previous),
            files=tuple(publication.files),
            rows=sum(file.rows for file in publication.files),
            bytes=sum(file.bytes for file in publication.files),
            pending=self._progress.pending,
            misfits=flattening.misfits,
            nulls=flattening.nulls,
            missing_payloads=self._progress.missing,
            attachments=tuple(sorted(publication.attachments.values(), key=lambda attachment: attachment.name)),
            min_start_time=self._progress.first,
            max_start_time=self._progress.last,
            uri=str(self._path / MANIFEST),
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


def check_destination(query: RunQuery, view: View, output: OutputOptions) -> None:
    """
    Check that an export may be published, before its rows are there.

    :raises LangSmithError: if the destination cannot be written, or the partition holds another export.
    """
    identity, path = _partition(view.narrow(query), view, output)
    with Publication(path) as publication:
        publication.check(identity)


def _partition(query: RunQuery, view: View, output: OutputOptions) -> tuple[Identity, StoragePath]:
    """Return what a partition holds, and where it is."""
    project = query.project
    identity = Identity(
        view=view.name,
        project=project.name,
        project_id=project.id,
        window=query.window,
        query=query.run_filter.serialize() | view.narrowed_by,
    )
    folder = partition(view.partition_name, project.name, query.window, output.partition)
    return identity, path_at(output.destination) / folder
