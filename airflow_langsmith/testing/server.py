"""The stand-in on a socket: HTTP/1.1 on the loopback address, a thread for each connection."""

from __future__ import annotations

import gzip
import json
import struct
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socket import SHUT_RDWR, SO_LINGER, SOL_SOCKET
from threading import Thread, current_thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from airflow_langsmith.testing.http_messages import RecordedRequest, Request, Response, json_response
from airflow_langsmith.testing.refusals import Refusal
from airflow_langsmith.testing.routes import split_version

__all__ = ["Server"]

_PHRASES: dict[int, str] = {status.value: status.phrase for status in HTTPStatus}
_MIN_GZIP_BYTES = 1024
_POLL_SECONDS = 0.005  # every test waits so long for stop()
_JOIN_TIMEOUT_SECONDS = 5.0  # the thread of a closed connection ends at once


class Server(HTTPServer):
    """Listens when it is created. ``start`` begins to answer; after ``stop`` no socket and no thread is left."""

    request_queue_size = 128

    def __init__(
        self, port: int, respond: Callable[[Request], Response], record: Callable[[RecordedRequest], None]
    ) -> None:
        self.respond = respond
        self.record = record
        self._connections: dict[Thread, Any] = {}
        super().__init__(("127.0.0.1", port), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = Thread(target=self.serve_forever, args=(_POLL_SECONDS,), name="langsmith-stand-in", daemon=True)

    def start(self) -> None:
        """Begin to answer, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port and all connections, and wait for their threads."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        for thread, connection in list(self._connections.items()):
            with suppress(OSError):
                connection.shutdown(SHUT_RDWR)
            thread.join(_JOIN_TIMEOUT_SECONDS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start the thread of a new connection."""
        thread = Thread(target=self._serve_connection, args=(request, client_address), daemon=True)
        self._connections[thread] = request
        thread.start()

    def _serve_connection(self, connection: Any, client_address: Any) -> None:
        try:
            self.finish_request(connection, client_address)
        except ConnectionError:
            pass  # the client has gone
        except Exception:  # noqa: BLE001 (a thread must not end with its socket open)
            self.handle_error(connection, client_address)
        finally:
            self.close_request(connection)  # without shutdown(), which would turn a reset into an orderly end
            self._connections.pop(current_thread(), None)

    def server_bind(self) -> None:
        """Bind without a lookup of this machine's name, which may take seconds."""
        super(HTTPServer, self).server_bind()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def _serve(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        headers = {name.lower(): value for name, value in self.headers.items()}
        version, path = split_version(url.path)
        content = self._read_body()
        try:
            content = _decompress(content, headers.get("content-encoding", ""))
            is_below_api = url.path.startswith("/api/")
            request = Request(self.command, path, version, query, headers, content, self.server.url, is_below_api)
            response = self.server.respond(request)
        except Refusal as refusal:
            response = json_response(refusal.as_v1(), refusal.status)
        flat_query = {name: values[0] if len(values) == 1 else values for name, values in query.items()}
        # Recorded before it is sent: a client that has the answer also finds the record.
        record = RecordedRequest(self.command, url.path, flat_query, headers, _parse_json(content), response.status)
        self.server.record(record)
        self._send(response)

    # The base class looks for these names, and answers other methods itself, in HTML.
    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = do_HEAD = do_OPTIONS = _serve  # noqa: N815

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(pieces)

    def _send(self, response: Response) -> None:
        if not response.status:
            self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))  # close() now resets
            self.close_connection = True
            return
        content, headers = response.content, {"Content-Type": response.content_type, **response.headers}
        may_compress = "Content-Encoding" not in headers and "gzip" in self.headers.get("Accept-Encoding", "")
        if may_compress and len(content) >= _MIN_GZIP_BYTES:
            content = gzip.compress(content, compresslevel=1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(content))
        if self.command == "HEAD":
            content = b""
        if response.cut_short:
            content = content[: len(content) // 2]
            self.close_connection = True
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {response.status} {_PHRASES.get(response.status, '')}\r\n{lines}\r\n"
        message = head.encode("latin-1") + content
        if not response.byte_seconds:
            self.wfile.write(message)  # one write: one packet, if it fits
            return
        for place in range(len(message)):
            self.wfile.write(message[place : place + 1])
            time.sleep(response.byte_seconds)

    def log_message(self, *_: object) -> None:
        """Log nothing: a test reads the recorded requests."""


def _decompress(content: bytes, encoding: str) -> bytes:
    try:
        if encoding in ("gzip", "x-gzip"):
            return gzip.decompress(content)
        if encoding == "deflate":
            return zlib.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise Refusal(400, f"The body is not {encoding}: {error}") from error
    if encoding not in ("", "identity"):
        raise Refusal(415, f"Unsupported content encoding: {encoding}")
    return content


def _parse_json(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None
