"""How messages read: short lines, whole words, the closest name first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import airflow_langsmith
from airflow_langsmith.errors import ConfigurationError, TransportError
from airflow_langsmith.messages import MAX_LINE, PREFIX, did_you_mean, format_message, mark_position, shorten, suggest

PACKAGE = Path(airflow_langsmith.__file__).parent
WORDS = st.text("abcXYZ/:'[](){}=-_.,!?0é", min_size=1, max_size=60)
SENTENCES = st.lists(WORDS, min_size=1, max_size=40).map(" ".join)


@given(st.lists(SENTENCES, min_size=1, max_size=4).map("\n".join))
def test_no_line_is_long_and_no_word_is_lost(text: str) -> None:
    """No line is over 90 characters, the first with its class, unless it is a word; no word is broken or missing."""
    laid_out = format_message(text)
    assert laid_out.split() == text.split()
    first, *others = laid_out.splitlines()
    assert len(PREFIX + first) <= MAX_LINE or len(first.split()) == 1
    assert all(len(line) <= MAX_LINE or len(line.split()) == 1 for line in others)


@given(SENTENCES)
def test_a_message_within_a_message_stays_as_it_is(text: str) -> None:
    """A formatted message does not change if it is formatted again."""
    assert format_message(format_message(text)) == format_message(text)


def test_each_sentence_has_its_own_line() -> None:
    """The first sentence is at the edge, the others are indented; abbreviations and URLs end no sentence."""
    text = "No project 'a'. Write e.g. +00:00 or a ... b. See https://example.com/a.b?c=d. Did you? Yes! End"
    assert format_message(text).splitlines() == [
        "No project 'a'.",
        "  Write e.g. +00:00 or a ... b.",
        "  See https://example.com/a.b?c=d.",
        "  Did you?",
        "  Yes!",
        "  End",
    ]


@given(st.text("abc(,) ", max_size=300).filter(lambda text: "  " not in text), st.data())
def test_a_mark_is_under_its_character_and_in_sight(text: str, data: st.DataObject) -> None:
    """The excerpt of a filter of any length fits, and the mark is under the position."""
    place = data.draw(st.integers(0, len(text)))
    shown, mark = mark_position(text, place).split("\n")
    assert len(shown) <= MAX_LINE
    assert len(mark) <= MAX_LINE + 1
    if place < len(text):
        assert shown[len(mark) - 1] == text[place]
    lines = format_message(f"It is none.\n{mark_position(text, place)}\nWrite another.").splitlines()
    assert lines[1:3] == [shown, mark]


@pytest.mark.parametrize(
    ("written", "known", "meant"),
    [
        ("Shop-Assistant", ["billing", "shop-assistant"], "shop-assistant"),
        ("runtype", ["name", "run_type", "status"], "run_type"),
        ("input", ["inputs", "outputs"], "inputs"),
        ("id", ["name", "run_id", "trace_id"], "run_id"),
        ("run", ["runs", "traces"], "runs"),
        ("LLM", ["tool", "llm"], "llm"),
        ("zebra", ["runs", "traces"], None),
        ("", ["runs"], None),
        (None, ["runs"], None),
    ],
)
def test_the_closest_name(written: object, known: list[str], meant: str | None) -> None:
    """The closest name ignores case, separators and missing letters; a distant name has no suggestion."""
    assert did_you_mean(written, known) == (f"Did you mean {meant!r}?" if meant else "")


def test_the_list_comes_last() -> None:
    """The list of all names follows the closest one."""
    assert suggest("tracs", ["runs", "traces"]) == "Did you mean 'traces'? It is one of runs, traces."
    assert suggest("zebra", ["runs", "traces"]) == "It is one of runs, traces."


@given(st.text(max_size=200), st.integers(2, 100))
def test_what_is_shortened_is_one_short_line(text: str, room: int) -> None:
    """A shortened text is one line of at most the maximum length."""
    line = shorten(text, room)
    assert len(line) <= room
    assert len(line.splitlines()) <= 1


def test_only_what_no_retry_cures_says_so_once() -> None:
    """A message says at its end, once, that a retry will not help."""
    assert str(ConfigurationError("It is wrong.")) == "It is wrong.\n  A retry will not help."
    assert str(TransportError("It broke.")) == "It broke."
    written = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if re.search(r"retry\W+will\W+not\W+help", path.read_text()) and path.name not in ("errors.py", "messages.py")
    ]
    assert written == []
