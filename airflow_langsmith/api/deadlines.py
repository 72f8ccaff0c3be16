"""How long an answer may take."""

from __future__ import annotations

from time import monotonic

MIN_BYTES_PER_SECOND = 32 * 1024  # an answer that comes more slowly, after `timeout` seconds, is given up


class Deadline:
    """
    When an answer has to be whole: some seconds after its request, and later by a second for each 32 KB of it.

    A timeout of each read would begin anew with every byte, and an answer that drips would never end::

        Deadline(120)    1 KB in two minutes       too late
                         50 MB in ten minutes      in time
    """

    def __init__(self, seconds: float) -> None:
        self._began = monotonic()
        self.at = self._began + seconds

    @property
    def left(self) -> float:
        """The seconds until then."""
        return self.at - monotonic()

    @property
    def reason(self) -> str:
        """The reason of the error, once it has passed."""
        return f"it was not whole after {monotonic() - self._began:.0f} s"

    def extend(self, received_bytes: int) -> None:
        """Allow more time because bytes came."""
        self.at += received_bytes / MIN_BYTES_PER_SECOND
