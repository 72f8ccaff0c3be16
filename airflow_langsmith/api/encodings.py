"""
Decompress bodies: zstd or gzip, by the fastest library that is installed.

Decompression is the largest part of what a page costs. zstd takes a quarter of zlib's time and isal a half; both are
optional (``pip install 'airflow-provider-langsmith[fast]'``). Plain bodies would cost least, but travel longest.

A megabyte of gzip may hold a gigabyte, and a kilobyte of zstd 32 MB. So a body is decompressed in pieces, and the
reader of the pieces stops if they become too many.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, cast

_gzip_library: Any = import_module("isal.isal_zlib" if find_spec("isal") else "zlib")

_GZIP = 31  # zlib's code for a gzip header and the largest window
_ZSTD_SLICE_BYTES = 2048  # a block of 4 bytes makes 128 KB, so at most 64 MB come out of a slice


class DecompressionError(ValueError):
    """A body cannot be decompressed."""


class Decompressor(ABC):
    """
    Decompresses one body, which may be several members or frames, one after another.

    What follows the last one is the beginning of another one, or an error.
    """

    errors: ClassVar[tuple[type[Exception], ...]] = ()

    def __init__(self) -> None:
        self._member: Any = None  # the decompressor of the library

    def pieces(self, compressed: bytes, max_bytes: int) -> Iterator[bytes]:
        """
        Decompress the next part of the body; a piece of gzip has ``max_bytes`` at most, one of zstd 64 MB.

        :raises DecompressionError: for what is broken.
        """
        try:
            yield from self._pieces(compressed, max_bytes)
        except self.errors as error:
            raise DecompressionError(str(error)) from error

    @property
    def is_whole(self) -> bool:
        """Whether the body may end here."""
        return self._member is None or bool(self._member.eof)

    @abstractmethod
    def _pieces(self, compressed: bytes, max_bytes: int) -> Iterator[bytes]:
        """Decompress, with the errors of the library."""


class Plain(Decompressor):
    """A body that is not compressed."""

    def _pieces(self, compressed: bytes, max_bytes: int) -> Iterator[bytes]:  # noqa: ARG002  # it does not grow
        yield compressed


class Gzip(Decompressor):
    """RFC 1952."""

    errors = (cast("type[Exception]", _gzip_library.error),)

    def _pieces(self, compressed: bytes, max_bytes: int) -> Iterator[bytes]:
        while compressed:
            if self.is_whole:
                self._member = _gzip_library.decompressobj(_GZIP)
            yield self._member.decompress(compressed, max_bytes)
            compressed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail


DECOMPRESSORS: dict[str, Callable[[], Decompressor]] = {"": Plain, "identity": Plain, "gzip": Gzip}

try:
    import zstandard
except ImportError:
    pass
else:

    class Zstd(Decompressor):
        """RFC 8878."""

        errors = (zstandard.ZstdError,)

        def __init__(self) -> None:
            super().__init__()
            self._library = zstandard.ZstdDecompressor()

        def _pieces(self, compressed: bytes, max_bytes: int) -> Iterator[bytes]:  # noqa: ARG002  # zstandard has no limit
            for start in range(0, len(compressed), _ZSTD_SLICE_BYTES):
                rest = compressed[start : start + _ZSTD_SLICE_BYTES]
                while rest:
                    if self.is_whole:
                        self._member = self._library.decompressobj()
                    yield self._member.decompress(rest)
                    rest = self._member.unused_data if self._member.eof else b""

    DECOMPRESSORS["zstd"] = Zstd

ACCEPT_ENCODING = ", ".join(name for name in ("zstd", "gzip") if name in DECOMPRESSORS)


def decompressor(encoding: str) -> Decompressor:
    """
    Return the decompressor for a ``Content-Encoding``.

    :raises DecompressionError: for an encoding that the request did not accept.
    """
    if encoding not in DECOMPRESSORS:
        raise DecompressionError(f"it is not compressed as {ACCEPT_ENCODING}, which was asked for")
    return DECOMPRESSORS[encoding]()
