"""What the page about Bulk Export says is so: its requests, policies and DAGs, and how rows differ."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3  # type: ignore[import-untyped]
import httpx
import pytest
from airflow.sdk import DAG
from airflow.sdk.definitions.mappedoperator import MappedOperator

from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.operators import LangSmithBulkExportOperator, LangSmithExportOperator
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.views import VIEWS
from tests.conftest import ReadRows
from tests.documentation import PAGES
from tests.tables.servers import moto_server

PAGE = PAGES["docs/how-to/bulk-export.md"]
DAY = timedelta(days=1)
COLUMNS = {column.name for column in VIEWS["runs"].columns}
ATTACHMENTS = {"photo.png": ("image/png", b"png")}
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def shop(langsmith: LangSmithStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LangSmithStandIn:
    """A project with a run on each day of November, and the buckets of the page."""
    for number in range(30):
        langsmith.add_run(project="shop", start_time=NOVEMBER + number * DAY, end_time=NOVEMBER + number * DAY)
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection())
    langsmith.add_bucket("langsmith-bulk", tmp_path / "langsmith-bulk")
    return langsmith


def json_block(*members: str) -> dict[str, Any]:
    """Return the block of JSON on the page that has these members."""
    blocks = [json.loads(snippet.text) for snippet in PAGE.snippets("") if snippet.text.startswith("{")]
    (block,) = [block for block in blocks if block.keys() >= {*members}]
    return dict(block)


def run(operator: Any, day: datetime, **arguments: Any) -> Any:
    """Execute an operator of the page, or a mapped one with these arguments, in the DAG run of a day."""
    if isinstance(operator, MappedOperator):
        operator = LangSmithBulkExportOperator(**{**operator.partial_kwargs, "task_id": "days", **arguments})
    operator.deferrable = False
    context: Any = {"data_interval_start": day, "data_interval_end": day + DAY}
    operator.render_template_fields(context)
    return operator.execute(context=context)


def names_of(marker: str, destination_id: str, lake: Path) -> dict[str, Any]:
    """Return what the page's snippet with these words defines, with this destination and this lake."""
    (snippet,) = [snippet for snippet in PAGE.snippets("python") if marker in snippet.text]
    code = re.sub(r'"22345678-[-0-9a-f]+"', repr(destination_id), snippet.text)
    code = code.replace("s3://aws_default@langsmith-bulk", f"file://{lake}/langsmith-bulk")
    code = code.replace("s3://aws_default@lake", f"file://{lake}/lake")
    names: dict[str, Any] = {}
    with DAG("page", schedule=None):
        exec(code, names)
    return names


@pytest.fixture
def destination_id(shop: LangSmithStandIn) -> str:
    """The destination that the request of the page makes."""
    (command,) = [shlex.split(snippet.text) for snippet in PAGE.snippets("bash")]
    headers = [command[at + 1] for at, word in enumerate(command) if word == "-H"]
    filled = [text.replace("$LANGSMITH_API_KEY", shop.api_key) for text in headers]
    filled = [text.replace("$LANGSMITH_WORKSPACE_ID", shop.workspace_id) for text in filled]
    made = httpx.request(
        command[command.index("-X") + 1],
        shop.url + urlsplit(command[-1]).path,
        headers=dict(text.split(": ", 1) for text in filled),
        json=json_block("destination_type"),
    )
    assert made.status_code == 200, made.text
    return str(made.json()["id"])


def test_the_destination_can_be_made(shop: LangSmithStandIn, destination_id: str) -> None:
    """LangSmith accepts the request that makes a destination, and the hook lists it."""
    with LangSmithHook() as hook:
        (destination,) = hook.list_bulk_destinations()
    assert (destination.id, destination.config.bucket_name) == (destination_id, "langsmith-bulk")


def test_the_bucket_takes_its_policy_and_its_rule() -> None:
    """S3 accepts the policy and the lifecycle rule, which is about the folders of exports."""
    policy, rules = json_block("Statement"), json_block("Rules")
    with moto_server() as server:
        keys = {"aws_access_key_id": server.access_key, "aws_secret_access_key": server.secret_key}
        s3 = boto3.client("s3", endpoint_url=server.endpoint_url, region_name=server.region, **keys)
        s3.create_bucket(Bucket="langsmith-bulk")
        s3.put_bucket_policy(Bucket="langsmith-bulk", Policy=json.dumps(policy))
        s3.put_bucket_lifecycle_configuration(Bucket="langsmith-bulk", LifecycleConfiguration=rules)
    assert [each["Action"] for each in policy["Statement"]] == ["s3:PutObject", "s3:GetObject", "s3:ListBucket"]
    assert rules["Rules"][0]["Filter"]["Prefix"] == "bulk/export_id="


