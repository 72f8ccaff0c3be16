"""
A LangSmith that only has pages, made beforehand, so that a bench measures the client: ``python -m benchmarks.server``.

It answers both versions of the run query, as late as told, and refuses what is over a budget. Pages are compressed as
the client asks for, once.
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
_KEPT = 400  # pages


@dataclass
class Scene:
    """
    What the server is like: bytes a run, runs in all, seconds until it answers, queries let through per ten seconds.

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
    """Serves one scene until it is given the next, at ``/scene``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scene = Scene()
        self.lock = threading.Lock()
        self.let_through: deque[float] = deque()

    def server_bind(self) -> None:
        """Bind without looking up the name of this machine."""
        super(ThreadingHTTPServer, self).server_bind()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def full_for(self) -> float:
        """Count a query, and tell in how many seconds the budget has room for it; 0 lets it through."""
        now = time.monotonic()
        with self.lock:
            self.scene.requests += 1
            while self.let_through and now - self.let_through[0] >= 10:
                self.let_through.popleft()
            if self.scene.budget is not None and len(self.let_through) >= self.scene.budget:
                self.scene.refused += 1
                return self.let_through[0] + 10 - now
            self.let_through.append(now)
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
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/scene":
            self.server.scene = Scene(**asked)
            self.server.let_through.clear()
            self._answer(b"{}")
            return
        version = "v2" if "/v2/" in self.path else "v1"
        if seconds := self.server.full_for():
            self._answer(b'{"detail":"Rate limit exceeded"}', 429, again=math.ceil(seconds))
            return
        scene = self.server.scene
        time.sleep(scene.latency)
        accepted = self.headers.get("Accept-Encoding", "")
        encoding = next((name for name in scene.encodings if name in accepted), "")
        content = _page(scene.size, version, _wanted(asked, scene.runs // BLOCK), encoding, scene.gzip_level)
        self._answer(content, encoding=encoding)

    def _answer(self, content: bytes, status: int = 200, encoding: str = "", again: int = 0) -> None:
        coded = f"Content-Encoding: {encoding}\r\n" if encoding else ""
        later = f"Retry-After: {again}\r\n" if again else ""  # the truth: told less, the recipe gives up
        fields = f"Content-Type: application/json\r\n{coded}{later}Content-Length: {len(content)}"
        self.wfile.write(f"HTTP/1.1 {status} X\r\n{fields}\r\n\r\n".encode() + content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Keep quiet."""


def _wanted(asked: dict[str, Any], blocks: int) -> tuple[int, int, str | None, int]:
    """Find the newest and the oldest block to answer with, the cursor, and how many runs of the newest are wanted."""
    found = _WINDOW.search(asked.get("filter") or "")
    low, high = map(datetime.fromisoformat, found.groups()) if found else (START, end(blocks))
    first = max(0, place(low)[0])
    newest, rows = place(min(high, end(blocks)))
    if asked.get("cursor"):
        newest, rows = int(asked["cursor"]), BLOCK
    elif not rows:
        newest, rows = newest - 1, BLOCK
    oldest = max(first, newest + 1 - -(-(asked.get("limit") or asked.get("page_size") or BLOCK) // BLOCK))
    return newest, oldest, str(oldest - 1) if oldest > first else None, rows


@lru_cache(maxsize=_KEPT)
def _page(size: int, version: str, wanted: tuple[int, int, str | None, int], encoding: str, level: int) -> bytes:
    content = page(size, version, *wanted)
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
