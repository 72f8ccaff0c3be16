"""Bodies of both versions, as records: nothing lost, nothing different between them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_langsmith.api.decoding import parse_time
from airflow_langsmith.api.query import FIELDS
from airflow_langsmith.api.records import Page, Project, Run
from airflow_langsmith.api.v1 import V1
from airflow_langsmith.api.v2 import V2
from airflow_langsmith.errors import PayloadError, TransportError
from tests.wording import says

SHOP = Project(id="p1", name="shop")


def page_v1(*runs: dict[str, Any] | str, cursor: str | None = None) -> Page:
    """Read a page of v1; a run may be given as the JSON text it is sent as."""
    sent = ",".join(run if isinstance(run, str) else json.dumps(run) for run in runs)
    return V1().read_page(
        f'{{"runs":[{sent}],"cursors":{{"next":{json.dumps(cursor)}}}}}'.encode(), SHOP, FIELDS, "here"
    )


def page_v2(*runs: dict[str, Any] | str, **rest: Any) -> Page:
    """Read a page of v2."""
    sent = ",".join(run if isinstance(run, str) else json.dumps(run) for run in runs)
    more = "".join(f",{json.dumps(name)}:{json.dumps(value)}" for name, value in rest.items())
    return V2().read_page(f'{{"items":[{sent}]{more}}}'.encode(), SHOP, FIELDS, "here")


V1_RUN: dict[str, Any] = {
    "id": "r2",
    "trace_id": "r1",
    "session_id": "p1",
    "parent_run_id": "r1",
    "parent_run_ids": ["r1"],
    "name": "answer",
    "run_type": "llm",
    "status": "success",
    "start_time": "2026-03-01T00:00:00.000001",
    "end_time": "2026-03-01T00:00:02",
    "first_token_time": None,
    "error": None,
    "tags": ["a"],
    "prompt_tokens": 7,
    "completion_tokens": 5,
    "total_tokens": 12,
    "prompt_cost": "0.07",
    "completion_cost": 0.05,
    "total_cost": "0.12",
    "prompt_token_details": {"cache_read": 3},
    "completion_token_details": None,
    "prompt_cost_details": {"cache_read": "0.01"},
    "inputs": {"q": 1},
    "outputs": {"a": 2},
    "extra": {"metadata": {"thread_id": "t1", "ls_model_name": "m"}, "runtime": {}},
    "feedback_stats": {},
    "in_dataset": False,
    "dotted_order": "x.y",
    "share_token": "secret",
}

V2_RUN: dict[str, Any] = {
    "id": "r2",
    "trace_id": "r1",
    "project_id": "p1",
    "parent_run_ids": ["r0", "r1"],
    "name": "answer",
    "run_type": "LLM",
    "status": "SUCCESS",
    "start_time": "2026-03-01T01:00:00.000001+01:00",
    "end_time": "2026-03-01T00:00:02Z",
    "tags": ["a"],
    "prompt_tokens": 7,
    "completion_tokens": 5,
    "total_tokens": 12,
    "prompt_cost": 0.07,
    "completion_cost": 0.05,
    "total_cost": 0.12,
    "prompt_token_details": {"raw": {"cache_read": 3}},
    "completion_token_details": {"raw": {}},
    "prompt_cost_details": {"raw": {"cache_read": "0.01"}},
    "inputs": {"q": 1},
    "outputs": {"a": 2},
    "extra": {"metadata": {"thread_id": "t1", "ls_model_name": "m"}, "runtime": {}},
    "metadata": {"thread_id": "t1", "ls_model_name": "m"},
    "is_in_dataset": False,
    "dotted_order": "x.y",
    "query_metadata": {"new": "field"},
}


def plain(run: Run) -> dict[str, Any]:
    """Write a record as values that compare."""
    values = {name: getattr(run, name) for name in FIELDS}
    return {
        name: json.loads(bytes(value)) if type(value).__name__ == "Raw" else value for name, value in values.items()
    }


def test_both_versions_make_the_same_record() -> None:
    """Naive times, costs as text, upper-case words, wrappers and chains of parents all come to one record."""
    (from_v1,), (from_v2,) = page_v1(V1_RUN).runs, page_v2(V2_RUN).runs
    assert plain(from_v1) == plain(from_v2)
    assert from_v1.start_time == datetime(2026, 3, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert (from_v1.run_type, from_v1.status, from_v1.parent_run_id) == ("llm", "success", "r1")
    assert (from_v1.prompt_cost, from_v1.total_cost) == (0.07, 0.12)
    assert from_v1.thread_id == "t1"
    assert from_v1.feedback_stats is from_v2.completion_token_details is None


def test_what_was_not_asked_for_is_none() -> None:
    """A run with nothing but an id and a start is a record with nothing else."""
    least = {"id": "r", "start_time": "2026-03-01T00:00:00Z"}
    for (run,) in (page_v1(least).runs, page_v2(least).runs):
        filled = {name: value for name, value in plain(run).items() if value not in (None, [], 0)}
        assert filled == {"id": "r", "start_time": datetime(2026, 3, 1, tzinfo=UTC), "project": SHOP}


@pytest.mark.parametrize("read", [page_v1, page_v2])
def test_payloads_keep_every_digit(read: Any) -> None:
    """Payloads stay the text they came as: numbers that no double holds, the order of keys, escapes."""
    text = '{"z":12345678901234567890123,"a":1e999,"b":0.10,"c":"\\u00e9\\u0000"}'
    (run,) = read(f'{{"id":"r","start_time":"2026-03-01T00:00:00","inputs":{text}}}').runs
    assert bytes(run.inputs) == text.encode()


@pytest.mark.parametrize("read", [page_v1, page_v2])
def test_half_a_surrogate_pair_loses_no_page(read: Any) -> None:
    """A page with half an emoji in it, or a NaN, is read; only these marks are replaced, and other runs are whole."""
    broken = '{"id":"a","start_time":"2026-03-01T00:00:00","name":"x","outputs":{"t":"cut \\ud83d","n":NaN}}'
    good = '{"id":"b","start_time":"2026-03-01T00:00:00","outputs":{"t":"whole \\ud83d\\ude00"}}'
    first, second = read(broken, good).runs
    assert json.loads(bytes(first.outputs)) == {"t": "cut \ufffd", "n": "NaN"}
    assert json.loads(bytes(second.outputs)) == {"t": "whole 😀"}


def test_json_printed_over_lines_stays_on_one() -> None:
    """A server that prints its JSON over lines does not break lines of ours."""
    (run,) = page_v2(
        json.dumps({"id": "r", "start_time": "2026-03-01T00:00:00Z", "inputs": {"a": [1, 2]}}, indent=2)
    ).runs
    assert run.inputs is not None
    assert b"\n" not in bytes(run.inputs)


@pytest.mark.parametrize("extra", [None, [], "text", {"metadata": None}, {"metadata": []}, {"metadata": "text"}, {}])
def test_odd_extras_are_no_error(extra: Any) -> None:
    """An extra or metadata of another shape than documented has no thread; the run is there all the same."""
    for (run,) in (
        page_v1({**V1_RUN, "extra": extra}).runs,
        page_v2({**V2_RUN, "metadata": extra if isinstance(extra, str) else None}).runs,
    ):
        assert run.thread_id is None


@pytest.mark.parametrize(
    ("metadata", "thread"),
    [
        ({"session_id": "s", "thread_id": "t", "conversation_id": "c"}, "s"),
        ({"thread_id": "t", "conversation_id": "c"}, "t"),
        ({"conversation_id": 7}, "7"),
        ({"session_id": "", "thread_id": None}, None),
        ({"session_id": {"a": 1}, "thread_id": ["t"], "conversation_id": "c"}, "c"),
        ({"session_id": {"a": 1}}, None),
    ],
)
def test_a_thread_has_three_names(metadata: dict[str, Any], thread: str | None) -> None:
    """A run's thread is found under any of LangSmith's three keys; what the server says itself comes first."""
    (run,) = page_v1({**V1_RUN, "extra": {"metadata": metadata}}).runs
    assert run.thread_id == thread
    (run,) = page_v1({**V1_RUN, "thread_id": "told", "extra": {"metadata": metadata}}).runs
    assert run.thread_id == "told"


def test_unknown_words_pass() -> None:
    """A status or run type that LangSmith invents tomorrow is a lower-case word, not an error."""
    (run,) = page_v2({**V2_RUN, "status": "INTERRUPTED", "run_type": "AGENT"}).runs
    assert (run.status, run.run_type) == ("interrupted", "agent")


def test_the_cursor() -> None:
    """The next page is named by v1 and v2 in their own places; nothing, null and empty mean there is none."""
    assert page_v1(cursor="c").cursor == page_v2(next_cursor="c").cursor == "c"
    assert page_v1(cursor=None).cursor is page_v2().cursor is page_v2(next_cursor=None).cursor is None
    assert page_v2(next_cursor="").cursor is page_v1(cursor="").cursor is None
    assert V1().read_page(b'{"runs": [], "cursors": null}', SHOP, FIELDS, "here").cursor is None


def test_bytes_that_are_no_utf_8() -> None:
    """A page with bytes that are no UTF-8 is read, with the mark for what cannot be."""
    (run,) = (
        V2()
        .read_page(
            b'{"items":[{"id":"r","start_time":"2026-03-01T00:00:00Z","inputs":{"a":"\xff"}}]}', SHOP, FIELDS, ""
        )
        .runs
    )
    assert run.inputs is not None
    assert json.loads(bytes(run.inputs)) == {"a": "\ufffd"}


@pytest.mark.parametrize("read", [page_v1, page_v2])
def test_mending_leaves_the_other_runs_alone(read: Any) -> None:
    """What is broken in one run changes no byte of another one, so it does not matter which page they are on."""
    text = '{"a": 1.10,"b":0.12345678901234567890,"a":2,"c":"\\\\ud83d"}'
    broken = '{"id":"a","start_time":"2026-03-01T00:00:00","outputs":{"t":"cut \\uD83D","n":-Infinity}}'
    first, second = read(broken, f'{{"id":"b","start_time":"2026-03-01T00:00:00","outputs":{text}}}').runs
    assert json.loads(bytes(first.outputs)) == {"t": "cut \ufffd", "n": "-Infinity"}
    assert bytes(second.outputs) == text.encode()


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"runs":[', b'{"runs":[{"id":"r","start_'])
def test_what_is_no_json_may_come_whole_next_time(body: bytes) -> None:
    """An answer cut short is worth a retry."""
    with pytest.raises(TransportError, match=says(r"cut short.*\[here\]")):
        V1().read_page(body, SHOP, FIELDS, "here")


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"runs": {}}', b'{"runs": [{}]}', b'{"runs": [{"id": 7, "start_time": ""}]}']
)
def test_another_shape_is_final(body: bytes) -> None:
    """JSON of another shape than documented is an error that no retry cures."""
    with pytest.raises(PayloadError, match="tell us which version"):
        V1().read_page(body, SHOP, FIELDS, "here")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-04-29T00:49:12.090000", datetime(2024, 4, 29, 0, 49, 12, 90000, tzinfo=UTC)),
        ("2024-04-29T00:49:12", datetime(2024, 4, 29, 0, 49, 12, tzinfo=UTC)),
        ("2024-04-29T00:49:12Z", datetime(2024, 4, 29, 0, 49, 12, tzinfo=UTC)),
        ("2024-04-29T00:49:12.09Z", datetime(2024, 4, 29, 0, 49, 12, 90000, tzinfo=UTC)),
        ("2024-04-29T00:49:12.123456789Z", datetime(2024, 4, 29, 0, 49, 12, 123456, tzinfo=UTC)),
        ("2024-04-29T02:49:12+02:00", datetime(2024, 4, 29, 0, 49, 12, tzinfo=UTC)),
        (None, None),
        ("", None),
    ],
)
def test_times(text: str | None, expected: datetime | None) -> None:
    """A time without a zone is UTC, one with a zone is moved there, and digits below the microsecond are cut off."""
    result = parse_time(text)
    assert result == expected
    assert result is None or result.tzinfo is UTC


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-04-29T00:49:12.090000", "2024-04-29T00:49:12.000001"],
        ["2024-04-29T00:49:12.090000Z", "0001-01-01T00:00:00.000000Z"],
        ["2024-04-29T23:59:59.9999999", "2024-04-29T00:49:12.0900001"],
        ["2024-04-29T23:59:59.999999999Z", "2024-04-29T00:49:12.090000Z"],
        ["2024-04-29T00:49:12.090000Z", "2024-04-29T02:49:12.0+02:00"],
        ["2024-04-29T02:49:12.0+02:00", "2024-04-29T02:49:12.5-02:00"],
        ["2024-04-29T00:49:12.090000Z", "2024-04-29T00:49:12.090000"],
        ["2024-04-29T00:49:12.090000", "2024-04-29T00:49:12"],
    ],
)
@pytest.mark.parametrize("read", [page_v1, page_v2])
def test_times_that_come_together(read: Any, texts: list[str]) -> None:
    """Times are read the same whatever is on the page beside them."""
    runs = read(*({"id": text, "start_time": text, "end_time": text, "first_token_time": text} for text in texts)).runs
    assert [run.start_time for run in runs] == [parse_time(text) for text in texts]
    assert all(run.start_time == run.end_time == run.first_token_time for run in runs)
    assert all(run.start_time.tzinfo is UTC for run in runs)


def test_one_odd_extra_changes_no_other_run() -> None:
    """Metadata is read the same whatever is on the page beside it."""
    extras: tuple[Any, ...] = (None, [], "text", 7)
    odd = [{**V1_RUN, "id": str(number), "extra": extra} for number, extra in enumerate(extras)]
    *_, last = page_v1(*odd, V1_RUN).runs
    assert (last.thread_id, last.model) == ("t1", "m")
