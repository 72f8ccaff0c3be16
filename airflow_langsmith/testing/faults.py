"""The script of faults: what the stand-in does wrong, at which requests, in which order."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Literal, get_args

from airflow_langsmith.testing.http_messages import RESET, Request, Response
from airflow_langsmith.testing.pages import Page, equivalent_cursor

__all__ = ["Fault", "FaultKind", "FaultResponse", "FaultScript"]

FaultKind = Literal[
    "status",
    "rate_limit",
    "html",
    "reset",
    "truncate",
    "lose_answer",
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
_FAULTS_OF_PAGES = ("repeat_cursor", "lose_cursor", "empty_page", "old_page", "circle", "too_large")
_HTML = "<html>\n<head><title>{0}</title></head>\n<body>\n<center><h1>{0}</h1></center>\n</body>\n</html>\n"
_TITLES = {
    413: "413 Request Entity Too Large",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
}


class FaultResponse(Exception):  # noqa: N818 (an answer to the client, not an error of the server)
    """A response in place of a page."""

    def __init__(self, response: Response) -> None:
        super().__init__(response)
        self.response = response


@dataclass(slots=True, eq=False)
class Fault:
    """
    The arguments of ``LangSmithStandIn.misbehave``, and how often the fault has happened.

    ``after`` counts down the requests that still pass. ``times`` of None is for ever. ``seconds`` is the length of a
    delay, or the time between two bytes that drip.
    """

    kind: FaultKind
    path: str = "/runs/query"
    method: str | None = None
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
        """Refuse a fault that cannot happen."""
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"{self.kind!r} is no misbehaviour: choose one of {', '.join(get_args(FaultKind))}")
        if self.kind == "too_large" and self.largest_page < 1:
            raise ValueError("'too_large' needs largest_page: the most runs that a page may have")
        if (self.kind == "meanwhile") is (self.action is None):
            raise ValueError("'meanwhile', and no other fault, needs an action to call before the answer")

    @property
    def needs_page(self) -> bool:
        """Whether the fault changes a page of runs."""
        return self.kind in _FAULTS_OF_PAGES

    def concerns(self, request: Request) -> bool:
        """Whether it happens at requests to this path, with this method."""
        is_method = self.method is None or self.method == request.method
        return is_method and f"/v{request.version}{request.path}".endswith(self.path)

    def response(self) -> Response:
        """Write the response of a fault that replaces the real one."""
        if self.kind == "reset":
            return RESET
        status = self.status or _STATUS[self.kind]
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["Retry-After"] = f"{self.retry_after:g}"
        if self.kind in ("html", "too_large") and self.body is None:
            title = _TITLES.get(status, f"{status} Error")
            return Response(status, _HTML.format(title).encode(), "text/html", headers)
        return Response(status, *_content(self.body, status), headers)

    def damage(self, response: Response) -> Response:
        """Lose a real response, let it drip, break the connection halfway, or cut its JSON (``clean``)."""
        if self.kind == "lose_answer":
            return RESET
        if self.kind == "drip":
            return replace(response, byte_seconds=self.seconds)
        half = response.content[: len(response.content) // 2]
        return replace(response, content=half) if self.clean else replace(response, cut_short=True)


class FaultScript:
    """
    The faults that wait for their requests.

    They happen in the order of the script, each at requests to its path. Faults without an end come last.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._faults: list[Fault] = []
        self._first_pages: dict[str, Page] = {}

    def add(self, fault: Fault) -> None:
        """Add a fault to the end of the script."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Delete the rest of the script."""
        with self._lock:
            self._faults.clear()

    @property
    def unspent(self) -> list[Fault]:
        """The faults that have not happened as often as the script says, or never, if they have no end."""
        with self._lock:
            return [fault for fault in self._faults if fault.times is not None or not fault.happened]

    def next_fault(self, request: Request) -> Fault | None:
        """Return the fault of a request, unless the fault changes a page."""
        with self._lock:
            fault = self._next(request, None)
            return None if fault is None or fault.needs_page else self._spend(fault)

    def apply_to_page(self, request: Request, page: Page, cursor: str | None, limit: int) -> Page:
        """
        Change a page of runs, if the script says so.

        :raises FaultResponse: If the client gets no page.
        """
        with self._lock:
            query = json.dumps({**request.json(), "cursor": None}, sort_keys=True)
            first_page = self._first_pages.setdefault(query, page)
            fault = self._next(request, limit)
            if fault is not None:
                fault = self._spend(fault) if fault.needs_page else None
        if fault is None:
            return page
        match fault.kind:
            case "too_large":
                raise FaultResponse(fault.response())
            case "lose_cursor":
                return replace(page, cursor=None)
            case "empty_page":
                return Page([], equivalent_cursor(cursor, fault.happened))
            case "old_page":
                return replace(first_page, cursor=equivalent_cursor(cursor, fault.happened))
            case "circle":
                return replace(page, cursor=equivalent_cursor(page.cursor, fault.happened))
        return replace(page, cursor=cursor or page.cursor)

    def _next(self, request: Request, limit: int | None) -> Fault | None:
        for fault in sorted(self._faults, key=lambda fault: fault.times is None):
            fits = fault.kind != "too_large" or limit is None or limit > fault.largest_page
            if fits and fault.concerns(request):
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
    if body is None:
        body = {"detail": _TITLES.get(status, f"HTTP {status}").partition(" ")[2]}
    return json.dumps(body).encode(), "application/json"
