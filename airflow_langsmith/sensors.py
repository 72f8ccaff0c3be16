"""Sensors that wait for LangSmith: until a window has come to rest, until people have said enough."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    BaseSensorOperator,
    Context,
    PokeReturnValue,
    conf,
)

from airflow_langsmith import arguments
from airflow_langsmith.api.errors import ConfigurationError
from airflow_langsmith.api.query import BEGINNING
from airflow_langsmith.exceptions import LangSmithException, airflow_errors
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.operators.base import LangSmithRunsOperator
from airflow_langsmith.watch import FeedbackWatch, Selection, SettledWatch, Watch
from airflow_langsmith.windows import duration

if TYPE_CHECKING:
    from airflow_langsmith.triggers import LangSmithTrigger

_NEVER = datetime.max.replace(tzinfo=UTC)  # a sensor waits for a window to close where an operator fails
_GRACE = timedelta(minutes=2)  # the trigger tells of the timeout, with figures; Airflow does if no trigger runs
_MEMORY = "langsmith_watch"


class LangSmithSensor(LangSmithRunsOperator, BaseSensorOperator):
    """
    Base of the sensors: look, and look again, in a worker or (``deferrable``) on the triggerer.

    The window need not be over: until its end, and ``lag`` after it, the sensor waits. With ``run_ids`` and neither
    ``start_time`` nor ``window`` these runs are looked at whenever they started.

    :param deferrable: Wait on the triggerer; by default what ``[operators] default_deferrable`` says.

    ``poke_interval``, ``timeout``, ``mode``, ``soft_fail``, ``never_fail``, ``silent_fail``, ``exponential_backoff``
    and ``max_wait`` are those of all sensors, and mean the same on the triggerer.
    """

    def __init__(
        self, *, deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self._watch: Watch | None = None
        self._deadline = _NEVER

    @abstractmethod
    def watch(self, selection: Selection) -> Watch:
        """Make what is looked at."""

    @abstractmethod
    def trigger(self, **how: Any) -> LangSmithTrigger:
        """Make the trigger that goes on looking at it."""

    def execute(self, context: Context) -> Any:
        """Look until it is so; what a wrong argument fails is not softened by ``soft_fail``."""
        self._deadline = datetime.now(UTC) + timedelta(seconds=self.timeout)
        self.use_defaults_for_blanks()
        with airflow_errors():
            self._watch = self._begin(context)
        return super().execute(context)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once: done, or failed, or to be looked at again, by a trigger if this sensor defers."""
        with airflow_errors(), LangSmithHook(self.langsmith_conn_id) as hook:
            self._watch = watch = self._watch or self._begin(context)
            client = hook.get_conn()
            outcome = client.drive(watch.look(client.backend))
            result = watch.result(outcome, client.settings)
        self.langsmith_url = result["url"]
        self.log.info(outcome.line)
        if outcome.state == "failed":
            raise AirflowFailException(outcome.line)
        if outcome.state == "waiting":
            if self.deferrable:
                self._wait_elsewhere(watch)
            if self.reschedule:
                with airflow_errors():
                    self._remember(context, watch)
        return PokeReturnValue(outcome.state == "met", result if outcome.state == "met" else None)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None, **_: Any) -> Any:  # noqa: ARG002
        """Go on where the trigger left off: with what was measured, or failing as it says."""
        told = event or {}
        state, line = told.get("state"), str(told.get("line", ""))
        if state not in ("met", "failed", "timeout", "error"):
            raise AirflowFailException(f"The trigger gave an event that means nothing here: {event!r}. Clear the task.")
        self.log.info(line)  # where soft_fail skips, nothing else in this log says why
        if state == "met":
            self.langsmith_url = told["result"]["url"]
            return told["result"]
        if state == "timeout":
            raise AirflowSensorTimeout(f"Not so within the timeout of {self.timeout:.0f} s. At last: {line}")
        if state == "error" and told.get("retriable"):
            raise LangSmithException(line)
        raise AirflowFailException(line)

    def _begin(self, context: Context) -> Watch:
        """Make what is looked at, and go on from the last look if that was in another process."""
        watch = self.watch(self._selection(context))
        store = context.get("task_state_store") if self.reschedule else None
        remembered: Any = store.get(_MEMORY) if store is not None else None
        asked = {name: value for name, value in watch.serialize().items() if value is not None}
        if remembered and asked.items() <= remembered.items():  # else the DAG asks for something else by now
            return watch.of(watch.selection, remembered)
        return watch

    def _selection(self, context: Context) -> Selection:
        narrowed = self.narrowing()
        project = self.project_named()
        if narrowed["run_ids"] is not None and not self.start_time and not self.window:
            now = datetime.now(UTC)
            return Selection(project=project, start=BEGINNING, end=now, closes=now, narrowed=narrowed)
        window = self.resolve_window(context, now=_NEVER)
        closes = window.end + (timedelta(0) if self.lag is None else duration(self.lag, "lag", may_be_zero=True))
        return Selection(project=project, start=window.start, end=window.end, closes=closes, narrowed=narrowed)

    def _remember(self, context: Context, watch: Watch) -> None:
        store = context.get("task_state_store")
        if store is not None:
            store.set(_MEMORY, watch.serialize())
        elif watch.remembers:
            raise ConfigurationError(
                "Before Airflow 3.3, mode='reschedule' forgets between two looks what this sensor has to remember. Use "
                "deferrable=True or mode='poke'."
            )

    def _wait_elsewhere(self, watch: Watch) -> None:
        trigger = self.trigger(
            langsmith_conn_id=self.langsmith_conn_id,
            selection=watch.selection.serialize(),
            watched=watch.serialize(),
            deadline=self._deadline.isoformat(),
            poke_interval=self.poke_interval,
            exponential_backoff=self.exponential_backoff,
            max_wait=self.max_wait.total_seconds() if self.max_wait else None,
            **({"max_failures": None} if self.silent_fail else {}),
        )
        left = self._deadline - datetime.now(UTC)
        self.defer(trigger=trigger, method_name="execute_complete", timeout=max(left, timedelta(0)) + _GRACE)


