"""Airflow's connections, looked up alike: LangSmith's, those of stores, and those that keep a key."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from airflow_langsmith.airflow_sdk import AirflowNotFoundException, BaseHook
from airflow_langsmith.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_langsmith.airflow_sdk import Connection


def connection_of(conn_id: str, what: str) -> Connection:
    """
    Look a connection up.

    :param what: What to make, for the error: ``of type LangSmith, with the API key as its password``.
    :raises ConfigurationError: if there is none, or none that Airflow can read: a store would be asked without it.
    """
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    try:
        connection = BaseHook.get_connection(conn_id)
    except (AirflowNotFoundException, ValueError):  # a variable that cannot be read is either, by the release
        connection = None
    if connection is not None:
        extra_of(connection, conn_id)
        return connection
    if variable in list(os.environ):  # which takes any text, where the mapping itself encodes it
        raise ConfigurationError(
            f"Airflow cannot read the connection in the variable {variable}. Write it as JSON, like "
            '{"conn_type": "...", "password": "..."}, or as a URI whose user and password are percent-encoded.'
        )
    raise ConfigurationError(
        f"Connection {conn_id!r} is not defined. Make it in Admin > Connections, {what}, or set {variable} for the "
        "scheduler, the workers and the triggerer."
    )


def extra_of(connection: Connection, conn_id: str) -> dict[str, Any]:
    """
    Read a connection's extra. Airflow's own reading would mask each value, and take what it cannot read for nothing.

    :raises ConfigurationError: for what is no JSON object.
    """
    text = connection.extra
    try:
        extra = json.loads(text) if text and text.strip() else {}
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise ConfigurationError(
            f'Connection {conn_id!r}: its extra is no JSON object. Write it like {{"name": "value"}}.'
        )
    return extra
