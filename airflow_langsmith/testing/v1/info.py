"""``GET /info`` and ``GET /ttl-settings``: the deployment, and how long it keeps traces."""

from __future__ import annotations

from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.http_messages import Request, Response, json_response

__all__ = ["read", "ttl_settings"]


def read(context: Context, request: Request) -> Response:  # noqa: ARG001 (an endpoint)
    """Describe the deployment. The SDK reads here how to send its runs."""
    backend = context.settings.backend
    return json_response(
        {
            "version": context.settings.version,
            "git_sha": None,
            "license_expiration_time": None,
            "batch_ingest_config": {
                "use_multipart_endpoint": True,
                "scale_up_qsize_trigger": 1000,
                "scale_up_nthreads_limit": 16,
                "scale_down_nempty_trigger": 4,
                "size_limit": 100,
                "size_limit_bytes": 20971520,
            },
            "instance_flags": {
                "ch_query_enabled": backend != "smithdb",
                "sdb_query_enabled": backend != "clickhouse",
                "sdb_ingestion_enabled": backend != "clickhouse",
                "zstd_compression_enabled": False,  # the standard library cannot read it
            },
            "customer_info": None,
        }
    )


def ttl_settings(context: Context, request: Request) -> Response:  # noqa: ARG001 (an endpoint)
    """List how long traces are kept, by the organisation and by the workspace."""
    days = context.settings.retention_days
    organisation = {"default_trace_tier": "longlived", "longlived_ttl_days": None, "tenant_id": None}
    return json_response(
        [organisation, {**organisation, "longlived_ttl_days": days, "tenant_id": context.workspace.id}]
    )
