"""The files of exports: columns, types, and what is peculiar about each version of the format."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_langsmith.testing import LangSmithStandIn
from tests.testing.conftest import NOON, UNKNOWN_ID, BulkClient

DEFAULT_COLUMNS = (
    "completion_cost completion_tokens dotted_order end_time error events extra feedback_stats first_token_time id "
    "inputs is_root name outputs parent_run_id parent_run_ids prompt_cost prompt_tokens reference_example_id run_type "
    "session_id start_time status tags tenant_id total_cost total_tokens trace_id trace_tier"
).split()
UUIDS = ["id", "parent_run_id", "reference_example_id", "session_id", "tenant_id", "trace_id"]
USAGE = {"input_tokens": 3, "output_tokens": 4, "input_cost": 0.5, "output_cost": 0.25}


@pytest.fixture
def call(langsmith: LangSmithStandIn, bulk: BulkClient) -> str:
    """A trace of a chain and a model call, in a project of its own; the id of the call."""
    chain = langsmith.add_run(
        project="chat",
        name="chain",
        start_time="2026-02-28T10:00:00.123456Z",
        end_time="2026-02-28T10:00:09Z",
        inputs={"input": {"question": "why"}, "count": 1},
        outputs={"answer": [1, 2.5, None]},
    )
    call = langsmith.add_run(
        project="chat",
        name="call",
        run_type="llm",
        parent_run_id=chain,
        start_time="2026-02-28T10:00:01Z",
        end_time="2026-02-28T10:00:08Z",
        inputs={"input": "plain", "messages": [{"role": "user"}]},
        outputs={"usage_metadata": USAGE},
        error="no \ud800 half",
        extra={"metadata": {"thread_id": "t1"}},
        events=[{"name": "new_token", "time": "2026-02-28T10:00:02"}],
        tags=["prod", "eu"],
        reference_example_id=UNKNOWN_ID,
    )
    langsmith.add_feedback(call, key="user_score", score=1, value="good", comment="Great!")
    langsmith.add_feedback(call, key="user_score", score=0, value={"not": "a string"})
    bulk.project_id = langsmith.project_id("chat")
    return call


def table_of(bulk: BulkClient, **fields: Any) -> pa.Table:
    """Export, and read the only file."""
    (table,) = bulk.tables(bulk.create(**fields))
    return table


def columns_of(bulk: BulkClient, **fields: Any) -> dict[str, list[Any]]:
    """Export, and read the values of the two runs by column: those of the chain come first."""
    columns: dict[str, list[Any]] = table_of(bulk, **fields).to_pydict()
    return columns


def test_the_stand_in_works_without_pyarrow() -> None:
    """Only an export loads it."""
    script = "import sys, airflow_langsmith.testing as t; t.LangSmithStandIn(); sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_columns_by_default(bulk: BulkClient, call: str) -> None:
    """There are 29, none of which is feedback, a thread or details of tokens."""
    assert table_of(bulk).column_names == DEFAULT_COLUMNS


@pytest.mark.parametrize(("version", "time"), [("v1", pa.timestamp("ns")), ("v2_beta", pa.timestamp("us", "UTC"))])
def test_the_types_of_columns(bulk: BulkClient, call: str, version: str, time: pa.DataType) -> None:
    """Times differ between the versions; all other columns are numbers, booleans or text."""
    schema = table_of(bulk, format_version=version).schema
    types = {
        **dict.fromkeys(DEFAULT_COLUMNS, pa.string()),
        **dict.fromkeys(("start_time", "end_time", "first_token_time"), time),
        **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), pa.int64()),
        **dict.fromkeys(("prompt_cost", "completion_cost", "total_cost"), pa.float64()),
        "is_root": pa.bool_(),
    }
    assert {field.name: field.type for field in schema} == types


def test_version_1_has_plain_values(langsmith: LangSmithStandIn, bulk: BulkClient, call: str) -> None:
    """Objects and lists are JSON in strings, ids are plain, and times have no zone."""
    row = table_of(bulk).to_pylist()[1]
    stats = json.loads(row.pop("feedback_stats"))
    assert row["dotted_order"].count(".") == 1
    assert row == {
        **row,
        "id": call,
        "trace_id": row["parent_run_id"],
        "tenant_id": langsmith.workspace_id,
        "session_id": bulk.project_id,
        "reference_example_id": UNKNOWN_ID,
        "parent_run_ids": json.dumps([row["parent_run_id"]]),
        "name": "call",
        "run_type": "llm",
        "status": "error",
        "error": "no ? half",
        "is_root": False,
        "start_time": datetime(2026, 2, 28, 10, 0, 1),  # noqa: DTZ001 (the version has no zone)
        "inputs": '{"input":"plain","messages":[{"role":"user"}]}',
        "extra": '{"metadata":{"thread_id":"t1"}}',
        "events": '[{"name":"new_token","time":"2026-02-28T10:00:02"}]',
        "tags": '["prod","eu"]',
        "trace_tier": "longlived",
    }
    assert (stats["user_score"]["n"], stats["user_score"]["values"]) == (2, {"good": 1})


def test_version_2_has_quoted_ids(bulk: BulkClient, call: str) -> None:
    """A UUID is JSON, in quotes; a missing one is null."""
    plain, quoted = columns_of(bulk), columns_of(bulk, format_version="v2_beta")
    for name in UUIDS:
        assert quoted[name] == [value and f'"{value}"' for value in plain[name]]
    assert quoted["parent_run_id"][0] is None
    assert quoted["start_time"][0] == datetime(2026, 2, 28, 10, 0, 0, 123456, tzinfo=UTC)
    for name in set(DEFAULT_COLUMNS) - {*UUIDS, "start_time", "end_time", "first_token_time", "inputs", "outputs"}:
        assert quoted[name] == plain[name]


def test_version_2_has_json_in_json_and_all_members(bulk: BulkClient, call: str) -> None:
    """``inputs.input`` is JSON in a string if it is no string, and each object has the members of the others."""
    columns = columns_of(bulk, format_version="v2_beta")
    assert list(map(json.loads, columns["inputs"])) == [
        {"input": '{"question":"why"}', "count": 1, "messages": None},
        {"input": "plain", "count": None, "messages": [{"role": "user"}]},
    ]
    assert list(map(json.loads, columns["outputs"])) == [
        {"answer": [1, 2.5, None], "usage_metadata": None},
        {"answer": None, "usage_metadata": USAGE},
    ]
    assert columns["extra"] == [None, '{"metadata":{"thread_id":"t1"}}']


def test_members_are_those_of_a_file(langsmith: LangSmithStandIn, bulk: BulkClient, call: str) -> None:
    """Rows of other files add no members."""
    langsmith.bulk.max_rows_per_file = 1
    inputs = [json.loads(row["inputs"]) for row in bulk.rows(bulk.create(format_version="v2_beta"))]
    assert [list(payload) for payload in inputs] == [["input", "count"], ["input", "messages"]]


def test_payloads_may_be_structs(langsmith: LangSmithStandIn, bulk: BulkClient, call: str) -> None:
    """With the switch, version 2 writes structs where the values have a type in common."""
    langsmith.bulk.structs = True
    table = table_of(bulk, format_version="v2_beta")
    assert pa.types.is_struct(table.schema.field("inputs").type)
    assert table["inputs"].to_pylist() == [
        {"input": '{"question":"why"}', "count": 1, "messages": None},
        {"input": "plain", "count": None, "messages": [{"role": "user"}]},
    ]
    assert table_of(bulk).schema.field("inputs").type == pa.string()


@pytest.mark.parametrize("inputs", [{"count": "one"}, {"count": {}}, {"count": 2**70}, {}])
def test_payloads_without_a_common_type_are_text(
    langsmith: LangSmithStandIn, bulk: BulkClient, inputs: dict[str, Any]
) -> None:
    """With the switch, a column stays JSON if Parquet has no type for it."""
    langsmith.bulk.structs = True
    for payload in (inputs, {"count": 1} if inputs else {}):
        langsmith.add_run(project="odd", inputs=payload, start_time="2026-02-28T10:00:00Z")
    table = table_of(bulk, session_id=langsmith.project_id("odd"), format_version="v2_beta")
    assert table.schema.field("inputs").type == pa.string()


@pytest.mark.parametrize("version", ["v1", "v2_beta"])
def test_only_the_export_fields(bulk: BulkClient, call: str, version: str) -> None:
    """An export may name its columns. Only then it has ``feedbacks``: all feedback, with comments."""
    table = table_of(bulk, format_version=version, export_fields=["name", "feedbacks", "id"])
    assert sorted(table.column_names) == ["feedbacks", "id", "name"]
    none, feedback = map(json.loads, table["feedbacks"].to_pylist())
    assert (none, [item["comment"] for item in feedback]) == ([], ["Great!", None])
    assert [item["run_id"] for item in feedback] == [call, call]


@pytest.mark.parametrize(
    ("compression", "codec"),
    [("none", "UNCOMPRESSED"), ("gzip", "GZIP"), ("snappy", "SNAPPY"), ("zstandard", "ZSTD"), (None, "ZSTD")],
)
def test_compressions(bulk: BulkClient, call: str, compression: str | None, codec: str) -> None:
    """Each of LangSmith's four is Parquet's codec of that name; the cloud's default is zstandard."""
    (file,) = bulk.files(bulk.create(compression=compression))
    assert pq.read_metadata(file).row_group(0).column(0).compression == codec


