"""A path is read as it is meant, written so that it reads back, or refused with what to do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.transform.paths import ANY, Step, matching_keys, parse, place_of, spell
from airflow_langsmith.views import VIEWS
from tests.wording import says

COLUMNS = VIEWS["runs"].columns
NAMES = [column.name for column in COLUMNS]


@pytest.mark.parametrize(
    ("text", "column", "steps"),
    [
        ("inputs.question", "inputs", ["question"]),
        (" inputs.question ", "inputs", ["question"]),
        ("inputs", "inputs", []),
        ("outputs.documents[0].page_content", "outputs", ["documents", 0, "page_content"]),
        ("outputs.documents.0.page_content", "outputs", ["documents", 0, "page_content"]),
        ("outputs[0][12]", "outputs", [0, 12]),
        ('outputs."0".01', "outputs", ["0", "01"]),
        ('metadata."key.with.dots"', "metadata", ["key.with.dots"]),
        (r"metadata.key\.with\.dots", "metadata", ["key.with.dots"]),
        (r'metadata."a \"quoted\" \\ key".b', "metadata", ['a "quoted" \\ key', "b"]),
        ('metadata."a:b"', "metadata", ["a:b"]),
        (r"metadata.a\:b", "metadata", ["a:b"]),
        ('metadata.""', "metadata", [""]),
        ("metadata.user id", "metadata", ["user id"]),
        ("metadata.größe.数", "metadata", ["größe", "数"]),
        ("inputs.messages.*.content", "inputs", ["messages", ANY, "content"]),
        ("inputs.messages[*].content", "inputs", ["messages", ANY, "content"]),
        ('inputs."*"', "inputs", ["*"]),
        (r"inputs.\*", "inputs", ["*"]),
    ],
)
def test_every_spelling_is_read(text: str, column: str, steps: list[Step]) -> None:
    """Dots, indices, quotes, backslashes and stars mean what the documentation says."""
    path = parse(text)
    assert (path.column, path.steps, path.type) == (column, tuple(steps), None)


@pytest.mark.parametrize(
    ("spelled", "type_"),
    [
        *[(name, "string") for name in ("string", "str")],
        *[(name, "integer") for name in ("int64", "integer", "int")],
        *[(name, "number") for name in ("float64", "number", "float")],
        *[(name, "boolean") for name in ("bool", "boolean")],
        *[(name, name) for name in ("timestamp", "strings", "json")],
    ],
)
def test_a_type_follows_the_last_colon(spelled: str, type_: str) -> None:
    """Each type has the names people call it by."""
    path = parse(f"outputs.score:{spelled}")
    assert (path.text, path.steps, path.type) == ("outputs.score", ("score",), type_)


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "inputs.", ".question", "inputs..question", "*.a", "[0]", 'inputs."open', 'inputs."a"b'),
        *("inputs[x]", "inputs[-1]", "inputs[0", "inputs.a]", "inputs[0]b", "inputs.a\\"),
    ],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    """The refusal quotes it and shows how paths and quoted keys look."""
    with pytest.raises(ConfigurationError, match=says(r'is no path at character \d+.*metadata."key.with.dots"')):
        parse(text)


@pytest.mark.parametrize("text", ["outputs.score:flot64", "outputs.score:", "outputs.a:b:c"])
def test_a_type_that_does_not_exist_is_refused(text: str) -> None:
    """The refusal lists the types, and tells how to write a colon that is part of a key."""
    with pytest.raises(ConfigurationError, match=says(r"float64.*timestamp.*colon")):
        parse(text)


@given(st.lists(st.text(max_size=8) | st.integers(0, 1000) | st.integers(0, 20).map(str), max_size=4))
def test_a_spelled_path_reads_back(steps: list[str | int]) -> None:
    """Whatever keys and indices are made of, the path written for them leads to them."""
    path = parse(spell("metadata", steps))
    assert (path.column, path.steps, path.type) == ("metadata", tuple(steps), None)


@pytest.mark.parametrize(
    ("text", "column"), [("inputs.a", "inputs"), ("feedback.a", "feedback_stats"), ("error", "error")]
)
def test_a_path_begins_with_a_column(text: str, column: str) -> None:
    """It is found by its name, or by the short one."""
    assert place_of(parse(text), COLUMNS) == NAMES.index(column)


def test_an_unknown_column_is_refused_with_those_there_are() -> None:
    """A typo in the column is told, not taken for a missing key."""
    with pytest.raises(ConfigurationError, match=says(r"'input'.*no column.*inputs, outputs")):
        place_of(parse("input.question"), COLUMNS)


def test_a_path_into_a_column_that_is_no_json_is_refused() -> None:
    """The refusal lists the columns that have an inside."""
    with pytest.raises(ConfigurationError, match=says(r"'error', which is string.*inputs, outputs, metadata")):
        place_of(parse("error.message"), COLUMNS)


def test_a_number_is_an_index_of_lists_and_a_key_of_objects() -> None:
    """What it means depends on what it finds, unless it is in quotes; an index past the end finds nothing."""
    assert list(matching_keys(["a", "b"], 1)) == [1]
    assert list(matching_keys({"1": "a"}, 1)) == list(matching_keys({"1": "a"}, "1")) == ["1"]
    nowhere: list[tuple[object, Step]] = [(["a"], 1), (["a"], "0"), (["a"], "a"), ({}, "a"), ("text", 0), (None, ANY)]
    for container, step in nowhere:
        assert list(matching_keys(container, step)) == []
