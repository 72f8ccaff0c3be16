"""Each Python snippet of the docs runs, and each command exists."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.sdk import DAG
from packaging.requirements import Requirement

from airflow_langsmith.connections import connection_of
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.export import Export, OutputOptions
from airflow_langsmith.export.pages import PageSource
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.views import view_of
from tests.conftest import ClientOf
from tests.documentation import PAGES, ROOT, Page
from tests.queries import run_query
from tests.versions import AIRFLOW
from tests.warehouses.recipes import DIALECTS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DAY = datetime(2026, 11, 1, tzinfo=UTC)
OWN_TEST = {
    "docs/reference/conditions.md",  # test_documented_conditions.py: its snippet has names that only our tests have
    *(f"docs/how-to/load-{kind}.md" for kind in ("iceberg", "delta", "duckdb", "postgresql")),  # tests/tables
}
# Packages that the tests do not install; `make recipes` does, and runs these pages.
NEEDS = {
    "docs/how-to/load-bigquery.md": ("airflow.providers.google",),
    "docs/how-to/load-databricks.md": ("airflow.providers.databricks",),
    "docs/how-to/read-the-lake.md": ("pandas", "polars", "pyspark"),
}
SINCE = {"docs/how-to/roll-up-hours.md": (3, 3)}  # of Airflow


def pages_with(language: str) -> list[Any]:
    """Return the pages that have a snippet of a language."""
    return [pytest.param(page, id=name) for name, page in PAGES.items() if page.snippets(language)]


@pytest.fixture
def lake(langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path) -> Path:
    """Return the lake of the pages, with a day of runs of the project shop."""
    for number in range(3):
        langsmith.add_run(project="shop", name=f"turn {number}", start_time=DAY + timedelta(hours=number))
    client, view = client_of(langsmith), view_of("runs")
    query = run_query(project=client.project("shop"), start=DAY, end=DAY + timedelta(days=1), fields=view.fields)
    target = OutputOptions(destination=f"file://{tmp_path}/langsmith", format=format_of("parquet"))
    assert Export(PageSource(client), query, view, target).run()
    return tmp_path


def can_run(page: Page) -> bool:
    """Return whether the Python of a page is for this test, this Airflow and the installed packages."""
    needs = NEEDS.get(page.path, ())
    is_for_here = page.path not in OWN_TEST and SINCE.get(page.path, AIRFLOW) <= AIRFLOW
    return is_for_here and all(importlib.util.find_spec(package) for package in needs)


def runnable(code: str, lake: Path) -> str:
    """Replace the lakes of the pages with the lake of the test."""
    for uri in ("s3://aws_default@lake", "s3://lake", "file:///tmp/lake"):
        code = code.replace(uri, f"file://{lake}")
    return code.replace("/tmp/lake", str(lake))


def test_every_language_has_a_check() -> None:
    """A snippet is Python, a command, a listing, a message or a grammar; or SQL, which tests/warehouses runs."""
    languages = {snippet.language for page in PAGES.values() for snippet in page.snippets()}
    assert languages <= {"python", "bash", "sql", "", "ebnf"}
    assert {name for name, page in PAGES.items() if page.snippets("sql")} <= DIALECTS.keys()


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_runs(page: Page, lake: Path, langsmith: LangSmithStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of a page runs from its first line to its last, within a DAG."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection())
    names: dict[str, Any] = {"__name__": "page"}
    for snippet in page.snippets("python"):
        padding = "\n" * (snippet.line - 1)  # so that a traceback has the page's lines
        code = compile(padding + runnable(snippet.text, lake), page.path, "exec")
        if can_run(page):
            with DAG("page", schedule=None):
                exec(code, names)


def check_pip(words: list[str]) -> None:
    """Check that pip installs valid requirements, and that our extras exist."""
    assert words[1] == "install"
    options = {"--constraint": 1, "--upgrade": 0}
    rest = iter(words[2:])
    for word in rest:
        if word.startswith("-"):
            for _ in range(options[word]):
                next(rest)
        elif (requirement := Requirement(word)).name == PROJECT["name"]:
            assert requirement.extras <= set(PROJECT["optional-dependencies"])


def check_make(words: list[str]) -> None:
    """Check that the Makefile has the target."""
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {word for word in words[1:] if "=" not in word} <= set(targets)


def check_export(words: list[str]) -> None:
    """Check that Airflow reads the exported connection, and that the hook accepts one of LangSmith."""
    name, _, value = words[1].partition("=")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(name, value)
        connection = connection_of(name.removeprefix("AIRFLOW_CONN_").lower(), "of the page")
        assert isinstance(connection.extra_dejson, dict)
        assert connection.conn_type in {"langsmith", "aws", "iceberg", "postgres"}
        if connection.conn_type == "langsmith":
            with LangSmithHook() as hook:
                hook.get_conn()


def check_airflow(words: list[str]) -> None:
    """Check that Airflow has the command and its options."""
    from airflow.cli.cli_parser import get_parser  # noqa: PLC0415  # takes a second, and few tests need it

    get_parser().parse_args(words[1:])


def check_python(words: list[str]) -> None:
    """Check that the script exists."""
    assert (ROOT / words[1]).is_file()


def check_curl(words: list[str]) -> None:
    """Check that LangSmith's API is the host, and that the body has a type; another test sends the request."""
    (url,) = (urlsplit(word) for word in words if word.startswith("https://"))
    assert (url.netloc, url.path.startswith("/api/v1/")) == ("api.smith.langchain.com", True)
    assert "Content-Type: application/json" in words
    assert {word for word in words if word.startswith("-")} <= {"-X", "-H", "-d"}


CHECKS = {
    "curl": check_curl,
    "pip": check_pip,
    "make": check_make,
    "export": check_export,
    "airflow": check_airflow,
    "python": check_python,
}


@pytest.mark.parametrize("page", pages_with("bash"))
def test_commands_exist(page: Page) -> None:
    """Each command of a page exists, with its options."""
    for snippet in page.snippets("bash"):
        for line in snippet.text.splitlines():
            words = shlex.split(line, comments=True)
            CHECKS[words[0]](words)
