"""
Triggers: the halves of the sensors that wait on a triggerer, and the watcher that schedules DAGs by feedback.

A trigger looks at LangSmith until it has an event. It holds ids and times only, reads the connection itself, and may
run twice at the same time, because it changes nothing.
"""

from __future__ import annotations

import inspect
import json
from asyncio import timeout
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar, Unpack

from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from airflow_langsmith import arguments
from airflow_langsmith.api.bulk_exports import LAST_BACKOFF, cancel_bulk_export
from airflow_langsmith.api.client import AsyncLangSmithClient
from airflow_langsmith.api.run_filter import RunFilter, RunFilterArguments
from airflow_langsmith.errors import ConfigurationError, LangSmithError, TransportError
from airflow_langsmith.filters import Filter
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.waiting import BulkExportWatch, BulkSelection, FeedbackWatch, Selection, SettledWatch, parse
from airflow_langsmith.waiting.verdict import Outcome
from airflow_langsmith.waiting.watch import CLOCK, MAX_FAILED_LOOKS, Clock, FailedLooks, LogThrottle, Watch
from airflow_langsmith.windows import TimeWindow
from airflow_langsmith.windows.time_window import duration, seconds

__all__ = ["LangSmithFeedbackEventTrigger"]

MAX_LAST_LOOK_SECONDS = 60.0  # beyond the deadline; a minute later Airflow ends the trigger
MAX_CANCEL_SECONDS = 10.0
MAX_LOOK_TIMEOUTS = 10  # of the connection's timeout, for a look without a deadline

_SECOND = timedelta(seconds=1)


class TriggerError(ConfigurationError, TypeError):
    """An argument is wrong. A ``TypeError`` stops one trigger; any other error would stop Airflow's triggerer."""


class LateLookError(TransportError):
    """A look did not end in time."""


async def _look(client: AsyncLangSmithClient, watch: Watch, max_seconds: float) -> Outcome:
    """Look once. Each answer has its own timeout, but a look has any number of answers."""
    try:
        async with timeout(max_seconds):
            return await client.drive(watch.look(client.negotiator))
    except TimeoutError:
        raise LateLookError(f"the look did not end within {max_seconds:.0f} s") from None


