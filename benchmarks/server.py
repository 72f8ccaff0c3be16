"""
A LangSmith server of prepared pages, so that a bench measures the client: ``python -m benchmarks.server``.

It answers the run query of both versions, with a latency, and refuses queries over a budget. Pages are compressed once.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import sys
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import zstandard

from benchmarks.pages import BLOCK, PROJECT_ID, START, end, page, place

_WINDOW = re.compile(r'gte\(start_time, "(.*?)"\), lt\(start_time, "(.*?)"\)')
_CACHED_PAGES = 400


@dataclass
class Scene:
    """
    The state of the server: bytes of a run, runs, seconds of latency, queries per ten seconds.

    ``requests`` and ``refused`` count queries.
    """

    size: int = 1000
    runs: int = 0
    latency: float = 0.0
    budget: int | None = None
    encodings: tuple[str, ...] = ("gzip",)
    gzip_level: int = 6
    requests: int = 0
    refused: int = 0


class Server(ThreadingHTTPServer):
    """Serves a scene. A POST to ``/scene`` changes it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scene = Scene()
        self.lock = threading.Lock()
        self.sent_at: deque[float] = deque()

    def server_bind(self) -> None:
        """Bind without a lookup of this machine's name."""
        super(ThreadingHTTPServer, self).server_bind()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def seconds_to_wait(self) -> float:
        """Count a query, and return the seconds until the budget allows it, or 0."""
        now = time.monotonic()
        with self.lock:
            self.scene.requests += 1
            while self.sent_at and now - self.sent_at[0] >= 10:
                self.sent_at.popleft()
            if self.scene.budget is not None and len(self.sent_at) >= self.scene.budget:
                self.scene.refused += 1
                return self.sent_at[0] + 10 - now
            self.sent_at.append(now)
            return 0.0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:  # the base class looks for this name
        if self.path == "/scene":
            self._answer(json.dumps(asdict(self.server.scene)).encode())
        elif self.path.startswith("/api/v1/info") or self.path.startswith("/info"):
            self._answer(b'{"version":"0.16.0","instance_flags":{"sdb_query_enabled":true}}')
        else:
            project = {"id": PROJECT_ID, "name": "shop", "tenant_id": PROJECT_ID, "start_time": "2026-01-01T00:00:00"}
            self._answer(json.dumps([project]).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/scene":
            self.server.scene = Scene(**body)
            self.server.sent_at.clear()
            self._answer(b"{}")
            return
        version = "v2" if "/v2/" in self.path else "v1"
        if seconds := self.server.seconds_to_wait():
            self._answer(b'{"detail":"Rate limit exceeded"}', 429, retry_after=math.ceil(seconds))
            return
        scene = self.server.scene
        time.sleep(scene.latency)
        accepted = self.headers.get("Accept-Encoding", "")
        encoding = next((name for name in scene.encodings if name in accepted), "")
        content = _page(scene.size, version, _page_blocks(body, scene.runs // BLOCK), encoding, scene.gzip_level)
        self._answer(content, encoding=encoding)

    def _answer(self, content: bytes, status: int = 200, encoding: str = "", retry_after: int = 0) -> None:
        encoding_line = f"Content-Encoding: {encoding}\r\n" if encoding else ""
        retry_line = f"Retry-After: {retry_after}\r\n" if retry_after else ""  # if less, the recipe gives up
        fields = f"Content-Type: application/json\r\n{encoding_line}{retry_line}Content-Length: {len(content)}"
        self.wfile.write(f"HTTP/1.1 {status} X\r\n{fields}\r\n\r\n".encode() + content)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _page_blocks(body: dict[str, Any], blocks: int) -> tuple[int, int, str | None, int]:
    """Return the newest and the oldest block of a page, the next cursor, and the runs of the newest block."""
    window = _WINDOW.search(body.get("filter") or "")
    low, high = map(datetime.fromisoformat, window.groups()) if window else (START, end(blocks))
    first = max(0, place(low)[0])
    newest, rows = place(min(high, end(blocks)))
    if body.get("cursor"):
        newest, rows = int(body["cursor"]), BLOCK
    elif not rows:
        newest, rows = newest - 1, BLOCK
    oldest = max(first, newest + 1 - -(-(body.get("limit") or body.get("page_size") or BLOCK) // BLOCK))
    return newest, oldest, str(oldest - 1) if oldest > first else None, rows


@lru_cache(maxsize=_CACHED_PAGES)
def _page(size: int, version: str, blocks: tuple[int, int, str | None, int], encoding: str, level: int) -> bytes:
    content = page(size, version, *blocks)
    if encoding == "zstd":
        return zstandard.compress(content, 3)
    return gzip.compress(content, level, mtime=0) if encoding == "gzip" else content


def main() -> None:
    """Serve until standard input ends."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
