"""How Bulk Export behaves where plans, releases and loads differ, and what a test makes it do wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

__all__ = ["BulkBackend", "BulkExportBehaviour", "BulkFault", "BulkFaultKind", "BulkLayout"]

BulkLayout = Literal["resource=runs", "runs"]
BulkBackend = Literal["smithdb", "clickhouse"]
BulkFaultKind = Literal[
    "stuck",
    "fail_run",
    "time_out",
    "gap",
    "overlap",
    "no_files",
    "lost_files",
    "wrong_rows",
    "pending_upload",
    "retried",
    "cut_file",
    "doubled_rows",
]


@dataclass(slots=True, kw_only=True)
class BulkExportBehaviour:
    """
    How Bulk Export behaves. Each field may change at any time.

    Times are those of the stand-in's clock. With the defaults an export is complete as soon as it is made.

    :param has_plan: Whether the plan includes Bulk Export. Without it, each creation is 403.
    :param queued_seconds: How long an export is ``Created``, and longer while ``max_running`` others run.
    :param running_seconds: How long it is ``Running``. Its runs end one after another, at equal distances.
    :param max_running: How many exports run at the same time.
    :param max_creations_per_hour: More creations in a rolling hour are 429; None is no limit. What schedules create
        counts, too.
    :param max_schedules: More active schedules are 429; None is no limit.
    :param layout: The folder below ``session_id=``. LangSmith's documentation has both.
    :param partition: The length of the windows of an export's runs, which are cut at multiples of it since midnight.
    :param max_rows_per_file: The rows of a file; a run with more rows writes several files.
    :param backend: The store that answers: ``smithdb`` exports what a run spent itself, as v2 answers, and
        ``clickhouse`` the sum over the runs below it, as v1 answers.
    :param newest_first: Whether lists of exports begin with the newest. LangSmith does not document it.
    :param old_bodies: Whether answers have only the fields of 2025.
    :param upper_case_status: Whether answers have ``COMPLETED``, as the documentation does, for ``Completed``.
    :param leaves_tmp: Whether the file of a destination's check stays in the bucket.
    :param structs: Whether ``v2_beta`` writes payloads as Arrow structs where the rows of a file allow it, not as JSON.
    """

    has_plan: bool = True
    queued_seconds: float = 0.0
    running_seconds: float = 0.0
    max_running: int = 15
    max_creations_per_hour: int | None = 250
    max_schedules: int | None = 200
    layout: BulkLayout = "resource=runs"
    partition: timedelta = timedelta(days=1)
    max_rows_per_file: int = 100_000
    backend: BulkBackend = "smithdb"
    newest_first: bool = True
    old_bodies: bool = False
    upper_case_status: bool = False
    leaves_tmp: bool = False
    structs: bool = False


@dataclass(slots=True, eq=False)
class BulkFault:
    """
    What an export does wrong: the arguments of ``LangSmithStandIn.misbehave_bulk_export``.

    ``run`` is the number of the run, from 0; -1 is the last. ``errors`` are those of the failed run.
    """

    kind: BulkFaultKind
    times: int | None
    run: int
    errors: Mapping[str, str]

    def __post_init__(self) -> None:
        """Refuse a fault that cannot happen."""
        if self.kind not in get_args(BulkFaultKind):
            raise ValueError(f"{self.kind!r} is no misbehaviour: choose one of {', '.join(get_args(BulkFaultKind))}")
