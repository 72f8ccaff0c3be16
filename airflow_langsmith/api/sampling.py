"""A share of the traces, always the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, Self, get_args

from airflow_langsmith import arguments
from airflow_langsmith.api.records import Run
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import suggest

Key = Literal["trace_id", "thread_id"]

_STEPS = 2**32


@dataclass(frozen=True)
class Sample:
    """
    Keeps about ``rate`` of what ``key`` tells apart: a trace, or a thread, is in as a whole or out as a whole.

    It goes by a digest of the key, so it is the same in every view, window and re-run, and a larger rate holds all
    that a smaller one does. Runs without a thread are kept or not by their trace.
    """

    rate: float
    key: Key = "trace_id"

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        if not 0 < self.rate <= 1:
            raise ConfigurationError(f"sample keeps a share of the traces, above 0 and up to 1, not {self.rate}.")
        if self.key not in get_args(Key):
            raise ConfigurationError(f"sample cannot go by the key {self.key!r}. {suggest(self.key, get_args(Key))}")

    @classmethod
    def parse(cls, value: float | str | Mapping[str, Any] | None, name: str = "sample") -> Self | None:
        """
        Read a sample: a rate, or a dict of ``rate`` and ``key``, or what a template prints of these.

        >>> Sample.parse("0.1"), Sample.parse({"rate": 0.5, "key": "thread_id"})
        (Sample(rate=0.1, key='trace_id'), Sample(rate=0.5, key='thread_id'))
        """
        if value is None or (isinstance(value, str) and arguments.text(value, name) is None):
            return None
        read = arguments.literal(value) if isinstance(value, str) else value
        options: dict[str, Any] = dict(read) if isinstance(read, Mapping) else {"rate": read}
        try:
            return cls(**{**options, "rate": float(options["rate"])})
        except ConfigurationError:
            raise
        except (ValueError, TypeError, KeyError):
            expected = "a rate above 0 and up to 1, or {'rate': 0.1, 'key': 'trace_id'}"
            raise arguments.refusal(name, value, expected) from None

    def keeps(self, run: Run) -> bool:
        """Tell whether a run is in."""
        whole = getattr(run, self.key) or run.trace_id or run.id
        return int.from_bytes(sha256(whole.encode()).digest()[:4]) < self.rate * _STEPS
