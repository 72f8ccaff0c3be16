"""The files of a Delta table."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.landing import Landing
from tests.tables.conftest import Delta, LoadInto

RUNS = 40_000  # of a kilobyte
MAX_ROW_GROUP_BYTES = 32 * 1024**2  # of rows before compression


def test_files_are_packed_in_small_row_groups(tmp_path: Path, delta: Delta, load: LoadInto) -> None:
    """The files are compressed by zstd, as parts are, and a row group is small, because it waits in memory."""
    load(Landing(tmp_path / "landed", RUNS).land(), delta.uri("runs"))
    footers = [pq.read_metadata(path) for path in (delta.directory / "runs").glob("*.parquet")]
    groups = [footer.row_group(number) for footer in footers for number in range(footer.num_row_groups)]
    assert sum(group.num_rows for group in groups) == RUNS
    assert {group.column(number).compression for group in groups for number in range(group.num_columns)} == {"ZSTD"}
    assert max(group.total_byte_size for group in groups) <= MAX_ROW_GROUP_BYTES
