"""README says what is so: its tables, its commands and its snippets are tested."""

from __future__ import annotations

import ast
import re
import runpy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import airflow_langsmith
from airflow_langsmith import operators
from airflow_langsmith.api import LangSmithClient, RunQuery
from airflow_langsmith.api.settings import FIELDS
from airflow_langsmith.export import Shape, Target, export, format_of
from airflow_langsmith.sensors import LangSmithFeedbackSensor, LangSmithSettledSensor
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT
from airflow_langsmith.views import view_of
from airflow_langsmith.views.flatten import Flattening

START, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)
ParseDags = Callable[[Path], Any]

ROOT = Path(airflow_langsmith.__file__).parent.parent
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_tables_of_columns_are_the_contract() -> None:
    """README's tables are what the column contract says (``python scripts/readme.py`` writes them)."""
    assert runpy.run_path(str(ROOT / "scripts" / "readme.py"))["with_tables"](README) == README
    assert "| `run_id` | string |" in README


def test_every_argument_is_in_the_tables() -> None:
    """README names every argument of the operators and sensors, every field of the connection."""
    kinds = [getattr(operators, kind) for kind in operators.__all__]
    asked = {
        name for kind in (*kinds, LangSmithFeedbackSensor, LangSmithSettledSensor) for name in kind.template_fields
    }
    for name in (*asked, *FIELDS):
        assert re.search(rf"^\| .*`{name}`.* \|", README, re.MULTILINE), name


def test_the_commands_exist() -> None:
    """README's commands are targets of the Makefile, and CI runs them."""
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = set(re.findall(r"make (\w+)\b", "\n".join(re.findall(r"`+(?:bash)?\s?(make [^`]*)`", README))))
    assert {"demo", "test", "check", "bench", "matrix"} <= commands <= set(targets)
    assert "make test" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.splitlines()[0])
def test_the_snippets_compile(snippet: str) -> None:
    """Every snippet is Python."""
    compile(snippet, "README.md", "exec")


def test_the_paths_find_something_in_the_sample(
    langsmith: LangSmithStandIn, client_of: Callable[..., LangSmithClient], tmp_path: Path
) -> None:
    """Every path that README flattens or redacts is in the package's own sample; columns are named as it says."""
    langsmith.load_sample(start=START, days=1, traces_per_day=30)
    client, chosen = client_of(langsmith), view_of("runs")
    query = RunQuery(project=client.project(PROJECT), start=START, end=START + DAY, fields=chosen.fields)
    lists = [ast.literal_eval(found) for found in re.findall(r"flatten=(\[.*?\"\])", README)]
    table = dict(re.findall(r"\| `([a-z]+\.[^`]+)` \| `([a-z]+__[^`]+)` \|", README))
    assert len(lists) >= 2
    assert len(table) >= 4
    real = [path for path, name in table.items() if "___" not in name]
    snippet: dict[str, Any] = {}
    exec(next(snippet for snippet in SNIPPETS if snippet.startswith("redact = ")), snippet)
    rules = {path: "drop" if "call" in rule else rule for path, rule in snippet["redact"].items()}
    for number, shape in enumerate(
        [
            *(Shape(flatten=tuple(paths)) for paths in lists),
            Shape(flatten=tuple(real)),
            Shape(redact=rules, redact_key="salt"),
        ]
    ):
        target = Target(destination=f"file://{tmp_path}/{number}", format=format_of("jsonl"))
        done = export(client, query, chosen, target, shape)
        assert done is not None
        assert (done.empty, done.unmet) == ((), ())
    named = Flattening(chosen.columns, table).columns[len(chosen.columns) :]
    assert [column.name for column in named] == list(table.values())


def test_the_first_dag_is_one(tmp_path: Path, parse_dags: ParseDags) -> None:
    """The DAG on README's first screen is one for Airflow as it stands, and about fifteen lines long."""
    first = SNIPPETS[0]
    (tmp_path / "readme.py").write_text(first)
    bag = parse_dags(tmp_path)
    assert not bag.import_errors
    assert [task.task_id for task in bag.dags["langsmith"].tasks] == ["runs"]
    assert len([line for line in first.splitlines() if line]) <= 15


def test_the_example_dags_are_some(parse_dags: ParseDags) -> None:
    """Every file in ``example_dags`` holds a DAG for Airflow as it stands, that says what it does."""
    folder = ROOT / "example_dags"
    bag = parse_dags(folder)
    assert not bag.import_errors
    assert {Path(dag.fileloc).name for dag in bag.dags.values()} == {path.name for path in folder.glob("*.py")}
    assert all(dag.doc_md for dag in bag.dags.values())


def test_the_mapped_export_is_one() -> None:
    """The snippet that exports the last days again can be parsed within a DAG."""
    from airflow.sdk import DAG  # noqa: PLC0415

    names: dict[str, Any] = {}
    exec("from airflow_langsmith.operators import LangSmithExportOperator", names)
    with DAG("trailing", schedule=None) as dag:
        exec(next(snippet for snippet in SNIPPETS if "trailing" in snippet), names)
    assert {task.task_id for task in dag.tasks} == {"last_three_days", "runs"}
