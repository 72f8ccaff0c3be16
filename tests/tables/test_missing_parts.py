"""Parts that are gone, because another export of the window replaced them: the manifest is read again, once."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from airflow_langsmith.errors import PartMissingError
from tests.tables.conftest import Delta, Iceberg, Kind
from tests.tables.interrupted import Moment, load
from tests.tables.landed import START, land, minutes, versions

OLD, NEW = minutes(START, 3), minutes(START, 6)[1:]
MOMENTS: tuple[Moment, ...] = ("manifest", "session")


def contents(kind: Kind) -> list[tuple[str, str]]:
    """Return what the table has, sorted."""
    return sorted((row["run_id"], row["name"]) for row in kind.rows("runs"))


def files(kind: Kind) -> list[str]:
    """Return the names of the data files of a lake's table, sorted."""
    return sorted(path.name for path in kind.directory.rglob("*.parquet")) if isinstance(kind, Iceberg | Delta) else []


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("before", ["rows", "no table"])
def test_an_export_that_is_replaced_meanwhile(kind: Kind, tmp_path: Path, before: str, moment: Moment) -> None:
    """If an export is replaced after its manifest was read, the load lands the rows of the new one."""
    table, folder = kind.uri("runs"), tmp_path / "export"
    if before == "rows":
        load(land(tmp_path / "old", "old", OLD), table)
    exported, replacements = land(folder, "one", OLD), iter(["two"])
    load(exported, table, meanwhile=lambda: [land(folder, text, NEW) for text in replacements], moment=moment)
    assert contents(kind) == sorted(versions("two", NEW).items())


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_export_that_is_replaced_again_and_again(kind: Kind, tmp_path: Path, moment: Moment) -> None:
    """If the parts are gone the second time, too, the load fails and changes nothing; its retry lands."""
    table, folder = kind.uri("runs"), tmp_path / "export"
    load(land(tmp_path / "old", "old", OLD), table)
    files_before = files(kind)
    exported, numbers = land(folder, "one", OLD), count()
    with pytest.raises(PartMissingError, match="A retry reads the manifest again") as caught:
        load(exported, table, meanwhile=lambda: land(folder, f"{next(numbers)}", NEW), moment=moment)
    assert caught.value.retriable
    assert next(numbers) == 2
    assert contents(kind) == sorted(versions("old", OLD).items())
    assert files(kind) == files_before
    load(exported, table)
    assert contents(kind) == sorted(versions("1", NEW).items())
