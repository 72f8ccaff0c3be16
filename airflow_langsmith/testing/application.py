"""From a request to its answer, before any socket is involved."""

from __future__ import annotations

import logging
from threading import Event

from airflow_langsmith.testing.access import check_access
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.exchange import Answer, Call, json_answer
from airflow_langsmith.testing.faults import Struck
from airflow_langsmith.testing.rates import RateLimits
from airflow_langsmith.testing.refusals import Refusal
from airflow_langsmith.testing.routes import find_route

__all__ = ["Application"]

log = logging.getLogger(__name__)

_UI = Answer(200, b"<!doctype html>\n<html><head><title>LangSmith</title></head></html>\n", "text/html")


class Application:
    """Misbehaves as told, lets in whom it may, and answers."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.closing = Event()  # cuts every delay short
        settings = context.settings
        self._limits = RateLimits(settings.rate_limits, tells=settings.retry_after)

    def answer(self, call: Call) -> Answer:
        """Answer one request, whatever becomes of it."""
        if self.context.settings.self_hosted and not call.below_api:
            return _UI
        fault = self.context.faults.strike(call)
        if fault is None:
            return self._serve(call)
        if fault.action is not None:
            fault.action()
            return self._serve(call)
        if fault.kind == "delay":
            self.closing.wait(fault.seconds)
            return self._serve(call)
        return fault.spoil(self._serve(call)) if fault.kind in ("truncate", "drip") else fault.answer()

    def _serve(self, call: Call) -> Answer:
        try:
            route, parameters = find_route(call.version, call.method, call.path)
            if not route.is_open:
                check_access(self.context, call)
            refused = self._limits.check(call)
            if refused is not None:
                return refused
            with self.context.workspace.lock:
                return route.endpoint(self.context, call, *parameters)
        except Struck as struck:
            return struck.answer
        except Refusal as refusal:
            return _refused(call, refusal)
        except Exception:
            log.exception("The stand-in failed at %s %s", call.method, call.path)
            return _refused(call, Refusal(500, "Internal server error"))


def _refused(call: Call, refusal: Refusal) -> Answer:
    if call.version == 1:
        return json_answer(refusal.as_v1(), refusal.status)
    return json_answer(refusal.as_v2(f"/v2{call.path}"), refusal.status)
