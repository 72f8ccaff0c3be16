"""
What waits on a triggerer: the async halves of the sensors, and the watcher that schedules DAGs by feedback.

A trigger looks again and again until it has one event to give. It carries identifiers and moments only, reads the
connection by itself, and may run twice at the same time: it changes nothing anywhere.
"""

from __future__ import annotations

import json
from asyncio import timeout
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar, TypeVar, Unpack

from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from airflow_langsmith import arguments
from airflow_langsmith.api.client import AsyncLangSmithClient
from airflow_langsmith.api.run_filter import RunFilter, RunFilterArguments
from airflow_langsmith.errors import ConfigurationError, LangSmithError, TransportError
from airflow_langsmith.filters import Filter
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.waiting import FeedbackWatch, Selection, SettledWatch, parse
from airflow_langsmith.waiting.verdict import Outcome
from airflow_langsmith.waiting.watch import CLOCK, Clock, LogThrottle, Watch
from airflow_langsmith.windows import TimeWindow, duration, seconds

T = TypeVar("T")

MAX_FAILURES = 5  # looks in a row that may fail before the task does; each has already tried again by itself
MAX_LAST_LOOK = 60.0  # seconds beyond the deadline; a minute later Airflow gives the trigger up
MAX_LOOK_TIMEOUTS = 10  # of the connection's timeout, for a look that has no deadline


class TriggerError(ConfigurationError, TypeError):
    """A wrong argument; as a ``TypeError`` it stops one trigger, as anything else Airflow's whole triggerer."""


class LateLookError(TransportError):
    """A look that did not end in time."""


async def _look(client: AsyncLangSmithClient, watch: Watch, longest: float) -> Outcome:
    """Look once, for ``longest`` seconds at most: each answer has its own timeout, but their number has no end."""
    try:
        async with timeout(longest):
            return await client.drive(watch.look(client.negotiator))
    except TimeoutError:
        raise LateLookError(f"the look did not end within {longest:.0f} s") from None


# What an event trigger takes for an argument that is not given, or blank.
_WINDOW = "1d"
_MIN_RUNS = 1
_POKE_INTERVAL = 300.0  # seconds


class LangSmithTrigger(BaseTrigger):
    """
    Base of the triggers: looks at ``selection`` until the watch is no longer waiting, or ``deadline`` has passed.

    The sensor has looked before it, so it begins with a pause.

    Its event is a dict: ``state`` is ``met``, ``failed``, ``timeout`` or ``error``, ``line`` says it for people,
    ``result`` is what the sensor returns, and ``retriable`` says of an error whether a retry may cure it.

    :param selection: What :meth:`Selection.serialize` wrote.
    :param watched: What :meth:`Watch.serialize` wrote, of the kind of watch that the class is for.
    :param deadline: ISO moment of the last look; a sensor's ``timeout`` or ``execution_timeout``, whichever is earlier.
    :param poke_interval: Seconds before each look; twice as long each time with ``exponential_backoff``, up to
        ``max_wait`` seconds.
    :param max_failures: How many looks in a row may fail by what a retry may cure, except the last look; None for any
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
        max_failures: int | None = MAX_FAILURES,
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
        """Write the trigger down."""
        names = (
            "langsmith_conn_id",
            "selection",
            "watched",
            "deadline",
            "poke_interval",
            "exponential_backoff",
            "max_wait",
            "max_failures",
        )
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is one event to give."""
        try:
            async with await LangSmithHook(self.langsmith_conn_id).aget_conn() as client:
                event = await self._wait(client)
        except LangSmithError as error:
            event = {"state": "error", "line": str(error), "retriable": error.retriable}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow's own is

    async def _wait(self, client: AsyncLangSmithClient) -> dict[str, Any]:
        watch = self.watch_type.deserialize(Selection.deserialize(self.selection), self.watched, self.clock)
        deadline = datetime.fromisoformat(self.deadline)
        throttle = LogThrottle()
        looks = failures = 0
        line = "there was none"
        while True:
            left = deadline - self.clock.now()
            # Also before the first look: the sensor has just looked, and Airflow fails a task whose trigger fires
            # before the scheduler has heard that it deferred.
            await self.clock.sleep(min(self._pause(looks), max(left.total_seconds(), 0.0)))
            looks += 1
            now = self.clock.now()
            is_last = now >= deadline
            try:
                longest = max((deadline - now).total_seconds(), 0.0)
                outcome = await _look(client, watch, longest + min(client.settings.timeout, MAX_LAST_LOOK))
            except LateLookError as error:
                return {"state": "timeout", "line": f"{error.cause}; the look before it: {line}"}
            except LangSmithError as error:
                failures += 1
                if not error.retriable or (self.max_failures is not None and (failures > self.max_failures or is_last)):
                    raise
                line = f"Look failed: {error.cause}"
                if throttle.is_due(line, now):
                    self.log.warning(line)
            else:
                failures, line = 0, outcome.line
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
    """Waits until people have said what a condition asks for."""

    watch_type = FeedbackWatch


class LangSmithSettledTrigger(LangSmithTrigger):
    """Waits until a window has come to rest."""

    watch_type = SettledWatch


