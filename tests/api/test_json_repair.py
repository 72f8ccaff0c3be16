"""JSON that is almost JSON is mended, and the same whatever it comes by: a page, one run, blob storage."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings

from airflow_langsmith.api.feedback import FeedbackPagination
from airflow_langsmith.api.flow import Backoff, Response
from airflow_langsmith.api.json_repair import MAX_DEPTH, limit_depth
from airflow_langsmith.api.payloads import payload_blob
from airflow_langsmith.api.projects import find_project
from airflow_langsmith.api.query import FIELDS
from airflow_langsmith.api.records import Feedback, Project, Run
from airflow_langsmith.api.v1 import V1
from airflow_langsmith.api.v2 import V2
from airflow_langsmith.errors import PayloadError, TransportError
from tests.defects import DOCUMENTS
from tests.wording import says

SHOP = Project(id="p", name="shop")
RUN = b'"id":"r","start_time":"2026-03-01T00:00:00Z"'


def blob(body: bytes) -> bytes | None:
    """Read a payload that comes from blob storage."""
    return inputs_of([from_storage("inputs", body)])


def from_storage(name: str, body: bytes) -> Run:
    """Read a payload of a run that comes from blob storage."""
    run = Run(id="r", project=SHOP, start_time=None, tags=[])  # type: ignore[arg-type]  # it does not matter here
    payload_blob(run, name, "link", lambda *_: None).accept(Response(200, {}, body))
    return run


def page_v1(body: bytes) -> bytes | None:
    """Read a payload on a page of v1."""
    return inputs_of(V1().read_page(b'{"runs":[{%b,"inputs":%b}]}' % (RUN, body), SHOP, FIELDS, "here").runs)


def page_v2(body: bytes) -> bytes | None:
    """Read a payload on a page of v2."""
    return inputs_of(V2().read_page(b'{"items":[{%b,"inputs":%b}]}' % (RUN, body), SHOP, FIELDS, "here").runs)


def single(body: bytes) -> bytes | None:
    """Read a payload of a run that was asked for by its id."""
    return inputs_of(V1().read_run(b'{%b,"inputs":%b}' % (RUN, body), SHOP, FIELDS, "here").runs)


def inputs_of(runs: list[Run]) -> bytes | None:
    """Return the inputs of the one run there is."""
    (run,) = runs
    return None if run.inputs is None else bytes(run.inputs)


WAYS = {"page of v1": page_v1, "page of v2": page_v2, "single run": single, "blob storage": blob}


def strictly(text: bytes) -> Any:
    """Read JSON as a reader does that takes nothing else."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    assert b"\n" not in text
    assert b"\r" not in text
    return json.loads(text.decode("utf-8"), parse_constant=refuse)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (rb'{"a":"cut \ud83d"}', {"a": "cut \ufffd"}),
        (rb'{"a":"cut \ude00 there"}', {"a": "cut \ufffd there"}),
        (rb'{"\ud83d\ud83d\ude00":1}', {"\ufffd😀": 1}),
        (b'{"a":NaN,"b":[Infinity,-Infinity]}', {"a": "NaN", "b": ["Infinity", "-Infinity"]}),
        (b"NaN", "NaN"),
        (b'{"a":1}\x00', {"a": 1}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"a":1}\xef\xbb\xbf\x00\x00', {"a": 1}),
        (b'{"a":"\xff\xfe"}', {"a": "\ufffd\ufffd"}),
        (b'{"a":"\xed\xa0\xbd"}', {"a": "\ufffd\ufffd\ufffd"}),
        (b'{"a":"x\ty\x00z\nw"}', {"a": "x\ty\x00z\nw"}),
        (rb'{"a":"C:\data\u12"}', {"a": "C:\\data\\u12"}),
        (b'{\r\n  "a": NaN,\r\n  "b": 1\r}', {"a": "NaN", "b": 1}),
        ('{"a":"NaN \\\\ud83d \ufeff \\u0000"}'.encode(), {"a": "NaN \\ud83d \ufeff \x00"}),
    ],
)
def test_a_defect_is_mended_alike(way: str, body: bytes, expected: Any) -> None:
    """Each defect comes out as the same JSON, whichever way it came, and every strict reader takes it."""
    text = WAYS[way](body)
    assert text is not None
    assert strictly(text) == expected


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("start", "end"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_what_is_nested_too_deep_becomes_text(way: str, start: bytes, end: bytes) -> None:
    """Below the levels that every reader takes, an object or list is a text: its JSON, with nothing lost."""
    deep = 100_000  # some versions of Python go deeper than others
    text = WAYS[way](start * deep + b"1.10" + end * deep)
    assert text is not None
    value, levels = strictly(text), 0
    while not isinstance(value, str):
        value, levels = (value[0] if start == b"[" else value["a"]), levels + 1
    assert levels == MAX_DEPTH
    assert value.encode() == start * (deep - levels) + b"1.10" + end * (deep - levels)


def test_only_what_is_too_deep_becomes_text() -> None:
    """What is beside it stays as it is, and brackets in texts count for nothing."""
    body = b'{"a":[[1],[2]],"b":{"c":{"d":"}]"}},"e":"[[[["}'
    assert limit_depth(body, 2) == rb'{"a":["[1]","[2]"],"b":{"c":"{\"d\":\"}]\"}"},"e":"[[[["}'
    assert limit_depth(body, 4) == body


@pytest.mark.parametrize("body", [b"", b"<html>", b"{'a':1}", b'{"a":1', b"[1,]", b"[1\x002]", b"[" * 100_000])
def test_what_cannot_be_mended_is_an_error(body: bytes) -> None:
    """What is no JSON stays none: from blob storage it is a payload to be flagged, on a page an answer cut short."""
    with pytest.raises(PayloadError, match=says("in blob storage is no JSON")):
        blob(body)
    for page in (page_v1, page_v2, single):
        with pytest.raises(TransportError):
            page(body)


def test_another_shape_is_said_however_deep_the_rest_is() -> None:
    """A record of another shape is the error, also if what follows it is nested too deep, or cut short."""
    for rest in (b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000 + b"}"):
        with pytest.raises(PayloadError, match=says("not of the shape")):
            page_v1(b'1}, {"id": 7}], "cursors": null, "more": ' + rest)


def test_a_long_text_that_is_cut_short_takes_no_time() -> None:
    """JSON within JSON has many escaped quotes; where it is cut short, that is seen at once."""
    began = time.process_time()
    with pytest.raises(TransportError):
        page_v1(b'"' + rb"{\"a\":\"b\"}" * 200_000)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'"boom\\nat line 1"', "boom\nat line 1"),
        (b'"cut \\ud83d"', "cut \ufffd"),
        (b"boom at line 1", "boom at line 1"),
        (b'{"code": 7}', '{"code": 7}'),
        (b"404", "404"),
        (b"null", "null"),
        (b'"he said" no', '"he said" no'),
        (b"bad \xff byte", "bad \ufffd byte"),
    ],
)
def test_a_text_is_as_it_was(body: bytes, text: str) -> None:
    """An error in blob storage is a JSON string, or the text itself; never Python's way to print something."""
    assert from_storage("error", body).error == text


