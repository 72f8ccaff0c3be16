"""What operators have in common: the connection, which runs, of which window, and how they appear in Airflow's UI."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from airflow_langsmith import arguments
from airflow_langsmith.airflow_errors import airflow_errors
from airflow_langsmith.airflow_sdk import BaseOperator, Context
from airflow_langsmith.api.run_filter import ARGUMENTS, RunFilter
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.links import LangSmithProjectLink
from airflow_langsmith.operators.killing import KillSwitch
from airflow_langsmith.operators.literals import check_literals
from airflow_langsmith.operators.window import Align, MissingWindow, resolve
from airflow_langsmith.templates import render
from airflow_langsmith.windows import TimeWindow

UI_COLOR = "#e3f0ec"

Init = TypeVar("Init", bound=Callable[..., None])

_MAX_MAP_NAME = 250  # characters; the column in Airflow's database takes no more
_MAP_NAME = "langsmith_map_name"
# A run to check arguments by, whichever it will be.
_DAY = {
    "data_interval_start": datetime(2026, 1, 1, tzinfo=UTC),
    "data_interval_end": datetime(2026, 1, 2, tzinfo=UTC),
}
_WINDOW = ("window", "align", "window_timezone", "lag", "missing_window")  # each is right or wrong by itself
_NEVER = datetime.max.replace(tzinfo=UTC)


class LangSmithOperator(BaseOperator):
    """
    Base of all operators: it renders their arguments so that a text stays the text that the user wrote.

    :param langsmith_conn_id: The connection's id. (templated)
    """

    template_fields: Sequence[str] = ("langsmith_conn_id",)
    ui_color = UI_COLOR

    def __init__(self, *, langsmith_conn_id: str = LangSmithHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.langsmith_conn_id = langsmith_conn_id
        self.langsmith_url = ""
        self.kill_switch = KillSwitch()

    def on_kill(self) -> None:
        """
        End the task, as Airflow calls it for: what is under way is let go, what was begun is taken back.

        :raises Killed: in the middle of ``execute``, which ends it.
        """
        self.kill_switch.press()

    def show_link(self, context: Context, url: str) -> None:
        """Show the link to LangSmith's UI on the task's page from now on: Airflow itself shows it at the end."""
        self.langsmith_url = url
        push = getattr(context.get("ti"), "xcom_push", None)
        if push is None or not url:  # a test's context has none
            return
        for link in self.operator_extra_links:
            try:
                push(key=link.xcom_key, value=url)
            except Exception as error:  # noqa: BLE001  # no task fails for want of a link
                self.log.warning("The link to LangSmith is shown at the end only: %s", error)

    def name_map_index(self, context: Context, name: str) -> None:
        """Name a mapped task in Airflow's UI, unless the user did by ``map_index_template``."""
        index: Any = getattr(context.get("ti"), "map_index", None)
        names: Any = context  # a typed dict, which takes no keys of ours
        is_named = context.get("map_index_template") is not None and _MAP_NAME not in names
        if not isinstance(index, int) or index < 0 or is_named:
            return
        names[_MAP_NAME] = name[:_MAX_MAP_NAME]
        names["map_index_template"] = f"{{{{ {_MAP_NAME} }}}}"  # not the name: it may look like a template

    def render_template(
        self, content: Any, context: Context, jinja_env: Any = None, seen_oids: set[int] | None = None
    ) -> Any:
        """
        Render a text so that it stays a text, also with ``render_template_as_native_obj=True``.

        A template or an upstream task that gives None gives the text ``"None"``, which every argument refuses. If None
        meant "not given", the query would be wider than meant.
        """
        if isinstance(content, str) and id(content) not in (seen_oids or ()):
            rendered = render(content, context, jinja_env or self.get_template_env())
        else:
            rendered = super().render_template(content, context, jinja_env, seen_oids)
        return "None" if rendered is None and content is not None else rendered

    def given(self, name: str) -> Any:
        """
        Return an argument. Blank text is as if it was not given, so the argument's default stands for it.

        ``run_ids`` is the exception, because no ids mean no runs. A blank argument without a default stays blank.
        """
        value = getattr(self, name)
        if name == "run_ids" or not isinstance(value, str) or value.strip():
            return value
        parameters = [inspect.signature(base).parameters for base in type(self).__mro__[:-1]]
        default = next(found[name].default for found in parameters if name in found)
        return value if default is inspect.Parameter.empty else default

    def use_defaults_for_blanks(self) -> None:
        """
        Read blank text as "not given": put the default of the argument in its place.

        :raises AirflowFailException: naming a blank argument that has no default.
        """
        for name in self.template_fields:
            value = self.given(name)
            if name != "run_ids" and isinstance(value, str) and not value.strip():
                with airflow_errors():
                    raise ConfigurationError(f"{name} is empty. Give it a value, or correct its template.")
            setattr(self, name, value)


