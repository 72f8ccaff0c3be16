"""From a request to its response, without sockets."""

from __future__ import annotations

import logging
from threading import Event

from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.faults import FaultResponse
from airflow_langsmith.testing.http_messages import Request, Response, json_response
from airflow_langsmith.testing.rate_limits import RateLimits
from airflow_langsmith.testing.refusals import Refusal
from airflow_langsmith.testing.routes import find_route

__all__ = ["Application"]

log = logging.getLogger(__name__)

_FAULTS_OF_ANSWERS = ("truncate", "drip", "lose_answer")
_UI = Response(200, b"<!doctype html>\n<html><head><title>LangSmith</title></head></html>\n", "text/html")


class Application:
    """Applies faults, checks keys and rate limits, and calls the endpoint."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.closing = Event()  # ends every delay
        settings = context.settings
        self._limits = RateLimits(settings.rate_limits, retry_after=settings.retry_after)

    def respond(self, request: Request) -> Response:
        """Answer a request. An error inside the stand-in is a 500."""
        if self.context.settings.self_hosted and not request.is_below_api:
            return _UI
        fault = self.context.faults.next_fault(request)
        if fault is None:
            return self._serve(request)
        if fault.action is not None:
            fault.action()
            return self._serve(request)
        if fault.kind == "delay":
            self.closing.wait(fault.seconds)
            return self._serve(request)
        return fault.damage(self._serve(request)) if fault.kind in _FAULTS_OF_ANSWERS else fault.response()

    def _serve(self, request: Request) -> Response:
        try:
            route, parameters = find_route(request.version, request.method, request.path)
            if not route.is_open:
                _check_access(self.context, request)
            over_limit = self._limits.check(request)
            if over_limit is not None:
                return over_limit
            with self.context.workspace.lock:
                self.context.bulk.advance()
                return route.endpoint(self.context, request, *parameters)
        except FaultResponse as fault:
            return fault.response
        except Refusal as refusal:
            return _refuse(request, refusal)
        except Exception:
            log.exception("The stand-in failed at %s %s", request.method, request.path)
            return _refuse(request, Refusal(500, "Internal server error"))


def _check_access(context: Context, request: Request) -> None:
    if request.headers.get("x-api-key") != context.settings.api_key:
        raise Refusal(401, "Invalid token")
    workspace_id = request.headers.get("x-tenant-id", "").lower()
    if not workspace_id and context.settings.require_workspace:
        raise Refusal(403, "Forbidden", body={"error": "org_scoped_key_requires_workspace"})
    if workspace_id and workspace_id != context.workspace.id:
        raise Refusal(403, "Forbidden", body={"error": "Forbidden"})


def _refuse(request: Request, refusal: Refusal) -> Response:
    body = refusal.as_v1() if request.version == 1 else refusal.as_v2(f"/v2{request.path}")
    return json_response(body, refusal.status)