def test_feedback_and_projects_come_in_the_same_way() -> None:
    """Lists beside the runs are mended, too; a score that is no number is none."""
    flow = find_project("shop \ufffd", Backoff(0))
    next(flow)
    with pytest.raises(StopIteration) as result:
        flow.send(Response(200, {}, b'\xef\xbb\xbf[{"id":"p","name":"shop \\ud83d"}]\x00'))
    assert result.value.value.name == "shop \ufffd"
    pagination = FeedbackPagination(Backoff(0)).next_page()
    next(pagination)
    deep = b"[" * 100_000 + b"]" * 100_000
    body = b'[{"id":"f","key":"k","score":NaN,"value":1e999,"comment":"\xff","correction":%b,"extra":0.5}]' % deep
    with pytest.raises(StopIteration) as read:
        pagination.send(Response(200, {}, body))
    (piece,) = read.value.value
    assert isinstance(piece, Feedback)
    assert (piece.score, piece.value, piece.comment, piece.extra) == (None, "1e999", "\ufffd", 0.5)


def test_a_cost_that_is_no_number_is_none() -> None:
    """A cost of NaN is none, as a number and as text."""
    body = b'{"runs":[{%b,"total_cost":NaN,"prompt_cost":"NaN","completion_cost":"0.5"}]}' % RUN
    (run,) = V1().read_page(body, SHOP, FIELDS, "here").runs
    assert (run.total_cost, run.prompt_cost, run.completion_cost) == (None, None, 0.5)


@settings(deadline=None, max_examples=100)
@given(DOCUMENTS)
def test_any_document_comes_alike_by_every_way(body: bytes) -> None:
    """Whatever is wrong with a document, it is the same JSON by every way, and a strict reader takes it."""
    result = {way: read(body) for way, read in WAYS.items()}
    texts = set(result.values())
    assert len(texts) == 1, result
    for text in texts - {None}:
        assert text is not None
        strictly(text)
