"""What operators share: how they read arguments, which runs and which window, and how they appear in Airflow's UI."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar, TypeVar

from airflow_langsmith import arguments
from airflow_langsmith.airflow_errors import airflow_errors
from airflow_langsmith.airflow_sdk import BaseOperator, Context
from airflow_langsmith.api.run_filter import ARGUMENTS, RunFilter
from airflow_langsmith.arguments import Reader
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.links import LangSmithProjectLink
from airflow_langsmith.operators.killing import KillSwitch
from airflow_langsmith.templates import render
from airflow_langsmith.windows import TimeWindow, resolve
from airflow_langsmith.windows.context import Align, MissingWindow

UI_COLOR = "#e3f0ec"

Init = TypeVar("Init", bound=Callable[..., None])

_MAX_MAP_NAME = 250  # characters; the column in Airflow's database takes no more
_MAP_NAME = "langsmith_map_name"
# The DAG run by which arguments are checked when the DAG is parsed.
_DAY = {
    "data_interval_start": datetime(2026, 1, 1, tzinfo=UTC),
    "data_interval_end": datetime(2026, 1, 2, tzinfo=UTC),
}
_NEVER = datetime.max.replace(tzinfo=UTC)


class _TemplateError(Exception):
    """An argument has a template, so it has no value when the DAG is parsed."""


class LangSmithOperator(BaseOperator):
    """
    Base of all operators: each argument has a reader, and text stays the text that the user wrote.

    ``readers`` has the templated arguments. A reader returns the value of what a user wrote, or a template printed::

        readers = {"limit": partial(arguments.whole_number, minimum=1)}        "1000" -> 1000
    """

    readers: ClassVar[Mapping[str, Reader]] = {}
    template_fields: Sequence[str] = ()
    ui_color = UI_COLOR
    _is_parsing = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kill_switch = KillSwitch()

    def argument(self, name: str) -> Any:
        """
        Return an argument as it is. Blank text means that it is not set, so its default stands for it.

        ``run_ids`` is the exception, because no ids mean no runs. A blank argument without a default stays blank.
        """
        value = getattr(self, name)
        if self._is_parsing and not arguments.is_literal(value):
            raise _TemplateError
        if name == "run_ids" or not isinstance(value, str) or value.strip():
            return value
        signatures = [inspect.signature(base).parameters for base in type(self).__mro__[:-1]]
        default = next(parameters[name].default for parameters in signatures if name in parameters)
        return value if default is inspect.Parameter.empty else default

    def read(self, name: str) -> Any:
        """
        Return the value of an argument.

        :raises ConfigurationError: if it cannot be read.
        """
        return self.readers[name](self.argument(name), name)

    def check_arguments(self, *checks: Callable[[], object]) -> None:
        """
        Read the arguments that hold no template, for mistakes to be import errors of the DAG.

        Each check reads several arguments, and ends at the first one with a template. No check asks LangSmith or looks
        up a connection. A mapped task is made by the worker, so ``execute`` finds its mistakes.

        :raises AirflowFailException: for an argument that is wrong.
        """
        if getattr(self, "_BaseOperator__from_mapped", False):
            return
        names = [name for name in self.readers if name in vars(self)]  # a subclass sets others later
        own: list[Callable[[], object]] = [partial(self.read, name) for name in names]
        self._is_parsing = True
        try:
            with airflow_errors():
                for check in (*own, *checks):
                    with suppress(_TemplateError):
                        check()
        finally:
            self._is_parsing = False

    def on_kill(self) -> None:
        """
        End the task when Airflow kills it: stop what runs, and undo what is not published.

        :raises Killed: in the middle of ``execute``, which ends it.
        """
        self.kill_switch.press()

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
        meant "not set", the query would be wider than the user wants.
        """
        if isinstance(content, str) and id(content) not in (seen_oids or ()):
            rendered = render(content, context, jinja_env or self.get_template_env())
        else:
            rendered = super().render_template(content, context, jinja_env, seen_oids)
        return "None" if rendered is None and content is not None else rendered


