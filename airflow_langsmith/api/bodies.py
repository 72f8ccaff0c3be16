"""Receive the body of an answer: decompressed part by part, into memory or a file, up to a limit."""

from __future__ import annotations

from io import SEEK_END, BytesIO
from types import TracebackType
from typing import BinaryIO, Self

from airflow_langsmith.api.encodings import DecompressionError, Decompressor, decompressor
from airflow_langsmith.api.flow import Request
from airflow_langsmith.errors import LargePayloadError

PART_BYTES = 1024 * 1024  # of a body as it travels; most are smaller, and decompressed in one piece, which is fastest
MAX_PIECE_BYTES = 16 * 1024 * 1024  # that are decompressed in one piece
MAX_ERROR_BYTES = 64 * 1024  # of an answer that is no success; what follows is not read


class Body:
    """
    The body of an answer to a request, while it arrives.

    An answer that is no success has no data: of its body the beginning is enough.

    :param encoding: The answer's ``Content-Encoding``.
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
        self._decompressor: Decompressor | None = None

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
        """
        Decompress what was added.

        :raises LargePayloadError: if the body is too large.
        :raises DecompressionError: if it is broken.
        """
        compressed = b"".join(self._parts)
        self._parts, self._part_size = [], 0
        if compressed and self._decompressor is None:
            self._decompressor = decompressor(self._encoding)
        if self._decompressor and not self.is_enough:
            for piece in self._decompressor.pieces(compressed, min(MAX_PIECE_BYTES, self._max_bytes + 1 - self._size)):
                self._write(piece)
                if self.is_enough:
                    return

    @property
    def file_bytes(self) -> int:
        """How many bytes went into the file."""
        return self._size if self._file else 0

    def finish(self) -> bytes:
        """
        Decompress the rest and return the body; one that went into a file is empty here.

        :raises DecompressionError: if it is cut short.
        """
        self.decompress()
        if self._decompressor and not self._decompressor.is_whole and not self.is_enough:
            raise DecompressionError("the body is cut short")
        return self._memory.getvalue() if self._memory else b""

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
