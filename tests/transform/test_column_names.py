"""Flat columns are named by their paths, and by nothing else."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from airflow_langsmith.transform.column_names import MAX_BYTES, column_name
from airflow_langsmith.transform.discovery import Discovery
from airflow_langsmith.transform.flatten import MISFITS, Flattening
from airflow_langsmith.views import VIEWS, Column, Rows

COLUMNS = tuple(Column(name, "json", "", lambda _: None) for name in ("inputs", "metadata"))


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        (["user_id"], "metadata__user_id"),
        (["user", "id"], "metadata__user__id"),
        (["documents", 0, "page_content"], "metadata__documents__0__page_content"),
        (["2fa"], "metadata__2fa"),
        (["user-id"], "metadata__user_id___324c2100"),
        (["User_ID"], "metadata__User_ID___25e62088"),
        (["userId"], "metadata__userId___4f6fca87"),
        (["user__id"], "metadata__user_id___f010df0f"),
        (["0"], "metadata__0___970fd7fe"),
        (["_"], "metadata___b4ae12b1"),
        ([""], "metadata___39c97673"),
        (["größe", "²"], "metadata__größe___b8e75117"),
        (["x" * 53], "metadata__" + "x" * 53),
        (["x" * 54], "metadata__" + "x" * 42 + "___acc4c838"),
    ],
)
def test_a_name_is_readable(steps: list[str | int], name: str) -> None:
    """Plain keys stand as they are, others are readable and have a digest; no later version may differ."""
    assert column_name("metadata", steps) == name


KEYS = st.one_of(
    st.sampled_from(
        ["user_id", "user-id", "User_ID", "USER_ID", "user", "id", "_", "__", "a", "0", "01", "", "ß", "ss"]
    ),
    st.text(st.sampled_from("aA_-.0 é日"), max_size=6),
    st.text("ab_", min_size=45, max_size=70),
    st.text(max_size=8),
)
PATHS = st.tuples(st.sampled_from(["inputs", "metadata"]), st.lists(KEYS | st.integers(0, 20), min_size=1, max_size=3))


@given(PATHS, PATHS)
def test_no_two_paths_have_one_name(path: tuple[str, list[Any]], other: tuple[str, list[Any]]) -> None:
    """Names differ where paths do, capitals aside, in as many bytes as warehouses keep."""
    first, second = column_name(*path), column_name(*other)
    assert (first.casefold() == second.casefold()) == (path == other)
    assert first.isidentifier()
    assert len(first.encode()) <= MAX_BYTES


@given(PATHS)
def test_a_name_cannot_be_taken_by_a_key(path: tuple[str, list[Any]]) -> None:
    """A key that is spelt like the name of another path's column, or a part of it, has a name of its own."""
    column, steps = path
    name = column_name(column, steps)
    inner = name.removeprefix(f"{column}__")
    for others in ([name], [inner], inner.split("__"), inner.split("___")):
        if others != steps:
            assert column_name(column, others) != name


@given(st.lists(st.dictionaries(KEYS, st.integers() | st.dictionaries(KEYS, st.booleans(), max_size=3), max_size=4)))
def test_a_name_means_the_same_every_day(days: list[dict[str, Any]]) -> None:
    """Whatever else a day's rows have, and in whatever order, the column of a key holds what is under that key."""
    everything = columns_of(days)
    for order in (days[::-1], random.Random(0).sample(days, len(days))):
        assert columns_of(order) == everything
    for day in days:
        for name, path in columns_of([day]).items():
            assert everything.get(name, path) == path
            if path not in everything.values():  # an object here and a text there has other paths, not other names
                assert name not in everything


def columns_of(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Discover the flat columns of rows; give each one's path, by its name."""
    payloads = [Raw(json.dumps(row).encode()) for row in rows]
    page = Rows([[None] * len(rows), payloads], len(rows))
    discovery = Discovery(COLUMNS)
    discovery.add(page)
    paths = discovery.paths()
    names = [column.name for column in Flattening(COLUMNS, paths).columns[len(COLUMNS) :] if column.name != MISFITS]
    assert len({name.casefold() for name in names}) == len(paths)
    return dict(zip(names, (path.partition(":")[0] for path in paths), strict=True))


def test_no_column_of_a_view_is_called_like_a_flat_one() -> None:
    """A flat column never takes the name of a column that a view has."""
    assert not [column.name for view in VIEWS.values() for column in view.columns if "__" in column.name]
    assert "__" not in MISFITS
