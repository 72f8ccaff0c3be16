"""A PostgreSQL database to load exports into."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.types.string import TextLoader

DEBIAN = Path("/usr/lib/postgresql")  # pg_ctl is in a folder for each version, which is not in PATH


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[int]:
    """Run a PostgreSQL server for the tests of a file, and return its port."""
    pg_ctl = shutil.which("pg_ctl") or next(map(str, sorted(DEBIAN.glob("*/bin/pg_ctl"), reverse=True)), None)
    if pg_ctl is None:
        missing = "There is no PostgreSQL on this machine: install it (Debian: apt-get install postgresql)."
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    owner = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses root
    with tempfile.TemporaryDirectory(prefix="langsmith-postgres-", ignore_cleanup_errors=True) as directory:
        shutil.chown(directory, owner or os.geteuid())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]

        def control(*command: str) -> None:
            place = ["-D", f"{directory}/data", "-w", "-t", "60"]
            subprocess.run([pg_ctl, *command, *place], check=True, user=owner, cwd=directory, timeout=90)

        control("initdb", "-s", "-o", "--auth=trust --username=postgres --encoding=UTF8 --locale=C --no-sync")
        settings = f"-p {port} -h 127.0.0.1 -c unix_socket_directories= -c fsync=off"
        control("start", "-s", "-l", f"{directory}/log", "-o", settings)
        try:
            yield port
        finally:
            control("stop", "-s", "-m", "fast")  # by the process id in the directory of the server


@pytest.fixture
def postgres(postgres_server: int) -> Iterator[psycopg.Connection]:
    """Connect to an empty database, which returns JSON as its text."""
    address = f"host=127.0.0.1 port={postgres_server} user=postgres"
    with psycopg.connect(f"{address} dbname=postgres", autocommit=True) as server:
        server.execute("drop database if exists loaded")
        server.execute("create database loaded")
    with psycopg.connect(f"{address} dbname=loaded") as connection:
        connection.adapters.register_loader("json", TextLoader)
        yield connection
