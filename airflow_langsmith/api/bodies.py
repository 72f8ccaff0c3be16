"""
Receive the body of an answer: decompressed part by part, into memory or a file, up to a limit.

Decompression is the largest part of what a page costs. zstd takes a quarter of zlib's time and isal a half; both are
optional (``pip install 'airflow-provider-langsmith[fast]'``). Plain bodies would cost least, but travel longest.

A megabyte of gzip may hold a gigabyte, and a kilobyte of zstd 32 MB. So a body is decompressed in pieces, and reading
stops if they become too many.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from io import SEEK_END, BytesIO
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

from airflow_langsmith.api.flow import Request
from airflow_langsmith.errors import LargePayloadError

PART_BYTES = 1024 * 1024  # of a body as it travels; most are smaller, and decompressed in one piece, which is fastest
MAX_PIECE_BYTES = 16 * 1024 * 1024  # that are decompressed in one piece
MAX_ERROR_BYTES = 64 * 1024  # of an answer that is no success; what follows is not read

_GZIP_FORMAT = 31  # zlib's code for a gzip header and the largest window


class DecompressionError(ValueError):
    """A body cannot be decompressed."""


class _Codec(NamedTuple):
    open_member: Callable[[], Any]  # decompresses one member or frame of a body
    error: Any
    slice_bytes: int = sys.maxsize  # that it takes at a time
    has_limit: bool = True  # of what comes out


def _codecs() -> Iterator[tuple[str, _Codec]]:
    if find_spec("zstandard"):
        zstd: Any = import_module("zstandard")  # it has no limit, but 4 bytes make 128 KB at most, and a slice 64 MB
        yield "zstd", _Codec(lambda: zstd.ZstdDecompressor().decompressobj(), zstd.ZstdError, 2048, has_limit=False)
    gzip: Any = import_module("isal.isal_zlib" if find_spec("isal") else "zlib")
    yield "gzip", _Codec(lambda: gzip.decompressobj(_GZIP_FORMAT), gzip.error)


_CODECS = dict(_codecs())
ACCEPT_ENCODING = ", ".join(_CODECS)


class Body:
    """
    The body of an answer to a request, while it arrives.

    An answer that is no success has no data: of its body the beginning is enough.
    """

    def __init__(self, request: Request, encoding: str, *, is_success: bool) -> None:
        self.is_enough = False  # whether nothing more is needed
        self._request = request
        self._encoding = encoding.strip().lower()
        self._is_success = is_success
        self._size = 0  # bytes so far, decompressed
        self._max_bytes = request.max_bytes if is_success else MAX_ERROR_BYTES
        self._file: BinaryIO | None = request.open_file() if request.open_file and is_success else None
        self._memory: BytesIO | None = None
        self._parts: list[bytes] = []
        self._part_size = 0
        self._member: Any = None  # that is being decompressed; there may be several, one after another

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """Close the file, and empty it if the body is not whole."""
        if self._file:
            with self._file:
                if kind:
                    self._file.truncate(0)

    def add(self, compressed: bytes) -> bool:
        """Add bytes that arrived; return whether it is time to :meth:`decompress`."""
        self._parts.append(compressed)
        self._part_size += len(compressed)
        return self._part_size >= PART_BYTES

    def decompress(self) -> None:
        """Decompress what was added; a body may be too large, broken, or of an encoding that was not accepted."""
        compressed = b"".join(self._parts)
        self._parts, self._part_size = [], 0
        for piece in self._pieces(compressed) if compressed and not self.is_enough else ():
            self._write(piece)
            if self.is_enough:
                return

    @property
    def file_bytes(self) -> int:
        """The size of a body that went into a file."""
        return self._size if self._file else 0

    def finish(self) -> bytes:
        """Decompress the rest and return the body; a body that went into a file is empty here."""
        self.decompress()
        if self._member and not self._member.eof and not self.is_enough:
            raise DecompressionError("the body is cut short")
        return self._memory.getvalue() if self._memory else b""

    def _pieces(self, compressed: bytes) -> Iterator[bytes]:
        if self._encoding in ("", "identity"):
            yield compressed
            return
        codec = _CODECS.get(self._encoding)
        if codec is None:
            raise DecompressionError(f"it is not compressed as {ACCEPT_ENCODING}, which the request accepts")
        limit = (min(MAX_PIECE_BYTES, self._max_bytes + 1 - self._size),) if codec.has_limit else ()
        try:
            for start in range(0, len(compressed), codec.slice_bytes):
                rest = compressed[start : start + codec.slice_bytes]
                while rest:
                    if self._member is None or self._member.eof:
                        self._member = codec.open_member()
                    yield self._member.decompress(rest, *limit)
                    rest = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        except codec.error as error:
            raise DecompressionError(str(error)) from error

    def _write(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._max_bytes:
            if self._is_success:
                raise LargePayloadError(
                    f"The answer to {self._request.description} is over {self._max_bytes / 2**20:.3g} MB, which is the "
                    "limit here."
                )
            self.is_enough = True
            piece = piece[: self._max_bytes - self._size]
        if self._file:
            self._file.write(piece)
        elif self._memory:
            self._memory.write(piece)
        else:  # BytesIO does not copy its first piece, and joining pieces in the end would take twice the memory
            self._memory = BytesIO(piece)
            self._memory.seek(0, SEEK_END)