def test_each_day_is_exported_twice(shop: LangSmithStandIn, destination_id: str, tmp_path: Path) -> None:
    """The recipe exports the days that it says, and the second export of a day replaces the first, with late runs."""
    names = names_of("days_to_export", destination_id, tmp_path)
    days_to_export, mapped = names["days_to_export"].function, names["days"]
    context = {"data_interval_start": NOVEMBER + 13 * DAY, "data_interval_end": NOVEMBER + 14 * DAY}
    days = days_to_export(**context)
    assert [day["start_time"][:10] for day in days] == ["2026-11-03", "2026-11-13"]
    for day in days:
        run(mapped, NOVEMBER, **day)
    shop.add_run(project="shop", name="late", start_time=NOVEMBER + 12.5 * DAY)
    later = {name: moment + 10 * DAY for name, moment in context.items()}
    again = days_to_export(**later)[0]
    assert again == days[1]
    result = run(mapped, NOVEMBER, **again)
    assert (result["rows"], read_manifest(result).rows) == (2, 2)
    folders = sorted(path.name for path in (tmp_path / "lake/langsmith/runs/project=shop").iterdir())
    assert folders == ["date=2026-11-03", "date=2026-11-13"]
    assert len(list((tmp_path / "langsmith-bulk/bulk").glob("export_id=*"))) == 3


def test_the_export_of_a_schedule_is_published(shop: LangSmithStandIn, destination_id: str, tmp_path: Path) -> None:
    """The sensor waits for the schedule's export of the day, and the operator publishes that one, and starts none."""
    schedule_id = shop.add_bulk_export(
        project="shop", start_time=NOVEMBER, destination_id=destination_id, interval_hours=24, format_version="v2_beta"
    )
    names = names_of("schedule_id", destination_id, tmp_path)
    names["written"].schedule_id = schedule_id
    (export_id,) = run(names["written"], NOVEMBER + DAY)["bulk_export_ids"]
    number = len(shop.bulk_exports)
    result = run(names["publish"], NOVEMBER + DAY)
    assert (result["bulk_export_id"], result["rows"]) == (export_id, 1)
    assert len(shop.bulk_exports) == number


def differences() -> dict[str, str]:
    """Return what the table of the page says of each column."""
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", PAGE.text, re.MULTILINE)
    return {name: difference.strip() for name, difference in rows if name in COLUMNS}


@pytest.mark.parametrize(
    ("format_version", "structs", "differing"),
    [
        ("v1", False, set()),
        ("v2_beta", False, {"inputs", "outputs", "extra"}),
        ("v2_beta", True, {"inputs", "outputs", "extra", "metadata"}),
    ],
)
def test_rows_differ_as_the_table_says(
    shop: LangSmithStandIn,
    destination_id: str,
    tmp_path: Path,
    read_rows: ReadRows,
    format_version: Any,
    structs: bool,
    differing: set[str],
) -> None:
    """The values of a run with all that may differ are those of the API, except in the columns of the table."""
    shop.bulk.structs = structs
    inputs = {"input": '{"a": 1}', "none": None, "below": {"none": None}}
    extra = {"metadata": {"none": None, "a": 1}, "none": None}
    run_id = shop.add_run(
        project="shop", start_time=NOVEMBER, inputs=inputs, outputs=inputs, extra=extra, attachments=ATTACHMENTS
    )
    shop.add_feedback(run_id, key="user_score", score=1, value="good")
    arguments: dict[str, Any] = {"project": "shop", "columns": [*COLUMNS], "task_id": "runs"}
    arguments["files_at"] = f"file://{tmp_path}/langsmith-bulk"
    bulk = LangSmithBulkExportOperator(
        bulk_destination_id=destination_id,
        destination=f"file://{tmp_path}/by-bulk",
        format_version=format_version,
        **arguments,
    )
    del arguments["files_at"]
    by_api = LangSmithExportOperator(destination=f"file://{tmp_path}/by-api", **arguments)
    (ours, apis) = (
        next(row for row in read_rows(run(operator, NOVEMBER)["manifest"]) if row["run_id"] == run_id)
        for operator in (bulk, by_api)
    )
    said = differences()
    null = {name for name, difference in said.items() if difference == "Null."}
    assert said.keys() == COLUMNS
    assert {name for name in null if ours[name] is not None} == set()
    assert {name for name in COLUMNS - null if values(ours)[name] != values(apis)[name]} == differing
    assert all("v2_beta" in said[name] for name in differing)
    expected = {"input": {"a": 1}, "below": {} if structs else {"none": None}} if differing else inputs
    assert json.loads(ours["inputs"]) == expected


def values(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with JSON as values."""
    return {
        name: json.loads(value) if isinstance(value, str) and value.startswith(("{", "[")) else value
        for name, value in row.items()
    }
