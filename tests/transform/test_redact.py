"""What a rule is for is in no byte that comes out; all else is as it was."""

from __future__ import annotations

import hashlib
import hmac
import json
import traceback
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.transform.redact import Redaction
from airflow_langsmith.views import Column, ColumnType, Rows, View
from airflow_langsmith.views.columns import IDS, THREAD
from tests.wording import says

EMAIL, CARD, KEY = "ada.lovelace+tag@example.com", "4111-1111-1111-1111", "sk-proj-abcDEF0123456789abcdef"
SECRET = "a key of our own"
ALL_THREE = {"patterns": ["email", "card", "api_key"]}
TYPES: dict[str, ColumnType] = {
    "run_id": "string",
    "thread_id": "string",
    "name": "string",
    "error": "string",
    "tags": "strings",
    "total_tokens": "integer",
    "inputs": "json",
    "outputs": "json",
    "feedback_stats": "json",
}
MADE_OF = {"run_id": IDS, "thread_id": THREAD}
COLUMNS = tuple(Column(name, type_, "", lambda _: None, sources=MADE_OF.get(name)) for name, type_ in TYPES.items())


def row_of(**values: Any) -> Rows:
    """Make one row; JSON is given as bytes, or as a value."""
    cells: list[list[Any]] = []
    for name, type_ in TYPES.items():
        value = values.get(name, "run-1" if name == "run_id" else None)
        if type_ == "json" and value is not None:
            value = Raw(value if isinstance(value, bytes) else json.dumps(value).encode())
        cells.append([value])
    return Rows(cells, 1)


def cell(rows: Rows, name: str) -> Any:
    """Read a value of the one row; JSON as its value."""
    value = rows.columns[list(TYPES).index(name)][0]
    return json.loads(bytes(value)) if isinstance(value, Raw) else value


def redacted(rules: Any, column: str, value: Any, key: str | None = SECRET) -> Any:
    """Redact one value."""
    return cell(Redaction(COLUMNS, rules, key).apply(row_of(**{column: value})), column)


def digest(content: str) -> str:
    """Hash as anybody with the key can."""
    return hmac.new(SECRET.encode(), content.encode(), hashlib.sha256).hexdigest()


def shout(value: Any) -> Any:
    """Stand for a user's function."""
    return value.upper() if isinstance(value, str) else {"was": value}


def fail(value: Any) -> Any:
    """Stand for a user's function with a bug."""
    raise ValueError(f"cannot mask {value}")


def give_odd(_: Any) -> Any:
    """Stand for a user's function that gives what JSON has nothing for."""
    return object()


CALL = f"{__name__}."


