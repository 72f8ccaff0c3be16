"""What operators have in common: the connection, which runs, of which window, and how they appear in Airflow's UI."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow_langsmith import arguments
from airflow_langsmith.airflow_errors import airflow_errors
from airflow_langsmith.airflow_sdk import BaseOperator, Context
from airflow_langsmith.api.query import RunQuery
from airflow_langsmith.api.records import Project
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.filters import Expression
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.links import LangSmithProjectLink
from airflow_langsmith.operators.killing import KillSwitch
from airflow_langsmith.operators.literals import check_literals
from airflow_langsmith.operators.window import Align, MissingWindow, resolve
from airflow_langsmith.templates import render
from airflow_langsmith.windows import TimeWindow

UI_COLOR = "#e3f0ec"

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


class LangSmithRunsOperator(LangSmithOperator):
    """
    Base of the operators that ask for the runs of a project in a window.

    :param project: Name or id of the project. (templated)
    :param run_type: Only runs of this type: ``chain``, ``llm``, ``tool``, ``retriever``, ``embedding``, ``prompt`` or
        ``parser``. (templated)
    :param is_root: Only runs that began a trace, or only others. (templated)
    :param error: Only runs that failed, or only others. (templated)
    :param filter: An expression of LangSmith's filter language about the run itself; the window is added to it.
        (templated)
    :param trace_filter: One about the root of its trace. (templated)
    :param tree_filter: One about any run of its trace. (templated)
    :param trace_id: Only runs of this trace. (templated)
    :param run_ids: Only these runs; an empty list or text means no runs. (templated)
    :param reference_example_id: Only runs on this dataset example. (templated)
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
        "run_type",
        "is_root",
        "error",
        "filter",
        "trace_filter",
        "tree_filter",
        "trace_id",
        "run_ids",
        "reference_example_id",
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

    def __init__(
        self,
        *,
        project: str,
        run_type: str | None = None,
        is_root: bool | str | None = None,
        error: bool | str | None = None,
        filter: Expression | None = None,  # noqa: A002  # LangSmith's own name
        trace_filter: Expression | None = None,
        tree_filter: Expression | None = None,
        trace_id: str | None = None,
        run_ids: Iterable[str] | str | None = None,
        reference_example_id: str | None = None,
        start_time: str | datetime | None = None,
        end_time: str | datetime | None = None,
        window: str | timedelta | None = None,
        align: Align | None = None,
        window_timezone: str = "UTC",
        lag: str | timedelta | None = None,
        missing_window: MissingWindow = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.run_type = run_type
        self.is_root = is_root
        self.error = error
        self.filter = filter
        self.trace_filter = trace_filter
        self.tree_filter = tree_filter
        self.trace_id = trace_id
        self.run_ids = run_ids
        self.reference_example_id = reference_example_id
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
            *(partial(cls._check_narrowing, name=name) for name in arguments.NARROWING),
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

    def narrowing(self) -> dict[str, Any]:
        """Read the arguments that say which runs of the window are meant."""
        return {name: read(getattr(self, name), name) for name, read in arguments.NARROWING.items()}

    def _check_narrowing(self, name: str) -> None:
        any_query(**{name: arguments.NARROWING[name](getattr(self, name), name)})

    def _check_window(self, name: str) -> None:
        resolve(_DAY, **{name: getattr(self, name)}, now=_NEVER)

    def _check_bounds(self) -> None:
        resolve(_DAY, start_time=self.start_time, end_time=self.end_time, now=_NEVER)

    def query(self, project: Project, window: TimeWindow, fields: tuple[str, ...]) -> RunQuery:
        """Write the query for a window of a project."""
        return RunQuery(project=project, start=window.start, end=window.end, fields=fields, **self.narrowing())


def any_query(**asked: Any) -> RunQuery:
    """Write a query of whatever project and window, to see whether the rest of it can be asked."""
    day = TimeWindow(_DAY["data_interval_start"], _DAY["data_interval_end"])
    return RunQuery(project=Project(id="", name=""), start=day.start, end=day.end, fields=(), **asked)
