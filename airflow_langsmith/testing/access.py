"""Who may come in: the API key, and the workspace it is used for."""

from __future__ import annotations

from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.exchange import Call
from airflow_langsmith.testing.refusals import Refusal

__all__ = ["check_access"]


def check_access(context: Context, call: Call) -> None:
    """
    Let a request in.

    :raises Refusal: 401 without the right key, 403 without the right workspace.
    """
    if call.headers.get("x-api-key") != context.settings.api_key:
        raise Refusal(401, "Invalid token")
    workspace = call.headers.get("x-tenant-id", "").lower()
    if not workspace and context.settings.require_workspace:
        raise Refusal(403, "Forbidden", body={"error": "org_scoped_key_requires_workspace"})
    if workspace and workspace != context.workspace.id:
        raise Refusal(403, "Forbidden", body={"error": "Forbidden"})