@pytest.mark.parametrize(
    ("rules", "column", "before", "after"),
    [
        ({"error": "drop"}, "error", "boom", None),
        ({"inputs": "drop"}, "inputs", {"a": 1}, None),
        ({"tags": "drop"}, "tags", ["a"], None),
        ({"total_tokens": "drop"}, "total_tokens", 7, None),
        ({"inputs.a": "drop"}, "inputs", {"a": 1, "b": 2}, {"b": 2}),
        ({"inputs.a.b[0]": "drop"}, "inputs", {"a": {"b": [1, 2]}}, {"a": {"b": [None, 2]}}),
        ({"inputs.messages.*.content": "drop"}, "inputs", {"messages": [{"content": 1}, {"x": 1}, 2]},
         {"messages": [{}, {"x": 1}, 2]}),
        ({"inputs.*": "drop"}, "inputs", {"a": 1, "b": 2}, {}),
        ({'inputs."a.b"': "drop"}, "inputs", {"a.b": 1, "a": {"b": 2}}, {"a": {"b": 2}}),
        ({"feedback.*.comments": "drop"}, "feedback_stats", {"k": {"n": 1, "comments": ["x"]}}, {"k": {"n": 1}}),
        ({"inputs.q": {"truncate": 3}}, "inputs", {"q": "abcdef", "r": "abcdef"}, {"q": "abc", "r": "abcdef"}),
        ({"inputs.q": {"truncate": 3}}, "inputs", {"q": ["abcdef", 123456]}, {"q": ["abc", 123456]}),
        ({"error": {"truncate": 0}}, "error", "boom", ""),
        ({"tags": {"truncate": 1}}, "tags", ["ab", "c"], ["a", "c"]),
        ({"inputs.q": {"pattern": "email"}}, "inputs", {"q": f"to {EMAIL}", "r": EMAIL},
         {"q": "to [email]", "r": EMAIL}),
        ({"inputs.q": {"pattern": r"\d+", "with": "#"}}, "inputs", {"q": "a1"}, {"q": "a#"}),
        ({"error": {"patterns": ["email", {"pattern": "card", "with": "***"}], "with": "?"}}, "error",
         f"{EMAIL} {CARD}", "? ***"),
        ({"error": ["hash"]}, "error", "boom", digest("boom")),
        ({"inputs.user": "hash"}, "inputs", {"user": "ada"}, {"user": digest("ada")}),
        ({"inputs.user": "hash"}, "inputs", b'{"user": {"b": 1, "a": [1.50, null]}}',
         {"user": digest('{"a":[1.5,null],"b":1}')}),
        ({"inputs.user": "hash"}, "inputs", {"user": None}, {"user": None}),
        ({"inputs": "hash"}, "inputs", {"a": 1}, digest('{"a":1}')),
        ({"tags": "hash"}, "tags", ["a", "b"], [digest("a"), digest("b")]),
        ({"run_id": "hash"}, "run_id", "run-1", digest("run-1")),
        ({"error": {"call": CALL + "shout"}}, "error", "boom", "BOOM"),
        ({"inputs.a": {"call": CALL + "shout"}}, "inputs", {"a": 1.5}, {"a": {"was": 1.5}}),
        ({"inputs": {"call": CALL + "shout"}}, "inputs", ["a"], {"was": ["a"]}),
        ({"tags": {"call": CALL + "shout"}}, "tags", ["a"], ["A"]),
        ({"*": {"call": CALL + "shout"}}, "inputs", {"a": ["b", 1]}, {"A": ["B", 1]}),
        ({"*": "hash"}, "error", "boom", digest("boom")),
        ({"*": "drop"}, "tags", ["a"], []),
        ({"*": {"truncate": 2}}, "inputs", {"abc": "def"}, {"ab": "de"}),
        ({"*": {"pattern": "email"}}, "name", EMAIL, "[email]"),
        (["email"], "name", EMAIL, "[email]"),
        ([{"pattern": "email", "with": ""}, {"truncate": 4}, {"name": "drop"}], "error", f"say {EMAIL}!", "say "),
        ([], "inputs", {"a": EMAIL}, {"a": EMAIL}),
    ],
)  # fmt: skip
def test_a_rule_does_what_it_says(rules: Any, column: str, before: Any, after: Any) -> None:
    """Each action, on columns and paths of every kind."""
    assert redacted(rules, column, before) == after


@pytest.mark.parametrize(
    "planted",
    [
        {"q": f"I am {EMAIL}, pay with {CARD}, use {KEY}"},
        {EMAIL: {CARD: [[{"x": {KEY: [EMAIL]}}]]}},
        [[[EMAIL]], [CARD, [KEY]]],
        EMAIL,
        {"card": 4111111111111111, "float": 4111111111111111.0},
        f'{{"nested JSON": "{{\\"to\\": \\"{EMAIL}\\"}}"}}'.encode(),
        "".join(f"\\u{ord(letter):04x}" for letter in f"{EMAIL} {CARD} {KEY}").join(['{"q":"', '"}']).encode(),
        f'{{"q":"{EMAIL}","q":"fine","{KEY}":1}}'.encode(),
        b'{"deep":' + b"[" * 400 + f'"{EMAIL} {CARD} {KEY}"'.encode() + b"]" * 400 + b"}",
        f'{{"q":"{EMAIL}","n":{"1" * 5000},"bad":"'.encode() + b'\xff"}',
    ],
)
@pytest.mark.parametrize("name", ["parquet", "jsonl", "csv"])
def test_what_is_planted_is_in_no_byte(planted: Any, name: str, tmp_path: Path) -> None:
    """In texts, keys, lists, numbers, escapes and twofold keys, of every column and format, nothing stays."""
    rows = row_of(inputs=planted, outputs=planted, feedback_stats={"k": {"comments": [f"{EMAIL} {CARD} {KEY}"]}})
    for column, value in (("name", EMAIL), ("error", f"{KEY}: {CARD}"), ("tags", [CARD, f"by {EMAIL}", "plain"])):
        rows.columns[list(TYPES).index(column)][0] = value
    clean = Redaction(COLUMNS, {"*": ALL_THREE}).apply(rows)
    format_ = format_of(name, "none")
    encoder = format_.open(tmp_path / "part", View("runs", COLUMNS))
    encoder.write(clean)
    encoder.close()
    content = (tmp_path / "part").read_bytes()
    if name == "parquet":
        content += repr(pq.read_table(tmp_path / "part").to_pylist()).encode()
    for secret in (EMAIL, "example.com", CARD, CARD.replace("-", ""), KEY, "\\u0040"):
        assert secret.encode() not in content
    assert b"[email]" in content


