"""How far an export is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

MAX_MISSING_NAMED = 5  # rows that the log names of those whose payloads are missing


@dataclass
class Progress:
    """
    How far an export is. ``share`` is the part of the window that has been read, 0 to 1.

    ``missing`` counts the payloads that could not be fetched, ``missing_from`` names the first runs (threads) without.
    ``repeated`` counts the runs that came again and were left out.
    """

    runs: int = 0
    pages: int = 0
    share: float = 0.0
    pending: int = 0
    first: datetime | None = None
    last: datetime | None = None
    missing: int = 0
    missing_from: list[str] = field(default_factory=list)
    repeated: int = 0
    on_page: Callable[[Progress], None] = field(default=lambda _: None, compare=False, repr=False)

    def count(self, starts: Sequence[datetime], pending: int = 0, *, pages: int = 0) -> None:
        """Count records, of a page or of a checkpoint: their times in the window, and how many runs had not ended."""
        self.pages += pages
        self.runs += len(starts)
        self.pending += pending
        self.first = min([*starts, self.first] if self.first else starts, default=None)
        self.last = max([*starts, self.last] if self.last else starts, default=None)

    def leave_out(self, repeated: int, pending: int) -> None:
        """Subtract runs that were counted before, ``pending`` of which had not ended."""
        self.repeated += repeated
        self.runs -= repeated
        self.pending -= pending

    def add_missing(self, ids: Iterable[str], names_by_row: Iterable[list[str] | None]) -> None:
        """Count the payloads that are missing from rows, by their names, as far as ``redact`` left them."""
        for row_id, names in zip(ids, names_by_row, strict=True):
            self.missing += len(names or ())
            if names and len(self.missing_from) < MAX_MISSING_NAMED:
                self.missing_from.append(row_id)
