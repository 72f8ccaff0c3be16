"""Lists that LangSmith pages by offset, read whole though items come and go meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.ids import IdSet, R
from airflow_langsmith.errors import ListChangedError

MAX_PASSES = 10


class Listing(Generic[R]):
    """
    All items of a list, each once.

    If an item is removed between two pages, the items behind it move up, and the next page misses one. So each page
    begins with the last item of the page before. If it does not, the list has changed, and is read from its beginning
    again, until a whole pass sees no change::

        offset  0: a b c d        offset 3: e f      (b is gone: the page had to begin with d)
        offset  0: a c d e        offset 3: e f      (a whole pass; f is new)

    Pages of one item cannot overlap: then a pass counts if it saw the same as the one before. A pass that saw a change
    ends with a page of nothing new, because a server may ignore offsets. A page that is shorter than an earlier one is
    the last: a server, or a proxy, may send smaller pages than the limit, but of one size.

    :param read_page: Reads the page that begins at an offset.
    :param content: The kind of the items, for errors.
    """

    def __init__(self, read_page: Callable[[int], Flow[list[R]]], content: str, full_page: int = 0) -> None:
        self.done = False
        self.full_page = full_page  # items on the largest page so far
        self._read_page = read_page
        self._content = content
        self._ids = IdSet()
        self._passes = 0
        self._pass_hash = 0
        self._begin_pass()

    def _begin_pass(self) -> None:
        self._passes += 1
        self._offset = 0
        self._last_id = ""
        self._page_ids: list[str] = []  # of the page before, if the next one overlaps it
        self._has_changed = False
        self._overlaps = True  # whether each page did that has one before it
        self._previous_hash, self._pass_hash = self._pass_hash, 0  # of all ids of a pass, in their order

    def next_page(self) -> Flow[list[R]]:
        """Read the next page, and return its items that are new."""
        items = yield from self._read_page(self._offset)
        ids, new = [item.id for item in items], self._ids.add_new(items)
        self._pass_hash = hash((self._pass_hash, *ids))
        if not self._page_ids and self._offset and ids:
            self._overlaps = False
            self._has_changed |= ids[0] == self._last_id
        self._last_id = ids[-1] if ids else ""
        if self._page_ids and ids[:1] != self._page_ids[-1:]:
            is_rest = len(ids) == 1 and ids[0] in self._page_ids  # as many as before: nothing is behind that page
            self._has_changed |= not is_rest
        if not ids or len(ids) < self.full_page or (self._has_changed and not new):
            self._end_pass()
        else:
            self.full_page = len(ids)
            self._page_ids = ids if len(ids) > 1 else []
            self._offset += max(1, len(ids) - 1)
        return new

    def _end_pass(self) -> None:
        self.done = not self._has_changed and (self._overlaps or self._pass_hash == self._previous_hash)
        if not self.done and self._passes == MAX_PASSES:
            raise ListChangedError(
                f"LangSmith's list of {self._content} changed each of the {MAX_PASSES} times that it was read. "
                "Try again later, or ask for less: a shorter window, fewer runs."
            )
        if not self.done:
            self._begin_pass()
