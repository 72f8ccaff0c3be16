"""Rendering and serialisation by Airflow keep an argument as the user wrote it."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.execution_time.xcom import XCom
from airflow.serialization import serialized_objects
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_langsmith.airflow_sdk import AirflowFailException, BaseOperator
from airflow_langsmith.api.run_filter import ARGUMENTS
from airflow_langsmith.errors import WindowError
from airflow_langsmith.filters import Filter, and_, eq, tag
from airflow_langsmith.operators import (
    LangSmithBulkExportOperator,
    LangSmithExportOperator,
    LangSmithListRunsOperator,
    LangSmithLoadOperator,
    LangSmithReadRunOperator,
)
from airflow_langsmith.operators.base import LangSmithOperator
from airflow_langsmith.sensors import LangSmithBulkExportSensor, LangSmithFeedbackSensor, LangSmithSettledSensor
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.filters import parse
from tests.wording import says

# Texts that Python, and so Jinja's native environment, reads as another type.
LITERALS = ["True", "1.0", "None", "1.10", "007", "1e5", "0x10", "1_000", "'a'", "(1, 2)", "[]", "{'a': 1}", "...", ""]
ENDS = ["line\n", "line\r\n", " ", "\t1"]
TEXTS = (st.text() | st.sampled_from([*LITERALS, *ENDS])).filter(
    lambda text: not {"{{", "{%", "{#"} & set(_pairs(text))
)
OPERATORS: dict[type[Any], dict[str, Any]] = {
    LangSmithBulkExportOperator: {"project": "shop", "bulk_destination_id": "22345678-0c9b-4b0e-8f2b-6c6f3f0f1a2b"},
    LangSmithExportOperator: {"project": "shop", "destination": "file:///lake"},
    LangSmithListRunsOperator: {"project": "shop"},
    LangSmithLoadOperator: {"exported": "file:///lake/_manifest.json", "table": "delta:///lake/runs"},
    LangSmithReadRunOperator: {"run_id": "0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b"},
    LangSmithBulkExportSensor: {"bulk_export_id": "42345678-0c9b-4b0e-8f2b-6c6f3f0f1a2b"},
    LangSmithFeedbackSensor: {"project": "shop", "condition": "count(user_score) >= 1"},
    LangSmithSettledSensor: {"project": "shop"},
}
DAY: Any = {
    "data_interval_start": datetime(2026, 3, 1, tzinfo=UTC),
    "data_interval_end": datetime(2026, 3, 2, tzinfo=UTC),
}
NATIVE = pytest.mark.parametrize("native", [True, False])


def _pairs(text: str) -> list[str]:
    return [text[at : at + 2] for at in range(len(text))]


def rendered(operator: BaseOperator, native: bool, **params: Any) -> Any:
    """Render an operator in a DAG, as a worker does."""
    operator.dag = DAG("rendering", schedule=None, render_template_as_native_obj=native)
    task: Any = operator.prepare_for_execution()
    task.render_template_fields({"params": params, "macros": SimpleNamespace(timedelta=timedelta)})
    return task


def listing(**arguments: Any) -> LangSmithListRunsOperator:
    """Return an operator outside of any DAG."""
    return LangSmithListRunsOperator(task_id="list", **{"project": "shop", **arguments})


def serialized(dag: DAG) -> dict[str, dict[str, Any]]:
    """Serialise a DAG as Airflow stores it, and return its tasks by their ids."""
    serializer: Any = getattr(serialized_objects, "DagSerialization", None) or getattr(
        serialized_objects, "SerializedDAG", None
    )
    stored = json.loads(json.dumps(serializer.to_dict(dag)))
    return {task["__var"]["task_id"]: task["__var"] for task in stored["dag"]["tasks"]}


@NATIVE
@pytest.mark.parametrize("value", LITERALS)
def test_a_filter_value_is_what_the_user_wrote(native: bool, value: str) -> None:
    """A value stays text, literal or from a template, also with native rendering."""
    for template in (value, "{{ params.value }}"):
        task = rendered(listing(filter=and_(eq("name", template), tag("a"))), native, value=value)
        assert task.filter == f'and(eq(name, {json.dumps(value)}), has(tags, "a"))'


@settings(deadline=None)  # each makes a DAG
@given(text=TEXTS, native=st.booleans())
def test_any_text_renders_to_itself(text: str, native: bool) -> None:
    """Any text stays the same text, in an argument, in a filter's value and from a template."""
    operator = listing(
        trace_id="{{ params.text }}", filter=eq("name", text), tree_filter=eq("name", "{{ params.text }}")
    )
    operator.project = text
    task = rendered(operator, native, text=text)
    assert (task.project, task.trace_id) == (text, text)
    for filter_ in (task.filter, task.tree_filter):
        assert getattr(parse(filter_).arguments[1], "value", None) == text


