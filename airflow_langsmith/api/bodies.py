"""How the body of an answer is taken: unpacked part by part, into memory or a file, until it is too large."""

from __future__ import annotations

from io import SEEK_END, BytesIO
from types import TracebackType
from typing import BinaryIO, Self

from airflow_langsmith.api.encodings import DecompressionError, Decompressor, decompressor
from airflow_langsmith.api.flow import Request
from airflow_langsmith.errors import LargePayloadError

PART = 1024 * 1024  # bytes of a body as it travels; most are smaller, and unpacked in one piece, which is fastest
LARGEST_PIECE = 16 * 1024 * 1024  # bytes that are unpacked in one piece
LARGEST_ERROR = 64 * 1024  # bytes of an answer that is no success; what follows is not read


class Body:
    """
    The body of an answer to a request, which is taken in as it comes.

    An answer that is no success is no data: of its body the beginning is enough.

    :param encoding: The answer's ``Content-Encoding``.
    """

    def __init__(self, request: Request, encoding: str, *, is_success: bool) -> None:
        self.is_enough = False  # whether nothing more is needed
        self._request = request
        self._encoding = encoding.strip().lower()
        self._is_success = is_success
        self._largest = request.largest if is_success else LARGEST_ERROR
        self._path = request.into if is_success else None
        self._file: BinaryIO | None = self._path.open("wb") if self._path else None
        self._size = 0
        self._part: list[bytes] = []
        self._part_size = 0
        self._unpacker: Decompressor | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, and remove it if the body is not whole."""
        if self._file:
            self._file.close()
        if self._path and error is not None:
            self._path.unlink()

    def take(self, packed: bytes) -> bool:
        """Take what came; return whether it is time to :meth:`unpack`."""
        self._part.append(packed)
        self._part_size += len(packed)
        return self._part_size >= PART

    def unpack(self) -> None:
        """
        Unpack what came.

        :raises LargePayloadError: if the body is too large.
        :raises PackingError: if it is broken.
        """
        packed = b"".join(self._part)
        self._part, self._part_size = [], 0
        if packed and self._unpacker is None:
            self._unpacker = decompressor(self._encoding)
        if self._unpacker and not self.is_enough:
            for piece in self._unpacker.pieces(packed, min(LARGEST_PIECE, self._largest + 1 - self._size)):
                self._keep(piece)
                if self.is_enough:
                    return

    def finish(self) -> bytes:
        """
        Unpack the rest and return the body; one that went into a file stays there.

        :raises PackingError: if it is cut short.
        """
        self.unpack()
        if self._unpacker and not self._unpacker.is_whole and not self.is_enough:
            raise DecompressionError("the body is cut short")
        return self._file.getvalue() if isinstance(self._file, BytesIO) else b""

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._largest:
            if self._is_success:
                raise LargePayloadError(
                    f"The answer to {self._request.description} is over {self._largest / 2**20:.3g} MB, which is the "
                    "most that is taken here."
                )
            self.is_enough = True
            piece = piece[: self._largest - self._size]
        if self._file:
            self._file.write(piece)
        else:  # of one piece it makes no copy, and pieces that wait to be joined would take twice the memory
            self._file = BytesIO(piece)
            self._file.seek(0, SEEK_END)
