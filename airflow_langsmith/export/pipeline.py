"""The whole way: pages of runs in, a published export out, with memory for a page and a row group."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from airflow_langsmith import __version__
from airflow_langsmith.api import LangSmithClient, Page, RunQuery
from airflow_langsmith.api.errors import ConfigurationError
from airflow_langsmith.api.query import instant
from airflow_langsmith.api.walk import Walk
from airflow_langsmith.export.cursors import Cursors, Make
from airflow_langsmith.export.encoders import Format
from airflow_langsmith.export.errors import DestinationConflictError, EmptyWindowError, SchemaChangeError
from airflow_langsmith.export.gather import gather, gather_threads
from airflow_langsmith.export.layout import partition
from airflow_langsmith.export.manifest import Manifest, ManifestColumn
from airflow_langsmith.export.parts import Parts
from airflow_langsmith.export.publish import Publication
from airflow_langsmith.export.shape import Shape, Shaped
from airflow_langsmith.export.storage import StoragePath, path_at
from airflow_langsmith.views import Rows, View
from airflow_langsmith.windows import TimeWindow

OnEmpty = Literal["write", "skip", "fail"]
SchemaChanges = Literal["evolve", "fail"]
PLAIN = Shape()
FEEDBACK_AT_ONCE = 1000  # rows
THREADS_AT_ONCE = 50  # whole conversations held at a time, with the payloads of their turns
MAX_ROWS_PER_FILE = 100_000  # of 5 KB each, that is a file of about 70 MB


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where and how an export lands."""

    destination: str | StoragePath
    format: Format
    partition: str = "auto"
    max_rows_per_file: int = MAX_ROWS_PER_FILE
    on_empty: OnEmpty = "write"
    schema_changes: SchemaChanges = "evolve"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.on_empty not in get_args(OnEmpty):
            raise ConfigurationError(f"on_empty is {self.on_empty!r}; it is 'write', 'skip' or 'fail'.")
        if self.schema_changes not in get_args(SchemaChanges):
            raise ConfigurationError(f"schema_changes is {self.schema_changes!r}; it is 'evolve' or 'fail'.")
        if self.max_rows_per_file < 1:
            raise ConfigurationError(f"max_rows_per_file is {self.max_rows_per_file}; it is 1 or more.")


