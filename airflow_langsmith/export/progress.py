"""How far an export is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

MISSING_NAMED = 5  # rows named in the log of those whose payloads are missing


@dataclass
class Progress:
    """
    How far an export is. ``share`` is the part of the window behind, 0 to 1.

    ``missing`` counts the payloads that could not be had, ``missing_from`` names the first runs (threads) without.
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

    def add(self, starts: list[datetime], share: float, pending: int = 0) -> None:
        """Count a page: of the moments its records have in the window, and of how many runs had not ended."""
        self.pages += 1
        self.share = share
        self.count(starts, pending)

    def count(self, starts: list[datetime], pending: int) -> None:
        """Count records, wherever they come from."""
        self.runs += len(starts)
        self.pending += pending
        self.first = min([*starts, self.first] if self.first else starts, default=None)
        self.last = max([*starts, self.last] if self.last else starts, default=None)

    def leave_out(self, repeated: int, pending: int) -> None:
        """Take back runs that were counted before, ``pending`` of which had not ended."""
        self.repeated += repeated
        self.runs -= repeated
        self.pending -= pending

    def miss(self, ids: Iterable[str], marks: Iterable[list[str] | None]) -> None:
        """Count what is missing from some rows, by their marks, as far as ``redact`` left them."""
        for of, names in zip(ids, marks, strict=True):
            self.missing += len(names or ())
            if names and len(self.missing_from) < MISSING_NAMED:
                self.missing_from.append(of)
