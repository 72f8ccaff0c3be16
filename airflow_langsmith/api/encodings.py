"""
How bodies come packed: as zstd or gzip, unpacked in one piece by the fastest library that is installed.

Unpacking is the largest part of what a page costs. zstd takes a quarter of zlib's time and isal a half; both are
optional (``pip install 'airflow-provider-langsmith[fast]'``). Plain bodies would cost least, but travel longest.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import cast

_GZIP = 31  # zlib's word for a gzip header and the largest window


class PackingError(ValueError):
    """A body cannot be unpacked."""


def _inflated(body: bytes) -> bytes:
    return zlib.decompress(body, _GZIP)


UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": _inflated}
_ERRORS: tuple[type[Exception], ...] = (zlib.error,)

try:
    from isal import isal_zlib
except ImportError:
    pass
else:
    UNPACK["gzip"] = lambda body: isal_zlib.decompress(body, _GZIP)
    _ERRORS += (cast("type[Exception]", isal_zlib.error),)

try:
    import zstandard
except ImportError:
    pass
else:

    def _unzstd(body: bytes) -> bytes:
        frame = zstandard.ZstdDecompressor().decompressobj()
        unpacked = frame.decompress(body)
        if not frame.eof:
            raise PackingError("the zstd frame is cut short")
        return unpacked

    UNPACK["zstd"] = _unzstd
    _ERRORS += (zstandard.ZstdError,)

ACCEPTED = ", ".join(name for name in ("zstd", "gzip") if name in UNPACK)


def unpacked(body: bytes, encoding: str) -> bytes:
    """
    Unpack a body that came with a ``Content-Encoding``.

    :raises PackingError: where it is cut short or broken, or packed in a way that was not asked for.
    """
    if not body or encoding in ("", "identity"):
        return body
    if encoding not in UNPACK:
        raise PackingError(f"it is not packed as {ACCEPTED}, which was asked for")
    try:
        return UNPACK[encoding](body)
    except _ERRORS as error:
        raise PackingError(str(error)) from error