@dataclass
class Progress:
    """How far an export is. ``share`` is the part of the window behind, 0 to 1."""

    runs: int = 0
    pages: int = 0
    share: float = 0.0
    pending: int = 0
    first: datetime | None = None
    last: datetime | None = None

    def add(self, moments: Iterable[datetime], share: float, pending: int = 0) -> None:
        """Count a page: of the moments its records have in the window, and of how many runs had not ended."""
        starts = list(moments)
        self.pages += 1
        self.runs += len(starts)
        self.share = share
        self.pending += pending
        self.first = min([*starts, self.first] if self.first else starts, default=None)
        self.last = max([*starts, self.last] if self.last else starts, default=None)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A published export: its manifest, where that lies, and how many requests it took."""

    uri: str
    manifest: Manifest
    progress: Progress
    requests: int = field(compare=False)

    def summary(self) -> dict[str, Any]:
        """Tell it in a few words and numbers, for XCom."""
        manifest = self.manifest
        return {
            "manifest": self.uri,
            "view": manifest.view,
            "project": manifest.project,
            "window_start": manifest.window_start.isoformat(),
            "window_end": manifest.window_end.isoformat(),
            "rows": manifest.rows,
            "files": len(manifest.files),
            "bytes": manifest.bytes,
            "requests": self.requests,
        }


OnPage = Callable[[Progress], None]


def export(
    client: LangSmithClient,
    query: RunQuery,
    view: View,
    target: Target,
    shape: Shape = PLAIN,
    on_page: OnPage = lambda _: None,
    concurrency: int | None = None,
) -> Exported | None:
    """
    Export what a query finds as a view's rows.

    :param shape: How the rows are to look: redacted, sorted, flattened.
    :param on_page: Called after pages, for progress.
    :param concurrency: How many cursors read at a time at most; by default as many as the budget has use for.
    :return: what was published; None for an empty window with ``on_empty="skip"``.
    :raises LangSmithError: where any page or file fails; what was published before then stands.
    """
    if concurrency is not None and concurrency < 1:
        raise ConfigurationError(f"concurrency is {concurrency}; it is 1 or more, or left out.")
    more = ("end_time", "thread_id") if view.source == "threads" else ("end_time",)  # tells what had not ended
    query = view.ask(replace(query, fields=(*query.fields, *more)))
    if view.below and query.page_size is None:
        query = replace(query, page_size=view.below.at_once)
    window = TimeWindow(query.start, query.end)
    path = path_at(target.destination) / partition(view.name, query.project.name, window, target.partition)
    before = client.requests
    progress = Progress()
    redact = shape.redaction(view)
    with tempfile.TemporaryDirectory(prefix="langsmith-") as directory, Publication(path) as publication:
        _refuse_another(publication, view, query, path)
        walk = client.walk(query)
        most = 1 if view.source == "threads" else concurrency
        rows = _rows(client, walk, view, redact, progress, partial(on_page, progress), Path(directory), most)
        with (
            closing(rows),
            Shaped(rows, view, shape, Path(directory)) as shaped,
            closing(Parts(target.format, shaped.view, Path(directory), target.max_rows_per_file)) as parts,
        ):
            for batch in shaped:
                for part in parts.add(batch):
                    publication.upload(part)
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
            query=_narrowed(query),
            api_version=walk.api_version or client.api_version(),
            format=target.format.name,
            compression=target.format.compression,
            columns=columns,
            schema_changes=_changes(publication.previous, columns, target),
            files=tuple(publication.files),
            rows=sum(file.rows for file in publication.files),
            bytes=sum(file.bytes for file in publication.files),
            pending=progress.pending,
            misfits=shaped.misfits,
            min_start_time=progress.first,
            max_start_time=progress.last,
        )
        uri = publication.commit(manifest)
    return Exported(uri=uri, manifest=manifest, progress=progress, requests=client.requests - before)


def _changes(previous: Manifest | None, columns: tuple[ManifestColumn, ...], target: Target) -> tuple[str, ...]:
    """Tell how the columns differ from those published before, and fail where that is not wanted."""
    if previous is None:
        return ()
    before, now = ({column.name: column.type for column in some} for some in (previous.columns, columns))
    changes = (
        *(f"+ {name} {now[name]}" for name in now if name not in before),
        *(f"- {name} {before[name]}" for name in before if name not in now),
        *(f"{name} {before[name]} -> {now[name]}" for name in now if before.get(name, now[name]) != now[name]),
    )
    if changes and target.schema_changes == "fail":
        raise SchemaChangeError(
            f"The columns differ from those published before ({'; '.join(changes)}), and schema_changes='fail'. What "
            "was published stands. A retry will not help: use schema_changes='evolve', or correct columns and flatten."
        )
    return changes


def _rows(
    client: LangSmithClient,
    walk: Walk,
    view: View,
    redact: Callable[[Rows], Rows],
    progress: Progress,
    tell: Callable[[], None],
    directory: Path,
    most: int | None,
) -> Generator[Rows]:
    """Read what a query finds: runs with several cursors, feedback page by page, for its pages have numbers."""
    query = walk.query
    if view.source == "feedback":
        yield from map(redact, _feedback(client, query, view, progress, tell))
        return
    make = _threads(query, view) if view.source == "threads" else _runs(query, view)
    with Cursors(
        client,
        walk,
        lambda own, page: map(redact, make(own, page)),
        partial(_count, progress),
        tell,
        directory=directory,
        most=most,
    ) as cursors:
        yield from cursors


def _runs(query: RunQuery, view: View) -> Make:
    """Make rows of runs, or of the traces they are the roots of."""

    def make(client: LangSmithClient, page: Page) -> Iterator[Rows]:
        yield view.rows(gather(client, view.below, query, page.runs) if view.below else page.runs)

    return make


def _threads(query: RunQuery, view: View) -> Make:
    """Make of each thread that has a turn in the window a whole conversation, where its newest turn comes."""
    seen: set[str] = set()  # which is why one cursor reads them all

    def make(client: LangSmithClient, page: Page) -> Iterator[Rows]:
        found = list(dict.fromkeys(run.thread_id for run in page.runs if run.thread_id and run.thread_id not in seen))
        seen.update(found)
        for first in range(0, len(found), THREADS_AT_ONCE):
            yield view.rows(gather_threads(client, query, found[first : first + THREADS_AT_ONCE]))

    return make


def _feedback(
    client: LangSmithClient, query: RunQuery, view: View, progress: Progress, tell: Callable[[], None]
) -> Iterator[Rows]:
    """Read the feedback created in the window of a query."""
    pieces = client.feedback(project=query.project, run_ids=query.run_ids, created=(query.start, query.end))
    while batch := list(islice(pieces, FEEDBACK_AT_ONCE)):
        progress.add((piece.created_at for piece in batch if piece.created_at), 0.0)
        tell()
        yield view.rows(batch)
    progress.share = 1.0


def _count(progress: Progress, page: Page, share: float) -> None:
    progress.add((run.start_time for run in page.runs), share, sum(run.is_pending for run in page.runs))


def _refuse_another(publication: Publication, view: View, query: RunQuery, path: StoragePath) -> None:
    """Fail rather than replace another export: of another window, where a partition pattern is too coarse, or query."""
    previous = publication.previous
    if previous is None:
        return
    there = (previous.view, previous.window_start, previous.window_end, previous.project_id, previous.query)
    if there != (view.name, query.start, query.end, query.project.id, _narrowed(query)):
        raise DestinationConflictError(
            f"{path} holds view {previous.view!r} of project {previous.project_id}, window "
            f"[{instant(previous.window_start)}, {instant(previous.window_end)}), narrowed by {previous.query}; this "
            f"export is of {view.name!r}, project {query.project.id}, window [{instant(query.start)}, "
            f"{instant(query.end)}), narrowed by {_narrowed(query)}. To go on would lose the one there. A retry will "
            "not help: use another destination, let partition= tell windows apart, or remove the one there, if this is "
            "to replace it."
        )


def _narrowed(query: RunQuery) -> dict[str, Any]:
    """List the arguments that narrow the query, for the manifest."""
    names = ("run_type", "is_root", "error", "filter", "trace_filter", "tree_filter", "trace_id", "run_ids")
    asked = {name: getattr(query, name) for name in (*names, "reference_example_id")}
    asked |= {"sample": query.sample and asdict(query.sample), "with_feedback": query.with_feedback or None}
    asked |= {"run_ids": query.run_ids and list(query.run_ids), "below": query.below}
    return {name: value for name, value in asked.items() if value is not None}
