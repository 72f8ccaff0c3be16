"""A PostgreSQL database to load exports into."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.types.string import TextLoader

from tests.tables.servers import postgres_server


@pytest.fixture(scope="module")
def postgres_port() -> Iterator[int]:
    """Run a PostgreSQL server for the tests of a file, and return its port."""
    with postgres_server() as port:
        yield port


@pytest.fixture
def postgres(postgres_port: int) -> Iterator[psycopg.Connection]:
    """Connect to an empty database, which returns JSON as its text."""
    address = f"host=127.0.0.1 port={postgres_port} user=postgres"
    with psycopg.connect(f"{address} dbname=postgres", autocommit=True) as server:
        server.execute("drop database if exists loaded")
        server.execute("create database loaded")
    with psycopg.connect(f"{address} dbname=loaded") as connection:
        connection.adapters.register_loader("json", TextLoader)
        yield connection
