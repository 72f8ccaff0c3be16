"""
Bulk exports: LangSmith writes a window of runs into the user's own bucket, as Parquet.

The request of a creation is never sent again before the list of exports shows that nothing was made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote

import msgspec

from airflow_langsmith.api.bulk_records import BulkDestination, BulkExport, BulkExportRun
from airflow_langsmith.api.bulk_request import BulkExportRequest
from airflow_langsmith.api.flow import Backoff, Flow, Pause, RateLimited, Request, read_all, read_json
from airflow_langsmith.api.listing import Listing
from airflow_langsmith.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    InvalidQueryError,
    LangSmithError,
    NotFoundError,
    PayloadError,
    RateLimitError,
)

T = TypeVar("T")

MAX_PAGE = 1000  # exports or runs; more is refused
MAX_NAMES = 10  # in the error about a destination that does not exist
CREATION_TIER = "bulk export creation"
# For the cancellation by a task that ends: Airflow gives it five seconds.
LAST_BACKOFF = Backoff(retries=2, max_seconds=1.0, max_requested_seconds=1.0)

_PATH = "/api/v1/bulk-exports"
_CREATIONS = (
    "LangSmith allows 250 new bulk exports an hour in a workspace, those of schedules included. A retry will help once "
    "there is room."
)
_PLAN = (
    "Bulk Export needs an Enterprise plan (Plus: only workspaces from before 3 August 2026, until 1 February 2027) and "
    "a key with the permissions bulk-exports:read and bulk-exports:manage. Without them, read the window through the "
    "API."
)

_EXPORT = msgspec.json.Decoder(BulkExport)
_EXPORTS = msgspec.json.Decoder(list[BulkExport])
_RUNS = msgspec.json.Decoder(list[BulkExportRun])
_DESTINATION = msgspec.json.Decoder(BulkDestination)
_DESTINATIONS = msgspec.json.Decoder(list[BulkDestination])


def find_destination(destination_id: str, backoff: Backoff) -> Flow[BulkDestination]:
    """
    Read a destination.

    :raises ConfigurationError: if there is none with this id.
    """
    request = Request("GET", f"{_PATH}/destinations/{quote(destination_id, safe='')}", purpose="the destination")
    try:
        return (yield from _read_json(request, _DESTINATION, backoff))
    except (NotFoundError, InvalidQueryError) as error:  # 422 for an id that is no UUID
        refusal = error
    known = yield from list_destinations(backoff)
    listed = ", ".join(f"{each.display_name!r} {each.id} ({each.config.bucket_name})" for each in known[:MAX_NAMES])
    raise ConfigurationError(
        f"LangSmith has no bulk export destination {destination_id!r} in this workspace. "
        f"{f'It has {listed}.' if listed else 'It has none yet.'} Make one in LangSmith's settings or by its API, and "
        f"give its id.\nLangSmith: {refusal.cause}."
    )


def list_destinations(backoff: Backoff) -> Flow[list[BulkDestination]]:
    """List the workspace's destinations, which come on one page."""
    request = Request("GET", f"{_PATH}/destinations", purpose="bulk export destinations")
    return (yield from _read_json(request, _DESTINATIONS, backoff))


def list_bulk_exports(backoff: Backoff) -> Listing[BulkExport]:
    """Return the listing of the workspace's bulk exports and schedules, in no documented order."""
    return Listing(_page(_PATH, _EXPORTS, "bulk exports", backoff), "bulk exports")


def list_runs_of(export_id: str, backoff: Backoff) -> Listing[BulkExportRun]:
    """Return the listing of the runs of a bulk export."""
    return Listing(_page(f"{_address(export_id)}/runs", _RUNS, f"runs of bulk export {export_id}", backoff), "runs")


def read_bulk_export(export_id: str, backoff: Backoff) -> Flow[BulkExport]:
    """Read a bulk export."""
    request = Request("GET", _address(export_id), purpose=f"bulk export {export_id}")
    try:
        return (yield from _read_json(request, _EXPORT, backoff))
    except (NotFoundError, InvalidQueryError) as error:  # 422 for an id that is no UUID
        error.specific_advice = "Check the id of the bulk export, and the connection's workspace and region."
        raise


