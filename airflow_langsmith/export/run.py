"""The whole way: pages of runs in, a published export out, with memory for a page and a row group."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, get_args

from airflow_langsmith import __version__
from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.errors import ConfigurationError, EmptyWindowError, SchemaChangeError
from airflow_langsmith.export.attachments import Attachments
from airflow_langsmith.export.checkpoints import Checkpoints, TaskAttempt
from airflow_langsmith.export.conflicts import Identity, refuse_another
from airflow_langsmith.export.encoders import Format
from airflow_langsmith.export.expired import warn_if_expired
from airflow_langsmith.export.layout import partition
from airflow_langsmith.export.parts import Parts
from airflow_langsmith.export.progress import Progress
from airflow_langsmith.export.publication import Publication
from airflow_langsmith.export.read import RowReader
from airflow_langsmith.export.row_file import Batches
from airflow_langsmith.export.row_transforms import RowTransforms, Shaped
from airflow_langsmith.export.storage import StoragePath, path_at
from airflow_langsmith.export.workdir import working_directory
from airflow_langsmith.manifest import Manifest, ManifestColumn, read_manifest
from airflow_langsmith.messages import suggest
from airflow_langsmith.transform.empty_columns import EmptyColumn
from airflow_langsmith.views import View
from airflow_langsmith.windows import TimeWindow

OnEmpty = Literal["write", "skip", "fail"]
SchemaChanges = Literal["evolve", "fail"]
PLAIN = RowTransforms()
MAX_ROWS_PER_FILE = 100_000  # of 5 KB each, that is a file of about 70 MB
MAX_BYTES_PER_FILE = 512 * 1024**2  # of values; what Iceberg writes, and no file is over what engines like to read
_MIN_BYTES_PER_FILE = 1024**2  # less is most likely meant as megabytes, and would make a file of every few rows
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
        """Refuse what cannot be meant."""
        for name, known in (("on_empty", OnEmpty), ("schema_changes", SchemaChanges)):
            value = getattr(self, name)
            if value not in get_args(known):
                raise ConfigurationError(f"{name} is {value!r}. {suggest(value, get_args(known))}")
        if self.max_rows_per_file < 1:
            raise ConfigurationError(f"max_rows_per_file is {self.max_rows_per_file}; it is 1 or more.")
        if self.max_bytes_per_file < _MIN_BYTES_PER_FILE:
            raise ConfigurationError(
                f"max_bytes_per_file is {self.max_bytes_per_file} bytes; it is {_MIN_BYTES_PER_FILE} (1 MiB) or more. "
                f"The default is {MAX_BYTES_PER_FILE} (512 MiB)."
            )
        partition("view", "project", _A_DAY, self.partition)  # a pattern that cannot be filled in for any window


@dataclass(frozen=True, kw_only=True)
class Exported:
    """
    A published export: its manifest, where that lies, what it replaced, and what it took.

    ``previous`` is the manifest that it replaced, written at ``previous_at`` as far as the store tells.
    ``waited_seconds`` of its ``seconds`` it waited for the rate limit, or to ask again.
    ``empty`` lists the flat columns that are null in all rows, ``unmet`` the paths of ``redact`` that no row has.
    """

    uri: str
    manifest: Manifest
    progress: Progress
    previous: Manifest | None = field(compare=False)
    previous_at: datetime | None = field(compare=False)
    requests: int = field(compare=False)
    seconds: float = field(compare=False)
    waited_seconds: float = field(compare=False)
    empty: tuple[EmptyColumn, ...] = ()
    unmet: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Tell it in a few words and numbers, for XCom: under 2 KB, however long the project's name is."""
        manifest = self.manifest
        return {
            "manifest": self.uri,
            "view": manifest.view,
            "project": _cut(manifest.project),
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


def _cut(name: str) -> str:
    """Cut a name, so that its JSON stays short whatever letters it has."""
    while len(json.dumps(name)) > _MAX_NAME_BYTES:
        name = f"{name.removesuffix('…')[:-1]}…"
    return name


OnPage = Callable[[Progress], None]


def export(
    client: LangSmithClient,
    query: RunQuery,
    view: View,
    target: OutputOptions,
    shape: RowTransforms = PLAIN,
    on_page: OnPage = lambda _: None,
    concurrency: int | None = None,
    attempt: TaskAttempt | None = None,
    before_swap: Callable[[], None] = lambda: None,
) -> Exported | None:
    """
    Export what a query finds as a view's rows.

    :param shape: How the rows are to look: redacted, sorted, flattened.
    :param on_page: Called after pages, for progress.
    :param concurrency: How many cursors read at a time at most; by default as many as the budget has use for.
    :param attempt: Whose try it is. It goes on where an earlier try was cut off, and keeps for a later one what it has
        read, :mod:`airflow_langsmith.export.checkpoints`; not of threads, feedback, refreshed rows and downloads.
    :param before_swap: Called last before the manifest is replaced; what it raises prevents that.
    :return: what was published; None for an empty window with ``on_empty="skip"``.
    :raises LangSmithError: where any page or file fails; what was published before then stands.
    """
    if concurrency is not None and concurrency < 1:
        raise ConfigurationError(f"concurrency is {concurrency}; it is 1 or more, or left out.")
    query = view.narrow(query)
    window = TimeWindow(query.start, query.end)
    path = path_at(target.destination) / partition(view.partition_name, query.project.name, window, target.partition)
    narrowed = _narrowed(query) | view.narrowed_by
    asked: list[Any] = [view.name, [column.name for column in view.columns], query.project.id, str(window), narrowed]
    asked += [query.payloads, shape.redact, shape.redact_key]
    this = Identity(
        view=view.name,
        project=query.project.name,
        project_id=query.project.id,
        window=(query.start, query.end),
        query=narrowed,
    )
    began, requests_before, waited_before = time.monotonic(), client.requests, client.waited_seconds
    progress = Progress()
    with (
        working_directory() as directory,
        Publication(path) as publication,
        Checkpoints(path, client, attempt, asked, Batches(view, target.format.codec), directory) as checkpoints,
    ):
        refuse_another(publication.previous, this, path)
        publication.probe()
        schema = read_manifest(target.schema_manifest) if target.schema_manifest else publication.previous
        redaction = shape.redaction(view)
        attachments = Attachments(publication, directory, flag=query.payloads == "flag")
        reader = RowReader(
            client,
            query,
            view,
            redact=redaction.apply,
            download=attachments.land if view.downloads_attachments else None,
            progress=progress,
            on_page=partial(on_page, progress),
            directory=directory,
            concurrency=concurrency,
            checkpoints=checkpoints,
        )
        with (
            closing(reader.rows()) as rows,
            Shaped(rows, view, shape, directory) as shaped,
            closing(
                Parts(target.format, shaped.view, directory, target.max_rows_per_file, target.max_bytes_per_file)
            ) as parts,
        ):
            for batch in shaped:
                for part in parts.add(batch):
                    publication.upload(part)
            warn_if_expired(client, query, is_empty=progress.runs == 0)
            if progress.runs == 0 and target.on_empty == "skip":
                return None
            if progress.runs == 0 and target.on_empty == "fail":
                raise EmptyWindowError(
                    f"There are no runs in {query.about}, and on_empty='fail'. A retry helps if they come late; else "
                    "look at the query, or at the project's retention (base traces are gone after 14 days)."
                )
            for part in parts.finish():
                publication.upload(part)
        columns = tuple(ManifestColumn(name=column.name, type=column.type) for column in shaped.view.columns)
        manifest = Manifest(
            package_version=__version__,
            view=view.name,
            project=query.project.name,
            project_id=query.project.id,
            window_start=window.start,
            window_end=window.end,
            query=narrowed,
            api_version=client.api_version(),
            format=target.format.name,
            compression=target.format.compression,
            columns=columns,
            schema_changes=_changes(schema, columns, target),
            files=tuple(publication.files),
            rows=sum(file.rows for file in publication.files),
            bytes=sum(file.bytes for file in publication.files),
            pending=progress.pending,
            misfits=shaped.misfits,
            nulls=shaped.nulls,
            missing_payloads=progress.missing,
            attachments=tuple(sorted(publication.attachments.values(), key=lambda one: one.name)),
            min_start_time=progress.first,
            max_start_time=progress.last,
        )
        uri = publication.commit(manifest, before_swap)
    return Exported(
        uri=uri,
        manifest=manifest,
        progress=progress,
        previous=publication.previous,
        previous_at=publication.previous_at,
        requests=client.requests - requests_before,
        seconds=time.monotonic() - began,
        waited_seconds=client.waited_seconds - waited_before,
        empty=shaped.empty,
        unmet=redaction.unmatched(manifest.rows),
    )


def _changes(previous: Manifest | None, columns: tuple[ManifestColumn, ...], target: OutputOptions) -> tuple[str, ...]:
    """Tell how the columns differ from those of another export, and fail where that is not wanted."""
    if previous is None:
        return ()
    before, now = ({column.name: column.type for column in some} for some in (previous.columns, columns))
    changes = (
        *(f"+ {name} {now[name]}" for name in now if name not in before),
        *(f"- {name} {before[name]}" for name in before if name not in now),
        *(f"{name} {before[name]} -> {now[name]}" for name in now if before.get(name, now[name]) != now[name]),
    )
    if changes and target.schema_changes == "fail":
        other = "of schema_manifest" if target.schema_manifest else "published before"
        raise SchemaChangeError(
            f"The columns differ from those {other} ({'; '.join(changes)}), and schema_changes='fail'. What was "
            "published stands. Use schema_changes='evolve', or correct columns and flatten."
        )
    return changes


def _narrowed(query: RunQuery) -> dict[str, Any]:
    """List the arguments that narrow the query, for the manifest."""
    names = ("run_type", "is_root", "error", "filter", "trace_filter", "tree_filter", "trace_id", "run_ids")
    asked = {name: getattr(query, name) for name in (*names, "reference_example_id")}
    asked |= {"sample": query.sample and asdict(query.sample), "with_feedback": query.with_feedback or None}
    asked |= {"run_ids": None if query.run_ids is None else list(query.run_ids), "below": query.below}
    return {name: value for name, value in asked.items() if value is not None}
