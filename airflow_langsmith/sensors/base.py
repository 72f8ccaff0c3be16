"""What sensors share: how they look at LangSmith until their condition is true, in a worker or on the triggerer."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from airflow_langsmith.airflow_errors import FailWhenError, LangSmithException, airflow_errors
from airflow_langsmith.airflow_sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseOperator,
    BaseSensorOperator,
    Context,
    PokeReturnValue,
    TaskDeferralTimeout,
    conf,
)
from airflow_langsmith.api.negotiation import VersionNegotiator
from airflow_langsmith.errors import ConfigurationError, LangSmithError
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.links import LangSmithProjectLink
from airflow_langsmith.messages import format_message
from airflow_langsmith.operators.base import LangSmithWindowOperator
from airflow_langsmith.waiting.verdict import Outcome
from airflow_langsmith.waiting.watch import CLOCK, Clock, LogThrottle, Watch
from airflow_langsmith.windows.time_window import seconds

NEVER = datetime.max.replace(tzinfo=UTC)  # a sensor waits for a window to close; an operator fails
_GRACE = timedelta(minutes=2)  # for the trigger to report a timeout; Airflow reports it if no trigger runs
_STATE_KEY = "langsmith_watch"


class LangSmithSensor(LangSmithWindowOperator, BaseSensorOperator):
    """
    Base of the sensors: look at LangSmith again and again, in a worker or (``deferrable``) on the triggerer.

    ``poke_interval``, ``timeout``, ``mode``, ``soft_fail``, ``never_fail``, ``silent_fail``, ``exponential_backoff``,
    ``max_wait`` and ``execution_timeout`` are those of all sensors, and mean the same on the triggerer.

    ``soft_fail`` skips the task at the timeout and when ``fail_when`` is true. ``never_fail`` skips it when
    ``fail_when`` is true and when a look fails. An error that no retry cures (a wrong key, an unknown project) always
    fails the task.

    :param poke_interval: The time between two looks, above zero: seconds, a timedelta or like ``"5m"``.
    :param deferrable: Wait on the triggerer; by default as ``[operators] default_deferrable``.
    """

    watch_type: ClassVar[type[Watch]]  # its fields are arguments of the sensor
    _clock: ClassVar[Clock] = CLOCK

    def __init__(
        self,
        *,
        poke_interval: float | str | timedelta = 60.0,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=seconds(poke_interval, "poke_interval"), **kwargs)
        self.deferrable = deferrable
        self._watch: Watch | None = None
        self._negotiator: VersionNegotiator | None = None
        self._throttle = LogThrottle()
        self._times_out_at = self._deadline = NEVER

    def execute(self, context: Context) -> Any:
        """Look until the condition is true."""
        self._set_deadlines(context)
        try:
            with airflow_errors():
                self._watch = self._begin(context)
            return super().execute(context)
        except AirflowSkipException as skip:
            error = skip.__cause__
            if error is None:
                raise
            if not self._may_skip(error):
                raise error from error.__cause__
            raise self._skip(error) from error

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after the trigger. Airflow's sensors would skip more errors here than in a worker."""
        self._restore_link(context)
        try:
            try:
                return BaseOperator.resume_execution(self, next_method, next_kwargs, context)
            except TaskDeferralTimeout:
                raise self._overdue_on_triggerer("none on the triggerer. Is one running?") from None
        except AirflowSkipException:
            raise
        except Exception as error:
            if not self._may_skip(error):
                raise
            raise self._skip(error) from error

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once. If the sensor has to wait and is deferrable, a trigger looks from now on."""
        with airflow_errors(), LangSmithHook(self.read("langsmith_conn_id")) as hook:
            self._watch = watch = self._watch or self._begin(context)
            client = hook.get_conn()
            self._negotiator = self._negotiator or client.negotiator  # asks for the API's version, and logs it, once
            try:
                outcome = client.drive(watch.look(self._negotiator))
            except LangSmithError as error:
                if not (self.silent_fail and error.retriable):
                    raise
                outcome = Outcome("waiting", f"Look failed: {error.cause}")
            result = watch.result(outcome, client.settings)
        if result["url"] != self.langsmith_url:
            self.show_link(context, result["url"])
        if outcome.state == "failed":
            raise FailWhenError(format_message(outcome.line))
        now = self._clock.now()
        if outcome.state == "waiting" and now >= self._deadline:  # Airflow's alarm is lost in a finalizer
            raise self._overdue(outcome.line, timed_out=now >= self._times_out_at)
        if self._throttle.is_due(outcome.reason, now):
            self.log.info(outcome.line)
        if outcome.state == "met":
            return PokeReturnValue(is_done=True, xcom_value=result)
        if self.deferrable:
            self._defer(watch)
        if self.reschedule:
            with airflow_errors():
                self._store_state(context, watch)
        return PokeReturnValue(is_done=False)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None, **_: Any) -> Any:  # noqa: ARG002
        """Return the result of the trigger, or fail as a look in a worker does."""
        event = event or {}
        line = str(event.get("line", ""))
        match event.get("state"):
            case "met":
                self.log.info(line)
                self.langsmith_url = event["result"]["url"]
                return event["result"]
            case "failed":
                raise FailWhenError(format_message(line))
            case "timeout":
                raise self._overdue_on_triggerer(line)
            case "error" if event.get("retriable"):
                raise LangSmithException(line)
            case "error":
                raise AirflowFailException(line)
        raise AirflowFailException("The trigger sent an event of no known kind. Clear the task.")

    def _set_deadlines(self, context: Context) -> None:
        """Count ``timeout`` from the first look, and ``execution_timeout`` from now, like Airflow."""
        now = self._clock.now()
        first_look = context["ti"].get_first_reschedule_date(context) if self.reschedule else None
        self._times_out_at = (first_look or now) + timedelta(seconds=self.timeout)
        self._deadline = min(self._times_out_at, now + self.execution_timeout if self.execution_timeout else NEVER)

    def _overdue_on_triggerer(self, last_check: str) -> BaseException:
        """Return the error of a deferral that is overdue: the shorter limit was the first to end."""
        limit = self.execution_timeout
        return self._overdue(last_check, timed_out=limit is None or limit.total_seconds() > self.timeout)

    def _overdue(self, last_check: str, *, timed_out: bool) -> BaseException:
        """Return the error of ``timeout``, or of ``execution_timeout``, the only one that Airflow retries."""
        limit = self.execution_timeout
        if timed_out or limit is None:
            return AirflowSensorTimeout(_not_met(self.timeout, last_check))
        return AirflowTaskTimeout(_not_met(limit.total_seconds(), last_check))

    def _may_skip(self, error: BaseException) -> bool:
        """Return whether an error becomes a skip, in a worker and after a deferral alike."""
        if isinstance(error, FailWhenError):
            return self.soft_fail or self.never_fail
        if isinstance(error, AirflowSensorTimeout):
            return self.soft_fail
        return self.never_fail and not isinstance(error, AirflowFailException | AirflowTaskTimeout)

    def _skip(self, error: BaseException) -> AirflowSkipException:
        return AirflowSkipException(
            format_message(f"{'soft_fail' if self.soft_fail else 'never_fail'} is set.", str(error))
        )

    def _begin(self, context: Context) -> Watch:
        """Return the watch, with the state of the last look if that was in another process."""
        names = {field.name for field in fields(self.watch_type)} & self.readers.keys()
        options = {name: self.read(name) for name in names}
        watch = self.watch_type(selection=self._selection(context), clock=self._clock, **options)
        store = context.get("task_state_store") if self.reschedule else None
        state: Any = store.get(_STATE_KEY) if store is not None else None
        written = {name: value for name, value in watch.serialize().items() if value is not None}
        if state and written.items() <= state.items():  # else the DAG has changed
            if state.get("try_number") == _try_number(context):  # each try has its own log
                self._throttle = LogThrottle.deserialize(state["log"])
            return watch.deserialize(watch.selection, state, self._clock)
        return watch

    @abstractmethod
    def _selection(self, context: Context) -> Any:
        """Return what the watch looks at, by the arguments."""

    def _store_state(self, context: Context, watch: Watch) -> None:
        store = context.get("task_state_store")
        if store is not None:
            log = {"log": self._throttle.serialize(), "try_number": _try_number(context)}
            store.set(_STATE_KEY, watch.serialize() | log)
        elif watch.has_state:
            raise ConfigurationError(
                "mode='reschedule' of this sensor needs Airflow 3.3, which keeps its state between two looks. Use "
                "deferrable=True or mode='poke'."
            )

    def _defer(self, watch: Watch) -> None:
        from airflow_langsmith.triggers import LangSmithTrigger  # noqa: PLC0415  # DAGs parse without it

        kind = next(kind for kind in LangSmithTrigger.__subclasses__() if kind.watch_type is self.watch_type)
        trigger = kind(
            langsmith_conn_id=self.read("langsmith_conn_id") or LangSmithHook.default_conn_name,
            selection=watch.selection.serialize(),
            watched=watch.serialize(),
            deadline=self._deadline.isoformat(),
            poke_interval=self.poke_interval,
            exponential_backoff=self.exponential_backoff,
            max_wait=self.max_wait.total_seconds() if self.max_wait else None,
            **({"max_failures": None} if self.silent_fail else {}),
        )
        left = self._deadline - self._clock.now()
        self.defer(trigger=trigger, method_name="execute_complete", timeout=max(left, timedelta(0)) + _GRACE)

    def _do_render_template_fields(
        self, parent: Any, template_fields: Any, context: Context, jinja_env: Any, seen_oids: set[int]
    ) -> None:
        """Name a mapped task as soon as its arguments are rendered, so that a deferred one shows its name."""
        super()._do_render_template_fields(parent, template_fields, context, jinja_env, seen_oids)
        if parent is self and getattr(context.get("ti"), "map_index", -1) != -1:
            self.name_map_index(context, self._map_name(context))

    @abstractmethod
    def _map_name(self, context: Context) -> str:
        """Return the name of a mapped task."""

    def _restore_link(self, context: Context) -> None:
        """Read the link from before the deferral, because Airflow stores it again when the task ends."""
        ti: Any = context.get("ti")
        if hasattr(ti, "xcom_pull"):
            key = LangSmithProjectLink().xcom_key
            self.langsmith_url = ti.xcom_pull(key=key, map_indexes=ti.map_index) or ""


def _try_number(context: Context) -> int:
    return getattr(context.get("ti"), "try_number", 1)


def _not_met(seconds: float, last_check: str) -> str:
    return format_message(f"Condition not met within {seconds:.0f} s. Last check: {last_check}")
