"""The tables of docs/reference/conditions.md are true for the figures of its example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.waiting import Figures, Tally, judge, parse
from airflow_langsmith.waiting.figures import KINDS
from airflow_langsmith.waiting.parser import MAX_CHARACTERS, MAX_DEPTH
from tests.wording import says

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "conditions.md").read_text()
(EXAMPLE,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def table(head: str) -> list[tuple[str, str]]:
    """Return the rows of a table."""
    lines = PAGE.split(f"| {head} |\n|---|---|\n")[1].partition("\n\n")[0].splitlines()
    rows = [re.fullmatch(r"\| `([^`|]+)` \| `([^`|]+)` \|", line) for line in lines]
    return [(row[1], row[2]) for row in rows if row is not None]


VERDICTS = table("condition | what the log says")
FAILURES = table("fail_when | what the log says")
REFUSALS = table("condition | because")


@pytest.fixture
def figures() -> Figures:
    """The figures of the page."""
    figures = eval(EXAMPLE, {"Figures": Figures, "Tally": Tally})
    assert isinstance(figures, Figures)
    return figures


def test_all_rows_are_tested() -> None:
    """These tests read each row of the examples."""
    lines = re.findall(r"^\|", PAGE.partition("## Examples")[2], re.MULTILINE)
    assert len(VERDICTS) + len(FAILURES) + len(REFUSALS) == len(lines) - 3 * 2  # heads
    assert min(len(VERDICTS), len(REFUSALS)) >= 10


@pytest.mark.parametrize(("condition", "line"), VERDICTS)
def test_verdicts(figures: Figures, condition: str, line: str) -> None:
    """A condition has the verdict in its row."""
    assert judge(parse(condition), None, figures).line == line


@pytest.mark.parametrize(("fail_when", "line"), FAILURES)
def test_failures(figures: Figures, fail_when: str, line: str) -> None:
    """A ``fail_when`` has the verdict in its row."""
    assert judge(parse("count(user_score) > 100"), parse(fail_when), figures).line == line


@pytest.mark.parametrize(("condition", "because"), REFUSALS)
def test_refusals(condition: str, because: str) -> None:
    """A condition is refused for the reason in its row."""
    with pytest.raises(ConfigurationError, match=says(re.escape(f"cannot be read: {because}"))):
        parse(condition)


def test_measures_and_limits() -> None:
    """The page defines each measure, and states the limits."""
    first_cells = "".join(re.findall(r"^\|([^|]*)\|", PAGE.partition("## Grammar")[0], re.MULTILINE))
    defined = {
        name: tuple(filter(None, arguments.split(", ")))
        for name, arguments in re.findall(r"`(\w+)\((.*?)\)`", first_cells)
    }
    assert defined == {name: kind.arguments for name, kind in KINDS.items()}
    limits = f"A condition has at most {MAX_CHARACTERS} characters, and brackets are nested at most {MAX_DEPTH} deep"
    assert limits in " ".join(PAGE.split())