class LangSmithTrigger(BaseTrigger):
    """
    Base of the triggers: looks at ``selection`` until the condition is met or fails, or ``deadline`` has passed.

    It begins with a pause, because the sensor has just looked. Its event is a dict::

        {"state": "met", "line": "met: count(user_score) 12 (>= 10 ok)", "result": {...}}

    ``state`` is ``met``, ``failed``, ``timeout`` or ``error``, ``line`` is for the log, ``result`` is what the sensor
    returns, and ``retriable`` says of an error whether a retry may cure it.

    :param selection: What ``serialize`` of the watch's selection wrote.
    :param watched: What :meth:`Watch.serialize` wrote.
    :param deadline: ISO time of the last look: a sensor's ``timeout`` or ``execution_timeout``, the earlier one.
    :param poke_interval: Seconds before each look; twice as long each time with ``exponential_backoff``, up to
        ``max_wait`` seconds.
    :param max_failures: How many looks in a row may fail with a retriable error, except the last look; None for any
        number.
    """

    watch_type: ClassVar[type[Watch]]
    clock: ClassVar[Clock] = CLOCK

    def __init__(
        self,
        *,
        langsmith_conn_id: str,
        selection: Mapping[str, Any],
        watched: Mapping[str, Any],
        deadline: str,
        poke_interval: float = 60.0,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
        max_failures: int | None = MAX_FAILED_LOOKS,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own is
        self.langsmith_conn_id = langsmith_conn_id
        self.selection = dict(selection)
        self.watched = dict(watched)
        self.deadline = deadline
        try:
            self.poke_interval = seconds(poke_interval, "poke_interval")
        except ConfigurationError as error:
            raise TriggerError(*error.args) from None
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.max_failures = max_failures

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments."""
        constructors = [inspect.signature(base.__init__).parameters for base in (LangSmithTrigger, type(self))]
        names = {name for each in constructors for name in each} - {"self", "kwargs"}
        return _class_path(self), {name: getattr(self, name) for name in sorted(names)}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is an event."""
        try:
            async with await LangSmithHook(self.langsmith_conn_id).aget_conn() as client:
                event = await self._wait(client)
        except LangSmithError as error:
            event = {"state": "error", "line": str(error), "retriable": error.retriable}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow's own is

    async def _wait(self, client: AsyncLangSmithClient) -> dict[str, Any]:
        watch = self.watch_type.deserialize(
            self.watch_type.selection_type.deserialize(self.selection), self.watched, self.clock
        )
        deadline = datetime.fromisoformat(self.deadline)
        throttle = LogThrottle()
        failed = FailedLooks(self.max_failures)
        looks = 0
        line = "none"
        while True:
            left = deadline - self.clock.now()
            # Airflow fails a task whose trigger fires before the scheduler knows that the task is deferred.
            await self.clock.sleep(min(self._pause(looks), max(left.total_seconds(), 0.0)))
            looks += 1
            now = self.clock.now()
            is_last = now >= deadline
            try:
                max_seconds = max((deadline - now).total_seconds(), 0.0)
                max_seconds += min(client.settings.timeout, MAX_LAST_LOOK_SECONDS)
                outcome = await _look(client, watch, max_seconds)
            except LateLookError as error:
                return {"state": "timeout", "line": f"{error.cause}; the look before it: {line}"}
            except LangSmithError as error:
                line = failed.tolerate(error, is_last=is_last)
                if throttle.is_due(line, now):
                    self.log.warning(line)
            else:
                failed.in_a_row, line = 0, outcome.line
                if throttle.is_due(outcome.reason, now):
                    self.log.info(line)
                if outcome.state != "waiting":
                    return {"state": outcome.state, "line": line, "result": watch.result(outcome, client.settings)}
            if is_last:
                return {"state": "timeout", "line": line}

    def _pause(self, looks: int) -> float:
        seconds = self.poke_interval * 2.0 ** min(looks, 30) if self.exponential_backoff else self.poke_interval
        return seconds if self.max_wait is None else min(seconds, self.max_wait)


class LangSmithFeedbackTrigger(LangSmithTrigger):
    """Waits until feedback meets a condition."""

    watch_type = FeedbackWatch


class LangSmithSettledTrigger(LangSmithTrigger):
    """Waits until a window is complete."""

    watch_type = SettledWatch


class LangSmithBulkExportTrigger(LangSmithTrigger):
    """
    Waits until a bulk export is written.

    :param cancel_on_kill: Whether to cancel the export if a user ends or clears the deferred task, which Airflow says
        from 3.3 on. A triggerer that stops cancels nothing: another one goes on.
    :param event_extra: What the event has, too, for the task to go on with: ``dag.test`` passes nothing else to it.
    """

    watch_type = BulkExportWatch

    def __init__(
        self, *, cancel_on_kill: bool = False, event_extra: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.cancel_on_kill = cancel_on_kill
        self.event_extra = dict(event_extra or {})

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is an event."""
        async for event in super().run():
            yield TriggerEvent({**event.payload, **self.event_extra})  # type: ignore[no-untyped-call]  # Airflow's own is

    async def on_kill(self) -> None:
        """Cancel the export."""
        export_id = BulkSelection.deserialize(self.selection).export_id
        if not self.cancel_on_kill or export_id is None:
            return
        try:
            async with timeout(MAX_CANCEL_SECONDS), await LangSmithHook(self.langsmith_conn_id).aget_conn() as client:
                await client.drive(cancel_bulk_export(export_id, LAST_BACKOFF))
        except (LangSmithError, TimeoutError) as error:
            reason = getattr(error, "cause", f"no answer in {MAX_CANCEL_SECONDS:.0f} s")
            self.log.warning("Bulk export %s may still run: it was not cancelled", export_id)
            self.log.warning("%s", reason)


# The defaults of an event trigger.
WINDOW, MIN_RUNS, POKE_INTERVAL_SECONDS = "1d", 1, 300.0


class LangSmithFeedbackEventTrigger(BaseEventTrigger):
    """
    Fires an asset event when feedback begins to meet a condition, for an ``AssetWatcher``.

    ::

        trigger = LangSmithFeedbackEventTrigger(project="shop", condition="count(user_score) >= 50", is_root=True)
        Asset("judged", watchers=[AssetWatcher(name="feedback", trigger=trigger)])

    It looks at the runs of the last ``window`` every ``poke_interval``, and fires when the condition becomes true:
    once, until it was false in between. From Airflow 3.3 on, that is stored with the asset, so a restarted triggerer
    does not fire again; before, it may. The event holds what the sensor returns: ``figures``, ``total``, ``feedback``,
    ``project``, ``window_start``, ``window_end``, ``url``.

    It also takes the arguments of :class:`~airflow_langsmith.api.run_filter.RunFilter`. Templates are refused, because
    Airflow renders them for tasks alone. A wrong argument is an import error of the DAG.

    An error that no retry cures (a wrong key, an unknown project) ends the trigger with an error in the triggerer's
    log. After a retriable one it looks again, without end.

    :param project: Name or id of the project.
    :param condition: As for :class:`~airflow_langsmith.sensors.LangSmithFeedbackSensor`.
    :param window: How far to look back, in whole seconds: a timedelta or like ``"1d"``, ``"6h"``.
    :param min_runs: With fewer runs the condition is not met.
    :param poke_interval: The time between two looks: seconds, a timedelta or like ``"5m"``.
    :param langsmith_conn_id: The connection's id.
    """

    clock: ClassVar[Clock] = CLOCK

    def __init__(
        self,
        *,
        project: str,
        condition: str,
        window: str | timedelta = WINDOW,
        min_runs: int | str = MIN_RUNS,
        poke_interval: float | str | timedelta = POKE_INTERVAL_SECONDS,
        langsmith_conn_id: str = LangSmithHook.default_conn_name,
        **run_filter: Unpack[RunFilterArguments],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own is
        try:
            self.run_filter = RunFilter.parse(run_filter)
            filters = {name: value for name, value in run_filter.items() if isinstance(value, Filter)}
            texts = {"project": project, "condition": condition, "langsmith_conn_id": langsmith_conn_id}
            _refuse_templates({**texts, **self.run_filter.serialize(), **filters})
            self.project = arguments.required(project, "project")
            self.condition = str(parse(arguments.required(condition, "condition")))
            self.window = _whole_seconds(arguments.or_default(window, WINDOW), "window")
            self.min_runs = arguments.whole_number(arguments.or_default(min_runs, MIN_RUNS), "min_runs", minimum=0)
            self.poke_interval = seconds(arguments.or_default(poke_interval, POKE_INTERVAL_SECONDS), "poke_interval")
            self.langsmith_conn_id = arguments.or_default(langsmith_conn_id, LangSmithHook.default_conn_name)
            self._selection()
        except ConfigurationError as error:
            raise TriggerError(*error.args) from None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, as plain JSON."""
        names = ("project", "condition", "window", "min_runs", "poke_interval", "langsmith_conn_id")
        state = {name: getattr(self, name) for name in names}
        return _class_path(self), state | self.run_filter.serialize()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, and fire each time the condition becomes true."""
        throttle = LogThrottle()
        async with await LangSmithHook(self.langsmith_conn_id).aget_conn() as client:
            was_met = await self._stored_state()
            while True:
                now = self.clock.now()
                watch = FeedbackWatch(
                    selection=self._selection(), condition=self.condition, min_runs=self.min_runs, clock=self.clock
                )
                max_seconds = max(self.poke_interval, MAX_LOOK_TIMEOUTS * client.settings.timeout)
                try:
                    outcome = await _look(client, watch, max_seconds)
                except LangSmithError as error:
                    if not error.retriable:
                        raise
                    if throttle.is_due(error.cause, now):
                        self.log.warning("Look failed: %s", error.cause)
                else:
                    if throttle.is_due(outcome.reason, now):
                        self.log.info(outcome.line)
                    is_met = outcome.state == "met"
                    if is_met and not was_met:
                        yield TriggerEvent(watch.result(outcome, client.settings))  # type: ignore[no-untyped-call]
                    if is_met != was_met:
                        was_met = is_met
                        await self._store_state(is_met)
                await self.clock.sleep(self.poke_interval)

    def _selection(self) -> Selection:
        now = self.clock.now()
        window = TimeWindow(now - duration(self.window, "window"), now)
        return Selection(project=self.project, window=window, closes=now, run_filter=self.run_filter)

    async def _stored_state(self) -> bool:
        store = getattr(self, "asset_state_store", None)
        return bool(await store.aget(self._key)) if store is not None else False

    async def _store_state(self, is_met: bool) -> None:
        store = getattr(self, "asset_state_store", None)
        if store is not None:
            await store.aset(self._key, is_met)

    @property
    def _key(self) -> str:
        """The key of this watcher's state, among those of other watchers of the asset."""
        what = json.dumps(self.serialize()[1], sort_keys=True)
        return f"langsmith_{sha256(what.encode()).hexdigest()[:16]}"


def _class_path(trigger: BaseTrigger) -> str:
    return f"{type(trigger).__module__}.{type(trigger).__qualname__}"


def _refuse_templates(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if not arguments.is_literal(value) or (isinstance(value, Filter) and value.has_template):
            raise ConfigurationError(
                f"{name} has a template: {value!r}. Airflow renders templates for tasks, not for event triggers. Write "
                "the value itself."
            )


def _whole_seconds(length: str | timedelta, name: str) -> str:
    """Return a length of time as text: ``21600s``. Text stays as it is."""
    exact = duration(length, name)
    if isinstance(length, str):
        return length
    if exact % _SECOND:
        raise ConfigurationError(f"{name} is {length}. Write whole seconds.")
    return f"{exact // _SECOND}s"
