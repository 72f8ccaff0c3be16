"""The problems that arguments of operators can solve. Lower rooms say one, and know no argument."""

from __future__ import annotations

from enum import Enum, auto


class Problem(Enum):
    """A problem that arguments can solve. ``airflow_errors`` has the advice for operators."""

    PAYLOAD_MISSING = auto()
    ATTACHMENT_MISSING = auto()
    WINDOW_EMPTY = auto()
    COLUMNS_CHANGED = auto()
    PARTITION_TAKEN = auto()
    LOCAL_DISK_FULL = auto()
    NO_ROOM_FOR_PART = auto()
    WINDOW_NOT_WHOLE = auto()
    KEY_COLUMN_MISSING = auto()
    KEY_NULL = auto()
    NOT_PARQUET = auto()
    NAME_TOO_LONG = auto()
    HASH_KEY_MISSING = auto()
    TOO_MANY_PATHS = auto()
