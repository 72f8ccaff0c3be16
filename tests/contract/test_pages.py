"""The tables, commands and links of README and ``docs`` are correct."""

from __future__ import annotations

import ast
import inspect
import re
import runpy
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith import operators
from airflow_langsmith.api.settings import EXTRA_FIELDS
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.export import Export, OutputOptions
from airflow_langsmith.export.pages import PageSource
from airflow_langsmith.export.row_transforms import RowTransforms
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.operators.base import LangSmithRunsOperator
from airflow_langsmith.sensors import LangSmithFeedbackSensor, LangSmithSettledSensor
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.sample import PROJECT
from airflow_langsmith.transform.flatten import Flattening
from airflow_langsmith.triggers import LangSmithFeedbackEventTrigger
from airflow_langsmith.views import view_of
from tests.conftest import ClientOf
from tests.documentation import PAGES, ROOT
from tests.queries import run_query

START, DAY = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=1)
ParseDags = Callable[[Path], Any]

README = PAGES["README.md"]
SHARED = set(LangSmithRunsOperator.template_fields)
OPERATORS = {kind: getattr(operators, kind) for kind in operators.__all__}
SENSORS = {kind.__name__: kind for kind in (LangSmithFeedbackSensor, LangSmithSettledSensor)}
TABLES = runpy.run_path(str(ROOT / "scripts" / "tables.py"))


def first_cells(page: str, *headings: str) -> list[str]:
    """Return the names in the first cells of the tables of arguments, fields or methods under these headings."""
    names: list[str] = []
    for heading in headings:
        _, _, rest = f"\n{PAGES[page].text}".partition(f"\n{heading}\n")
        section = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]
        tables = re.findall(r"^\| (?:argument|field|method) \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", section, re.MULTILINE)
        for row in "".join(tables).splitlines():
            names += re.findall(r"\w+", row.split("|")[1])
    return names


def paths_of(navigation: Any) -> Iterator[str]:
    """Yield the path of each page in a part of the site's navigation."""
    if isinstance(navigation, str):
        yield navigation
    else:
        for part in navigation.values() if isinstance(navigation, dict) else navigation:
            yield from paths_of(part)


def test_readme_is_short() -> None:
    """README is one screen of promise and a table of pages."""
    assert len(README.text.splitlines()) <= 130


def test_every_link_leads_somewhere() -> None:
    """Each link to a file of the repository has a target: the file, and the heading in it."""
    broken = [
        (page.path, path, anchor)
        for page in PAGES.values()
        for path, anchor in page.links()
        if not (ROOT / path).exists() or (anchor and anchor not in PAGES[path].anchors())
    ]
    assert broken == []


def test_every_path_exists() -> None:
    """Each file, folder and module that a page names in code quotes exists; the changelog may name old ones."""
    names = [
        (page.path, name)
        for page in PAGES.values()
        if page.path != "CHANGELOG.md"
        for name in re.findall(r"`((?:airflow_langsmith|benchmarks|example_dags|scripts|tests)[/.][\w./]+)`", page.text)
    ]
    missing = [
        (page, name)
        for page, name in names
        if not any((ROOT / place).exists() for place in (name, name.replace(".", "/"), name.replace(".", "/") + ".py"))
    ]
    assert len(names) > 20
    assert missing == []


def test_every_page_is_reachable() -> None:
    """Links lead from README to every page."""
    reached: set[str] = set()
    next_pages = {"README.md"}
    while next_pages:
        reached |= next_pages
        linked = {path for name in next_pages for path, _ in PAGES[name].links()}
        next_pages = (linked & PAGES.keys()) - reached
    assert reached == PAGES.keys()


def test_the_site_has_every_page() -> None:
    """The navigation of the docs site lists each page once."""
    site = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    assert sorted(paths_of(site["nav"])) == sorted(PAGES)


def test_the_tables_are_those_of_the_code() -> None:
    """Each generated table is on one page, as ``python scripts/tables.py`` writes it."""
    pages = [page for name, page in PAGES.items() if name.startswith("docs/")]
    assert [page.path for page in pages if TABLES["with_tables"](page.text) != page.text] == []
    marks = [mark for page in pages for mark in re.findall(r"<!-- (.+) -->", page.text) if mark != "end"]
    assert sorted(marks) == sorted([*TABLES["tables"](), "bars", "bench", "tables"])