def cancel_bulk_export(export_id: str, backoff: Backoff) -> Flow[BulkExport]:
    """Cancel a bulk export, and return it; if it has ended, return how."""
    body, purpose = {"status": "Cancelled"}, f"cancel bulk export {export_id}"
    try:
        request = Request("PATCH", _address(export_id), json=body, purpose=purpose)
        return (yield from _read_json(request, _EXPORT, backoff))
    except (ApiError, PayloadError):
        export = yield from read_bulk_export(export_id, backoff)
        if not export.has_ended:
            raise
        return export


def create_bulk_export(request: BulkExportRequest, existing_ids: Collection[str], backoff: Backoff) -> Flow[BulkExport]:
    """
    Create a bulk export, exactly one, also if the answer is lost.

    If there is no whole answer, the list of exports is read before the request is sent again.

    :param existing_ids: The ids of the exports that were there before.
    """
    failures = 0
    while True:
        try:
            return (yield from _read_json(_creation(request), _EXPORT, replace(backoff, retries=0)))
        except LangSmithError as error:
            _explain(error)
            if not (error.retriable or isinstance(error, PayloadError)):
                raise
            failure = error
        limited = isinstance(failure, RateLimitError)
        seconds = backoff.seconds(failures, getattr(failure, "retry_after", None))
        reason = f"before bulk exports are listed: {failure.cause}"
        yield RateLimited(seconds, reason, CREATION_TIER) if limited else Pause(seconds, reason)
        made = yield from find_new(request, existing_ids, backoff)
        if made is not None:
            return made
        failures += 1
        if failures > backoff.retries:
            raise failure


def find_new(request: BulkExportRequest, existing_ids: Collection[str], backoff: Backoff) -> Flow[BulkExport | None]:
    """Return the newest export of a request that was not there before."""
    exports = yield from read_all(list_bulk_exports(backoff))
    return newest(each for each in exports if each.id not in existing_ids and request.matches(each, is_new=True))


def newest(exports: Iterable[BulkExport]) -> BulkExport | None:
    """Return the export that was created last."""
    return max(exports, key=lambda export: export.created, default=None)


def _creation(request: BulkExportRequest) -> Request:
    purpose = f"create a bulk export of {request.window}"
    return Request("POST", _PATH, tier=CREATION_TIER, json=request.body, purpose=purpose)


def _read_json(request: Request, decoder: msgspec.json.Decoder[T], backoff: Backoff) -> Flow[T]:
    """Send a request and decode its answer; say of a refusal which plan and permissions Bulk Export needs."""
    try:
        return (yield from read_json(request, decoder, backoff))
    except ApiError as error:
        if error.status == HTTPStatus.PAYMENT_REQUIRED or (
            isinstance(error, AuthenticationError) and error.status == HTTPStatus.FORBIDDEN
        ):
            error.specific_advice = _PLAN
        raise


def _explain(error: LangSmithError) -> None:
    """Add what a refused creation most likely means."""
    if isinstance(error, AuthenticationError):  # the key has just read the destination
        error.summary = "LangSmith refused to create a bulk export"  # type: ignore[misc]  # of this error alone
        error.specific_advice = _PLAN
    elif isinstance(error, RateLimitError):
        error.specific_advice = _CREATIONS
    elif isinstance(error, InvalidQueryError):
        error.specific_advice = "Correct the filter, the window or the destination of the bulk export."


def _page(
    path: str, decoder: msgspec.json.Decoder[list[T]], content: str, backoff: Backoff
) -> Callable[[int], Flow[list[T]]]:
    def read_page(offset: int) -> Flow[list[T]]:
        params = {"offset": offset, "limit": MAX_PAGE}
        request = Request("GET", path, params=params, purpose=f"{content} from {offset}")
        return (yield from _read_json(request, decoder, backoff))

    return read_page


def _address(export_id: str) -> str:
    return f"{_PATH}/{quote(export_id, safe='')}"
