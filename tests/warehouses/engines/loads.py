"""
The SQL of a page, run by its engine, gives the rows of the exports; a second time it changes nothing.

``make recipes`` runs this with ClickHouse (chdb) and with an emulation of Snowflake (fakesnow).
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from airflow_langsmith.export.destination import plain_uri
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.views import VIEWS
from tests.warehouses.conftest import BLANK, DAY, START, ExportDay, Rows, by_key, rows_of
from tests.warehouses.recipes import Recipe


class Warehouse(Protocol):
    """An engine with a schema ``langsmith``, which can read the lake."""

    page: str

    def run(self, statement: str) -> Any:
        """Run a statement."""

    def rows(self, view: str) -> Rows:
        """Return the rows of the table of a view, as an export has them."""


class ClickHouse:
    """ClickHouse in this process, which reads an S3 server."""

    page = "docs/how-to/load-clickhouse.md"

    def __init__(self, lake: str, stack: ExitStack) -> None:
        from chdb.session import Session  # noqa: PLC0415  # another environment has another engine

        self._session = Session()
        stack.callback(self._session.close)
        self._lake, self._endpoint = plain_uri(lake), os.environ["AWS_ENDPOINT_URL"]
        self.run("CREATE DATABASE langsmith")
        self.run("CREATE NAMED COLLECTION lake AS access_key_id = 'test', secret_access_key = 'testtest'")
        stack.callback(self.run, "DROP NAMED COLLECTION lake")

    def run(self, statement: str) -> Any:
        """Run a statement, with the bucket at the S3 server."""
        return self._session.query(statement.replace(f"'{self._lake}/", f"'{self._endpoint}/lake/"), "ArrowTable")

    def rows(self, view: str) -> Rows:
        """Return the rows; an empty list may have been null."""
        return by_key(self.run(f"SELECT * EXCEPT loaded_at FROM langsmith.{view} FINAL").to_pylist(), view)


class Snowflake:
    """An emulation of Snowflake in this process, with the lake as a stage."""

    page = "docs/how-to/load-snowflake.md"

    def __init__(self, lake: str, stack: ExitStack) -> None:
        import fakesnow  # noqa: PLC0415  # another environment has another engine
        import snowflake.connector  # noqa: PLC0415

        stack.enter_context(fakesnow.patch())
        connection = snowflake.connector.connect(database="LAKE", schema="PUBLIC")
        self._cursor = stack.enter_context(connection).cursor(snowflake.connector.DictCursor)
        self.run("CREATE SCHEMA langsmith")
        self.run(f"CREATE STAGE langsmith.lake URL = '{lake}/langsmith/'")

    def run(self, statement: str) -> Any:
        """Run a statement. The emulation has no temporary table in a schema."""
        return self._cursor.execute(statement.replace("REPLACE TEMPORARY TABLE", "REPLACE TABLE")).fetchall()

    def rows(self, view: str) -> Rows:
        """Return the rows, with lists in place of their JSON."""
        lists = {column.name for column in VIEWS[view].columns if column.type == "strings"}
        rows = (
            {name.lower(): value for name, value in row.items()} for row in self.run(f"SELECT * FROM langsmith.{view}")
        )
        return by_key(
            [
                {name: json.loads(value) if name in lists and value else value for name, value in row.items()}
                for row in rows
            ],
            view,
        )


ENGINES: dict[str, Callable[[str, ExitStack], Warehouse]] = {"chdb": ClickHouse, "fakesnow": Snowflake}
INSTALLED = [package for package in ENGINES if importlib.util.find_spec(package)]


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server with a bucket; one for all tests, because file systems stay connected to it."""
    import boto3  # type: ignore[import-untyped]  # noqa: PLC0415  # another engine has the lake on the disk
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "testtest", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket="lake")
    yield endpoint
    server.stop()