def arguments() -> Iterator[Any]:
    """Yield each table of arguments: its page, its headings, and the names that it has to list."""
    shared = ("## Which runs", "## Which window")
    yield pytest.param("docs/reference/operators.md", shared, SHARED, id="shared")
    for page, kinds in (("docs/reference/operators.md", OPERATORS), ("docs/reference/sensors.md", SENSORS)):
        for name, kind in kinds.items():
            fields = set(kind.template_fields)
            own = fields - SHARED if fields >= SHARED else fields - {"langsmith_conn_id"}
            yield pytest.param(page, (f"## {name}",), own, id=name)
    fields = set(inspect.signature(LangSmithFeedbackEventTrigger).parameters) - {"run_filter"}
    yield pytest.param("docs/reference/sensors.md", ("## LangSmithFeedbackEventTrigger",), fields, id="event trigger")
    methods = {name for name, value in vars(LangSmithHook).items() if callable(value) and not name.startswith("_")}
    methods -= {"get_connection_form_widgets", "get_ui_field_behaviour"}  # for Airflow
    yield pytest.param("docs/reference/hook.md", ("# Hook",), methods, id="hook")
    fields = {"host", "password", *EXTRA_FIELDS}
    yield pytest.param("docs/reference/connection.md", ("# Connection",), fields, id="connection")


@pytest.mark.parametrize(("page", "headings", "names"), list(arguments()))
def test_every_argument_has_its_line(page: str, headings: tuple[str, ...], names: set[str]) -> None:
    """The tables list each argument of operators and sensors, field of the connection and method of the hook, once."""
    listed = first_cells(page, *headings)
    assert sorted(listed) == sorted(names)


def test_the_commands_exist() -> None:
    """The commands of the pages are targets of the Makefile, and CI runs README's test command."""
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    text = "\n".join(page.text for page in PAGES.values())
    commands = set(re.findall(r"make (\w+)\b", "\n".join(re.findall(r"`+(?:bash)?\s?(make [^`]*)`", text))))
    assert {"demo", "test", "check", "docs", "bench", "matrix"} <= commands <= set(targets)
    assert "make test\n" in README.text
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_paths_find_something_in_the_sample(
    langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path
) -> None:
    """Each path that a page flattens or redacts exists in the sample data, and columns have the documented names."""
    langsmith.load_sample(start=START, days=1, traces_per_day=30)
    client, chosen = client_of(langsmith), view_of("runs")
    query = run_query(project=client.project(PROJECT), start=START, end=START + DAY, fields=chosen.fields)
    text = "\n".join(page.text for page in PAGES.values())
    lists = [ast.literal_eval(paths) for paths in re.findall(r"flatten=(\[.*?\"\])", text)]
    table = dict(re.findall(r"\| `([a-z]+\.[^`]+)` \| `([a-z]+__[^`]+)` \|", text))
    assert len(lists) >= 2
    assert len(table) >= 4
    real = [path for path, name in table.items() if "___" not in name]
    snippet: dict[str, Any] = {}
    exec(PAGES["docs/how-to/redact.md"].snippets("python")[0].text, snippet)
    rules = {path: "drop" if "call" in rule else rule for path, rule in snippet["redact"].items()}
    for number, shape in enumerate(
        [
            *(RowTransforms(flatten=tuple(paths)) for paths in lists),
            RowTransforms(flatten=tuple(real)),
            RowTransforms(redact=rules, redact_key="salt"),
        ]
    ):
        target = OutputOptions(destination=f"file://{tmp_path}/{number}", format=format_of("jsonl"))
        done = Export(PageSource(client), query, chosen, target, shape).run()
        assert (done.empty_columns, done.unmet_paths) == ({}, ())
    named = Flattening(chosen.columns, table).columns[len(chosen.columns) :]
    assert [column.name for column in named] == list(table.values())


def test_airflow_parses_the_first_dag(tmp_path: Path, parse_dags: ParseDags) -> None:
    """Airflow parses the DAG on README's first screen, which has at most twelve lines."""
    first = README.snippets("python")[0].text
    (tmp_path / "readme.py").write_text(first)
    bag = parse_dags(tmp_path)
    assert not bag.import_errors
    assert [task.task_id for task in bag.dags["langsmith"].tasks] == ["runs"]
    assert len([line for line in first.splitlines() if line]) <= 12


def test_airflow_parses_the_example_dags(parse_dags: ParseDags) -> None:
    """Airflow parses a DAG in each file of ``example_dags``, and the DAG says what it does."""
    folder = ROOT / "example_dags"
    bag = parse_dags(folder)
    assert not bag.import_errors
    assert {Path(dag.fileloc).name for dag in bag.dags.values()} == {path.name for path in folder.glob("*.py")}
    assert all(dag.doc_md for dag in bag.dags.values())