def takes_run_filter(init: Init) -> Init:
    """
    Let a constructor take the arguments of a :class:`RunFilter` by keyword.

    Airflow reads from its signature what ``default_args`` and ``partial`` may hold.
    """
    signature = inspect.signature(init)
    *parameters, kwargs = signature.parameters.values()
    narrowing = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in ARGUMENTS]
    init.__signature__ = signature.replace(parameters=[*parameters, *narrowing, kwargs])  # type: ignore[attr-defined]
    return init


class LangSmithRunsOperator(LangSmithOperator):
    """
    Base of the operators that ask for the runs of a project in a window.

    Which runs: the arguments of :class:`~airflow_langsmith.api.run_filter.RunFilter`, such as ``run_type``, ``is_root``
    and ``filter``. (templated)

    :param project: Name or id of the project. (templated)
    :param start_time: Start of the window, inside it; with a time zone. Give both bounds or none. (templated)
    :param end_time: End of the window, outside it. (templated)
    :param window: How long the window is, where Airflow's run gives a moment only: a timedelta, pendulum's too, or like
        ``"1d"``, ``"6h"``. It counts by the clock of the schedule. (templated)
    :param align: Floor both bounds to the ``hour`` or the ``day``. (templated)
    :param window_timezone: The time zone of those hours and days, and of ``window`` if the schedule has none.
        (templated)
    :param lag: How long before now the window has to have closed; if it has not, the task fails and a retry may find
        it closed. (templated)
    :param missing_window: What to do where the run gives no moment at all: ``fail``, or take its ``run_after``.
        (templated)
    """

    template_fields: Sequence[str] = (
        "project",
        *ARGUMENTS,
        "start_time",
        "end_time",
        "window",
        "align",
        "window_timezone",
        "lag",
        "missing_window",
        *LangSmithOperator.template_fields,
    )
    operator_extra_links = (LangSmithProjectLink(),)

    @takes_run_filter
    def __init__(
        self,
        *,
        project: str,
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        window: str | timedelta | None = None,
        align: Align | None = None,
        window_timezone: str = "UTC",
        lag: str | timedelta | None = None,
        missing_window: MissingWindow = "fail",
        **kwargs: Any,
    ) -> None:
        run_filter = {name: kwargs.pop(name, None) for name in ARGUMENTS}
        super().__init__(**kwargs)
        self.project = project
        for name, value in run_filter.items():
            setattr(self, name, value)
        self.start_time = start_time
        self.end_time = end_time
        self.window = window
        self.align = align
        self.window_timezone = window_timezone
        self.lag = lag
        self.missing_window = missing_window
        cls = type(self)
        check_literals(
            self,
            *(partial(cls._check_narrowing, name=name) for name in ARGUMENTS),
            *(partial(cls._check_window, name=name) for name in _WINDOW),
            cls._check_bounds,
        )

    def project_named(self) -> str:
        """
        Read the project's name or id.

        :raises ConfigurationError: where there is none.
        """
        return arguments.needed(self.project, "project")

    def resolve_window(self, context: Context, now: datetime | None = None) -> TimeWindow:
        """Find the window of this task instance, which has to have closed by ``now``, and log where it came from."""
        window = resolve(
            context,
            start_time=self.start_time,
            end_time=self.end_time,
            window=self.window,
            align=self.align,
            window_timezone=self.window_timezone,
            lag=self.lag,
            missing_window=self.missing_window,
            now=now,
        )
        self.log.info("Window %s", window)
        self.log.info("Window source: %s", window.source)
        return window

    def run_filter(self) -> RunFilter:
        """
        Read the arguments that say which runs are meant.

        :raises ConfigurationError: for one that cannot be read.
        """
        return RunFilter.parse({name: getattr(self, name) for name in ARGUMENTS})

    def _check_narrowing(self, name: str) -> None:
        RunFilter.parse({name: getattr(self, name)})

    def _check_window(self, name: str) -> None:
        resolve(_DAY, **{name: getattr(self, name)}, now=_NEVER)

    def _check_bounds(self) -> None:
        resolve(_DAY, start_time=self.start_time, end_time=self.end_time, now=_NEVER)
