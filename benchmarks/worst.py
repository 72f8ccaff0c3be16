"""
The memory of the worst pages: ``python -m benchmarks.worst [MB]``.

One process reads each kind of page, and reads its peak memory from Linux.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import zstandard

from airflow_langsmith.api.bodies import Body
from airflow_langsmith.api.flow import Request
from airflow_langsmith.api.query import FIELDS
from airflow_langsmith.api.records import Project
from airflow_langsmith.api.v2 import V2
from airflow_langsmith.errors import LangSmithError
from benchmarks.paths import memory_mb

MB = 1024 * 1024
SHOP = Project(id="p", name="shop")
RUN = b'"id":"r","start_time":"2026-03-01T00:00:00Z"'

MakePage = Callable[[int], bytes]


def page(inputs: bytes) -> bytes:
    """Return a page of one run with a payload."""
    return b'{"items":[{%b,"inputs":%b}]}' % (RUN, inputs)


def text(letters: bytes, end: bytes = b"") -> MakePage:
    """Return a page with a text of repeated letters, and its end."""
    return lambda size: page(b'"%b%b"' % (letters * (size // len(letters)), end))


def values(value: bytes, last: bytes) -> MakePage:
    """Return a page with a list of a repeated value, and its last value."""
    return lambda size: page(b"[%b%b]" % ((value + b",") * (size // (len(value) + 1)), last))


def deep(inner: MakePage, size: int) -> bytes:
    """Return a page with a payload in more levels than a reader allows."""
    return page(b"[" * 2000 + inner(size) + b"]" * 2000)


HALF = rb"\ud83d"
KINDS: dict[str, MakePage] = {
    "nothing wrong": text(b"x"),
    "half an emoji behind a long text": text(b"x", HALF),
    "half an emoji behind escapes": text(rb"\n", HALF),
    "half an emoji behind quotes": text(rb"\"", HALF),
    "half an emoji behind emojis": text("\U0001f600".encode(), HALF),
    "nothing but halves": text(HALF),
    "nothing but backslashes that escape nothing": text(rb"\x"),
    "nothing but control characters": text(b"\x01"),
    "nothing but bytes that are no UTF-8": text(b"\xff"),
    "one byte that is no UTF-8": text("é".encode(), b"\xff"),
    "nothing but NaN": values(b"NaN", b"1"),
    "NaN behind empty texts": values(b'""', b"NaN"),
    "NUL bytes around a value": lambda size: page(b"1" + bytes(size)),
    "byte order marks around a value": lambda size: page(b"1" + b"\xef\xbb\xbf" * (size // 3)),
    "printed over lines, and NaN": values(b"1\n", b"NaN"),
    "nothing but brackets": lambda size: page(b"[" * (size // 2) + b"]" * (size // 2)),
    "nothing but objects in objects": lambda size: page(b'{"a":' * (size // 6) + b"1" + b"}" * (size // 6)),
    "escapes too deep": lambda size: deep(lambda size: b'"%b"' % (rb"\"" * (size // 2)), size),
    "lists too deep": lambda size: deep(lambda size: b"[%b1]" % (b"[]," * (size // 3)), size),
    "a text that is never closed": lambda size: page(b'"' + rb"\"" * (size // 2))[:-2],
    "no JSON at all": lambda size: b"<html>" + b'<a href="x">' * (size // 12),
    "another shape": lambda size: b'{"items":"%b"}' % (b"x" * size),
    "a run as LangSmith's are": lambda size: (
        b'{"items":[%b]}' % b",".join([b'{%b,"inputs":{"a":"%b"}}' % (RUN, b"x" * 16000)] * (size // 16000))
    ),
}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": lambda body: gzip.compress(body, 1),
    "zstd": zstandard.compress,
}


def peak(make: MakePage, size: int, encoding: str) -> tuple[float, float]:
    """Return the MB that a page takes from its last bytes on the wire until it is read, and the seconds."""
    packed = PACKINGS[encoding](make(size))
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before_mb, start_seconds = memory_mb("VmRSS"), time.process_time()
    with Body(Request("POST", "/", max_bytes=20 * size), encoding, is_success=True) as body:
        for start in range(0, len(packed), 65536):
            if body.add(packed[start : start + 65536]):
                body.decompress()
        with suppress(LangSmithError):  # some kinds are refused
            V2().read_page(body.finish(), SHOP, FIELDS, "a page")
    return memory_mb("VmHWM") - before_mb, time.process_time() - start_seconds


def main() -> None:
    """Print the MB and seconds of each kind as JSON."""
    size = int(float(sys.argv[1]) * MB) if sys.argv[1:] else 12 * MB
    V2().read_page(page(b"NaN"), SHOP, FIELDS, "a page")  # loads its modules
    cases = {
        f"{kind}, {encoding or 'plain'}": (make, encoding) for kind, make in KINDS.items() for encoding in PACKINGS
    }
    chosen = {name: case for name, case in cases.items() if sys.argv[2:] or case[1] == "gzip"}
    print(json.dumps({name: peak(make, size, encoding) for name, (make, encoding) in chosen.items()}))


if __name__ == "__main__":
    main()
