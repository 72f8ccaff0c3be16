"""
What the worst pages cost in memory: ``python -m benchmarks.worst [MB]``.

Every kind of page is read in one process, which asks Linux for the most memory it held meanwhile.
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

MB = 1024 * 1024
SHOP = Project(id="p", name="shop")
RUN = b'"id":"r","start_time":"2026-03-01T00:00:00Z"'

Make = Callable[[int], bytes]


def page(inputs: bytes) -> bytes:
    """Write a page of one run with this payload."""
    return b'{"items":[{%b,"inputs":%b}]}' % (RUN, inputs)


def text(letters: bytes, end: bytes = b"") -> Make:
    """Write a page with a text of these letters, and of another end."""
    return lambda size: page(b'"%b%b"' % (letters * (size // len(letters)), end))


def values(value: bytes, last: bytes) -> Make:
    """Write a page with a list of these values, and of another last one."""
    return lambda size: page(b"[%b%b]" % ((value + b",") * (size // (len(value) + 1)), last))


def deep(inner: Make, size: int) -> bytes:
    """Write a page with more levels than readers take, around a payload."""
    return page(b"[" * 2000 + inner(size) + b"]" * 2000)


HALF = rb"\ud83d"
KINDS: dict[str, Make] = {
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


def memory(name: str) -> float:
    """Tell how many MB this process holds (VmRSS), or has held at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name))) / 1024


def peak(make: Make, size: int, encoding: str) -> tuple[float, float]:
    """Return the MB that a page takes from its last bytes on the wire until it is read, and the seconds."""
    packed = PACKINGS[encoding](make(size))
    Path("/proc/self/clear_refs").write_text("5")  # forgets the most there was
    before, began = memory("VmRSS"), time.process_time()
    with Body(Request("POST", "/", max_bytes=20 * size), encoding, is_success=True) as body:
        for start in range(0, len(packed), 65536):
            if body.add(packed[start : start + 65536]):
                body.decompress()
        with suppress(LangSmithError):  # which is how some of them end
            V2().read_page(body.finish(), SHOP, FIELDS, "a page")
    return memory("VmHWM") - before, time.process_time() - began


def main() -> None:
    """Print the peak of every kind as JSON: MB, and seconds."""
    size = int(float(sys.argv[1]) * MB) if sys.argv[1:] else 12 * MB
    V2().read_page(page(b"NaN"), SHOP, FIELDS, "a page")  # loads what it needs
    names = {
        f"{kind}, {encoding or 'plain'}": (make, encoding) for kind, make in KINDS.items() for encoding in PACKINGS
    }
    some = {name: how for name, how in names.items() if sys.argv[2:] or how[1] == "gzip"}
    print(json.dumps({name: peak(make, size, encoding) for name, (make, encoding) in some.items()}))


if __name__ == "__main__":
    main()
