"""Flattening finds what is there, keeps what does not fit, and loses nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.transform.discovery import Discovery
from airflow_langsmith.transform.flatten import Flattening
from airflow_langsmith.transform.paths import spell
from airflow_langsmith.views import Column, ColumnType, Rows, View
from tests.wording import says


def column(name: str, type_: ColumnType = "json") -> Column:
    """Make a column; what it reads does not matter here."""
    return Column(name, type_, "", lambda _: None)


COLUMNS = (
    column("run_id", "string"),
    *map(column, ("inputs", "outputs", "metadata", "feedback_stats")),
)


def rows_of(*payloads: Any, into: str = "outputs") -> Rows:
    """Make rows of one JSON column each: of JSON text given as bytes, or of values."""
    raws = [
        None if payload is None else Raw(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
        for payload in payloads
    ]
    columns: list[list[Any]] = [
        [f"run-{number}" for number, _ in enumerate(raws)] if c.type == "string" else [None] * len(raws)
        for c in COLUMNS
    ]
    columns[[c.name for c in COLUMNS].index(into)] = raws
    return Rows(columns, len(raws))


def readable(value: Any) -> Any:
    """Print JSON as its text."""
    return bytes(value).decode() if isinstance(value, Raw) else value


def flattened(path: str, *payloads: Any, into: str = "outputs") -> tuple[list[Any], list[Any]]:
    """Flatten one path; give its column's values, and the misfits."""
    flattening = Flattening(COLUMNS, [path])
    rows = flattening.apply(rows_of(*payloads, into=into))
    assert [len(values) for values in rows.columns] == [len(payloads)] * len(flattening.columns)
    misfits = rows.columns[-1] if len(rows.columns) > len(COLUMNS) + 1 else []
    return list(map(readable, rows.columns[len(COLUMNS)])), [raw and json.loads(raw) for raw in misfits]


@pytest.mark.parametrize(
    ("path", "payload", "expected"),
    [
        ("outputs.answer", {"answer": "yes"}, "yes"),
        ("outputs.answer", b'{"answer":"caf\\u00e9"}', "café"),
        ("outputs.answer", b'{"answer": {"a": 1.10, "b": [true]}}', '{"a": 1.10, "b": [true]}'),
        ("outputs.answer", b'{"answer":12345678901234567890.10}', "12345678901234567890.10"),
        ("outputs.answer", {"answer": False}, "false"),
        ("outputs.answer", {"answer": None}, None),
        ("outputs.answer", {"answer": "null"}, "null"),
        ("outputs.answer", {"answer": ""}, ""),
        ("outputs.answer", b'{"answer":1,"answer":2}', "2"),
        ("outputs.answer", {}, None),
        ("outputs.answer", None, None),
        ("outputs.answer", "just text", None),
        ("outputs.answer", ["answer"], None),
        ("outputs.answer", 7, None),
        ("outputs.answer", b'{"answer":1' + b"0" * 5000 + b"}", "1" + "0" * 5000),
        ("outputs.answer", b'{"answer":' + b"[" * 500 + b"]" * 500 + b"}", "[" * 500 + "]" * 500),
        ("outputs.documents[0].page_content", {"documents": [{"page_content": "one"}, {}]}, "one"),
        ("outputs.documents.0.page_content", {"documents": [{"page_content": "one"}, {}]}, "one"),
        ("outputs.documents.0.page_content", {"documents": {"0": {"page_content": "one"}}}, "one"),
        ("outputs.documents[2].page_content", {"documents": [{}, {}]}, None),
        ("outputs[1]", ["a", "b"], "b"),
        ('outputs."key.with.dots"', {"key.with.dots": 1, "key": {"with": {"dots": 2}}}, "1"),
        ("outputs.a.b", {"a": "text"}, None),
    ],
)
def test_a_path_finds_its_value(path: str, payload: Any, expected: str | None) -> None:
    """A text comes as it is, any other value as the JSON it was, and what is null or not there is null."""
    assert flattened(path, payload) == ([expected], [])


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ({"n": 2, "avg": 0.5, "values": {}}, "0.5"),
        ({"n": 1, "avg": 0, "values": {"bad": 1}}, "0"),
        ({"n": 1, "avg": None, "values": {"good": 1}}, "good"),
        ({"n": 2, "avg": None, "values": {"good": 1, "bad": 1}}, None),
        ({"n": 1, "avg": None, "values": {}}, None),
        ({"n": 2, "avg": "NaN", "values": {}}, None),  # mended
        ({"n": 1}, None),
    ],
)
def test_feedback_is_its_score(summary: dict[str, Any], expected: str | None) -> None:
    """The short name leads to a key's average, or its single label; the column's own name to all there is."""
    payload = {"user_score": summary}
    assert Flattening(COLUMNS, ["feedback.user_score"]).columns[-1].name == "feedback__user_score"
    assert flattened("feedback.user_score", payload, into="feedback_stats")[0] == [expected]
    assert flattened("feedback.user_score.n", payload, into="feedback_stats")[0] == [str(summary["n"])]
    assert flattened("feedback_stats.user_score", payload, into="feedback_stats")[0] == [json.dumps(summary)]


