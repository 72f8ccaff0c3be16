"""Lookup of Airflow's connections: LangSmith's, those of stores, and those whose password is a key of hashes."""

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
    Return a connection.

    :param what: What to define, for the error: ``of type LangSmith, with the API key as its password``.
    :raises ConfigurationError: if there is none, or Airflow cannot read it.
    """
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    try:
        connection = BaseHook.get_connection(conn_id)
    except (AirflowNotFoundException, ValueError):  # by the release, for a variable that cannot be read
        connection = None
    if connection is not None:
        extra_of(connection, conn_id)
        return connection
    if variable in list(os.environ):  # a list takes any text; os.environ would encode it
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
    Return a connection's extra. Airflow's own reader would mask each value, and ignore text that is no JSON.

    :raises ConfigurationError: if it is no JSON object.
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