class LangSmithFeedbackEventTrigger(BaseEventTrigger):
    """
    Fires an asset event when people's feedback begins to fulfil a condition, for an ``AssetWatcher``.

    It looks at the runs of the last ``window`` every ``poke_interval`` and fires when the condition becomes true: once,
    until it has been false in between. From Airflow 3.3 on that is remembered with the asset, so a restarted triggerer
    does not fire again; before, it may. The event holds what the sensor returns: ``figures``, ``total``, ``feedback``,
    ``project``, ``window_start``, ``window_end``, ``url``.

    Its arguments are those of the sensors, also those that say which runs, without templates, which Airflow renders for
    tasks alone. A wrong one is an import error of the DAG.

    What only a person can put right (a wrong key, an unknown project) ends the trigger with an error in the triggerer's
    log. What may pass is tried again without end.

    :param project: Name or id of the project.
    :param condition: As for :class:`~airflow_langsmith.sensors.LangSmithFeedbackSensor`.
    :param window: How far to look back: a timedelta or like ``"1d"``, ``"6h"``.
    :param min_runs: With fewer runs than this the condition does not hold.
    :param poke_interval: The time between two looks: seconds, a timedelta or like ``"5m"``.
    :param langsmith_conn_id: The connection's id.
    """

    clock: ClassVar[Clock] = CLOCK

    def __init__(
        self,
        *,
        project: str,
        condition: str,
        window: str | timedelta = _WINDOW,
        min_runs: int | str = _MIN_RUNS,
        poke_interval: float | str | timedelta = _POKE_INTERVAL,
        langsmith_conn_id: str = LangSmithHook.default_conn_name,
        **narrowing: Unpack[RunFilterArguments],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own is
        try:
            self.project = _final(project, "project")
            self.condition = str(parse(_final(condition, "condition")))
            self.window = _spelled(_given(window, _WINDOW), "window")
            self.run_filter = _run_filter(narrowing)
            self.min_runs = arguments.whole(_given(min_runs, _MIN_RUNS), "min_runs", least=0)
            self.poke_interval = seconds(_given(poke_interval, _POKE_INTERVAL), "poke_interval")
            conn_id = _given(langsmith_conn_id, LangSmithHook.default_conn_name)
            self.langsmith_conn_id = _final(conn_id, "langsmith_conn_id")
            self._selection()
        except ConfigurationError as error:
            raise TriggerError(*error.args) from None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Write the trigger as plain JSON."""
        names = ("project", "condition", "window", "min_runs", "poke_interval", "langsmith_conn_id")
        state = {name: getattr(self, name) for name in names}
        return f"{type(self).__module__}.{type(self).__qualname__}", state | self.run_filter.serialize()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, and fire at each edge."""
        throttle = LogThrottle()
        async with await LangSmithHook(self.langsmith_conn_id).aget_conn() as client:
            held = await self._remembered()
            while True:
                now = self.clock.now()
                watch = FeedbackWatch(
                    selection=self._selection(), condition=self.condition, min_runs=self.min_runs, clock=self.clock
                )
                longest = max(self.poke_interval, MAX_LOOK_TIMEOUTS * client.settings.timeout)
                try:
                    outcome = await _look(client, watch, longest)
                except LangSmithError as error:
                    if not error.retriable:
                        raise
                    if throttle.is_due(error.cause, now):
                        self.log.warning("Look failed: %s", error.cause)
                else:
                    if throttle.is_due(outcome.reason, now):
                        self.log.info(outcome.line)
                    holds = outcome.state == "met"
                    if holds and not held:
                        yield TriggerEvent(watch.result(outcome, client.settings))  # type: ignore[no-untyped-call]
                    if holds != held:
                        held = holds
                        await self._remember(held)
                await self.clock.sleep(self.poke_interval)

    def _selection(self) -> Selection:
        now = self.clock.now()
        window = TimeWindow(now - duration(self.window, "window"), now)
        return Selection(project=self.project, window=window, closes=now, run_filter=self.run_filter)

    async def _remembered(self) -> bool:
        store = getattr(self, "asset_state_store", None)
        return bool(await store.aget(self._key)) if store is not None else False

    async def _remember(self, held: bool) -> None:
        store = getattr(self, "asset_state_store", None)
        if store is not None:
            await store.aset(self._key, held)

    @property
    def _key(self) -> str:
        """The key of this watcher's state, among those of other watchers of the asset."""
        what = json.dumps(self.serialize()[1], sort_keys=True)
        return f"langsmith_{sha256(what.encode()).hexdigest()[:16]}"


def _given(value: T, default: T) -> T:
    """Return an argument; blank text is as if it was not given."""
    return default if isinstance(value, str) and not value.strip() else value


def _final(value: object, name: str) -> str:
    """Read a text that is needed, and holds no template."""
    text = arguments.text(value, name)
    if text is None:
        raise ConfigurationError(f"{name} is empty. Write it in the event trigger.")
    _refuse_templates(text, name)
    return text


def _refuse_templates(value: object, name: str) -> None:
    if not arguments.is_literal(value) or (isinstance(value, Filter) and value.has_template):
        raise ConfigurationError(
            f"{name} has a template: {value!r}. Airflow renders templates for tasks, not for event triggers. Write the "
            "value itself."
        )


def _run_filter(narrowing: RunFilterArguments) -> RunFilter:
    """Read the arguments that narrow, as the sensors do; a template in one is refused."""
    run_filter = RunFilter.parse(narrowing)
    for name, value in narrowing.items():
        _refuse_templates(value if isinstance(value, Filter) else getattr(run_filter, name), name)
    return run_filter


def _spelled(length: str | timedelta, name: str) -> str:
    """Write a length of time as text; a text stays as it is."""
    read = duration(length, name)
    if isinstance(length, str):
        return length
    if read % timedelta(seconds=1):
        raise ConfigurationError(f"{name} is {length}. Write whole seconds.")
    return f"{read // timedelta(seconds=1)}s"