def is_no_card(number: float) -> bool:
    """Whether a rule for cards takes a number for none: a card is as long, and has its check digit."""
    digits = json.dumps(number).lstrip("-").partition(".")[0]
    doubled = (divmod(int(digit) * (1 + place % 2), 10) for place, digit in enumerate(reversed(digits)))
    return not (13 <= len(digits) <= 19 and digits.isdigit() and sum(map(sum, doubled)) % 10 == 0)


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS.filter(is_no_card) | st.text(max_size=5),  # the shortest address has six
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)
NO_BREAK = "".join(map(chr, range(0x0900, 0x0F00)))  # no letters all, but in words of scripts that an address may have
TEXT = st.text(
    st.characters(exclude_categories=["Cs", "L", "N", "M"], exclude_characters=f"+.@%\\_'-~*&$#!/(){NO_BREAK}"),
    max_size=5,
)


@given(JSON, TEXT, TEXT, st.sampled_from([EMAIL, CARD, KEY]), st.booleans())
def test_wherever_it_is_it_goes(value: Any, before: str, after: str, secret: str, ascii_only: Any) -> None:
    """Whatever JSON is around it, and however that is escaped, a secret is replaced and the rest is equal."""
    text = f"{before}{secret}{after}"
    planted = {"value": value, "text": text, "list": [text], text: 1}
    rows = row_of(inputs=json.dumps(planted, ensure_ascii=ascii_only).encode())
    redacted = Redaction(COLUMNS, ["email", "card", "api_key"]).apply(rows).columns[list(TYPES).index("inputs")][0]
    assert secret.encode() not in bytes(redacted)
    read = json.loads(bytes(redacted))
    kind = {EMAIL: "[email]", CARD: "[card]", KEY: "[api_key]"}[secret]
    assert (read["text"], read["list"]) == (f"{before}{kind}{after}", [f"{before}{kind}{after}"])
    assert read["value"] == value


def test_ids_stay_what_they_are() -> None:
    """Rules for everything leave LangSmith's ids; a thread's id is the user's, and often an address."""
    clean = Redaction(COLUMNS, {"*": "hash"}, SECRET).apply(row_of(thread_id=EMAIL, name="x"))
    assert (cell(clean, "run_id"), cell(clean, "thread_id"), cell(clean, "name")) == (
        "run-1",
        digest(EMAIL),
        digest("x"),
    )


def test_columns_without_a_rule_keep_their_bytes() -> None:
    """Not even spaces change; and JSON with a rule keeps every digit."""
    odd = b'{"a" :  1.10, "a":2}'
    rows = row_of(inputs=odd, outputs=b'{"x": 1.10, "big": 123456789012345678901234567890.10, "y": "z"}')
    clean = Redaction(COLUMNS, {"outputs.y": "drop"}).apply(rows)
    place = list(TYPES).index("inputs")
    assert clean.columns[place] is rows.columns[place]
    assert bytes(clean.columns[place + 1][0]) == b'{"x":1.10,"big":123456789012345678901234567890.10}'


def test_the_rows_that_came_stay_as_they_were() -> None:
    """Redaction makes rows of its own."""
    rows = row_of(tags=[EMAIL], inputs={"q": EMAIL})
    Redaction(COLUMNS, ["email"]).apply(rows)
    assert (cell(rows, "tags"), cell(rows, "inputs")) == ([EMAIL], {"q": EMAIL})


def test_equal_values_stay_joinable() -> None:
    """One key gives one hash, in columns and in JSON, whatever other rules there are; another key another."""
    rules = {"*": [{"pattern": r"\d\d"}, {"truncate": 5}], "inputs.user": "hash", "name": "hash"}
    clean = Redaction(COLUMNS, rules, SECRET).apply(row_of(name="ada", inputs={"user": "ada"}))
    assert cell(clean, "name") == cell(clean, "inputs")["user"] == digest("ada")
    assert redacted({"name": "hash"}, "name", "ada", key="another") != digest("ada")


def test_a_cut_comes_last() -> None:
    """However rules are ordered, none hides half of an address from a pattern."""
    for rules in ({"inputs.q": {"truncate": 8}, "*": {"pattern": "email"}}, ["email", {"inputs.q": {"truncate": 8}}]):
        assert redacted(rules, "inputs", {"q": f"{EMAIL} and more"}) == {"q": "[email] "}