@pytest.mark.parametrize(
    ("type_", "raw", "expected"),
    [
        ("int64", "1", 1),
        ("int64", "-9223372036854775808", -(2**63)),
        ("int64", "3.0", 3),
        ("int64", "1e3", 1000),
        ("int64", "9007199254740993.0", 9007199254740993),
        ("float64", "0.1", 0.1),
        ("float64", "3", 3.0),
        ("float64", "9007199254740992", 2.0**53),
        ("bool", "true", True),
        ("timestamp", '"2025-03-01T10:00:00+01:00"', datetime(2025, 3, 1, 9, tzinfo=UTC)),
        ("timestamp", '"2025-03-01T09:00:00.1234567Z"', datetime(2025, 3, 1, 9, 0, 0, 123456, UTC)),
        ("timestamp", '"2025-03-01T09:00:00"', datetime(2025, 3, 1, 9, tzinfo=UTC)),
        ("strings", '["a", ""]', ["a", ""]),
        ("strings", "[]", []),
        ("json", '{"a": [1.10]}', '{"a": [1.10]}'),
        ("string", '"1"', "1"),
        ("string", "1", "1"),
    ],
)
def test_a_value_that_fits_its_type_is_of_it(type_: str, raw: str, expected: Any) -> None:
    """Nothing is rounded on the way, and a null fits every type."""
    values, misfits = flattened(f"outputs.score:{type_}", f'{{"score":{raw}}}'.encode(), {"score": None}, {})
    assert (values, misfits) == ([expected, None, None], [None, None, None])
    assert type(values[0]) is type(expected)


@pytest.mark.parametrize(
    ("type_", "raw"),
    [
        *[("int64", raw) for raw in ('"5"', "true", "1.5", "9223372036854775808", "1e400", "1e999999999", "[1]", "{}")],
        *[("int64", raw) for raw in ("1e-999999", "1e99999999999999999999", "1" * 6000)],
        *[("float64", raw) for raw in ('"n/a"', '"1.5"', "false", "9007199254740993", "1e400", "1" * 6000, "[]")],
        *[("bool", raw) for raw in ("1", "0", '"true"', "[]")],
        *[("timestamp", raw) for raw in ('"soon"', '""', "1740787200", '"2025-13-01T00:00:00Z"', "{}")],
        *[("timestamp", raw) for raw in ('"0001-01-01T00:00:00+14:00"', '"2016-12-31T23:59:60Z"')],
        *[("strings", raw) for raw in ('"a"', '["a", 1]', '["a", null]', "{}")],
    ],
)
def test_a_value_that_does_not_fit_is_kept_and_counted(type_: str, raw: str) -> None:
    """It is null in its column and whole, to the digit, in the misfits of its row."""
    flattening = Flattening(COLUMNS, [f"outputs.score:{type_}"])
    rows = flattening.apply(rows_of(f'{{"score":{raw}}}'.encode(), {}))
    assert rows.columns[-2] == [None, None]
    assert list(map(readable, rows.columns[-1])) == [f'{{"outputs.score":{raw}}}', None]
    assert flattening.misfits == 1


