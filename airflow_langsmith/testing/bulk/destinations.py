"""Make and change destinations, each with the test write of LangSmith."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_langsmith.testing.bulk.bucket import BucketError, check_access, root_of
from airflow_langsmith.testing.bulk.exports import BulkExports
from airflow_langsmith.testing.bulk.records import Destination
from airflow_langsmith.testing.bulk.requests import check_destination
from airflow_langsmith.testing.refusals import Refusal
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["add_destination", "change_destination", "create_destination"]

_CONFIG = {  # as an answer has it, with its defaults
    "bucket_name": None,
    "prefix": "",
    "region": None,
    "endpoint_url": None,
    "include_bucket_in_prefix": True,
    "s3_additional_kwargs": None,
    "config_kwargs_s3": None,
    "aws_role_arn": None,
}


def create_destination(bulk: BulkExports, workspace: Workspace, fields: Mapping[str, Any]) -> Destination:
    """
    Add a destination.

    :param fields: Those of the API, checked.
    :raises Refusal: 400 if its bucket is unknown, or cannot be written.
    """
    config = {**_CONFIG, **fields["config"]}
    config["aws_role_arn"] = fields.get("aws_role_arn", config["aws_role_arn"])
    if config["bucket_name"] not in bulk.buckets:
        raise _invalid("Bucket is not valid")
    now, keys = workspace.now(), _keys(fields.get("credentials", {}))
    root = bulk.buckets[config["bucket_name"]]
    destination = Destination(workspace.new_id(), root, fields["display_name"], config, now, now, keys)
    _check(bulk, destination, workspace)
    bulk.destinations[destination.id] = destination
    return destination


def add_destination(bulk: BulkExports, workspace: Workspace, root: Any, body: Mapping[str, Any]) -> Destination:
    """Add a destination whose bucket is at ``root``, with the body that the API takes."""
    fields = check_destination({"destination_type": "s3", **body})
    bulk.buckets[fields["config"]["bucket_name"]] = root_of(root)
    return create_destination(bulk, workspace, fields)


def change_destination(
    bulk: BulkExports, workspace: Workspace, destination: Destination, fields: Mapping[str, Any]
) -> None:
    """Replace the credentials by a role, or by others, or the role by credentials."""
    _check(bulk, destination, workspace)
    destination.config["aws_role_arn"] = fields.get("aws_role_arn")
    destination.credentials_keys = _keys(fields.get("credentials", {}))
    destination.updated_at = workspace.now()


def _check(bulk: BulkExports, destination: Destination, workspace: Workspace) -> None:
    try:
        check_access(destination, workspace.new_id(), leave=bulk.behaviour.leaves_tmp)
    except BucketError as error:
        raise _invalid(str(error)) from error


def _invalid(reason: str) -> Refusal:
    return Refusal(400, f"Failed to validate S3 destination: {reason}")


def _keys(credentials: Mapping[str, Any]) -> list[str]:
    return sorted(credentials)
