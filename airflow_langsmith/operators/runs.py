"""Operators whose result is an XCom: a list of runs, or one run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, ClassVar, NamedTuple

import msgspec

from airflow_langsmith import arguments
from airflow_langsmith.airflow_errors import airflow_errors
from airflow_langsmith.airflow_sdk import Context, mask_secret
from airflow_langsmith.api.query import RunQuery, window_below
from airflow_langsmith.api.records import Run, tree_order
from airflow_langsmith.api.run_filter import RunFilter
from airflow_langsmith.api.ui_urls import parse_run_reference, project_url, run_url
from airflow_langsmith.arguments import Reader
from airflow_langsmith.errors import ConfigurationError, RunNotFoundError
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.links import LangSmithRunLink
from airflow_langsmith.messages import MAX_LINE, shorten
from airflow_langsmith.operators.base import LangSmithQueryOperator, LangSmithRunsOperator
from airflow_langsmith.operators.report import number, period, size
from airflow_langsmith.views import View, view_of

# Of JSON. XComs are in Airflow's database, and every task that reads one loads it whole.
MAX_XCOM_BYTES = 512 * 1024

_MAX_LOG_NAMES = 5


class LangSmithListRunsOperator(LangSmithRunsOperator):
    """
    List the runs of a window, newest first, as small dicts for XCom.

    ::

        failed = LangSmithListRunsOperator(task_id="failed", project="shop", error=True)
        # [{"run_id": "0f9f5a3e-...", "name": "agent", "status": "error", "start_time": "2026-03-01T09:30:00Z", ...}]
        read = LangSmithReadRunOperator.partial(task_id="read", project="shop")
        read.expand(run_id=failed.output.map(lambda run: run["run_id"]))

    More runs than ``limit``, or more than 512 KB of JSON, fail the task; the export operator takes them.

    :param select: Columns of the view ``runs`` that the dicts have. (templated)
    :param limit: The maximum number of runs. (templated)

    Which project, runs and window: the arguments of :class:`~airflow_langsmith.operators.base.LangSmithRunsOperator`.
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        **LangSmithRunsOperator.readers,
        "select": arguments.names,
        "limit": partial(arguments.whole_number, minimum=1),
    }
    template_fields: Sequence[str] = tuple(readers)

    def __init__(
        self,
        *,
        select: Iterable[str] | str = ("run_id", "trace_id", "name", "run_type", "status", "start_time"),
        limit: int | str = 1000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.select = select
        self.limit = limit
        self.check_arguments(self._view)

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Resolve the window, and list its runs."""
        self.name_map_index(context, str(self.project))
        with self.kill_switch.armed(context), airflow_errors(), LangSmithHook(self.read("langsmith_conn_id")) as hook:
            project, window = self.read("project"), self.resolve_window(context)
            self.name_map_index(context, f"{self.project}, {period(window)}")
            view, limit = self._view(), self.read("limit")
            client = hook.get_conn()
            query = RunQuery(
                project=client.project(project),
                window=window,
                run_filter=self.run_filter(),
                fields=view.fields,
            )
            self.show_link(context, project_url(hook.settings, query.project, query))
            advice = "narrow the query, select less, or land them with LangSmithExportOperator"
            rows = _rows(view, islice(client.runs(query), limit + 1), f"the runs of {query.description}", advice).rows
            if len(rows) > limit:
                raise ConfigurationError(
                    f"There are more than {limit} runs in {query.description}. Raise limit, or {advice}."
                )
        self.log.info("%s of project %r", number(len(rows), "run"), query.project.name)
        if names := [str(row["name"]) for row in rows[:_MAX_LOG_NAMES] if row.get("name")]:
            more = ", ..." if len(rows) > len(names) else ""
            self.log.info(shorten(f"{', '.join(names)}{more}", MAX_LINE))
        return rows

    def _view(self) -> View:
        return view_of("runs", self.read("select"))


class LangSmithReadRunOperator(LangSmithQueryOperator):
    """
    Read one run, or a run and all runs below it, as a dict for XCom.

    ::

        read = LangSmithReadRunOperator(task_id="read", run_id="{{ params.run }}", project="shop", load_children=True)
        # {"run_id": "0f9f5a3e-...", "name": "agent", ..., "child_runs": [{"name": "retrieve", ...}]}

    The dict has columns of the view ``runs``. ``child_runs`` are in the order of the tree. More than 512 KB of JSON
    fail the task: ``LangSmithExportOperator(trace_id=...)`` lands all runs of a trace.

    :param run_id: The run's id, its URL in LangSmith's UI, or a public share link. (templated)
    :param project: Name or id of its project, which API v2 needs. A URL contains it. (templated)
    :param load_children: Also read the runs below it. (templated)
    :param columns: Columns of the view ``runs``; by default the default ones. (templated)
    :param missing_ok: Return None if there is no such run, instead of failing. (templated)
    :param langsmith_conn_id: The connection's id. (templated)
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        "run_id": arguments.required,
        "project": arguments.text,
        "load_children": arguments.flag,
        "columns": arguments.names,
        "missing_ok": arguments.flag,
        **LangSmithQueryOperator.readers,
    }
    template_fields: Sequence[str] = tuple(readers)
    operator_extra_links = (LangSmithRunLink(),)

    def __init__(
        self,
        *,
        run_id: str,
        project: str | None = None,
        load_children: bool | str = False,
        columns: Iterable[str] | str | None = None,
        missing_ok: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.project = project
        self.load_children = load_children
        self.columns = columns
        self.missing_ok = missing_ok
        _mask_link(run_id)  # a mapped task is made of values, and not rendered by itself
        self.check_arguments(self._view)

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Render the arguments, before Airflow shows them."""
        super().render_template_fields(context, jinja_env)
        _mask_link(self.run_id)

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Read the run, and with ``load_children`` the runs below it."""
        self.name_map_index(context, _run_name(str(self.run_id)))
        with self.kill_switch.armed(context), airflow_errors(), LangSmithHook(self.read("langsmith_conn_id")) as hook:
            view, children = self._view(), bool(self.read("load_children"))
            try:
                run_id = self.read("run_id")
                run = hook.read_run(run_id, self.read("project"), (*view.fields, "name", "trace_id"))
            except RunNotFoundError:
                if not self.read("missing_ok"):
                    raise
                self.log.info("There is no such run")  # without its name, because a public link is a secret
                return None
            name = f"{run.name} ({run.id})"
            self.name_map_index(context, name)
            shared = parse_run_reference(run_id).share_token is not None
            if shared and children:
                raise ConfigurationError(
                    "A public link gives its run and no more: load_children needs the run's id or its address in "
                    "LangSmith."
                )
            self.show_link(context, "" if shared else run_url(hook.settings, run))
            runs = hook.get_conn().runs(_subtree_of(run, view.fields)) if children else [run]
            what = f"run {run.id}{' and the runs below it' * children}"
            which = f"trace_id={run.trace_id!r}" if children else f"run_ids=[{run.id!r}]"
            advice = f"land it with LangSmithExportOperator({which}, ...), or leave inputs and outputs out of columns"
            result = _rows(view, runs, what, advice, in_tree_order=children)
            row, *child_runs = result.rows
            self.log.info("Read run %s, %s below, %s", name, number(len(child_runs), "run"), size(result.bytes))
            return {**row, "child_runs": child_runs} if children else row

    def _view(self) -> View:
        return view_of("runs", self.read("columns"))


def _mask_link(run_id: object) -> None:
    """Let Airflow mask the token of a public link in logs and rendered arguments."""
    with suppress(ConfigurationError):
        if token := parse_run_reference(str(run_id)).share_token:
            mask_secret(token)


def _run_name(text: str) -> str:
    """Return a run's name before it is read. The token of a public link is a secret."""
    try:
        return f"run {parse_run_reference(text).run_id or 'of a public link'}"
    except ConfigurationError:
        return "no run"


def _subtree_of(run: Run, fields: tuple[str, ...]) -> RunQuery:
    return RunQuery(
        project=run.project,
        window=window_below(run.start_time, run.start_time),
        run_filter=RunFilter(trace_id=run.trace_id, subtree_of=run.id),
        fields=(*fields, "dotted_order"),
    )


class _JsonRows(NamedTuple):
    rows: list[dict[str, Any]]
    bytes: int  # of JSON


def _rows(view: View, runs: Iterable[Run], what: str, advice: str, *, in_tree_order: bool = False) -> _JsonRows:
    """
    Return runs as plain dicts.

    :raises ConfigurationError: as soon as they are too large for an XCom.
    """
    rows: list[tuple[str, dict[str, Any]]] = []
    total = 0
    for run in runs:
        names, values = [column.name for column in view.columns], [column[0] for column in view.rows([run]).columns]
        row = msgspec.json.encode(dict(zip(names, values, strict=True)))
        total += len(row)
        if total > MAX_XCOM_BYTES:
            raise ConfigurationError(
                f"Over {MAX_XCOM_BYTES // 1024} KB for {what} are too much for XCom. To do: {advice}."
            )
        rows.append((run.dotted_order or "", json.loads(row)))
    if in_tree_order:
        place = tree_order(dotted_order for dotted_order, _ in rows)
        rows.sort(key=lambda item: place(item[0]))
    return _JsonRows([row for _, row in rows], total)