class LangSmithFeedbackSensor(LangSmithSensor):
    """
    Wait until people have said enough about the runs of a window, or about given ``run_ids``.

    Returns ``figures`` (each measure of the conditions by its text), ``total``, ``feedback`` (per key the count, runs,
    coverage, avg, min, max), ``project``, ``window_start``, ``window_end`` and ``url``. Each look logs one line with
    every figure beside its bound.

    A look takes one request for the number of runs (two if they are more than a page of 1000, on v1 100), one for each
    page of runs that have feedback under the condition's keys, and one for each 50 of these with several pieces. A
    deferred sensor asks v2 for what changed since its last look only.

    :param condition: When to go on: ``coverage(user_score) >= 0.9 and avg(user_score) >= 0.8``. The language is in
        ``docs/conditions.md``. (templated)
    :param fail_when: When to fail at once instead, also before the window is over: ``share(user_score, 0) > 0.33``.
        (templated)
    :param min_runs: With fewer runs than this the sensor neither goes on nor fails. (templated)

    Which runs, and of which window: the arguments of
    :class:`~airflow_langsmith.operators.base.LangSmithRunsOperator`; how to wait: those of :class:`LangSmithSensor`.
    """

    template_fields: Sequence[str] = (*LangSmithRunsOperator.template_fields, "condition", "fail_when", "min_runs")

    def __init__(self, *, condition: str, fail_when: str | None = None, min_runs: int | str = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.condition = condition
        self.fail_when = fail_when
        self.min_runs = min_runs

    def watch(self, selection: Selection) -> Watch:
        """Make what is looked at."""
        return FeedbackWatch(
            selection,
            condition=self.condition,
            fail_when=arguments.text(self.fail_when, "fail_when"),
            min_runs=arguments.whole(self.min_runs, "min_runs"),
        )

    def trigger(self, **how: Any) -> LangSmithTrigger:
        """Make the trigger that goes on looking at it."""
        from airflow_langsmith.triggers import LangSmithFeedbackTrigger  # noqa: PLC0415  # DAGs parse without it

        return LangSmithFeedbackTrigger(**how)


class LangSmithSettledSensor(LangSmithSensor):
    """
    Wait until a window has come to rest, so that an export of it is an export of all there will be.

    That is: the window is over and ``lag`` has passed, no selected run is pending, and their number has not changed for
    ``quiet_for``. Returns ``runs``, ``pending``, ``given_up`` (with the first ``given_up_runs``), ``quiet_seconds``,
    ``project``, ``window_start``, ``window_end`` and ``url``.

    A look takes at most three requests on API v2 (pending runs, a page of ids, the stats), whatever the window, as long
    as no more than a page of runs is pending; none while the window is not over.

    :param quiet_for: How long the number of runs has to stay the same; ``"0s"`` for not at all. (templated)
    :param pending_timeout: After how long a run that has not ended is given up, and named; None for never. A day by
        default: LangSmith's cloud takes no end of a run that started longer ago. (templated)

    Which runs, and of which window: the arguments of
    :class:`~airflow_langsmith.operators.base.LangSmithRunsOperator`; how to wait: those of :class:`LangSmithSensor`.
    """

    template_fields: Sequence[str] = (*LangSmithRunsOperator.template_fields, "quiet_for", "pending_timeout")

    def __init__(
        self, *, quiet_for: str | timedelta = "10m", pending_timeout: str | timedelta | None = "1d", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.quiet_for = quiet_for
        self.pending_timeout = pending_timeout

    def watch(self, selection: Selection) -> Watch:
        """Make what is looked at."""
        return SettledWatch(
            selection,
            quiet_for=duration(self.quiet_for, "quiet_for", may_be_zero=True),
            pending_timeout=None if self.pending_timeout is None else duration(self.pending_timeout, "pending_timeout"),
        )

    def trigger(self, **how: Any) -> LangSmithTrigger:
        """Make the trigger that goes on looking at it."""
        from airflow_langsmith.triggers import LangSmithSettledTrigger  # noqa: PLC0415  # DAGs parse without it

        return LangSmithSettledTrigger(**how)
