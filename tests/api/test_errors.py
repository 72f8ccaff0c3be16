"""The error tree: which status is which error, whose words it carries, and what it must never carry."""

from __future__ import annotations

import email.utils
import json
import pickle
import time
from typing import Any

import pytest

import airflow_langsmith.export.errors
import airflow_langsmith.triggers
import airflow_langsmith.windows
from airflow_langsmith.api import errors
from airflow_langsmith.api.errors import ApiError, LangSmithError, error_for, seconds_from
from tests.wording import words

CURABLE = {408, 413, 425, 429, 500, 502, 503, 504, 520, 529}
STATUSES = [*CURABLE, 400, 401, 403, 404, 405, 409, 422, 501, 301]


def leaves(kind: type[LangSmithError] = LangSmithError) -> list[type[LangSmithError]]:
    """Give a class of the tree and all below it."""
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in leaves(child))]


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_says_whether_a_retry_helps(status: int) -> None:
    """Overload, timeouts and broken servers are worth a retry; a refusal is not."""
    error = error_for(status, "POST", "/api/v1/runs/query", b'{"detail": "no"}')
    assert error.retriable is (status in CURABLE)
    assert error.status == status


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
    """The detail is LangSmith's own sentence, wherever its two generations put it."""
    assert error_for(400, "POST", "/x", json.dumps(body).encode()).detail == detail


def test_a_refusal_that_is_no_json_is_a_proxy_s() -> None:
    """LangSmith always answers JSON; a 403 page is a firewall's, and may pass."""
    error = error_for(403, "POST", "/api/v2/runs/query", b"<html>Blocked</html>")
    assert isinstance(error, errors.ProxyError)
    assert error.retriable
    assert isinstance(error_for(403, "POST", "/x", b'{"error":"Forbidden"}\n'), errors.AuthenticationError)


def test_a_message_says_what_where_and_what_to_do() -> None:
    """A message names the request, the place in the export and the cure, and quotes at most 500 characters."""
    error = error_for(
        400, "POST", "/api/v1/runs/query", b'{"detail": "%s"}' % (b"x" * 2000), "project 'shop', after 200 runs"
    )
    assert "400 to POST /api/v1/runs/query [project 'shop', after 200 runs]" in words(error)
    assert "A retry will not help" in str(error)
    assert len(error.detail) == 500
    assert len(error_for(502, "GET", "/x", b"<p>" + b"sorry " * 99).detail) < 160  # a page of somebody else


def test_a_redirect_is_explained() -> None:
    """A redirect means that the host is not the API."""
    assert "not its UI" in str(error_for(302, "GET", "/api/v1/info", b""))


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("0.5", 0.5), ("-3", 0), ("", None), ("soon", None), (None, None)]
)
def test_retry_after_in_seconds(header: str | None, seconds: float | None) -> None:
    """Retry-After is read in seconds; nonsense is as if it were not there."""
    assert seconds_from(header) == seconds


def test_retry_after_as_a_date() -> None:
    """Retry-After may be a date; one that is past means now."""
    assert 50 < (seconds_from(email.utils.formatdate(time.time() + 60, usegmt=True)) or 0) <= 60
    assert seconds_from(email.utils.formatdate(time.time() - 60, usegmt=True)) == 0


@pytest.mark.parametrize("kind", leaves(), ids=lambda kind: kind.__name__)
def test_every_error_pickles_and_is_in_the_drawing(kind: type[LangSmithError]) -> None:
    """Every error survives the way between processes, and stands in the tree's drawing or in its room's own module."""
    error = kind(429, "POST", "/x", "slow", "shop", 1.5) if issubclass(kind, ApiError) else kind("what happened")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (str(copy), vars(copy)) == (str(error), vars(error))
    if kind.__module__ == errors.__name__:
        assert kind.__name__ in (errors.__doc__ or "")
    else:
        rooms = (airflow_langsmith.export.errors, airflow_langsmith.triggers, airflow_langsmith.windows)
        assert kind.__module__ in {room.__name__ for room in rooms}
