"""
An Iceberg REST catalog: the published protocol, in front of pyiceberg's SQL catalog.

PyPI and npm have no such server that runs by itself. The clients are real, and so are conflicts: a commit names what it
builds on, and gets 409 if the table is no longer so.
"""

from __future__ import annotations

import json
import tempfile
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

from pyiceberg.catalog.rest import CreateTableRequest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NamespaceNotEmptyError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
    UnauthorizedError,
)
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.table import CommitTableRequest, Table
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.table.update import AssertCreate
from pyiceberg.typedef import Identifier

PREFIX = "main"  # of the paths, as servers of many catalogs have it
ENDPOINTS = (
    "GET /v1/{prefix}/namespaces",
    "POST /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "HEAD /v1/{prefix}/namespaces/{namespace}",
    "DELETE /v1/{prefix}/namespaces/{namespace}",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "POST /v1/{prefix}/namespaces/{namespace}/tables",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}",
)
ERRORS: dict[type[Exception], tuple[int, str]] = {
    CommitFailedException: (409, "CommitFailedException"),
    NamespaceAlreadyExistsError: (409, "AlreadyExistsException"),
    NamespaceNotEmptyError: (409, "NamespaceNotEmptyException"),
    NoSuchNamespaceError: (404, "NoSuchNamespaceException"),
    NoSuchTableError: (404, "NoSuchTableException"),
    TableAlreadyExistsError: (409, "AlreadyExistsException"),
    UnauthorizedError: (401, "NotAuthorizedException"),
    ValueError: (400, "BadRequestException"),  # also pydantic's
}

Answer = tuple[int, dict[str, Any] | None]


