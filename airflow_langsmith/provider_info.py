"""What Airflow discovers: the connection type with its form, and the modules of the classes."""

from __future__ import annotations

from typing import Any

from airflow_langsmith.api.settings import DEFAULT_MAX_RETRIES, DEFAULT_TIMEOUT

_INTEGRATION = "LangSmith"

CONNECTION_TYPE: dict[str, Any] = {
    "connection-type": "langsmith",
    "hook-name": "LangSmith",
    "hook-class-name": "airflow_langsmith.hooks.LangSmithHook",
    "ui-field-behaviour": {
        "hidden-fields": ["login", "schema"],
        "relabeling": {
            "host": "Region or API URL",
            "password": "API key",
            "port": "Port (0 lets Airflow 3.3's test button work)",
        },
        "placeholders": {
            "host": "us, eu, apac, aws or https://langsmith.example.com (empty: us)",
            "password": "lsv2_...",
        },
    },
    "conn-fields": {
        "workspace_id": {
            "label": "Workspace ID",
            "description": "Needed only by keys that see several workspaces.",
            "schema": {"type": ["string", "null"]},
        },
        "api_version": {
            "label": "API version",
            "description": "Empty or auto asks the server; v1 and v2 insist.",
            "schema": {"type": ["string", "null"], "enum": ["auto", "v1", "v2"]},
        },
        "requests_per_10s": {
            "label": "Run queries per 10 s",
            "description": "Empty: LangSmith's documented budgets.",
            "schema": {"type": ["integer", "null"], "minimum": 1},
        },
        "timeout": {
            "label": "Timeout",
            "description": f"Seconds for an answer. Empty: {DEFAULT_TIMEOUT:.0f}.",
            "schema": {"type": ["number", "null"], "minimum": 1},
        },
        "max_retries": {
            "label": "Retries",
            "description": f"Of one request, before the task fails. Empty: {DEFAULT_MAX_RETRIES}.",
            "schema": {"type": ["integer", "null"], "minimum": 0},
        },
        "verify": {
            "label": "Verify TLS",
            "description": "true, false, or the path of a CA bundle on the workers. Empty: true.",
            "schema": {"type": ["string", "null"]},
        },
        "ui_host": {
            "label": "UI URL",
            "description": "Where links point, for self-hosted servers whose UI is elsewhere.",
            "schema": {"type": ["string", "null"]},
        },
    },
}


def get_provider_info() -> dict[str, Any]:
    """Describe the provider, by the schema of ``airflow/provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-langsmith",
        "name": "LangSmith",
        "description": "LangSmith runs, traces and feedback in object storage, in exact time windows.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://docs.langchain.com/langsmith/",
                "tags": ["service"],
            }
        ],
        **{
            part: [{"integration-name": _INTEGRATION, "python-modules": [f"airflow_langsmith.{part}"]}]
            for part in ("hooks", "operators", "sensors", "triggers")
        },
        "extra-links": ["airflow_langsmith.links.LangSmithProjectLink", "airflow_langsmith.links.LangSmithRunLink"],
        "connection-types": [CONNECTION_TYPE],
    }
