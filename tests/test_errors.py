"""The error tree: the error of each status, and its message."""

from __future__ import annotations

import email.utils
import json
import math
import pickle
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import airflow_langsmith.triggers
from airflow_langsmith import errors
from airflow_langsmith.api.flow import Backoff
from airflow_langsmith.api.statuses import error_for, parse_retry_after
from airflow_langsmith.errors import ApiError, LangSmithError
from airflow_langsmith.messages import MAX_LINE
from tests.wording import words

ROOT = Path(__file__).parents[1]


def leaves(kind: type[LangSmithError] = LangSmithError) -> list[type[LangSmithError]]:
    """Return a class of the tree and all below it."""
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in leaves(child))]


def documented(status: int) -> tuple[str, bool, str]:
    """Return the error of a status in the docs, whether a retry may help, and the cure."""
    table = (ROOT / "docs/reference/statuses.md").read_text()
    lines = re.findall(r"^\| ([\d, -]+) \| `(\w+)` \| (yes|no) \| (.+) \|$", table, re.MULTILINE)
    matches = []
    for places, kind, helps, cure in lines:
        for first, _, last in (place.partition("-") for place in places.split(", ")):
            if int(first) <= status <= int(last or first):
                matches.append((int(last or first) - int(first), (kind, helps == "yes", cure)))
    return min(matches)[1]


def test_every_status_has_the_kind_and_the_cure_that_are_documented() -> None:
    """Each status from 100 to 599 but a success is the documented error, and names its cure in lines that fit."""
    for status in {*range(100, 600)} - {*range(200, 300)}:
        error = error_for(status, "POST", "/api/v1/runs/query", b'{"detail": "no"}', "project 'shop'")
        kind, helps, cure = documented(status)
        assert (type(error).__name__, error.retriable) == (kind, helps), status
        said = words(error)
        for name in re.findall("`([^`]+)`", cure):
            assert name in said, (status, name)
        assert f"Status {status} to POST /api/v1/runs/query [project 'shop']" in said
        assert error.status == status
        assert ("A retry will not help" in said) is not helps
        assert all(len(line) <= MAX_LINE for line in str(error).splitlines()), status
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"detail": "Limit exceeds maximum allowed value of 100"}, "Limit exceeds maximum allowed value of 100"),
        ({"error": "Forbidden"}, "Forbidden"),
        ({"detail": [{"loc": ["body", "limit"], "msg": "too much", "type": "x"}]}, "body.limit: too much"),
        ({"type": "about:blank", "title": "Bad Request", "detail": "invalid request: no"}, "invalid request: no"),
        ({"title": "Gateway Timeout"}, "Gateway Timeout"),
        ({"message": "slow down"}, "slow down"),
        (["odd"], "odd"),
        ({"error": {"message": "no such field", "input": "a payload"}}, "no such field"),
        ({"detail": {"input": "a payload"}, "title": "Bad Request"}, "Bad Request"),
        ({"input": "a payload"}, ""),
        ([{"msg": ["odd"], "input": "a payload"}], ""),
        (7, ""),
    ],
)
def test_the_server_is_quoted(body: Any, detail: str) -> None:
    """The detail is the server's message, in each shape of both API versions."""
    assert error_for(400, "POST", "/x", json.dumps(body).encode()).detail == detail


def test_a_refusal_that_is_no_json_is_a_proxy_s() -> None:
    """A 403 without JSON is a proxy's, because LangSmith answers JSON, and a retry may help."""
    error = error_for(403, "POST", "/api/v2/runs/query", b"<html>Blocked</html>")
    assert isinstance(error, errors.ProxyError)
    assert error.retriable
    assert isinstance(error_for(403, "POST", "/x", b'{"error":"Forbidden"}\n'), errors.AuthenticationError)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["detail", "loc", "msg", "x"]), inner),
    max_leaves=8,
)


@given(status=st.integers(300, 599), body=st.binary() | JSON.map(lambda document: json.dumps(document).encode()))
def test_no_body_of_an_error_is_an_error_of_its_own(status: int, body: bytes) -> None:
    """Any answer gives an error with a printable message."""
    assert str(error_for(status, "GET", "/x", body)).replace("\n", "").isprintable()


def test_a_message_says_what_where_and_what_to_do() -> None:
    """A message names the request, the place in the export and the cure, and quotes at most 500 characters."""
    error = error_for(
        400, "POST", "/api/v1/runs/query", b'{"detail": "%s"}' % (b"x" * 2000), "project 'shop', after 200 runs"
    )
    assert "400 to POST /api/v1/runs/query [project 'shop', after 200 runs]" in words(error)
    assert "A retry will not help" in str(error)
    assert len(error.detail) == 500
    assert len(error_for(502, "GET", "/x", b"<p>" + b"sorry " * 99).detail) < 160  # a proxy's page


def test_a_redirect_is_explained() -> None:
    """The error of a redirect names the target's host, and no other part of its URL."""
    error = error_for(
        302, "GET", "/api/v1/info", b"<p>", headers={"location": "https://me:x@login.example.com/a?token=b"}
    )
    assert "not to its UI" in str(error)
    assert "it leads to https://login.example.com." in words(error)
    assert "token" not in str(error)
    for odd in ("/login", "", "http://[oops", "//", "javascript:x", "https://:80"):
        assert "it leads to" not in words(error_for(301, "GET", "/", b"", headers={"location": odd}))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0.5", 0.5),
        ("-3", 0),
        ("", None),
        ("soon", None),
        (None, None),
        ("7, 8", None),
        ("nan", None),
        ("1e999", None),
        ("-inf", None),
        ("9" * 5000, None),
        ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
        ("Fri, 31 Dec 2026 23:59:59 +99999999999999999999", None),
        ("Sat, 01 Jan 0001 00:00:00 -0000", 0),
    ],
)
def test_retry_after_in_seconds(header: str | None, seconds: float | None) -> None:
    """Retry-After is read in seconds, and nonsense is ignored."""
    assert parse_retry_after(header) == seconds


@given(
    st.one_of(
        st.text(),
        st.builds("{}, {} {} {} {}:{}:{} {}".format, *[st.text("FrJan, 0123456789+-:GMT", max_size=24)] * 8),
    )
)
def test_no_retry_after_is_an_error_of_its_own(header: str) -> None:
    """Any Retry-After is a number of seconds or None."""
    seconds = parse_retry_after(header)
    assert seconds is None or 0 <= seconds < math.inf
    assert 0 <= Backoff(retries=1).seconds(5000, seconds) <= 121


def test_retry_after_as_a_date() -> None:
    """Retry-After may be a date, and a past date means now."""
    assert 50 < (parse_retry_after(email.utils.formatdate(time.time() + 60, usegmt=True)) or 0) <= 60
    assert parse_retry_after(email.utils.formatdate(time.time() - 60, usegmt=True)) == 0


@pytest.mark.parametrize("kind", leaves(), ids=lambda kind: kind.__name__)
def test_every_error_pickles_and_is_in_the_drawing(kind: type[LangSmithError]) -> None:
    """Each error survives pickle, and is in the drawing of the tree with its cure."""
    error = kind(429, "POST", "/x", "slow", "shop", 1.5) if issubclass(kind, ApiError) else kind("what happened")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), vars(copy)) == (str(error), vars(error))
    if kind.__module__ != airflow_langsmith.triggers.__name__:
        helps = "a retry may" if kind.retriable else "only you can"
        assert (
            re.search(rf"─ {kind.__name__} .* {helps}$", errors.__doc__ or "", re.MULTILINE) or kind is LangSmithError
        )