def test_keys_that_become_alike_keep_their_values() -> None:
    """They are told apart by a number."""
    before = {"a@example.com": 1, "b@example.com": 2, "[email]_2": 3, "c@example.com": 4, "x": 5}
    after = {"[email]": 1, "[email]_2": 2, "[email]_2_2": 3, "[email]_3": 4, "x": 5}
    assert redacted(["email"], "inputs", before) == after


@pytest.mark.parametrize(
    ("function", "why"), [("fail", "raised ValueError"), ("give_odd", "raised TypeError"), ("missing", None)]
)
def test_a_function_that_fails_is_named_and_the_value_is_not(function: str, why: str | None) -> None:
    """The error tells the rule and the run, and neither it nor its traceback quotes what should be hidden."""
    rules = {"inputs.user": {"call": CALL + function}}
    if why is None:
        with pytest.raises(ConfigurationError, match=says("cannot be imported")):
            Redaction(COLUMNS, rules)
        return
    with pytest.raises(
        ConfigurationError, match=says(rf"in run run-1: rule 'inputs.user': .*\.{function} {why}")
    ) as caught:
        Redaction(COLUMNS, rules).apply(row_of(inputs={"user": EMAIL}))
    assert not caught.value.retriable
    assert EMAIL not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_only_text_may_come_into_text() -> None:
    """A function for a text column, or for every text, that gives something else fails the export."""
    for rules in ({"error": {"call": "builtins.len"}}, {"*": {"call": "builtins.len"}}):
        with pytest.raises(ConfigurationError, match=says("other than text")):
            Redaction(COLUMNS, rules).apply(row_of(error="boom"))


@pytest.mark.parametrize("payload", [b'{"a":', b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"])
def test_json_that_cannot_be_read_fails_rather_than_passes(payload: bytes) -> None:
    """What a rule cannot look into is not let through, and the run is named."""
    with pytest.raises(ConfigurationError, match=says(r"run run-1.*cannot be read")):
        Redaction(COLUMNS, ["email"]).apply(row_of(inputs=payload))


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({"input": "drop"}, "no column"),
        ({"error.a": "drop"}, "is string"),
        ({"inputs.a:int": "drop"}, "has a type"),
        ({"inputs..a": "drop"}, "no path"),
        ({"total_tokens": "hash"}, "only be dropped"),
        ({"total_tokens": {"pattern": "card"}}, "only be dropped"),
        ({"error": "delete"}, "no action of redact"),
        ({"error": {}}, "no action of redact"),
        ({"error": []}, "no action of redact"),
        ({"error": {"truncate": -1}}, "no action of redact"),
        ({"error": {"truncate": True}}, "no action of redact"),
        ({"error": {"truncate": 3, "with": "..."}}, "no action of redact"),
        ({"error": {"pattern": "email", "with": 3}}, "has to be a text"),
        ({"error": {"pattern": "emial"}}, "no pattern 'emial'"),
        ({"error": {"pattern": "("}}, "no regular expression"),
        ({"error": {"call": "no.such.module"}}, "cannot be imported"),
        ({"error": {"call": "math.pi"}}, "no function"),
        (["emial"], "no pattern 'emial'"),
        ([7], "no rule"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rules: Any, why: str) -> None:
    """Before anything is read: a rule that does nothing would be worse than none."""
    with pytest.raises(ConfigurationError, match=why):
        Redaction(COLUMNS, rules, SECRET)


@pytest.mark.parametrize("key", [None, ""])
def test_a_hash_needs_a_key(key: str | None) -> None:
    """Without one, anybody with a list of names could find out who is who."""
    with pytest.raises(ConfigurationError, match=says("needs a key, or anybody could hash guesses")):
        Redaction(COLUMNS, {"name": "hash"}, key)


def test_the_key_is_not_shown() -> None:
    """Neither a redaction nor its rules print it."""
    redaction = Redaction(COLUMNS, {"name": "hash", "*": "hash"}, SECRET)
    assert SECRET not in repr(vars(redaction))


def test_paths_that_no_row_has_are_listed() -> None:
    """A path without anything at it is listed, if all rows came by: an earlier try may have seen the others."""
    redaction = Redaction(
        COLUMNS, {"outputs.x": "drop", "outputs.y": "drop", "inputs": "drop", "*": {"patterns": ["email"]}}
    )
    redaction.apply(row_of(outputs={"x": 1}))
    redaction.apply(row_of(outputs={"z": 1}))
    assert redaction.unmatched(2) == ("outputs.y",)
    assert redaction.unmatched(3) == redaction.unmatched(0) == ()