@dataclass
class RestCatalogServer:
    """
    A running catalog.

    ``vended`` are the properties that each table carries for its files, as servers vend the keys of their storage.
    ``conflicts`` counts the commits that were refused. The next ``lost_answers`` commits are made and answered with
    500, so that the client cannot know.
    """

    url: str
    catalog: SqlCatalog
    credential: str | None
    vended: Mapping[str, str]
    conflicts: int = 0
    lost_answers: int = 0
    token: str = field(default_factory=lambda: uuid4().hex)
    _lock: Lock = field(default_factory=Lock)

    def airflow_connection(self, properties: Mapping[str, str] | None = None) -> str:
        """Return Airflow's ``iceberg`` connection to this catalog, for ``AIRFLOW_CONN_...``."""
        connection: dict[str, Any] = {"conn_type": "iceberg", "host": self.url, "extra": dict(properties or {})}
        if self.credential:
            connection["login"], connection["password"] = self.credential.split(":")
            # Without it, pyiceberg warns that it has to guess the address.
            connection["extra"]["oauth2-server-uri"] = f"{self.url}/v1/oauth/tokens"
        return json.dumps(connection)

    def answer(self, method: str, address: str, authorization: str | None, body: bytes) -> Answer:
        """Answer a request: one at a time, so that a commit sees the table as the commit before left it."""
        path, query = urlsplit(address).path, parse_qs(urlsplit(address).query)
        segments = [unquote(segment) for segment in path.split("/")[1:]]
        if segments == ["v1", "oauth", "tokens"]:
            return self._grant(parse_qs(body.decode()), authorization or "")
        try:
            if self.credential and authorization != f"Bearer {self.token}":
                raise UnauthorizedError("The token is missing or unknown.")
            with self._lock:
                return self._route(method, segments, query, body)
        except tuple(ERRORS) as error:
            status, kind = next(ERRORS[base] for base in type(error).__mro__ if base in ERRORS)
            self.conflicts += isinstance(error, CommitFailedException)
            return _failure(status, kind, str(error))

    def _grant(self, form: dict[str, list[str]], authorization: str) -> Answer:
        """Answer a request for a token. DuckDB sends its credentials in the header, pyiceberg in the body."""
        scheme, _, basic = authorization.partition(" ")
        in_body = ":".join(form.get("client_id", []) + form.get("client_secret", []))
        client = b64decode(basic).decode() if scheme == "Basic" else in_body
        if form.get("grant_type") != ["client_credentials"] or client != self.credential:
            return 401, {"error": "invalid_client", "error_description": "The client ID or its secret is wrong."}
        return 200, {"access_token": self.token, "token_type": "bearer", "expires_in": 3600}

    def _route(self, method: str, segments: list[str], query: dict[str, list[str]], body: bytes) -> Answer:
        """Answer a request with a valid token."""
        match segments:
            case ["v1", "config"] if method == "GET":
                return 200, {"defaults": {}, "overrides": {"prefix": PREFIX}, "endpoints": list(ENDPOINTS)}
            case ["v1", prefix, "namespaces"] if prefix == PREFIX:
                return self._namespaces(method, query, body)
            case ["v1", prefix, "namespaces", namespace] if prefix == PREFIX:
                return self._namespace(method, _levels(namespace))
            case ["v1", prefix, "namespaces", namespace, "tables"] if prefix == PREFIX:
                return self._tables(method, _levels(namespace), body)
            case ["v1", prefix, "namespaces", namespace, "tables", name] if prefix == PREFIX:
                return self._table(method, (*_levels(namespace), name), query, body)
        return _unsupported(method, segments)

    def _namespaces(self, method: str, query: dict[str, list[str]], body: bytes) -> Answer:
        """List the namespaces, or create one."""
        match method:
            case "GET":
                parent = _levels(query["parent"][0]) if "parent" in query else ()
                return 200, {"namespaces": [list(levels) for levels in self.catalog.list_namespaces(parent)]}
            case "POST":
                namespace = json.loads(body)
                levels, properties = tuple(namespace["namespace"]), namespace.get("properties") or {}
                self.catalog.create_namespace(levels, properties)
                return 200, {"namespace": list(levels), "properties": properties}
        return _unsupported(method, ["namespaces"])

    def _namespace(self, method: str, levels: Identifier) -> Answer:
        """Load a namespace, or drop it."""
        properties = self.catalog.load_namespace_properties(levels)
        match method:
            case "GET":
                return 200, {"namespace": list(levels), "properties": properties}
            case "HEAD":
                return 204, None
            case "DELETE":
                self.catalog.drop_namespace(levels)
                return 204, None
        return _unsupported(method, list(levels))

    def _tables(self, method: str, levels: Identifier, body: bytes) -> Answer:
        """List the tables of a namespace, or create one."""
        match method:
            case "GET":
                tables = self.catalog.list_tables(levels)
                return 200, {"identifiers": [{"namespace": list(table[:-1]), "name": table[-1]} for table in tables]}
            case "POST":
                # The protocol lets a client leave these out, and pyiceberg's own model of it does not.
                absent = {"location": None, "partition-spec": None, "write-order": None}
                return 200, self._create(levels, CreateTableRequest.model_validate({**absent, **json.loads(body)}))
        return _unsupported(method, list(levels))

    def _create(self, levels: Identifier, request: CreateTableRequest) -> dict[str, Any]:
        """Create a table, or return the one that its first commit will create."""
        identifier, schema, properties = (*levels, request.name), request.table_schema, request.properties
        spec = request.partition_spec or UNPARTITIONED_PARTITION_SPEC
        order = request.write_order or UNSORTED_SORT_ORDER
        if not request.stage_create:
            table = self.catalog.create_table(identifier, schema, request.location, spec, order, properties)
            return self._loaded(table.metadata, table.metadata_location)
        self.catalog.load_namespace_properties(levels)
        if self.catalog.table_exists(identifier):
            raise TableAlreadyExistsError(f"Table {'.'.join(identifier)} already exists")
        # The SQL catalog itself stages no table in a namespace of two levels.
        location = self.catalog._resolve_table_location(request.location, ".".join(levels), request.name)
        return self._loaded(new_table_metadata(schema, spec, order, location, properties), None)

    def _table(self, method: str, identifier: Identifier, query: dict[str, list[str]], body: bytes) -> Answer:
        """Load a table, commit to it, or drop it."""
        match method:
            case "GET":
                table = self.catalog.load_table(identifier)
                return 200, self._loaded(table.metadata, table.metadata_location)
            case "HEAD":
                self.catalog.load_table(identifier)
                return 204, None
            case "POST":
                return self._commit(identifier, body)
            case "DELETE":
                purge = query.get("purgeRequested", ["false"])[0].lower() == "true"
                (self.catalog.purge_table if purge else self.catalog.drop_table)(identifier)
                return 204, None
        return _unsupported(method, list(identifier))

    def _commit(self, identifier: Identifier, body: bytes) -> Answer:
        """Apply the updates of a commit if the table meets its requirements."""
        identity = {"namespace": identifier[:-1], "name": identifier[-1]}
        request = CommitTableRequest.model_validate({**json.loads(body), "identifier": identity})
        creates = any(isinstance(requirement, AssertCreate) for requirement in request.requirements)
        if not creates and not self.catalog.table_exists(identifier):
            raise NoSuchTableError(f"Table does not exist: {'.'.join(identifier)}")
        table = cast("Table", SimpleNamespace(name=lambda: identifier))  # all that the catalog asks of it
        committed = self.catalog.commit_table(table, request.requirements, request.updates)
        if self.lost_answers:
            self.lost_answers -= 1
            return _failure(500, "InternalServerError", "The answer is lost.")
        return 200, json.loads(committed.model_dump_json())

    def _loaded(self, metadata: TableMetadata, metadata_location: str | None) -> dict[str, Any]:
        """Return a table as the protocol has it."""
        return {
            "metadata-location": metadata_location,
            "metadata": json.loads(metadata.model_dump_json()),
            "config": dict(self.vended),
        }