class LangSmithQueryOperator(LangSmithOperator):
    """
    Base of the operators that ask LangSmith.

    :param langsmith_conn_id: The connection's id. (templated)
    """

    readers: ClassVar[Mapping[str, Reader]] = {"langsmith_conn_id": arguments.text}
    template_fields: Sequence[str] = tuple(readers)

    def __init__(self, *, langsmith_conn_id: str = LangSmithHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.langsmith_conn_id = langsmith_conn_id
        self.langsmith_url = ""

    def show_link(self, context: Context, url: str) -> None:
        """Show the link to LangSmith's UI on the task's page from now on. Airflow itself shows it at the end."""
        self.langsmith_url = url
        push = getattr(context.get("ti"), "xcom_push", None)
        if push is None or not url:  # a test's context has none
            return
        for link in self.operator_extra_links:
            try:
                push(key=link.xcom_key, value=url)
            except Exception as error:  # noqa: BLE001  # a missing link must not fail the task
                self.log.warning("The link to LangSmith is shown at the end only: %s", error)


def takes(defaults: Mapping[str, Any]) -> Callable[[Init], Init]:
    """
    Let a constructor take further arguments by keyword, with these defaults.

    Airflow reads from its signature what ``default_args`` and ``partial`` may hold.
    """

    def add_to_signature(init: Init) -> Init:
        signature = inspect.signature(init)
        *parameters, kwargs = signature.parameters.values()
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
            for name, default in defaults.items()
        ]
        init.__signature__ = signature.replace(parameters=[*parameters, *more, kwargs])  # type: ignore[attr-defined]
        return init

    return add_to_signature


def _read_narrowing(value: Any, name: str) -> Any:
    return getattr(RunFilter.parse({name: value}), name)


def _read_window(value: Any, name: str) -> Any:
    resolve(_DAY, **{name: value}, now=_NEVER)
    return value


_BOUNDS: dict[str, Reader] = dict.fromkeys(("start_time", "end_time"), arguments.as_is)  # right or wrong together
_WINDOW: dict[str, Reader] = _BOUNDS | dict.fromkeys(
    ("window", "align", "window_timezone", "lag", "missing_window"), _read_window
)


class LangSmithWindowOperator(LangSmithQueryOperator):
    """
    Base of the operators that ask about a window of time.

    :param start_time: Start of the window, inside it; with a time zone. Give both bounds or none. (templated)
    :param end_time: End of the window, outside it. (templated)
    :param window: The length of the window if Airflow's run has a moment only: a timedelta, pendulum's too, or text
        like ``"1d"``, ``"6h"``. It counts by the clock of the schedule. (templated)
    :param align: Round both bounds down to the ``hour`` or the ``day``. (templated)
    :param window_timezone: The time zone of those hours and days, and of ``window`` if the schedule has none.
        (templated)
    :param lag: The task fails if the window ended less than that ago; a later retry succeeds. (templated)
    :param missing_window: If the run has no moment at all: ``fail``, or end the window at its ``run_after``.
        (templated)
    """

    readers: ClassVar[Mapping[str, Reader]] = {**_WINDOW, **LangSmithQueryOperator.readers}
    template_fields: Sequence[str] = tuple(readers)
    operator_extra_links = (LangSmithProjectLink(),)

    def __init__(
        self,
        *,
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
        self.start_time = start_time
        self.end_time = end_time
        self.window = window
        self.align = align
        self.window_timezone = window_timezone
        self.lag = lag
        self.missing_window = missing_window
        self.check_arguments(lambda: resolve(_DAY, **{name: self.read(name) for name in _BOUNDS}, now=_NEVER))

    def resolve_window(self, context: Context, now: datetime | None = None) -> TimeWindow:
        """Return the window of this task instance, which has to have closed by ``now``, and log where it came from."""
        window = resolve(context, **{name: self.read(name) for name in _WINDOW}, now=now)
        self.log.info("Window %s", window)
        self.log.info("Window source: %s", window.source)
        return window


class LangSmithRunsOperator(LangSmithWindowOperator):
    """
    Base of the operators that ask for the runs of a project in a window.

    Which runs: the arguments of :class:`~airflow_langsmith.api.run_filter.RunFilter`, such as ``run_type``, ``is_root``
    and ``filter``. (templated)

    :param project: Name or id of the project. (templated)

    Which window: the arguments of :class:`LangSmithWindowOperator`.
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        "project": arguments.required,
        **dict.fromkeys(ARGUMENTS, _read_narrowing),
        **LangSmithWindowOperator.readers,
    }
    template_fields: Sequence[str] = tuple(readers)

    @takes(dict.fromkeys(ARGUMENTS))
    def __init__(self, *, project: str, **kwargs: Any) -> None:
        run_filter = {name: kwargs.pop(name, None) for name in ARGUMENTS}
        super().__init__(**kwargs)
        self.project = project
        for name, value in run_filter.items():
            setattr(self, name, value)
        self.check_arguments()

    def run_filter(self) -> RunFilter:
        """
        Return which runs the arguments mean.

        :raises ConfigurationError: for an argument that cannot be read.
        """
        return RunFilter(**{name: self.read(name) for name in ARGUMENTS})
