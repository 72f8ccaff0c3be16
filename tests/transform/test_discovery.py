"""Discovery finds every key once, with the type that all rows agree on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.transform.discovery import Discovery
from airflow_langsmith.transform.flatten import Flattening
from airflow_langsmith.views import Column, ColumnType, Rows
from tests.wording import says


def column(name: str, type_: ColumnType = "json") -> Column:
    """Make a column; what it reads does not matter here."""
    return Column(name, type_, "", lambda _: None)


COLUMNS = (column("name", "string"), column("outputs"), column("feedback_stats"))


def rows_of(*outputs: Any, feedback: Any = None) -> Rows:
    """Make rows of these outputs, all with the same feedback."""
    raws = [None if value is None else Raw(json.dumps(value).encode()) for value in outputs]
    stats = None if feedback is None else Raw(json.dumps(feedback).encode())
    return Rows([["answer"] * len(raws), raws, [stats] * len(raws)], len(raws))


def discovered(*pages: Rows, **options: int) -> tuple[str, ...]:
    """Discover the paths of pages."""
    discovery = Discovery(COLUMNS, **options)
    for page in pages:
        discovery.add(page)
    return discovery.paths()


@pytest.mark.parametrize(
    ("values", "suffix"),
    [
        (["a", "b"], ""),
        ([1, 2], ":int64"),
        ([1, 2**63 + 1], ""),
        ([2**53 + 1], ":int64"),
        ([2**53 + 1, 0.5], ""),
        ([1, 0.5], ":float64"),
        ([1.0], ":float64"),
        ([True, False], ":bool"),
        ([True, 1], ""),
        ([[1], ["a"]], ":json"),
        ([[1], {"b": 1}], ""),
        ([1, {}], ""),
        ([[1], "a"], ""),
        ([1, "n/a"], ""),
        ([None], ""),
        ([None, 1, None], ":int64"),
    ],
)
def test_a_path_has_the_type_that_all_values_have(values: list[Any], suffix: str) -> None:
    """Where they differ, or are texts, it has none; nulls do not matter, and nothing of it will be a misfit."""
    for ordered in (values, values[::-1]):
        rows = rows_of(*({"a": value} for value in ordered))
        paths = discovered(rows)
        assert [path for path in paths if path.startswith("outputs.a") and ".b" not in path] == [f"outputs.a{suffix}"]
        flattening = Flattening(COLUMNS, paths)
        flattening.apply(rows)
        assert flattening.misfits == 0


def test_objects_are_opened_down_to_a_depth() -> None:
    """Three keys deep by default; what is deeper stays whole, as lists do, and an empty object has no keys."""
    nested = {"a": {"b": {"c": {"d": 1}}, "empty": {}}, "list": [{"x": 1}], "key.with.dots": "x"}
    rows = rows_of(nested)
    assert discovered(rows) == ('outputs."key.with.dots"', "outputs.a.b.c:json", "outputs.list:json")
    assert "outputs.a:json" in discovered(rows, depth=1)
    assert "outputs.a.b.c.d:int64" in discovered(rows, depth=4)


def test_a_key_that_is_an_object_in_some_rows_is_both() -> None:
    """The keys inside are found, and what it is in the other rows is text."""
    assert discovered(rows_of({"a": {"b": 1}}, {"a": 2})) == ("outputs.a", "outputs.a.b:int64")


def test_feedback_is_one_path_a_key() -> None:
    """Scores are numbers however they are printed, labels are text."""
    stats = {
        "score": {"n": 1, "avg": 1, "values": {}, "comments": []},
        "label": {"n": 1, "avg": None, "values": {"good": 1}},
        "my.key": {"n": 1, "avg": 0.5},
    }
    assert discovered(rows_of({}, feedback=stats)) == (
        'feedback."my.key":float64',
        "feedback.label",
        "feedback.score:float64",
    )


def test_payloads_that_are_no_objects_have_no_keys() -> None:
    """Texts, lists, numbers and nothing at all are passed over."""
    assert discovered(rows_of("text", [1, {"a": 1}], 7, None), rows_of()) == ()


def test_too_many_keys_are_refused_with_what_to_do() -> None:
    """At the limit all is well; one more, over however many rows, names the two ways out."""
    rows = rows_of(*({f"key{number}": 1} for number in range(500)))
    assert len(discovered(rows)) == 500
    with pytest.raises(ConfigurationError, match=says("more than 500 keys.*leave out the JSON column")):
        discovered(rows, rows_of({"one more": 1}))
    with pytest.raises(ConfigurationError, match=says("more than 2 keys")):
        discovered(rows_of({"a": 1, "b": {"c": 1, "d": 1}}), limit=2)
    with pytest.raises(ConfigurationError, match=says("more than 2 keys")):
        discovered(rows_of(*({f"key{number}": {"inner": {}}} for number in range(3))), limit=2)


SMALL = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.lists(st.dictionaries(st.sampled_from("abc"), SMALL, max_size=3), max_size=5), st.randoms())
def test_the_order_of_rows_does_not_matter(outputs: list[Any], random: Any) -> None:
    """However rows come in pages, the paths and their types are the same."""
    shuffled = random.sample(outputs, len(outputs))
    assert discovered(rows_of(*outputs)) == discovered(*(rows_of(value) for value in shuffled))