@pytest.fixture
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The lake: on an S3 server for ClickHouse, and on the disk for the emulation, which reads no S3."""
    if "chdb" not in INSTALLED:
        return f"file://{tmp_path}/lake"
    endpoint = request.getfixturevalue("s3_endpoint")
    connection = {"conn_type": "aws", "login": "test", "password": "testtest", "extra": {"endpoint_url": endpoint}}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    return "s3://aws_default@lake"


@pytest.fixture(params=INSTALLED)
def warehouse(request: pytest.FixtureRequest, lake: str) -> Iterator[Warehouse]:
    """The engine of this environment."""
    with ExitStack() as stack:
        yield ENGINES[request.param](lake, stack)


Load = Callable[..., Rows]


@pytest.fixture
def load(warehouse: Warehouse, lake: str, tmp_path: Path) -> Load:
    """Load an export by a file of the page, after the one for columns, and return all rows of the table."""
    recipe = Recipe.of(warehouse.page)

    def run(exported: dict[str, Any], file: str = "runs_replace.sql") -> Rows:
        for each in ("runs_columns.sql", file):
            for statement in recipe.statements(each, exported, tmp_path, plain_uri(lake)):
                warehouse.run(statement)
        return warehouse.rows(exported["view"])

    return run


def same(rows: Rows) -> Rows:
    """Return rows of an export as tables have them: ClickHouse stores an empty list for null."""
    return [{name: [] if value is None and name in LISTS else value for name, value in row.items()} for row in rows]


LISTS = (
    {column.name for view in VIEWS.values() for column in view.columns if column.type == "strings"}
    if "chdb" in INSTALLED
    else set()
)


@pytest.mark.parametrize("project", ["shop-assistant", BLANK])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("file", ["runs_replace.sql", "runs_merge.sql"])
def test_a_second_load_changes_nothing(view: str, project: str, file: str, export_day: ExportDay, load: Load) -> None:
    """A load has each exported row once, also the second time, with all its values and with difficult texts."""
    exported = export_day(view, project=project)
    expected = same(rows_of(exported))
    assert expected
    assert load(exported, file) == expected
    assert load(exported, file) == expected


@pytest.mark.parametrize("view", VIEWS)
def test_replace_leaves_other_days_and_projects(view: str, export_day: ExportDay, load: Load) -> None:
    """A replace changes only the rows of its project and window; what the new export no longer has is gone."""
    exports = [export_day(view), export_day(view, 1), export_day(view, project=BLANK)]
    for exported in exports:
        load(exported)
    assert load(exports[0]) == same(rows_of(*exports))
    if view != "feedback":  # which has no such filter
        none = export_day(view, filter='eq(name, "none")')
        assert none["rows"] == 0
        assert load(none) == same(rows_of(*exports[1:]))


@pytest.mark.parametrize("file", ["runs_replace.sql", "runs_merge.sql"])
def test_new_columns_are_added(file: str, export_day: ExportDay, load: Load) -> None:
    """A column that an earlier load did not have is added, and it is null in the rows of that load."""
    first = export_day("runs")
    load(first, file)
    second = export_day("runs", 1, flatten=["metadata.thread_id", "inputs.turn:int64"])
    columns = {column.name: None for column in read_manifest(second).columns}
    before = [columns | row for row in rows_of(first)]
    assert load(second, file) == same(by_key([*before, *rows_of(second)], "runs"))


def test_a_refresh_is_merged(workspace: LangSmithStandIn, export_day: ExportDay, load: Load) -> None:
    """Late feedback changes the rows of its runs, and leaves the others."""
    exported = export_day("runs")
    first = load(exported)
    judged = rows_of(exported)[0]["run_id"]
    workspace.add_feedback(judged, key="late", score=1, created_at=START + 3 * DAY)
    refreshed = export_day("runs", 3, refresh="feedback")
    assert refreshed["rows"] == 1
    assert load(refreshed, "runs_merge.sql") == same(rows_of(export_day("runs"))) != first


@pytest.mark.skipif("fakesnow" not in INSTALLED, reason="a trap of Snowflake")
def test_without_force_a_second_load_leaves_no_rows(
    warehouse: Warehouse, lake: str, export_day: ExportDay, load: Load, tmp_path: Path
) -> None:
    """Without FORCE, Snowflake skips the files of the first load, so that no rows are left."""
    exported = export_day("runs")
    assert load(exported)
    for statement in Recipe.of(warehouse.page).statements("runs_replace.sql", exported, tmp_path, plain_uri(lake)):
        warehouse.run(statement.replace("FORCE = TRUE", ""))
    assert warehouse.rows("runs") == []
