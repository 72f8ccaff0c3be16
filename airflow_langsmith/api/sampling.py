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
    A share ``rate`` of the traces, or of the threads. Each is in the sample as a whole, or not at all.

    A digest of the key decides, so the sample is the same in every view, window and re-run, and a larger rate contains
    a smaller one. Runs without a thread go by their trace.
    """

    rate: float
    key: Key = "trace_id"

    def __post_init__(self) -> None:
        """Refuse a rate that is no share."""
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
        """Return whether a run is in the sample."""
        key = getattr(run, self.key) or run.trace_id or run.id
        return int.from_bytes(sha256(key.encode()).digest()[:4]) < self.rate * _STEPS
