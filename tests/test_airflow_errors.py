"""Errors as Airflow acts on them, with advice on arguments that exist."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import pytest

import airflow_langsmith
from airflow_langsmith.airflow_errors import ADVICE, LangSmithException, airflow_errors
from airflow_langsmith.airflow_sdk import AirflowFailException
from airflow_langsmith.api.run_filter import ARGUMENTS
from airflow_langsmith.errors import NO_RETRY, ConfigurationError, EmptyWindowError, TransportError
from airflow_langsmith.messages import MAX_LINE, PREFIX
from airflow_langsmith.operators import (
    LangSmithExportOperator,
    LangSmithListRunsOperator,
    LangSmithLoadOperator,
    LangSmithReadRunOperator,
)
from airflow_langsmith.problems import Problem
from airflow_langsmith.sensors import LangSmithFeedbackSensor, LangSmithSettledSensor
from airflow_langsmith.views import options

PACKAGE = Path(airflow_langsmith.__file__).parent
KINDS = (
    *(LangSmithExportOperator, LangSmithListRunsOperator, LangSmithLoadOperator, LangSmithReadRunOperator),
    *(LangSmithFeedbackSensor, LangSmithSettledSensor),
)
OPERATOR_ARGUMENTS = {name for kind in KINDS for name in kind.template_fields}
LOWER_ROOMS = (
    "api",
    "export",
    "filters.py",
    "manifest.py",
    "masking.py",
    "messages.py",
    "tables",
    "transform",
    "views",
    "waiting",
)
LOWER_FILES = [
    path
    for room in LOWER_ROOMS
    for path in ([PACKAGE / room] if room.endswith(".py") else sorted((PACKAGE / room).rglob("*.py")))
]


def test_each_problem_has_its_advice() -> None:
    """The table has each problem, and lower rooms or a class of error use each problem."""
    names = [node.attr for path in (*LOWER_FILES, PACKAGE / "errors.py") for node in problems(path)]
    assert set(ADVICE) == set(Problem)
    assert set(names) == {problem.name for problem in Problem}


def problems(path: Path) -> list[ast.Attribute]:
    """Return each mention of a problem in a module."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node for node in nodes if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "Problem"]


@pytest.mark.parametrize("problem", Problem)
def test_advice_names_arguments_that_exist(problem: Problem) -> None:
    """Each argument in an advice is an argument of the export operator or of the load operator."""
    words = re.findall(r"\b(\w+)=|'(\w+)'|(\w+_\w+)", ADVICE[problem])
    names = {name for name, *_ in words if name}
    assert names
    assert names <= {*LangSmithExportOperator.template_fields, *LangSmithLoadOperator.template_fields}
    for name, value in re.findall(r"(\w+)='(\w+)'", ADVICE[problem]):
        if name in LangSmithLoadOperator.template_fields:
            LangSmithLoadOperator(task_id="t", exported="file:///lake", table="delta:///lake/runs", **{name: value})
        if name in LangSmithExportOperator.template_fields:
            LangSmithExportOperator(task_id="t", project="shop", destination="file:///lake", **{name: value})


@pytest.mark.parametrize("problem", Problem)
def test_an_operator_adds_its_advice(problem: Problem) -> None:
    """What happened comes first, then the advice, then where, in lines that Airflow's log view shows."""
    error = ConfigurationError("This is wrong.").of(problem)
    error.where = "Connection lake."
    bare = str(error)
    with pytest.raises(AirflowFailException) as caught, airflow_errors():
        raise pickle.loads(pickle.dumps(error))
    lines = str(caught.value).splitlines()
    assert " ".join(" ".join(lines).split()) == f"This is wrong. {ADVICE[problem]} Connection lake. {NO_RETRY}"
    assert len(PREFIX + lines[0]) <= MAX_LINE
    assert all(len(line) <= MAX_LINE for line in lines)
    assert bare.splitlines() == ["This is wrong.", "  Connection lake.", f"  {NO_RETRY}"]


def test_a_retriable_error_is_tried_again() -> None:
    """An error that a retry may cure becomes one that Airflow retries, with the advice."""
    with pytest.raises(LangSmithException, match="No answer") as caught, airflow_errors():
        raise TransportError("No answer.")
    assert isinstance(caught.value.__cause__, TransportError)
    with pytest.raises(LangSmithException, match="on_empty='fail'"), airflow_errors():
        raise EmptyWindowError("No runs.")


@pytest.mark.parametrize("path", LOWER_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_lower_rooms_name_no_argument_of_an_operator(path: Path) -> None:
    """A message of a lower room names no operator's argument, except fields of run filters and options of views."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and id(node) not in docstrings]
    names = OPERATOR_ARGUMENTS - set(ARGUMENTS) - set(options())
    sentences = [text for text in texts if isinstance(text, str) and " " in text]
    assert not [text for text in sentences if names & set(re.findall(r"\b(\w+)=", text))]
