"""
How bodies come packed: as zstd or gzip, unpacked by the fastest library that is installed.

Unpacking is the largest part of what a page costs. zstd takes a quarter of zlib's time and isal a half; both are
optional (``pip install 'airflow-provider-langsmith[fast]'``). Plain bodies would cost least, but travel longest.

A megabyte of gzip may hold a gigabyte, and a kilobyte of zstd 32 MB. So a body comes out in pieces, and whoever takes
them stops when they become too many.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, cast

_GZIP = 31  # zlib's word for a gzip header and the largest window
_SLICE = 2048  # bytes of zstd; a block of 4 bytes makes 128 KB, so 64 MB at most come out of a slice


class DecompressionError(ValueError):
    """A body cannot be unpacked."""


class Decompressor(ABC):
    """
    Unpacks one body, which may be several members or frames, one after another.

    What follows the last one is the beginning of another one, or an error.
    """

    errors: ClassVar[tuple[type[Exception], ...]] = ()

    def __init__(self) -> None:
        self._member: Any = None  # what the library unpacks

    def pieces(self, packed: bytes, largest: int) -> Iterator[bytes]:
        """
        Unpack the next part of the body; a piece of gzip has ``largest`` bytes at most, one of zstd 64 MB.

        :raises PackingError: for what is broken.
        """
        try:
            yield from self._pieces(packed, largest)
        except self.errors as error:
            raise DecompressionError(str(error)) from error

    @property
    def is_whole(self) -> bool:
        """Whether the body may end here."""
        return self._member is None or bool(self._member.eof)

    @abstractmethod
    def _pieces(self, packed: bytes, largest: int) -> Iterator[bytes]:
        """Unpack, with the errors of the library."""


class Plain(Decompressor):
    """A body that is not packed."""

    def _pieces(self, packed: bytes, largest: int) -> Iterator[bytes]:  # noqa: ARG002  # it is no larger than it was
        yield packed


class Gzip(Decompressor):
    """RFC 1952."""

    errors: ClassVar[tuple[type[Exception], ...]] = (zlib.error,)
    _library: ClassVar[Any] = zlib

    def _pieces(self, packed: bytes, largest: int) -> Iterator[bytes]:
        while packed:
            if self.is_whole:
                self._member = self._library.decompressobj(_GZIP)
            yield self._member.decompress(packed, largest)
            packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail


DECOMPRESSORS: dict[str, Callable[[], Decompressor]] = {"": Plain, "identity": Plain, "gzip": Gzip}

try:
    from isal import isal_zlib
except ImportError:
    pass
else:

    class FastGzip(Gzip):
        """The same, by Intel's library."""

        errors = (cast("type[Exception]", isal_zlib.error),)
        _library = isal_zlib

    DECOMPRESSORS["gzip"] = FastGzip

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

        def _pieces(self, packed: bytes, largest: int) -> Iterator[bytes]:  # noqa: ARG002  # the library takes no limit
            for start in range(0, len(packed), _SLICE):
                rest = packed[start : start + _SLICE]
                while rest:
                    if self.is_whole:
                        self._member = self._library.decompressobj()
                    yield self._member.decompress(rest)
                    rest = self._member.unused_data if self._member.eof else b""

    DECOMPRESSORS["zstd"] = Zstd

ACCEPT_ENCODING = ", ".join(name for name in ("zstd", "gzip") if name in DECOMPRESSORS)


def decompressor(encoding: str) -> Decompressor:
    """
    Make what unpacks a body of a ``Content-Encoding``.

    :raises PackingError: for one that was not asked for.
    """
    if encoding not in DECOMPRESSORS:
        raise DecompressionError(f"it is not packed as {ACCEPT_ENCODING}, which was asked for")
    return DECOMPRESSORS[encoding]()