@pytest.mark.parametrize("value", [{"rate": 0.5, "key": "thread_id"}, ["a", "b"], True, 5, timedelta(hours=6)], ids=str)
def test_a_template_that_names_an_object_gives_it_natively(value: Any) -> None:
    """Native rendering returns the object that a template names, as in any operator."""
    assert rendered(listing(window="{{ params.value }}"), native=True, value=value).window == value
    assert rendered(listing(select=["{{ params.value }}"]), native=True, value=value).select == [value]
    assert rendered(listing(window="{{ macros.timedelta(hours=6) }}"), native=True).window == timedelta(hours=6)


@NATIVE
def test_an_undefined_value_fails_the_task(native: bool) -> None:
    """A template with an undefined value fails the task, instead of leaving the argument out."""
    for arguments in ({"trace_id": "{{ params.missing.more }}"}, {"filter": eq("name", "{{ missing }}")}):
        with pytest.raises(Exception, match=r"undefined|no attribute"):
            rendered(listing(**arguments), native)


class Upstream:
    """What an upstream task returned, as Airflow resolves it."""

    def resolve(self, context: Any) -> None:  # Airflow's contract
        """Return what it returned: nothing."""


@pytest.mark.parametrize("name", [*ARGUMENTS, "start_time", "window", "select", "limit"])
def test_none_does_not_mean_not_set(name: str, langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """None from a template or an upstream task is refused, because the query would be wider."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection())
    langsmith.add_project("shop")
    whole_day = {"start_time": "2026-03-01T00:00:00Z", "end_time": "2026-03-02T00:00:00Z"}
    for nothing in ("{{ params.nothing }}", Upstream()):
        for native in (True, False):
            operator = rendered(listing(**{**whole_day, name: nothing}), native, nothing=None)
            with pytest.raises(AirflowFailException, match=says(f"{name} is 'None'")):
                operator.execute({})
    assert not langsmith.requests_to("/runs/query")


HOSTILE = '")),or(eq(is_root, true),eq(name, "'


@NATIVE
def test_a_templated_value_cannot_widen_a_query(native: bool) -> None:
    """A value from a template is escaped after rendering, and is never rendered again."""
    for value in (HOSTILE, "{{ params.secret }}"):
        operator = listing(filter=and_(eq("run_type", "llm"), eq("name", "{{ params.name }}")))
        expression = parse(rendered(operator, native, name=value, secret="s3cret").filter)
        assert [part.operator for part in expression.arguments] == ["eq", "eq"]  # type: ignore[union-attr]
        assert expression.arguments[1].arguments[1].value == value  # type: ignore[union-attr]


def test_a_filter_in_a_field_of_another_operator_is_no_template() -> None:
    """A filter in another operator is not rendered, because unescaped values could widen a query."""
    written = str(eq("name", "{{ params.name }}{% if x %}{# y #}"))
    passed = BaseOperator(task_id="other").render_template(written, {"params": {"name": HOSTILE}})
    assert getattr(parse(passed).arguments[1], "value", None) == "{{ params.name }}{% if x %}{# y #}"


def test_filters_serialise_as_themselves() -> None:
    """A serialised DAG has the text of each filter, so another filter is another DAG version."""

    def stored(name: str) -> dict[str, dict[str, Any]]:
        with DAG("d", schedule=None) as dag:
            listing(filter=eq("name", name))
            partial = LangSmithListRunsOperator.partial(task_id="mapped", project="shop", trace_filter=eq("name", name))
            partial.expand(filter=[eq("name", name)])
            more = LangSmithListRunsOperator.partial(task_id="more", project="shop")
            more.expand_kwargs([{"filter": eq("name", name)}])
        return serialized(dag)

    tasks = stored("a")
    assert tasks["list"]["filter"] == 'eq(name, "a")'
    assert tasks["mapped"]["partial_kwargs"]["trace_filter"] == 'eq(name, "a")'
    assert "callable" not in json.dumps(tasks)
    assert tasks == stored("a")
    for name, task in stored("b").items():
        assert task != tasks[name]


def test_filters_survive_xcom() -> None:
    """A filter that a task returns is the same filter in the next task."""
    returned = {"filter": and_(eq("name", "a"), "has(tags, 'b')"), "many": [tag("c")]}
    stored = XCom.serialize_value(returned, key="k", task_id="t", dag_id="d", run_id="r")
    xcom = XCom.deserialize_value(SimpleNamespace(value=stored))
    assert xcom == {"filter": "and(eq(name, \"a\"), has(tags, 'b'))", "many": ['has(tags, "c")']}
    assert rendered(listing(filter=xcom["filter"]), native=True).filter == returned["filter"]


@NATIVE
def test_mapped_filters_are_rendered_and_escaped(native: bool) -> None:
    """Filters of a mapped task are rendered and escaped."""
    with DAG("mapped", schedule=None, render_template_as_native_obj=native, params={"name": HOSTILE}):
        partial = LangSmithListRunsOperator.partial(task_id="list", project="1e5")
        mapped: Any = partial.expand_kwargs([{"filter": eq("name", "{{ params.name }}")}])
    ti = SimpleNamespace(map_index=0, run_id="r")
    context: dict[str, Any] = {"ti": ti, "task": mapped, "dag": mapped.dag, "dag_run": SimpleNamespace(conf=None)}
    context["params"] = {"name": HOSTILE}
    mapped.render_template_fields(context)
    assert context["task"].filter == f"eq(name, {json.dumps(HOSTILE)})"
    assert context["task"].project == "1e5"


def test_filters_copy_and_pickle() -> None:
    """A filter survives a copy and pickle, because Airflow copies operators."""
    written = and_(eq("name", "{{ params.name }}"), "has(tags, 'b')")
    for copied in (copy.copy(written), copy.deepcopy(written), pickle.loads(pickle.dumps(written))):
        assert (copied, copied.arguments) == (written, written.arguments)
        assert isinstance(copied, Filter)


def refusal_of_blank(operator: type[Any], name: str) -> str:
    """Return how the error of a blank argument without a default begins."""
    if operator is LangSmithBulkExportSensor:  # which needs one of two arguments
        return "^Give bulk_export_id= or schedule_id="
    return f"^{name} is empty"


@pytest.mark.parametrize(
    ("operator", "name"), [(kind, name) for kind in OPERATORS for name in kind.template_fields if name != "run_ids"]
)
@pytest.mark.parametrize("blank", ["", "  "])
def test_blank_text_means_not_set(operator: type[Any], name: str, blank: str) -> None:
    """Blank text means the argument's default; an argument without a default is refused."""
    right = {**OPERATORS[operator], name: "{{ params.blank }}"}
    task = rendered(operator(task_id="t", **right), native=False, blank=blank)
    if name in OPERATORS[operator]:
        with pytest.raises(AirflowFailException, match=refusal_of_blank(operator, name)):
            task.execute(DAY)
        return
    assert task.read(name) == operator(task_id="t", **OPERATORS[operator]).read(name)
    operator(task_id="t", **{**right, name: blank})


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_blank_argument_without_a_default_is_an_import_error(operator: type[Any]) -> None:
    """A blank argument without a default is an import error."""
    for name in OPERATORS[operator]:
        with pytest.raises(AirflowFailException, match=refusal_of_blank(operator, name)):
            operator(task_id="t", **{**OPERATORS[operator], name: " "})


def test_no_operator_is_left_out() -> None:
    """These tests have each operator, and all arguments except Airflow's are templated."""
    from airflow_langsmith import operators, sensors  # noqa: PLC0415

    values = [getattr(room, name) for room in (operators, sensors) for name in dir(room)]
    ours = {kind for kind in values if isinstance(kind, type) and issubclass(kind, LangSmithOperator)}
    bases = {base for kind in ours for base in kind.__mro__[1:]}
    assert ours - bases == set(OPERATORS)
    for kind in OPERATORS:
        own = [base for base in kind.__mro__ if base.__module__.startswith("airflow_langsmith")]
        named = {name for base in own for name in inspect.signature(base).parameters}
        assert set(kind.template_fields) == named - {"kwargs", "deferrable", "cancel_on_kill", "poke_interval"}
        assert not set(kind.template_fields) & set(inspect.signature(BaseOperator.__init__).parameters)
        assert set(kind.readers) == set(kind.template_fields)


def test_blank_bounds_leave_the_window_to_the_run() -> None:
    """Blank bounds mean the window of the DAG run. One bound alone is refused."""
    bounds = {"start_time": "{{ params.start or '' }}", "end_time": "{{ params.end or '' }}"}
    by_schedule = rendered(listing(**bounds), native=False, start=None, end=None)
    assert by_schedule.resolve_window(DAY).arguments()["start_time"] == "2026-03-01T00:00:00+00:00"
    half = rendered(listing(**bounds), native=False, start="2026-02-01T00:00:00Z", end=None)
    with pytest.raises(WindowError, match=says("start_time and end_time come both or not at all")):
        half.resolve_window(DAY)
