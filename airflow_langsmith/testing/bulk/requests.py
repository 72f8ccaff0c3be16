"""The bodies that create destinations and exports, checked field by field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_langsmith.testing import checks
from airflow_langsmith.testing.bulk.behaviour import BulkExportBehaviour
from airflow_langsmith.testing.bulk.columns import FIELDS
from airflow_langsmith.testing.bulk.parquet import COMPRESSIONS, FORMAT_VERSIONS
from airflow_langsmith.testing.bulk.records import ExportRequest
from airflow_langsmith.testing.checks import Check, check_body
from airflow_langsmith.testing.refusals import Refusal, invalid_field

__all__ = ["check_destination", "check_destination_change", "read_export_request"]

_TIME = checks.time(zone_required=False)
_DISPLAY_NAME = re.compile(r"[a-zA-Z0-9\-_ ']+")

_EXPORT: dict[str, Check] = {
    "bulk_export_destination_id": checks.uuid,
    "session_id": checks.uuid,
    "all_experiments": checks.boolean,
    "start_time": _TIME,
    "end_time": _TIME,
    "filter": checks.text,
    "format": checks.one_of(("Parquet",)),
    "format_version": checks.one_of(FORMAT_VERSIONS),
    "compression": checks.one_of(COMPRESSIONS),
    "interval_hours": checks.number(1, 168),
    "export_fields": checks.list_of(checks.one_of(FIELDS)),
}


def _text(low: int, high: int | None = None) -> Check:
    def check(value: object) -> str:
        text = checks.text(value)
        if len(text) < low:
            raise ValueError(f"String should have at least {low} characters")
        if high is not None and len(text) > high:
            raise ValueError(f"String should have at most {high} characters")
        return text

    return check


def _display_name(value: object) -> str:
    text = checks.text(value)
    if _DISPLAY_NAME.fullmatch(text) is None:
        raise ValueError("String should match pattern '^[a-zA-Z0-9\\-_ \\']+$'")
    return text


def _object(name: str, fields: Mapping[str, Check] | None = None) -> Check:
    """Accept an object, with these fields or with any."""

    def check(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError("Input should be a valid dictionary")  # noqa: TRY004 (each check raises ValueError)
        if fields is None:
            return value
        try:
            return check_body(value, fields, nulls=True)
        except Refusal as refusal:
            raise Refusal(422, refusal.detail, loc=("body", name, *refusal.loc[1:]), kind=refusal.kind) from refusal

    return check


_CREDENTIALS = {"access_key_id": _text(0, 255), "secret_access_key": _text(0, 2048), "session_token": _text(0, 2048)}

_CONFIG: dict[str, Check] = {
    "bucket_name": _text(3, 63),
    "prefix": _text(0, 2048),
    "region": _text(1),
    "endpoint_url": _text(0, 2048),
    "include_bucket_in_prefix": checks.boolean,
    "s3_additional_kwargs": _object("s3_additional_kwargs"),
    "config_kwargs_s3": _object("config_kwargs_s3"),
    "aws_role_arn": checks.text,
}

_CHANGE: dict[str, Check] = {"credentials": _object("credentials", _CREDENTIALS), "aws_role_arn": checks.text}

_DESTINATION: dict[str, Check] = {
    "destination_type": checks.one_of(("s3",)),
    "display_name": _display_name,
    "config": _object("config", _CONFIG),
    **_CHANGE,
}


def read_export_request(
    body: Mapping[str, Any], behaviour: BulkExportBehaviour, *, default_compression: str
) -> ExportRequest:
    """Check the body of an export."""
    fields = check_body(body, _EXPORT, nulls=True)
    for name in ("bulk_export_destination_id", "start_time"):
        _require(fields, name)
    if ("session_id" in fields) is fields.get("all_experiments", False):
        raise Refusal(422, "Value error, Exactly one of session_id and all_experiments is required", loc=("body",))
    _check_end(fields)
    if "feedbacks" in fields.get("export_fields", ()) and behaviour.backend != "smithdb":
        raise invalid_field("export_fields", "'feedbacks' is not available on this deployment")
    return ExportRequest(**{"compression": default_compression, **fields})


def _check_end(fields: Mapping[str, Any]) -> None:
    if "interval_hours" in fields:
        if "end_time" in fields:
            raise invalid_field("end_time", "end_time must not be set for a scheduled export")
    elif "end_time" not in fields:
        raise invalid_field("end_time", "end_time is required without interval_hours")
    elif fields["end_time"] <= fields["start_time"]:
        raise invalid_field("end_time", "end_time must be after start_time")


def check_destination(body: Mapping[str, Any]) -> dict[str, Any]:
    """Check the body of a destination. The role may be in it or in its ``config``."""
    fields = check_body(body, _DESTINATION, nulls=True)
    for name in ("destination_type", "display_name", "config"):
        _require(fields, name)
    _check_credentials(fields)
    return fields


def check_destination_change(body: Mapping[str, Any]) -> dict[str, Any]:
    """Check the body that changes a destination: either its credentials or its role."""
    fields = check_body(body, _CHANGE, nulls=True)
    if len(fields) != 1:
        raise Refusal(422, "Value error, Exactly one of credentials and aws_role_arn is required", loc=("body",))
    _check_credentials(fields)
    return fields


def _check_credentials(fields: Mapping[str, Any]) -> None:
    for name in ("access_key_id", "secret_access_key") if "credentials" in fields else ():
        if name not in fields["credentials"]:
            raise Refusal(422, "Field required", loc=("body", "credentials", name), kind="missing")


def _require(fields: Mapping[str, Any], name: str) -> None:
    if name not in fields:
        raise invalid_field(name, "Field required", kind="missing")
