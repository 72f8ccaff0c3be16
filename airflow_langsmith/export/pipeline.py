"""The whole way: pages of runs in, a published export out, with memory for a page and a row group."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from airflow_langsmith import __version__
from airflow_langsmith.api import LangSmithClient, Page, RunQuery
from airflow_langsmith.api.errors import ConfigurationError
from airflow_langsmith.api.query import instant
from airflow_langsmith.api.walk import Walk
from airflow_langsmith.export.encoders import Format
from airflow_langsmith.export.errors import DestinationConflictError, EmptyWindowError
from airflow_langsmith.export.gather import ROOTS_AT_ONCE, gather
from airflow_langsmith.export.layout import partition
from airflow_langsmith.export.manifest import Manifest, ManifestColumn
from airflow_langsmith.export.parts import Parts
from airflow_langsmith.export.publish import Publication
from airflow_langsmith.export.spool import in_order
from airflow_langsmith.export.storage import StoragePath, path_at
from airflow_langsmith.views import Rows, View
from airflow_langsmith.windows import TimeWindow

OnEmpty = Literal["write", "skip", "fail"]
MAX_ROWS_PER_FILE = 100_000  # of 5 KB each, that is a file of about 70 MB


@dataclass(frozen=True, kw_only=True)
class Target:
    """
    Where and how an export lands.

    Rows come newest first, or sorted by the text column ``order_by``, which takes memory for its values.
    """

    destination: str | StoragePath
    format: Format
    partition: str = "auto"
    max_rows_per_file: int = MAX_ROWS_PER_FILE
    on_empty: OnEmpty = "write"
    order_by: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.on_empty not in get_args(OnEmpty):
            raise ConfigurationError(f"on_empty is {self.on_empty!r}; it is 'write', 'skip' or 'fail'.")
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

    def add(self, page: Page, share: float) -> None:
        """Count a page."""
        self.pages += 1
        self.runs += len(page.runs)
        self.share = share
        self.pending += sum(run.is_pending for run in page.runs)
        starts = [run.start_time for run in page.runs]
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


def export(
    client: LangSmithClient,
    query: RunQuery,
    view: View,
    target: Target,
    on_page: Callable[[Progress], None] = lambda _: None,
) -> Exported | None:
    """
    Export what a query finds as a view's rows.

    :param on_page: Called after every page, for progress.
    :return: what was published; None for an empty window with ``on_empty="skip"``.
    :raises LangSmithError: where any page or file fails; what was published before then stands.
    """
    query = view.ask(query)
    if view.below and query.page_size is None:
        query = replace(query, page_size=ROOTS_AT_ONCE)
    window = TimeWindow(query.start, query.end)
    path = path_at(target.destination) / partition(view.name, query.project.name, window, target.partition)
    before = client.requests
    progress = Progress()
    with (
        tempfile.TemporaryDirectory(prefix="langsmith-") as directory,
        Publication(path) as publication,
        closing(Parts(target.format, view, Path(directory), target.max_rows_per_file)) as parts,
    ):
        _refuse_other_window(publication, view, window, path)
        walk = client.walk(query)
        rows = _rows(client, walk, view, progress, on_page)
        if target.order_by:
            rows = in_order(rows, view.place(target.order_by), Path(directory))
        for batch in rows:
            for part in parts.add(batch):
                publication.upload(part)
        if progress.runs == 0 and target.on_empty == "skip":
            return None
        if progress.runs == 0 and target.on_empty == "fail":
            raise EmptyWindowError(
                f"There are no runs in {query.about}, and on_empty='fail'. A retry helps if they come late; else look "
                "at the query, or at the project's retention (base traces are gone after 14 days)."
            )
        for part in parts.finish():
            publication.upload(part)
        manifest = Manifest(
            package_version=__version__,
            view=view.name,
            project=query.project.name,
            project_id=query.project.id,
            window_start=window.start,
            window_end=window.end,
            query=_narrowed(query),
            api_version=walk.api_version,
            format=target.format.name,
            compression=target.format.compression,
            columns=tuple(ManifestColumn(name=column.name, type=column.type) for column in view.columns),
            files=tuple(publication.files),
            rows=sum(file.rows for file in publication.files),
            bytes=sum(file.bytes for file in publication.files),
            pending=progress.pending,
            min_start_time=progress.first,
            max_start_time=progress.last,
        )
        uri = publication.commit(manifest)
    return Exported(uri=uri, manifest=manifest, progress=progress, requests=client.requests - before)


def _rows(
    client: LangSmithClient, walk: Walk, view: View, progress: Progress, on_page: Callable[[Progress], None]
) -> Iterator[Rows]:
    """Read a query page by page."""
    while not walk.done:
        page = client.drive(walk.next_page())
        yield view.rows(gather(client, view.below, walk.query, page.runs) if view.below else page.runs)
        progress.add(page, walk.share(page))
        on_page(progress)


def _refuse_other_window(publication: Publication, view: View, window: TimeWindow, path: StoragePath) -> None:
    """Fail rather than replace the export of another window: a partition pattern can be too coarse."""
    previous = publication.previous
    if previous is None:
        return
    there = (previous.view, previous.window_start, previous.window_end)
    if there != (view.name, window.start, window.end):
        raise DestinationConflictError(
            f"{path} holds view {previous.view!r} of window [{instant(previous.window_start)}, "
            f"{instant(previous.window_end)}); this one is {window}. To go on would lose it. A retry will not help: "
            "let partition= tell the windows apart, or use another destination."
        )


def _narrowed(query: RunQuery) -> dict[str, Any]:
    """List the arguments that narrow the query, for the manifest."""
    names = ("run_type", "is_root", "error", "filter", "trace_filter", "tree_filter", "trace_id", "run_ids")
    asked = {name: getattr(query, name) for name in (*names, "reference_example_id")}
    asked |= {"sample": query.sample and asdict(query.sample), "with_feedback": query.with_feedback or None}
    return {name: value for name, value in asked.items() if value is not None}
