"""
The records of LangSmith's data, the same from either API version.

Payloads (inputs, outputs, metadata, ...) stay the JSON text they came as: most are never read, and text keeps every
digit of every number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, ClassVar

import msgspec
from msgspec import UNSET, Raw, UnsetType


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project; the API calls it a session."""

    id: str
    name: str
    tenant_id: str | None = None
    trace_tier: str | None = None  # shortlived or longlived
    longlived_ttl_days: int | None = None


class Attachment(msgspec.Struct, kw_only=True):
    """A file of a run. ``size`` in bytes and ``file``, its path in an export, are known after the download."""

    name: str
    type: str | None
    size: int | None = None
    file: str | UnsetType = UNSET


class Run(msgspec.Struct, kw_only=True):
    """
    A run (span).

    Times are UTC, costs US dollars, enumerations lower case. A field that was not selected is None, as is a field
    without a value; payload fields are raw JSON. ``missing_payloads`` names the payloads that blob storage does not
    have. ``includes_children`` is true if its tokens and costs include the runs below it, as v1's do.
    """

    includes_children: ClassVar[bool] = False

    id: str
    trace_id: str | None = None
    parent_run_id: str | None = None
    project: Project
    thread_id: str | None = None
    name: str | None = None
    model: str | None = None
    run_type: str | None = None
    status: str | None = None
    start_time: datetime
    end_time: datetime | None = None
    first_token_time: datetime | None = None
    error: str | None = None
    tags: list[str]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_cost: float | None = None
    completion_cost: float | None = None
    total_cost: float | None = None
    dotted_order: str | None = None
    reference_example_id: str | None = None
    in_dataset: bool | None = None
    inputs: Raw | None = None
    outputs: Raw | None = None
    metadata: Raw | None = None
    feedback_stats: Raw | None = None
    extra: Raw | None = None
    events: Raw | None = None
    serialized: Raw | None = None
    prompt_token_details: Raw | None = None
    completion_token_details: Raw | None = None
    prompt_cost_details: Raw | None = None
    completion_cost_details: Raw | None = None
    attachments: list[Attachment] | None = None
    missing_payloads: list[str] = []

    @property
    def is_root(self) -> bool:
        """Whether this run began its trace."""
        return self.parent_run_id is None

    @property
    def ancestor_ids(self) -> list[str]:
        """The ids of the runs above this one, from the root down, as far as its dotted order and parent show."""
        above = [segment[-_ID:] for segment in (self.dotted_order or "").split(".")[:-1]]
        if self.parent_run_id and self.parent_run_id not in above[-1:]:
            above.append(self.parent_run_id)
        return above


_ID = 36  # characters at the end of each segment of a dotted order, behind a start


def tree_order(dotted_orders: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """
    Return the key that sorts these dotted orders as a tree: a run before the runs that it called, and these by start.

    Two runs can spell the start of one ancestor differently, by a rounded or corrected clock, so only the ids tell
    which run is meant. A run's own segment replaces the spellings in the runs below it. Of an ancestor that is not
    among them, one spelling stands for all.
    """
    spelling: dict[str, str] = {}
    own: dict[str, str] = {}
    for order in dotted_orders:
        *above, last = order.split(".")
        own[last[-_ID:]] = last
        for segment in above:
            spelling.setdefault(segment[-_ID:], segment)
    spelling |= own

    def key(order: str) -> tuple[str, ...]:
        return tuple(spelling.get(segment[-_ID:], segment) for segment in order.split("."))

    return key


class Page(msgspec.Struct, frozen=True):
    """A page of a run query, newest run first, with the cursor of the next page."""

    runs: list[Run]
    cursor: str | None
    size: int  # bytes of the body
    blobs: list[Any] = []  # to be fetched: `payloads.Blob`
    attachments: list[Any] = []  # that may be downloaded: `payloads.LinkedAttachment`


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of feedback as LangSmith lists it, with ``start_time`` and ``is_root`` of its run."""

    id: str
    key: str
    created_at: datetime | None = None
    modified_at: datetime | None = None
    score: float | bool | None = None
    value: Any = None
    comment: str | None = None
    correction: Any = None
    run_id: str | None = None
    trace_id: str | None = None
    session_id: str | None = None
    start_time: datetime | None = None
    is_root: bool | None = None
    feedback_source: dict[str, Any] | None = None
    feedback_group_id: str | None = None
    comparative_experiment_id: str | None = None
    feedback_thread_id: str | None = None
    extra: Any = None


class Info(msgspec.Struct, frozen=True):
    """What a server says of itself, without a key."""

    version: str | None = None
    instance_flags: dict[str, Any] | None = None
