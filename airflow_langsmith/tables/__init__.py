"""
From manifests to a table: one file for each kind of table.

A new kind is one new file with a ``table_at``, and its line in the table below. Only a load imports that file, because
its library is an extra.
"""

from __future__ import annotations

from importlib import import_module

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.extras import missing_package
from airflow_langsmith.tables.table import Table
from airflow_langsmith.tables.uri import TableUri

__all__ = ["table_at"]


def table_at(uri: str) -> Table:
    """
    Return the table that a URI names.

    :raises ConfigurationError: if it names none, or its extra is not installed.
    """
    address = TableUri.parse(uri)
    try:
        module = import_module(f"airflow_langsmith.tables.{address.kind}")
    except ImportError as error:
        raise ConfigurationError(missing_package(error, address.kind)) from error
    table: Table = module.table_at(address)
    return table