def test_a_self_hosted_server_compresses_by_gzip(tmp_path: Any) -> None:
    """Its default is another than the cloud's."""
    with LangSmithStandIn(self_hosted=True, now=lambda: NOON) as langsmith:
        body = {
            "bulk_export_destination_id": langsmith.add_bulk_destination(tmp_path),
            "session_id": langsmith.add_project("shop"),
            "start_time": "2026-02-28T00:00:00Z",
            "end_time": "2026-03-01T00:00:00Z",
        }
        key = {"X-API-Key": langsmith.api_key}
        answer = httpx.post(f"{langsmith.url}/v1/bulk-exports", json=body, headers=key, verify=False)
        assert answer.json()["compression"] == "gzip"


@pytest.mark.parametrize(
    ("backend", "tokens", "cost"), [("smithdb", [0, 7], [None, 0.75]), ("clickhouse", [7, 7], [0.75, 0.75])]
)
def test_tokens_are_those_of_the_backend(
    langsmith: LangSmithStandIn, bulk: BulkClient, call: str, backend: Any, tokens: list[int], cost: list[float | None]
) -> None:
    """A parent has its own tokens and costs, as v2 answers, or also those of the runs below it, as v1 answers."""
    langsmith.bulk.backend = backend
    export_id = bulk.create()
    (table,) = bulk.tables(export_id)
    assert bulk.runs(export_id)[0]["metadata"]["execution_backend"] == backend
    assert (table["total_tokens"].to_pylist(), table["total_cost"].to_pylist()) == (tokens, cost)


