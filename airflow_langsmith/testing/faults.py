"""A script of misbehaviour: what the stand-in does wrong, on which requests, in which order."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Literal, get_args

from airflow_langsmith.testing.exchange import RESET, Answer, Call
from airflow_langsmith.testing.paging import Page, another_cursor

__all__ = ["Fault", "FaultKind", "FaultScript", "Struck"]

FaultKind = Literal[
    "status",
    "rate_limit",
    "html",
    "reset",
    "truncate",
    "delay",
    "drip",
    "repeat_cursor",
    "lose_cursor",
    "empty_page",
    "old_page",
    "circle",
    "too_large",
    "meanwhile",
]

_STATUS: dict[str, int] = {"status": 503, "rate_limit": 429, "html": 502, "too_large": 413}
# These need to know the page that was asked for.
_OF_PAGES = ("repeat_cursor", "lose_cursor", "empty_page", "old_page", "circle", "too_large")
_HTML = "<html>\n<head><title>{0}</title></head>\n<body>\n<center><h1>{0}</h1></center>\n</body>\n</html>\n"
_TITLES = {
    413: "413 Request Entity Too Large",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
}


class Struck(Exception):  # noqa: N818 (not an error of the server: it does as it was told)
    """A fault that is an answer in itself."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


@dataclass(slots=True, eq=False)
class Fault:
    """
    One kind of misbehaviour, as ``LangSmithStandIn.misbehave`` tells it, and how often it has happened.

    ``after`` counts down the requests that still pass; ``times`` of None means for ever; ``seconds`` are how long a
    delay lasts, or how far apart bytes drip.
    """

    kind: FaultKind
    path: str = "/runs/query"
    after: int = 0
    times: int | None = 1
    status: int | None = None
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    seconds: float = 0.0
    largest_page: int = 0
    clean: bool = False
    action: Callable[[], object] | None = None
    happened: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Refuse a script that could not be played."""
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"{self.kind!r} is no misbehaviour; known are {', '.join(get_args(FaultKind))}")
        if self.kind == "too_large" and self.largest_page < 1:
            raise ValueError("'too_large' needs largest_page: how many runs a page may still have")
        if (self.kind == "meanwhile") is (self.action is None):
            raise ValueError("'meanwhile', and nothing else, needs an action: what to call before the answer")

    @property
    def is_of_pages(self) -> bool:
        """Whether only a page of runs can suffer it."""
        return self.kind in _OF_PAGES

    def answer(self) -> Answer:
        """Write the answer of a fault that needs no real one."""
        if self.kind == "reset":
            return RESET
        status = self.status or _STATUS[self.kind]
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["Retry-After"] = f"{self.retry_after:g}"
        if self.kind in ("html", "too_large") and self.body is None:
            title = _TITLES.get(status, f"{status} Error")
            return Answer(status, _HTML.format(title).encode(), "text/html", headers)
        return Answer(status, *_content(self.body, status), headers)

    def spoil(self, answer: Answer) -> Answer:
        """Let a real answer drip, or cut it short: by the connection, or cleanly, so that only its JSON is broken."""
        if self.kind == "drip":
            return replace(answer, byte_seconds=self.seconds)
        half = answer.content[: len(answer.content) // 2]
        return replace(answer, content=half) if self.clean else replace(answer, cut_short=True)


class FaultScript:
    """
    Faults waiting for their requests.

    They are used up in the order they were written, each by requests to its own path. Those without end wait behind
    all others, or nothing would come after them.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._faults: list[Fault] = []
        self._first_pages: dict[str, Page] = {}

    def add(self, fault: Fault) -> None:
        """Put one more fault at the end of the script."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Forget the rest of the script."""
        with self._lock:
            self._faults.clear()

    @property
    def unspent(self) -> list[Fault]:
        """The faults that have not happened as often as they should; for one without end, once is enough."""
        with self._lock:
            return [fault for fault in self._faults if fault.times is not None or not fault.happened]

    def strike(self, call: Call) -> Fault | None:
        """Find the fault this request meets before it reaches any endpoint."""
        with self._lock:
            fault = self._next(call, None)
            return None if fault is None or fault.is_of_pages else self._spend(fault)

    def tamper(self, call: Call, page: Page, cursor: str | None, limit: int) -> Page:
        """
        Spoil a page of runs, if the script says so.

        :raises Struck: Where no page is served at all.
        """
        with self._lock:
            question = json.dumps({**call.json(), "cursor": None}, sort_keys=True)
            first_page = self._first_pages.setdefault(question, page)
            fault = self._next(call, limit)
            if fault is not None:
                fault = self._spend(fault) if fault.is_of_pages else None
        if fault is None:
            return page
        match fault.kind:
            case "too_large":
                raise Struck(fault.answer())
            case "lose_cursor":
                return replace(page, cursor=None)
            case "empty_page":
                return Page([], another_cursor(cursor, fault.happened))
            case "old_page":
                return replace(first_page, cursor=another_cursor(cursor, fault.happened))
            case "circle":
                return replace(page, cursor=another_cursor(page.cursor, fault.happened))
        return replace(page, cursor=cursor or page.cursor)

    def _next(self, call: Call, limit: int | None) -> Fault | None:
        for fault in sorted(self._faults, key=lambda fault: fault.times is None):
            fits = fault.kind != "too_large" or limit is None or limit > fault.largest_page
            if fits and f"/v{call.version}{call.path}".endswith(fault.path):
                return fault
        return None

    def _spend(self, fault: Fault) -> Fault | None:
        if fault.after > 0:
            fault.after -= 1
            return None
        fault.happened += 1
        if fault.happened == fault.times:
            self._faults.remove(fault)
        return fault


def _content(body: object, status: int) -> tuple[bytes, str]:
    if isinstance(body, bytes):
        return body, "application/octet-stream"
    if isinstance(body, str):
        return body.encode(), "text/plain"
    told = {"detail": _TITLES.get(status, f"HTTP {status}").partition(" ")[2]} if body is None else body
    return json.dumps(told).encode(), "application/json"
