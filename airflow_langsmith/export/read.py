"""From a query to rows: of runs, of the traces and conversations they begin, of feedback."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from hashlib import blake2b
from itertools import islice, repeat
from pathlib import Path
from secrets import token_bytes
from typing import Any

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.ids import IdSet
from airflow_langsmith.api.pagination import Pagination
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Feedback, Page
from airflow_langsmith.export.assemble_traces import gather, gather_threads
from airflow_langsmith.export.checkpoints import Checkpoint, Checkpoints
from airflow_langsmith.export.feedback_refresh import IDS_AT_ONCE, refreshed, touched
from airflow_langsmith.export.parallel_read import Cursors, Make
from airflow_langsmith.export.progress import Progress
from airflow_langsmith.views import Rows, View

log = logging.getLogger(__name__)

FEEDBACK_AT_ONCE = 1000  # rows
THREADS_AT_ONCE = 50  # whole conversations held at a time, with the payloads of their turns

Land = Callable[[LangSmithClient, Page], None]


def read(
    client: LangSmithClient,
    query: RunQuery,
    view: View,
    *,
    lookback: timedelta | None,
    land: Land | None,
    redact: Callable[[Rows], Rows],
    progress: Progress,
    tell: Callable[[], None],
    directory: Path,
    concurrency: int | None,
    checkpoints: Checkpoints,
) -> Generator[Rows]:
    """
    Read the rows of a view, in their order, redacted before anything else has them.

    Runs, and the traces and conversations they begin, come by several cursors; files by one, because they take the
    time; feedback page by page, because its pages have numbers.

    :param lookback: Go by feedback that came or changed in the window, see :mod:`.feedback_refresh`.
    :param land: Brings what the runs of a page had attached.
    :param checkpoints: Keeps the rows of runs for a retry, and has those of a try before.
    :param tell: Called after pages, in the caller's thread.
    """
    if view.source == "feedback":
        given = touched(client, query, lookback or timedelta(0))
        yield from map(redact, _feedback(given, view, progress, tell))
        return
    threads = _Threads(query, view) if view.source == "threads" else None
    ids = IdSet()
    once = threads.once if threads else partial(_once, ids, progress)
    make: Make = partial(_redacted, redact, threads.make if threads else _runs(view, land))
    make_and_keep = make
    pieces: Sequence[tuple[RunQuery, Checkpoint | None]] = [(query, None)]
    if lookback is not None:
        pieces = [(piece, None) for piece in refreshed(client, query, lookback)]
    elif not threads and not land:
        pieces, make_and_keep = checkpoints.pieces(query), checkpoints.keeping(make, query.end - query.start)

    def cursors(piece: RunQuery, make: Make, behind: float, part: float) -> Cursors:
        count, most = partial(_count, progress, behind, part), 1 if land else concurrency
        return Cursors(client, client.pagination(piece), make, count, tell, directory=directory, most=most)

    def landing(reading: AbstractContextManager[Iterable[Rows]]) -> Iterator[Rows]:
        with reading as batches:
            for rows in map(once, batches):
                _count_missing(progress, view, rows)
                yield rows

    whole, behind = sum((piece.end - piece.start for piece, _ in pieces), timedelta(0)), 0.0
    for piece, checkpoint in pieces:
        part = (piece.end - piece.start) / whole
        kept = checkpoint.rows(progress) if checkpoint else None
        yield from landing(cursors(piece, make_and_keep, behind, part) if kept is None else closing(kept))
        progress.share = behind = behind + part
        tell()
    if progress.repeated and lookback is None:
        for piece in _missed(client, query, ids, progress):
            yield from landing(cursors(piece, make, 1.0, 0.0))


def _missed(client: LangSmithClient, query: RunQuery, ids: IdSet, progress: Progress) -> Iterator[RunQuery]:
    """
    Look again for the runs of a window, and write the queries for those that have no row.

    If runs come twice, start times change at the moment. Then other runs may have been moved the other way, out of what
    was still to be read.
    """
    log.warning("%s runs came more than once; the first copy of each is exported", f"{progress.repeated:,}")
    log.warning("Start times seem to change at the moment: looking for runs that were missed")
    missed = (run.id for run in client.runs(replace(query, fields=("id",), page_size=None)) if run.id not in ids)
    while some := tuple(islice(missed, IDS_AT_ONCE)):
        yield query.narrowed(run_ids=some)


def _once(ids: IdSet, progress: Progress, rows: Rows) -> Rows:
    """
    Leave out the rows whose run has a row already, in whichever part of the window, of this try or an earlier one.

    A run whose start is changed while the window is read comes at its old place and at its new one.
    """
    places = ids.add(rows.keys or ())
    if len(places) == rows.count:
        return rows
    first = rows.at(places)
    progress.leave_out(rows.count - first.count, sum(rows.pending or ()) - sum(first.pending or ()))
    return first


def _redacted(
    redact: Callable[[Rows], Rows], make: Make, client: LangSmithClient, walk: Pagination, page: Page
) -> Iterator[Rows]:
    return map(redact, make(client, walk, page))


def _runs(view: View, land: Land | None) -> Make:
    """Make rows of runs, or of the traces they are the roots of."""

    def make(client: LangSmithClient, walk: Pagination, page: Page) -> Iterator[Rows]:
        if land:
            land(client, page)
        runs = page.runs
        rows = view.rows(gather(client, view.below, walk.query, runs) if view.below else runs)
        yield replace(rows, keys=[run.id for run in runs], pending=[run.end_time is None for run in runs])

    return make


class _Threads:
    """
    Whole conversations, up to the end of the window, each where its newest turn in the window is.

    Cursors that read further down do not know yet which threads come above; what they read in vain is left out.
    """

    def __init__(self, whole: RunQuery, view: View) -> None:
        self._whole, self._view = whole, view
        self._with_feedback = any(column.name == "feedback_stats" for column in view.columns)
        self._found: defaultdict[Pagination, set[str]] = defaultdict(set)
        self._given: set[str] = set()
        self._secret = token_bytes()

    def make(self, client: LangSmithClient, walk: Pagination, page: Page) -> Iterator[Rows]:
        """Make rows of the threads that have a turn on a page, and none on a page of this cursor before."""
        found = self._found[walk]
        here = dict.fromkeys(run.thread_id for run in page.runs if run.thread_id)
        fresh = [thread for thread in here if thread not in found and self._key(thread) not in self._given]
        found.update(fresh)
        for first in range(0, len(fresh), THREADS_AT_ONCE):
            records = gather_threads(
                client, self._whole, fresh[first : first + THREADS_AT_ONCE], with_feedback=self._with_feedback
            )
            yield replace(self._view.rows(records), keys=[self._key(record.thread_id) for record in records])

    def once(self, rows: Rows) -> Rows:
        """Leave out what was given before; called in the order of the rows."""
        fresh = [place for place, key in enumerate(rows.keys or ()) if key not in self._given]
        self._given.update(rows.keys or ())
        return rows.at(fresh)

    def _key(self, thread_id: str) -> str:
        """Name a thread without its id, which may be an address: rows wait on the local disk with their keys."""
        return blake2b(thread_id.encode(), key=self._secret).hexdigest()


def _feedback(pieces: Iterator[Feedback], view: View, progress: Progress, tell: Callable[[], None]) -> Iterator[Rows]:
    """Make rows of feedback."""
    while batch := list(islice(pieces, FEEDBACK_AT_ONCE)):
        progress.add([piece.created_at for piece in batch if piece.created_at], 0.0)
        tell()
        yield view.rows(batch)
    progress.share = 1.0


def _count(progress: Progress, behind: float, part: float, page: Page, share: float) -> None:
    pending = [run.end_time for run in page.runs].count(None)
    progress.add([run.start_time for run in page.runs], behind + part * share, pending)


def _count_missing(progress: Progress, view: View, rows: Rows) -> None:
    names = [column.name for column in view.columns]
    if view.marks is None or view.marks.name not in names:
        return
    key = next((name for name in names if name in ("run_id", "trace_id", "trace_ids")), None)
    ids = map(_id, rows.columns[names.index(key)]) if key else repeat("a row without its id", rows.count)
    progress.miss(ids, rows.columns[names.index(view.marks.name)])


def _id(value: Any) -> str:
    """Name a row by its id; a thread by its last trace, because its own id may be an address."""
    return f"with trace {value[-1]}" if isinstance(value, list) else str(value)