@pytest.mark.parametrize("backend", ["smithdb", "clickhouse"])
def test_rows_are_those_of_the_api(langsmith: LangSmithStandIn, bulk: BulkClient, backend: Any) -> None:
    """A day of the sample has the same runs, payloads, usage and statistics of feedback as v2 or v1 answers."""
    langsmith.load_sample(start=datetime(2026, 2, 28, tzinfo=UTC), days=1, project="sample")
    langsmith.bulk.backend = backend
    project = langsmith.project_id("sample")
    rows = {row["id"]: row for row in table_of(bulk, session_id=project).to_pylist()}
    fields = (
        "name inputs outputs extra error tags feedback_stats total_tokens prompt_cost total_cost dotted_order".split()
    )
    answers = v1_runs(bulk.http, project, fields) if backend == "clickhouse" else v2_runs(bulk.http, project, fields)
    day = {run["id"]: run for run in answers if run["start_time"].startswith("2026-02-28")}
    assert len(rows) == len(day) > 90
    for run_id, run in day.items():
        row = rows[run_id]
        for name in fields:
            value = row[name]
            if value is not None and name in ("inputs", "outputs", "extra", "tags", "feedback_stats"):
                value = json.loads(value)
            assert value == run.get(name), name


def v1_runs(http: httpx.Client, project: str, fields: list[str]) -> list[dict[str, Any]]:
    """Read all runs of a project by v1."""
    runs, cursor = [], None
    while True:
        body = {"session": [project], "select": fields, "limit": 100, "cursor": cursor}
        page = http.post("/api/v1/runs/query", json=body).json()
        runs += page["runs"]
        cursor = page["cursors"]["next"]
        if cursor is None:
            return runs


def v2_runs(http: httpx.Client, project: str, fields: list[str]) -> list[dict[str, Any]]:
    """Read all runs of a project by v2."""
    selects = [name.upper() for name in (*fields, "id", "start_time")]
    window = {"min_start_time": "2026-02-28T00:00:00Z", "max_start_time": "2026-03-01T00:00:00Z"}
    body = {"project_ids": [project], "selects": selects, "page_size": 1000, **window}
    runs: list[dict[str, Any]] = http.post("/api/v2/runs/query", json=body).json()["items"]
    return runs
