"""The columns of a bulk export's files become the runs that the API sends."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from airflow_langsmith.api.bulk_rows import EXPORT_FIELDS, BulkRunReader, export_fields
from airflow_langsmith.api.query import FIELDS
from airflow_langsmith.api.records import Run
from airflow_langsmith.api.v1 import V1
from airflow_langsmith.api.v2 import V2
from airflow_langsmith.errors import PayloadError
from airflow_langsmith.views import view_of
from tests.bulk_files import IDS, JSON, SHOP, START, TIMES, VERSIONS, columns_of, wire_run
from tests.wording import says

NOT_EXPORTED = [
    *("attachments", "completion_cost_details", "completion_token_details", "in_dataset", "prompt_cost_details"),
    *("prompt_token_details", "serialized"),
]
EXPORTED = tuple(sorted(set(FIELDS) - set(NOT_EXPORTED)))


def read(version: str, *wire: dict[str, Any], **columns: list[Any]) -> list[Run]:
    """Read runs from the columns of a file, of which some are others."""
    in_file = {**columns_of(wire or [wire_run(0)], version), **columns}
    content = {name: [_content(name, value) for value in values] for name, values in in_file.items()}
    return BulkRunReader(project=SHOP, fields=EXPORTED, format_version=version).runs(content)


def _content(name: str, value: Any) -> Any:
    return value.encode() if name in JSON and isinstance(value, str) else value


def plain(run: Run) -> dict[str, Any]:
    """Return the fields that can be exported, with JSON as values."""
    values = {name: getattr(run, name) for name in EXPORTED}
    return {name: json.loads(bytes(value)) if isinstance(value, Raw) else value for name, value in values.items()}


NAMES = st.text('abc"\\{}é😀', max_size=4)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES
VALUES = st.recursive(SCALARS, lambda values: st.lists(values, max_size=2) | st.dictionaries(NAMES, values, max_size=2))
# v2_beta pads objects with nulls, and has objects as text in one place: a user's own cannot be told from these.
MEMBERS = st.dictionaries(NAMES, VALUES.filter(lambda value: value is not None), max_size=3)
MICROSECONDS = st.integers(0, 86_400_000_000 - 1)
COUNTS = st.none() | st.integers(0, 2**40)
COSTS = st.none() | st.floats(0, 1e6)


@st.composite
def runs(draw: st.DrawFn) -> dict[str, Any]:
    """Make runs as the API sends them."""
    ids = [str(draw(st.uuids())) for _ in range(3)]
    parents = draw(st.lists(st.uuids().map(str), max_size=2))
    metadata = draw(
        MEMBERS | st.fixed_dictionaries({"session_id": NAMES}, optional={"ls_model_name": NAMES | st.integers()})
    )
    times = [
        (START + timedelta(microseconds=draw(MICROSECONDS))).replace(tzinfo=None).isoformat(timespec="microseconds")
        for _ in range(3)
    ]
    return wire_run(
        0,
        id=ids[0],
        trace_id=ids[1],
        reference_example_id=draw(st.sampled_from([None, ids[2]])),
        parent_run_id=parents[-1] if parents else None,
        parent_run_ids=parents,
        is_root=not parents,
        name=draw(st.none() | NAMES),
        run_type=draw(st.sampled_from(["llm", "LLM", "chain", None])),
        status=draw(st.sampled_from(["success", "ERROR", "pending"])),
        error=draw(st.none() | NAMES),
        start_time=times[0],
        end_time=draw(st.sampled_from([None, times[1]])),
        first_token_time=draw(st.sampled_from([None, times[2]])),
        tags=draw(st.none() | st.lists(NAMES, max_size=2)),
        **{name: draw(COUNTS) for name in ("prompt_tokens", "completion_tokens", "total_tokens")},
        **{name: draw(COSTS) for name in ("prompt_cost", "completion_cost", "total_cost")},
        inputs=draw(st.none() | MEMBERS | MEMBERS.map(lambda value: {"input": {"q": value}})),
        outputs=draw(st.none() | MEMBERS),
        extra={"metadata": metadata, "runtime": {"sdk": "langsmith-py"}},
        events=draw(st.lists(MEMBERS, max_size=2)),
        feedback_stats=draw(st.just({}) | MEMBERS),
    )


@given(st.lists(runs(), min_size=1, max_size=3))
def test_a_file_of_v1_gives_the_runs_of_api_v1(wire: list[dict[str, Any]]) -> None:
    """Whatever runs hold, their fields are those that a page of v1 gives."""
    sent = [{**run, **{name: run[name] and run[name].lower() for name in ("run_type", "status")}} for run in wire]
    page = V1().read_page(json.dumps({"runs": sent}).encode(), SHOP, EXPORTED, "page")
    assert list(map(plain, read("v1", *wire))) == list(map(plain, page.runs))


@given(st.lists(runs(), min_size=1, max_size=3))
def test_a_file_of_v2_beta_gives_the_runs_of_api_v2(wire: list[dict[str, Any]]) -> None:
    """Whatever runs hold, their fields are those that a page of v2 gives."""
    sent = [
        {
            **run,
            "metadata": run["extra"]["metadata"],
            "run_type": run["run_type"] and run["run_type"].upper(),
            "status": run["status"].upper(),
            **{name: run[name] and f"{run[name]}Z" for name in TIMES},
        }
        for run in wire
    ]
    page = V2().read_page(json.dumps({"items": sent}).encode(), SHOP, EXPORTED, "page")
    assert list(map(plain, read("v2_beta", *wire))) == list(map(plain, page.runs))


def test_the_view_of_runs_can_be_exported_but_for_attachments() -> None:
    """Of the default columns Bulk Export lacks one, of all fields of a run those that the documentation lists."""
    columns, missing = export_fields(view_of("runs").fields)
    assert missing == ["attachments"]
    assert {"id", "start_time", "extra", "feedback_stats"} <= set(columns) <= set(EXPORT_FIELDS)
    assert export_fields(FIELDS)[1] == NOT_EXPORTED
    assert len(EXPORT_FIELDS) == len(set(EXPORT_FIELDS)) == 30


def test_a_time_is_cut_and_stays_in_its_window() -> None:
    """Nanoseconds are never rounded up: the last ones of a day would be the next day's."""
    for text in ("2026-03-01 23:59:59.999999999", "2026-03-01T23:59:59.999999999Z"):
        (run,) = read("v1", start_time=[text])
        assert run.start_time == datetime(2026, 3, 1, 23, 59, 59, 999999, tzinfo=UTC)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_engine_says_whether_parents_include_their_children(version: str) -> None:
    """ClickHouse adds up the tokens of children, as v1 does; SmithDB does not."""
    columns = columns_of([wire_run(0)], version)
    for backend, is_rolled_up in (("clickhouse", True), ("smithdb", False), (None, False)):
        reader = BulkRunReader(project=SHOP, fields=("id", "total_tokens"), format_version=version, backend=backend)
        assert [run.includes_children for run in reader.runs(columns)] == [is_rolled_up]


