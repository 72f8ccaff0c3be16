"""Attempts, pauses and smaller pages: a flow pushed by hand, with no network and no clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from airflow_langsmith.api.flow import Backoff, Pause, RateLimited, Reply, Request, Response, with_retries
from airflow_langsmith.errors import (
    ApiError,
    AuthenticationError,
    LangSmithError,
    RateLimitError,
    ReadTimeoutError,
    TransportError,
)


def answer(status: int, body: bytes = b"{}", **headers: str) -> Response:
    """Make an answer."""
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


class Pushed:
    """A flow pushed with replies given beforehand, and what it did."""

    def __init__(self, replies: Iterable[Reply], retries: int = 6, size: int = 100) -> None:
        self.sizes: list[int] = []
        self.pauses: list[Pause] = []
        self.size = size
        self._replies = list(replies)
        self._retries = retries

    def result(self) -> Any:
        """Push it to its end."""
        flow = with_retries(self._ask, lambda body: body.decode(), Backoff(self._retries), self._shrink)
        reply: Reply = None
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as end:
                return end.value
            reply = None
            if isinstance(step, Request):
                self.sizes.append(self.size)
                reply = self._replies.pop(0)
            elif isinstance(step, Pause):
                self.pauses.append(step)

    def _ask(self) -> Request:
        return Request("POST", "/runs/query", tier="v2 query", json={"page_size": self.size})

    def _shrink(self) -> bool:
        smaller = max(1, self.size // 2)
        shrunk, self.size = smaller < self.size, smaller
        return shrunk


@pytest.mark.parametrize("status", [408, 409, 421, 423, 425, 499, 429, 500, 502, 503, 504])
def test_trouble_that_passes(status: int) -> None:
    """Trouble that may pass is waited out, longer each time, and the answer is as if it had not been."""
    pushed = Pushed([answer(status), answer(status), answer(200, b"done")])
    assert pushed.result() == "done"
    assert len(pushed.pauses) == 2
    assert 0.3 < pushed.pauses[0].seconds < 0.7 < pushed.pauses[1].seconds < 1.3


def test_resets_and_timeouts_pass_too() -> None:
    """So does an answer that never came, or one that is not what LangSmith documents."""
    assert Pushed([TransportError("reset"), ReadTimeoutError("slow"), answer(200, b"done")]).result() == "done"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 418, 422, 501])
def test_a_refusal_is_final(status: int) -> None:
    """What asking again cannot cure is asked once."""
    pushed = Pushed([answer(status, b'{"detail": "no"}')])
    with pytest.raises(ApiError, match="no"):
        pushed.result()
    assert len(pushed.sizes) == 1
    assert not pushed.pauses


def test_trouble_that_does_not_pass() -> None:
    """After the last retry the error is raised, and not one request later."""
    pushed = Pushed([answer(503)] * 4, retries=3)
    with pytest.raises(ApiError, match="503"):
        pushed.result()
    assert len(pushed.sizes) == 4


def test_a_429_is_kept_by_everyone_for_as_long_as_asked() -> None:
    """Retry-After is obeyed to the second, up to two minutes, and concerns all who share the budget."""
    pushed = Pushed([answer(429, retry_after="7"), answer(429, retry_after="86400"), answer(200)])
    pushed.result()
    assert [type(pause) for pause in pushed.pauses] == [RateLimited, RateLimited]
    assert 7 <= pushed.pauses[0].seconds <= 7.25
    assert 120 <= pushed.pauses[1].seconds <= 120.25
    with pytest.raises(RateLimitError, match="requests_per_10s"):
        Pushed([answer(429)], retries=0).result()


def test_a_page_too_large_is_asked_for_smaller_at_once() -> None:
    """A 413 halves the page without waiting and without using up a retry."""
    pushed = Pushed([answer(413, b"<html>"), answer(413), answer(200, b"done")], retries=0)
    assert pushed.result() == "done"
    assert pushed.sizes == [100, 50, 25]
    assert not pushed.pauses


@pytest.mark.parametrize(
    "trouble", [answer(502, b"<html>"), answer(504), answer(499), answer(524), ReadTimeoutError("slow")]
)
def test_a_gateway_that_gives_up_is_asked_for_less(trouble: Reply) -> None:
    """A gateway that gave up, or a timeout, may mean that the page is too big: the next try is half of it."""
    pushed = Pushed([trouble, answer(200, b"done")])
    assert pushed.result() == "done"
    assert pushed.sizes == [100, 50]
    assert len(pushed.pauses) == 1


def test_a_page_of_one_that_is_too_large_says_so() -> None:
    """If not even one run passes, the error names the columns as the way out."""
    with pytest.raises(LangSmithError, match="fewer columns"):
        Pushed([answer(413)] * 10).result()


def test_a_proxy_s_refusal_is_tried_again() -> None:
    """A 403 page is a proxy's and may pass; LangSmith's own 403 may not."""
    assert Pushed([answer(403, b"<html>"), answer(200, b"done")]).result() == "done"
    with pytest.raises(AuthenticationError, match="workspace_id"):
        Pushed([answer(403, b'{"error": "org_scoped_key_requires_workspace"}')]).result()


def test_a_body_that_cannot_be_read_is_asked_for_again() -> None:
    """An answer cut short, or not JSON at all, is asked for again before it is an error."""

    def read(body: bytes) -> str:
        if body == b"{":
            raise TransportError("cut short")
        return body.decode()

    flow = with_retries(lambda: Request("GET", "/info"), read, Backoff(1))
    assert isinstance(next(flow), Request)
    assert isinstance(flow.send(answer(200, b"{")), Pause)
    assert isinstance(next(flow), Request)
    with pytest.raises(StopIteration) as end:
        flow.send(answer(200, b"whole"))
    assert end.value.value == "whole"
