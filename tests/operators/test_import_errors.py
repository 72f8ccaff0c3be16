"""A wrong argument without a template is an import error; templates, mapping and subclasses work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, task
from hypothesis import given
from hypothesis import strategies as st

from airflow_langsmith.airflow_sdk import AirflowFailException
from airflow_langsmith.operators import (
    LangSmithExportOperator,
    LangSmithListRunsOperator,
    LangSmithReadRunOperator,
)

SHARED: dict[str, list[Any]] = {
    "run_type": ["llama"],
    "is_root": ["maybe"],
    "error": ["perhaps", 2],
    "filter": ["eq(", "name = x"],
    "trace_filter": ["eq(name"],
    "tree_filter": ["and(eq(name, 'x')) or"],
    "run_ids": ["[1, 2]", [""]],
    "window": ["1 fortnight", timedelta(0)],
    "align": ["week"],
    "window_timezone": ["Mars/Olympus"],
    "lag": ["-1h", "soon"],
    "missing_window": ["guess"],
    "start_time": ["2026-03-01", datetime(2026, 3, 1)],  # noqa: DTZ001  # the mistake
    "end_time": ["2026-03-01T00:00:00Z"],
}
EXPORT: dict[str, list[Any]] = {
    **SHARED,
    "destination": ["data/lake", "file://data/lake"],
    "view": ["spans"],
    "format": ["orc"],
    "compression": ["lzma"],
    "columns": ["no_such_column", [1]],
    "only_with_tools": [True, "maybe"],
    "with_feedback": ["user_score"],
    "include_modified": [True],
    "refresh": ["runs"],
    "sample": [1.5, {"rate": 0.1, "key": "name"}, "often"],
    "flatten": ["inputs", "no_such_column.x", "inputs.x:int7", ["inputs.*"]],
    "redact": [{"inputs.x": "hash"}, {"inputs": "melt"}, {"no_such_column": "drop"}, 7, {"*": {"pattern": "("}}],
    "schema_changes": ["ignore"],
    "payloads": ["skip"],
    "attachments": ["mail"],
    "max_rows_per_file": [0, "many"],
    "max_bytes_per_file": [256, "512 MB"],
    "on_empty": ["cry"],
    "concurrency": [0, "2.5"],
    "partition": ["{ds}", "../{start}", "{start:%Y"],
}
LIST: dict[str, list[Any]] = {**SHARED, "select": ["no_such_column"], "limit": [0, "all"]}
READ: dict[str, list[Any]] = {
    "load_children": ["maybe"],
    "columns": ["no_such_column"],
    "missing_ok": ["maybe"],
}
KINDS: list[tuple[Any, dict[str, Any], dict[str, list[Any]]]] = [
    (LangSmithExportOperator, {"project": "shop", "destination": "s3://lake@traces/langsmith"}, EXPORT),
    (LangSmithListRunsOperator, {"project": "shop"}, LIST),
    (LangSmithReadRunOperator, {"run_id": "{{ params.run }}"}, READ),
]
WRONG = [
    (kind, good, {name: value}) for kind, good, wrong in KINDS for name, values in wrong.items() for value in values
]


@pytest.mark.parametrize(("kind", "good", "wrong"), WRONG, ids=str)
def test_a_mistake_is_found_when_the_dag_is_parsed(kind: Any, good: dict[str, Any], wrong: dict[str, Any]) -> None:
    """The constructor refuses a wrong argument."""
    kind(task_id="task", **good)
    with pytest.raises(AirflowFailException):
        kind(task_id="task", **{**good, **wrong})


@pytest.mark.parametrize(
    ("view", "narrowing"),
    [
        ("traces", {"is_root": False}),
        ("retrievals", {"is_root": "False"}),
        ("threads", {"is_root": False}),
        ("feedback", {"filter": 'eq(name, "x")', "run_ids": "{{ params.runs }}"}),
        ("feedback", {"run_type": "llm"}),
        ("feedback", {"is_root": True}),
        ("feedback", {"sample": 0.1}),
    ],
    ids=str,
)
def test_an_argument_that_the_view_refuses_is_an_import_error(view: str, narrowing: dict[str, Any]) -> None:
    """The constructor refuses an argument that the view does not support."""
    good: dict[str, Any] = {"task_id": "task", "project": "shop", "destination": "s3://lake@traces/langsmith"}
    LangSmithExportOperator(**good, view="runs", **narrowing)
    with pytest.raises(AirflowFailException):
        LangSmithExportOperator(**good, view=view, **narrowing)
    LangSmithExportOperator(**good, view="{{ params.view }}", **narrowing)


@pytest.mark.parametrize(("kind", "good", "wrong"), WRONG, ids=str)
def test_a_template_beside_a_mistake_is_none_of_its_own(kind: Any, good: dict[str, Any], wrong: dict[str, Any]) -> None:
    """An argument with a template is not checked when the DAG is parsed."""
    (name,) = wrong
    kind(task_id="task", **{**good, name: f"{{{{ params.{name} }}}}"})
    kind(task_id="task", **{**good, name: [f"{{% if x %}}{wrong[name]}{{% endif %}}"]})


@given(st.sets(st.sampled_from(sorted(LangSmithExportOperator.template_fields)), min_size=1))
def test_any_argument_may_be_a_template(names: set[str]) -> None:
    """Any set of correct arguments may be templates."""
    right: dict[str, Any] = {
        "project": "shop",
        "destination": "s3://lake@traces/langsmith",
        "view": "traces",
        "columns": ["trace_id", "inputs"],
        "only_with_tools": True,
        "flatten": ["outputs.x:int64"],
        "redact": {"inputs.x": "hash", "outputs": {"call": "no_such_module.function"}},
        "redact_conn_id": "salt",
        "refresh": "feedback",
        "lookback": "3d",
        "payloads": "flag",
        "start_time": "2026-03-01T00:00:00Z",
        "end_time": "2026-03-02T00:00:00Z",
    }
    LangSmithExportOperator(task_id="task", **{**right, **{name: f"{{{{ params.{name} }}}}" for name in names}})


def test_what_others_return_is_no_literal() -> None:
    """Values of upstream tasks and of mapping are not read when the DAG is parsed."""
    with DAG("d", schedule=None):

        @task
        def views() -> list[str]:
            """Return names of views, and a wrong name."""
            return ["runs", "spans"]

        exported: Any = LangSmithExportOperator(task_id="one", project="shop", destination="s3://lake@traces")
        LangSmithExportOperator(
            task_id="two", project="shop", destination="s3://lake@traces", schema_manifest=exported.output
        )
        LangSmithExportOperator.partial(task_id="mapped", project="shop", destination="s3://lake@traces").expand(
            view=views()
        )


def test_a_mapped_task_s_mistake_is_the_task_s() -> None:
    """A worker makes a mapped task, so a wrong argument of it fails in ``execute``."""
    with DAG("d", schedule=None):
        partial = LangSmithExportOperator.partial(task_id="mapped", project="shop", destination="s3://lake@traces")
        mapped: Any = partial.expand(view=["runs", "spans"])
    operator = mapped.unmap({"view": "spans"})
    assert isinstance(operator, LangSmithExportOperator)
    assert operator.view == "spans"


class Ours(LangSmithExportOperator):
    """An operator of a user."""

    template_fields = (*LangSmithExportOperator.template_fields, "team")

    def __init__(self, *, team: str, **kwargs: Any) -> None:
        super().__init__(view="traces", destination=f"s3://lake@traces/{team}", **kwargs)
        self.team = team


def test_subclasses_are_checked_too() -> None:
    """A subclass may have its own arguments, and its wrong arguments are import errors."""
    assert Ours(task_id="task", team="shop", project="shop").view == "traces"
    with pytest.raises(AirflowFailException, match="'orc'"):
        Ours(task_id="task", team="shop", project="shop", format="orc")


def test_parsing_asks_nobody() -> None:
    """Parsing a DAG looks up no connection and no function of a rule."""
    LangSmithExportOperator(
        task_id="task",
        project="shop",
        destination="s3://undefined@traces",
        schema_manifest="s3://undefined@traces",
        redact={"inputs.x": ["hash", {"call": "no_such_module.function"}]},
        redact_conn_id="undefined",
        langsmith_conn_id="undefined",
    )


def test_a_literal_moment_is_read() -> None:
    """Bounds may be datetimes, with a zone."""
    day: dict[str, Any] = {"start_time": datetime(2026, 3, 1, tzinfo=UTC), "end_time": datetime(2026, 3, 2, tzinfo=UTC)}
    assert LangSmithListRunsOperator(task_id="task", project="shop", **day).start_time == day["start_time"]