def test_no_number_is_no_cost() -> None:
    """NaN and infinity, which a column of numbers can hold, are None."""
    nothing = [wire_run(number) for number in range(3)]
    costs = [math.nan, math.inf, 0.5]
    assert [run.total_cost for run in read("v1", *nothing, total_cost=costs)] == [None, None, 0.5]


def test_absent_columns_are_none() -> None:
    """A file without a column says nothing of it: not that there were no tokens, and no tags."""
    columns = columns_of([wire_run(0)], "v1")
    few = {name: columns[name] for name in ("id", "start_time", "end_time", "parent_run_id")}
    (run,) = BulkRunReader(project=SHOP, fields=EXPORTED, format_version="v1").runs(few)
    values = {name: value for name, value in plain(run).items() if name not in few}
    assert values == {**dict.fromkeys(values), "project": SHOP, "missing_payloads": []}


@pytest.mark.parametrize("name", ["id", "start_time", "end_time", "parent_run_id"])
def test_a_column_whose_null_means_something_has_to_be_there(name: str) -> None:
    """Without its parents every run would be a root, and without ends pending."""
    columns = columns_of([wire_run(0)], "v1")
    del columns[name]
    with pytest.raises(PayloadError, match=says(f"There is no column '{name}'")):
        BulkRunReader(project=SHOP, fields=EXPORTED, format_version="v1").runs(columns)


@pytest.mark.parametrize("version", VERSIONS)
def test_json_is_repaired_like_that_of_pages(version: str) -> None:
    """A defect in one row is repaired, in this row alone; an empty text is no value."""
    texts = {
        b'{"a": NaN, "b": "\xff"}': {"a": "NaN", "b": "\ufffd"},
        b'{"path": "C:\\data"}': {"path": "C:\\data"},
        b'{\n  "a": "cut \\ud83d"\n}': {"a": "cut \ufffd"},
        b"": None,
        b"  ": None,
        b"null": None,
        b"[1, null]": [1, None],
        b"7": 7,
        b'"{}"': "{}",
    }
    wire = [wire_run(number) for number in range(len(texts) + 1)]
    rows = read(version, *wire, outputs=[*texts, b'{"whole": 1}'])
    assert [plain(run)["outputs"] for run in rows] == [*texts.values(), {"whole": 1}]
    assert not any(b"\n" in bytes(run.outputs) for run in rows if run.outputs is not None)