@contextmanager
def rest_catalog(
    warehouse: str,
    properties: Mapping[str, str] | None = None,
    *,
    credential: str | None = None,
    vended: Mapping[str, str] | None = None,
) -> Iterator[RestCatalogServer]:
    """
    Run a catalog whose tables lie in a warehouse, ``file:///...`` or ``s3://...``.

    ``properties`` are what the server itself needs for the warehouse, ``credential`` is ``<client ID>:<secret>``.
    """
    with tempfile.TemporaryDirectory(prefix="langsmith-catalog-") as directory:
        uri = f"sqlite:///{directory}/catalog.db"
        catalog = SqlCatalog("rest", uri=uri, warehouse=warehouse, **(properties or {}))

        class Handler(BaseHTTPRequestHandler):
            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, answer = server.answer(self.command, self.path, self.headers["Authorization"], body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                if answer is not None and self.command != "HEAD":
                    self.wfile.write(json.dumps(answer).encode())

            do_GET = do_HEAD = do_POST = do_DELETE = respond  # noqa: N815  # the base class names them so

            def log_message(self, *_: object) -> None:
                pass

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        http.daemon_threads = False
        server = RestCatalogServer(f"http://127.0.0.1:{http.server_port}", catalog, credential, vended or {})
        thread = Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
            http.server_close()  # waits for its answers
            catalog.close()


def _levels(namespace: str) -> Identifier:
    """Return the levels of a namespace, which are written with the unit separator between them."""
    return tuple(namespace.split("\x1f"))


def _failure(status: int, kind: str, message: str) -> Answer:
    """Return an error as the protocol has it."""
    return status, {"error": {"message": message, "type": kind, "code": status}}


def _unsupported(method: str, segments: list[str]) -> Answer:
    """Refuse a request that the server does not know."""
    return _failure(406, "UnsupportedOperationException", f"No such endpoint: {method} {'/'.join(segments)}")