def test_misfits_of_a_row_lie_together() -> None:
    """One column holds those of all paths, and the count goes on over pages."""
    flattening = Flattening(COLUMNS, ["outputs.a:int", "outputs.b:bool", "inputs.c"])
    page = rows_of({"a": "x", "b": 2}, {"a": 1, "b": True})
    assert [column.type for column in flattening.columns[-4:]] == ["integer", "boolean", "string", "json"]
    for pages in (1, 2):
        rows = flattening.apply(page)
        assert list(map(readable, rows.columns[-1])) == ['{"outputs.a":"x","outputs.b":2}', None]
        assert flattening.misfits == 2 * pages


def test_there_is_no_column_of_misfits_without_types() -> None:
    """Text takes everything, so nothing can be amiss."""
    names = [column.name for column in Flattening(COLUMNS, ["outputs.a", "outputs.b"]).columns]
    assert names == [*(column.name for column in COLUMNS), "outputs__a", "outputs__b"]


def test_keys_that_look_alike_have_columns_of_their_own() -> None:
    """Keys that differ in capitals or signs are not one column, whichever of them the rows have."""
    flattening = Flattening(COLUMNS, ["inputs.a:int", "inputs.A", 'inputs."x.y"', "inputs.x-y", "inputs.x.y"])
    rows = rows_of({"a": 1, "A": 2, "x.y": 3, "x-y": 4, "x": {"y": 5}}, into="inputs")
    assert len({column.name.casefold() for column in flattening.columns}) == len(COLUMNS) + 6
    assert flattening.apply(rows).columns[len(COLUMNS) : -1] == [[1], ["2"], ["3"], ["4"], ["5"]]


@pytest.mark.parametrize("paths", [["inputs.a", "inputs.a:int"], ["inputs.a[0]", "inputs.a.0"]])
def test_a_place_has_one_column(paths: list[str]) -> None:
    """Two paths to the same place are refused: their columns would have the same name."""
    with pytest.raises(ConfigurationError, match=says("Two paths of flatten lead to the same place")):
        Flattening(COLUMNS, paths)


def test_columns_that_came_in_go_out_as_they_are() -> None:
    """Flattening adds; it neither changes nor copies."""
    rows = rows_of({"a": 1})
    out = Flattening(COLUMNS, ["outputs.a"]).apply(rows)
    assert all(after is before for before, after in zip(rows.columns, out.columns, strict=False))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("input.question", "no column"),
        ("run_id.a", "is string"),
        ("run_id", "whole column"),
        ("inputs", "whole column"),
        ("inputs.*.a", "many values"),
        ("inputs.a:money", "type 'money'"),
        ("inputs..a", "no path"),
    ],
)
def test_a_path_that_cannot_be_meant_is_refused(path: str, why: str) -> None:
    """Before anything is read, and with the reason."""
    with pytest.raises(ConfigurationError, match=why):
        Flattening(COLUMNS, [path])


KEYS = st.one_of(
    st.sampled_from(["a", "A", "0", "1", "01", " ", "a.b", 'q"', "x\\", "*", "", "[0]"]), st.text(max_size=5)
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)


def walked(value: Any, keys: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], Any]:
    """Walk all the places there are in a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [walked(inner, (*keys, key)) for key, inner in inside]
    return {keys: value} | {path: value_there for each in below for path, value_there in each.items()}


def as_text(value: Any) -> str | None:
    """Return what a column without a type holds, by a plain walk."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def looked_up(value: Any, steps: tuple[str | int, ...]) -> Any:
    """Follow steps as Python would: an index in a list, a key in an object, and a number as a key, too."""
    for step in steps:
        inside = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
        value = inside.get(str(step) if isinstance(value, dict) else step)
    return value


@given(OBJECTS, OBJECTS)
def test_paths_find_what_a_plain_walk_finds(payload: dict[str, Any], other: dict[str, Any]) -> None:
    """For any JSON, each place's own path leads to its value, in every row that has it, and to null elsewhere."""
    keys = [path for path in walked(payload) if path]
    flattening = Flattening(COLUMNS, [spell("outputs", path) for path in keys])
    raws = [json.dumps(each, ensure_ascii=False).encode() for each in (payload, other)]
    rows = flattening.apply(rows_of(*raws))
    assert len({name.name.casefold() for name in flattening.columns}) == len(flattening.columns)
    for path, values in zip(keys, rows.columns[len(COLUMNS) :], strict=True):
        assert values == [as_text(looked_up(place, path)) for place in (payload, other)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(st.tuples(OBJECTS, OBJECTS, OBJECTS), max_size=4))