@pytest.mark.parametrize(
    "texts", [[b"[1", b"2]", b"3,4"], [b"{}", b"{}x", b"1"], [b"1,2", b"", b"3"], [b"{", b"}", b"1"]]
)
def test_text_that_is_no_json_is_an_error(texts: list[bytes]) -> None:
    """The error names the column and the run, also if the texts together look like JSON."""
    with pytest.raises(PayloadError, match=says("The inputs of run 00000000-0000-0000-0000-.* is no JSON")):
        read("v1", *(wire_run(number) for number in range(3)), inputs=texts)


def test_deep_json_is_cut_where_readers_stop() -> None:
    """Levels beyond those that readers take become text, as in pages."""
    (run,) = read("v1", outputs=[b'{"a":' * 5000 + b"1" + b"}" * 5000])
    assert run.outputs is not None
    assert json.loads(bytes(run.outputs))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"input": '{"q": [1, null]}', "other": None}, {"input": {"q": [1, None]}}),
        ({"input": "[1]"}, {"input": [1]}),
        ({"input": '{"q": NaN}'}, {"input": {"q": "NaN"}}),
        ({"input": "{not JSON}"}, {"input": "{not JSON}"}),
        ({"input": "7"}, {"input": "7"}),
        ({"input": 7, "a": {"b": None}}, {"input": 7, "a": {"b": None}}),
        ({"a": None}, {}),
        ([None], [None]),
    ],
)
def test_what_v2_beta_adds_to_inputs_is_removed(value: Any, expected: Any) -> None:
    """Null members of the object itself, and JSON inside JSON; what lies deeper is the user's. v1 keeps all."""
    text = json.dumps(value).encode()
    assert [plain(run)["inputs"] for run in read("v2_beta", inputs=[text])] == [expected]
    assert [run.inputs for run in read("v1", inputs=[text])] == [Raw(text)]


@pytest.mark.parametrize("version", VERSIONS)
def test_structs_become_json_without_their_padding(version: str) -> None:
    """A column of structs gives each object the members of all; lists are tags as they are."""
    value = {"a": {"b": 1, "c": None}, "d": [{"e": None, "f": 2}], "g": None}
    (run,) = read(version, outputs=[value], tags=[["a", "b"]], events=[[value]])
    clean = {"a": {"b": 1}, "d": [{"f": 2}]}
    assert (plain(run)["outputs"], plain(run)["events"], run.tags) == (clean, [clean], ["a", "b"])


@pytest.mark.parametrize("name", IDS)
def test_quoted_ids_are_the_same_ids(name: str) -> None:
    """An id with the quotes of JSON is the id."""
    id_ = "0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b"
    for text in (id_, f'"{id_}"'):
        (run,) = read("v1", **{name: [text]})
        assert getattr(run, name, id_) == id_


@pytest.mark.parametrize("name", ["parent_run_id", "reference_example_id"])
@pytest.mark.parametrize("text", [None, "", '""', "null", '"null"'])
def test_an_absent_id_is_none_however_it_is_written(name: str, text: str | None) -> None:
    """JSON has null for the parent of a root, and no run is a child of it."""
    (run,) = read("v2_beta", **{name: [text]})
    assert getattr(run, name) is None


def test_counts_of_other_types_are_the_same_counts() -> None:
    """Engines make floats or decimals of a column with nulls. A part of a token is an error."""
    counts = [7.0, Decimal(7), math.nan, None]
    runs = read("v1", *map(wire_run, range(4)), total_tokens=counts)
    assert [run.total_tokens for run in runs] == [7, 7, 0, 0]
    with pytest.raises(PayloadError, match="Column 'total_tokens'"):
        read("v1", total_tokens=[7.5])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("id", 7, "Column 'id' has a value of another type: Expected `str | null`, got `int`"),
        ("id", None, "Column 'id' has a null"),
        ("start_time", None, "Column 'start_time' has a null"),
        ("start_time", 1772323200, "Column 'start_time' has a value of another type"),
        ("start_time", "yesterday", "the start_time of run 00000000-0000-0000-0000-000000000001 is no time"),
        ("end_time", "soon", "the end_time of run 00000000-0000-0000-0000-000000000001 is no time"),
        ("name", {"a": 1}, "Column 'name' has a value of another type"),
        ("total_tokens", "seven", "Column 'total_tokens' has a value of another type"),
        ("total_cost", {"usd": 1}, "Column 'total_cost' has a value of another type"),
        ("tags", b'{"a": 1}', "Column 'tags' has another value than a list of texts"),
        ("tags", b"[1]", "Column 'tags' has another value than a list of texts"),
        ("inputs", 7, "Column 'inputs' has a value of type int, which is no JSON"),
    ],
)
def test_a_value_of_another_type_is_an_error(column: str, value: Any, message: str) -> None:
    """The error names the column, and no value."""
    with pytest.raises(PayloadError, match=says(message)):
        read("v1", **{column: [value]})
