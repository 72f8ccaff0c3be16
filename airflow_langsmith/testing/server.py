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

from airflow_langsmith.testing.exchange import Answer, Call, RecordedRequest, json_answer
from airflow_langsmith.testing.refusals import Refusal
from airflow_langsmith.testing.routes import split_version

__all__ = ["Server"]

_PHRASES: dict[int, str] = {status.value: status.phrase for status in HTTPStatus}
_WORTH_COMPRESSING = 1024  # bytes
_POLL = 0.005  # seconds until stop() is noticed, which every test waits for
_JOIN_TIMEOUT = 5.0  # seconds; a connection thread that is told to end does so at once

_Answerer = Callable[[Call], Answer]
_Recorder = Callable[[RecordedRequest], None]


class Server(HTTPServer):
    """Listens from its creation on; ``start`` begins to answer, ``stop`` leaves no socket and no thread behind."""

    request_queue_size = 128

    def __init__(self, port: int, answer: _Answerer, record: _Recorder) -> None:
        self.answer = answer
        self.record = record
        self._open: dict[Thread, Any] = {}
        super().__init__(("127.0.0.1", port), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = Thread(target=self.serve_forever, args=(_POLL,), name="langsmith-stand-in", daemon=True)

    def start(self) -> None:
        """Begin to answer, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Close everything, open connections included, and wait for their threads."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        for thread, connection in list(self._open.items()):
            with suppress(OSError):
                connection.shutdown(SHUT_RDWR)
            thread.join(_JOIN_TIMEOUT)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a new connection its thread."""
        thread = Thread(target=self._converse, args=(request, client_address), daemon=True)
        self._open[thread] = request
        thread.start()

    def _converse(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except ConnectionError:
            pass  # the client has gone: nobody is left to tell
        except Exception:  # noqa: BLE001 (a thread must not die with its socket open)
            self.handle_error(request, client_address)
        finally:
            self.close_request(request)  # no shutdown() before: it would turn a reset into an orderly end
            self._open.pop(current_thread(), None)

    def server_bind(self) -> None:
        """Bind without looking up the name of this machine, which may take seconds."""
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
        content = self._body()
        try:
            content = _decoded(content, headers.get("content-encoding", ""))
            below_api = url.path.startswith("/api/")
            call = Call(self.command, path, version, query, headers, content, self.server.url, below_api)
            answer = self.server.answer(call)
        except Refusal as refusal:
            answer = json_answer(refusal.as_v1(), refusal.status)
        flat = {name: values[0] if len(values) == 1 else values for name, values in query.items()}
        # Recorded before it is sent, so that whoever has the answer also finds the record.
        self.server.record(RecordedRequest(self.command, url.path, flat, headers, _parsed(content), answer.status))
        self._send(answer)

    # The base class looks for these names; methods it does not find it answers itself, in HTML.
    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = do_HEAD = do_OPTIONS = _serve  # noqa: N815

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(pieces)

    def _send(self, answer: Answer) -> None:
        if not answer.status:
            self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))  # closing now resets
            self.close_connection = True
            return
        content, headers = answer.content, {"Content-Type": answer.content_type, **answer.headers}
        is_packed = "Content-Encoding" in headers
        if not is_packed and len(content) >= _WORTH_COMPRESSING and "gzip" in self.headers.get("Accept-Encoding", ""):
            content = gzip.compress(content, compresslevel=1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(content))
        if self.command == "HEAD":
            content = b""
        if answer.cut_short:
            content = content[: len(content) // 2]
            self.close_connection = True
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        start = f"HTTP/1.1 {answer.status} {_PHRASES.get(answer.status, '')}\r\n{lines}\r\n"
        sent = start.encode("latin-1") + content
        if not answer.byte_seconds:
            self.wfile.write(sent)  # one write: one packet where it fits
            return
        for place in range(len(sent)):
            self.wfile.write(sent[place : place + 1])
            time.sleep(answer.byte_seconds)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it so)
        """Keep quiet: the requests are there to be read."""


def _decoded(content: bytes, encoding: str) -> bytes:
    """Undo the compression of a request's body."""
    try:
        if encoding in ("gzip", "x-gzip"):
            return gzip.decompress(content)
        if encoding == "deflate":
            return zlib.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise Refusal(400, f"The body is no {encoding}: {error}") from error
    if encoding not in ("", "identity"):
        raise Refusal(415, f"Unsupported content encoding: {encoding}")
    return content


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None