def test_any_json_survives_all_the_way_to_a_file(tmp_path: Path, objects: list[tuple[Any, ...]]) -> None:
    """Discovered, flattened, encoded and read back, all is equal; and rows have no key that is no column."""
    raws = [[Raw(json.dumps(value).encode()) for value in values] for values in zip(*objects, strict=True)]
    rows = Rows([[str(n) for n, _ in enumerate(objects)], *(raws or [[], [], []]), [None] * len(objects)], len(objects))
    discovery = Discovery(COLUMNS)
    discovery.add(rows)
    flattening = Flattening(COLUMNS, discovery.paths())
    flat = flattening.apply(rows)
    assert flattening.misfits == 0
    names = [column.name for column in flattening.columns]
    expected = [dict(zip(names, map(readable, row), strict=True)) for row in zip(*flat.columns, strict=True)]
    parquet, lines = tmp_path / "part.parquet", tmp_path / "part.jsonl"
    for path in (parquet, lines):
        encoder = format_of(path.suffix[1:], "none").open(path, View("runs", flattening.columns))
        encoder.write(flat)
        encoder.close()
    assert pq.read_table(parquet).to_pylist() == expected
    json_columns = {column.name for column in flattening.columns if column.type == "json"}
    for line, row in zip(lines.read_bytes().splitlines(), expected, strict=True):
        landed = json.loads(line)
        assert landed.keys() <= set(names)
        assert landed == {
            name: json.loads(value) if name in json_columns and value is not None else value
            for name, value in row.items()
        }


def test_flattening_adds_to_no_rows() -> None:
    """A page without rows has the columns, too."""
    assert Flattening(COLUMNS, ["outputs.a:int"]).apply(rows_of()).columns == [[]] * (len(COLUMNS) + 2)


def test_nulls_are_counted() -> None:
    """Each flat column counts its nulls, over all pages: what is missing, null, or does not fit."""
    flattening = Flattening(COLUMNS, ["outputs.a:int", "outputs.b", "inputs.c"])
    for _ in range(2):
        flattening.apply(rows_of({"a": 1, "b": "x"}, {"a": "no", "b": None}, {"b": "y"}, None))
    assert flattening.nulls == {"outputs__a": 6, "outputs__b": 4, "inputs__c": 8}
    assert flattening.rows == 8


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("outputs.question", "keys of outputs seen: answer, turn, user"),
        ("outputs.user.nam", "keys of outputs.user seen: name"),
        ("outputs.turn.x", "no row has an object at outputs.turn"),
        ("outputs.turn:bool", "outputs.turn has values, but nulls or of another type"),
        ("outputs.user.name.first.x", "no row has an object at outputs.user.name"),
        ("inputs.question", "no row has an object at inputs"),
    ],
)
def test_a_column_without_values_tells_what_is_there(path: str, hint: str) -> None:
    """Where a path finds nothing in any row, the keys at the place where it ends are told."""
    flattening = Flattening(COLUMNS, [path, "outputs.answer"])
    flattening.apply(rows_of({"turn": 1, "answer": "yes"}, {"user": {"name": None}}, None, "text"))
    assert flattening.empty() == {flattening.columns[len(COLUMNS)].name: hint}


def test_without_rows_no_column_is_empty() -> None:
    """A window without rows says nothing about paths."""
    flattening = Flattening(COLUMNS, ["outputs.a"])
    flattening.apply(rows_of())
    assert (flattening.empty(), flattening.nulls) == ({}, {"outputs__a": 0})


@given(st.lists(st.text(max_size=60), max_size=200), st.text(max_size=80))
def test_a_hint_is_one_short_line(keys: list[str], place: str) -> None:
    """However many keys there are, however long, and whatever is in them, a hint is a line that the log view shows."""
    flattening = Flattening(COLUMNS, [spell("outputs", [place, "missing" * 10])])
    flattening.apply(rows_of({place: dict.fromkeys(keys)}))
    (hint,) = flattening.empty().values()
    assert len(hint) <= 88
    assert hint.isprintable()
