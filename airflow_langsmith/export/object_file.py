"""An object of a store as a file that is read in ranges: nothing of it is on the local disk, and little in memory."""

from __future__ import annotations

import io
from collections import OrderedDict

from airflow_langsmith.export.storage import Store

READ_BYTES = 512 * 1024  # of a request
_MAX_BLOCKS = 8


class ObjectFile(io.RawIOBase):
    """
    A file for a reader that knows where to look, such as one of Parquet.

    Reads of less than 512 KiB share requests: the last blocks of this size are in memory. Longer reads, those of a
    reader with a buffer of its own, are requests of their own::

        12 small columns of a small row group    one request, or two
        12 large columns, 512 KiB each in turn   a request each; no block would be read twice

    :raises StorageError: if a range cannot be read.
    :raises FileNotFoundError: if the object is gone.
    """

    def __init__(self, store: Store, name: str, size_bytes: int) -> None:
        super().__init__()
        self._store, self._name, self._size = store, name, size_bytes
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()  # by number, least recently used first

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position of the next read."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """Read bytes from the position on; all that are left by default."""
        start = self._position
        end = self._size if size < 0 else min(start + size, self._size)
        if start >= end:
            return b""
        self._position = end
        if end - start >= READ_BYTES:
            return self._store.read_range(self._name, start, end)
        first, last = start // READ_BYTES, (end - 1) // READ_BYTES
        content = b"".join(map(self._block, range(first, last + 1)))
        return content[start - first * READ_BYTES : end - first * READ_BYTES]

    def _block(self, number: int) -> bytes:
        start = number * READ_BYTES
        block = self._blocks.pop(number, None)
        if block is None:
            block = self._store.read_range(self._name, start, min(start + READ_BYTES, self._size))
        self._blocks[number] = block
        if len(self._blocks) > _MAX_BLOCKS:
            self._blocks.popitem(last=False)
        return block
