"""
The window of a task, from its arguments or from its DAG run, never guessed.

In Airflow 3 a DAG run of a plain cron schedule has a data interval of zero length, a manual or asset-triggered one has
none, and a partitioned one has only a partition date. If there is no window, the error names the fix for this DAG run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from airflow_langsmith.errors import WindowError, WindowNotClosedError
from airflow_langsmith.messages import suggest
from airflow_langsmith.windows.schedule import Schedule
from airflow_langsmith.windows.time_window import Calendar, TimeWindow, duration, read_timezone

Align = Literal["hour", "day"]
MissingWindow = Literal["fail", "run_after"]


def resolve(
    context: Mapping[str, Any],
    *,
    start_time: str | datetime | None = None,
    end_time: str | datetime | None = None,
    window: str | timedelta | None = None,
    align: Align | None = None,
    window_timezone: str = "UTC",
    lag: str | timedelta | None = None,
    missing_window: MissingWindow = "fail",
    now: datetime | None = None,
) -> TimeWindow:
    """
    Return the window of a task instance.

    In this order: ``start_time`` and ``end_time``; the partition date and ``window``; a data interval longer than zero;
    the end of a zero-length data interval, minus ``window``; with ``missing_window="run_after"`` the ``run_after`` of
    the DAG run, minus ``window``. Then both ends are floored to ``align`` in ``window_timezone``, and the window has to
    have closed at least ``lag`` ago.

    ``window`` counts in the time zone of the schedule: a day has 23 or 25 hours if DST begins or ends, so that the
    windows of two DAG runs are adjacent. If they cannot be, no DAG run of the schedule has a window.

    :param context: Airflow's task context.
    :param window: How long, as a timedelta or like ``"1d"``, ``"6h"``, ``"30m"``.
    :param window_timezone: The time zone of ``align``, and of ``window`` if the schedule has none.
    :raises WindowError: if there is no window; the DAG has to change.
    :raises WindowNotClosedError: if the window has not closed yet; a retry later will do.
    """
    length = None if window is None else duration(window, "window")
    min_age = timedelta(0) if lag is None else duration(lag, "lag", may_be_zero=True)
    if align not in (None, *get_args(Align)):
        raise WindowError(f"align is {align!r}. {suggest(align, get_args(Align))}")
    if missing_window not in get_args(MissingWindow):
        raise WindowError(f"missing_window is {missing_window!r}. {suggest(missing_window, get_args(MissingWindow))}")
    days, schedule = Calendar(read_timezone(window_timezone)), Schedule.of(context.get("dag"))
    calendar = schedule.calendar or days
    if start_time is not None or end_time is not None:
        result = TimeWindow.of({"start_time": start_time, "end_time": end_time})
    else:
        scheduled_at = context.get("partition_date") or context.get("data_interval_end")
        if scheduled_at and _run_type(context) in ("scheduled", "backfill"):
            aligned = days if align == "day" else None
            schedule.check_dst(scheduled_at, length, has_interval=_has_interval(context), days=aligned)
        result = _window_of_run(context, length, missing_window, calendar)
    if align:
        start, end = days.start_of(align, result.start), days.start_of(align, result.end)
        if start == end:
            raise WindowError(
                f"Aligned to the {align}, the window from {result.source} is empty: it is shorter than that."
            )
        result = TimeWindow(start, end, f"{result.source}, aligned to the {align}")
    now = now or datetime.now(UTC)
    if result.end + min_age > now:
        ago = f" {min_age} ago" if min_age else ""
        raise WindowNotClosedError(
            f"The window {result} has to have closed{ago} before it is read. It is {now.isoformat()}, and runs are "
            "still coming in. Fix: set retries and retry_delay, or put a LangSmithSettledSensor before this task. It "
            f"waits for the end. The window is from {result.source}."
        )
    return replace(result, calendar=calendar)


def _window_of_run(
    context: Mapping[str, Any], length: timedelta | None, missing_window: MissingWindow, calendar: Calendar
) -> TimeWindow:
    partition_date, end = context.get("partition_date"), context.get("data_interval_end")
    if partition_date is not None and length is not None:
        return TimeWindow(partition_date, calendar.add(partition_date, length), "the partition date")
    if _has_interval(context):
        return TimeWindow(context["data_interval_start"], context["data_interval_end"], "the data interval")
    if length is not None:
        if end is not None:
            source = "the end of a zero-length data interval, minus window"
            return TimeWindow(calendar.add(end, -length), end, source)
        run_after = getattr(context.get("dag_run"), "run_after", None)
        if missing_window == "run_after" and run_after is not None:
            return TimeWindow(calendar.add(run_after, -length), run_after, "run_after, minus window")
    raise WindowError(_no_window(context, length, missing_window))


def _has_interval(context: Mapping[str, Any]) -> bool:
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    return start is not None and end is not None and start < end


def _no_window(context: Mapping[str, Any], length: timedelta | None, missing_window: MissingWindow) -> str:
    """Return what the DAG run lacks and how to fix it, the best fix first."""
    run_type, schedule = _run_type(context), Schedule.of(context.get("dag"))
    window = "" if length is not None else "window='1d'"
    if context.get("partition_date") is not None:
        lacks, fixes = f"partition date {context['partition_date']} and no length", [window]
    elif context.get("data_interval_end") is not None:
        lacks, fixes = "a data interval of zero length", [schedule.data_interval_argument, window]
    else:
        key = context.get("partition_key")
        lacks = "no data interval" if key is None else f"partition key {key!r}, which is no date"
        run_after = "" if missing_window == "run_after" else "missing_window='run_after'"
        fixes = [" and ".join(filter(None, (window, run_after)))]
        if run_type == "manual" and key is None:
            dated = "give the run a logical date in the trigger form"
            fixes.insert(0, dated if schedule.has_data_intervals or not window else f"{dated}, and the task {window}")
    fix = ", or ".join(filter(None, fixes)) or "give start_time and end_time"
    ti: Any = context.get("ti")
    where = f"Task {ti.task_id} of DAG {ti.dag_id}, run {ti.run_id}, t" if hasattr(ti, "dag_id") else "T"
    return f"No time window: this {run_type} run has {lacks}. Fix: {fix}. {where}imetable {schedule}."


def _run_type(context: Mapping[str, Any]) -> str:
    run_type = getattr(context.get("dag_run"), "run_type", "unknown")
    return str(getattr(run_type, "value", run_type))
