"""The files of a bulk export land like the pages of LangSmith."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith.api.bulk_output import BulkOutput, BulkPart
from airflow_langsmith.export.bulk import BulkSource
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.export import Export, Exported, OutputOptions
from airflow_langsmith.export.row_transforms import RowTransforms
from airflow_langsmith.views import view_of
from airflow_langsmith.windows import TimeWindow
from tests.bulk_files import SHOP, START, VERSIONS, wire_run, write_file
from tests.conftest import ReadRows
from tests.queries import run_query

DAY = timedelta(days=1)
ONE_DAY = TimeWindow(START, START + DAY)


def part(
    number: int, rows: int, *files: str, window: TimeWindow = ONE_DAY, backend: str | None = "smithdb"
) -> BulkPart:
    """Return what a run of the bulk export wrote."""
    return BulkPart(run_id=f"run-{number}", window=window, rows=rows, files=files, backend=backend)


def output(*parts: BulkPart, version: str = "v2_beta") -> BulkOutput:
    """Return what the bulk export wrote."""
    return BulkOutput(export_id="bulk-export-1", format_version=version, parts=parts)


def land(bulk: BulkOutput, where: Path, **more: Any) -> Exported:
    """Export the day from the files in ``where / "bucket"``."""
    view = view_of("runs", more.pop("columns", None))
    transforms = more.pop("transforms", RowTransforms())
    query = run_query(project=SHOP, start=START, end=START + DAY, fields=view.fields, **more)
    target = OutputOptions(destination=f"file://{where}/lake", format=format_of("parquet"))
    return Export(BulkSource(bulk, f"file://{where}/bucket"), query, view, target, transforms).run()


@pytest.mark.parametrize("version", VERSIONS)
def test_files_land_as_rows(version: str, tmp_path: Path, read_rows: ReadRows) -> None:
    """Each run is a row of the view ``runs``, in an export whose manifest says where the rows came from."""
    write_file(tmp_path / "bucket/a/b=1/x.parquet", [wire_run(number) for number in range(2500)], version)
    bulk = output(part(1, 2500, "a/b=1/x.parquet"), version=version)
    source = BulkSource(bulk, f"file://{tmp_path}/bucket")
    assert source.check() == (tmp_path / "bucket/a/b=1/x.parquet").stat().st_size
    exported = land(bulk, tmp_path)
    rows = read_rows(exported.uri)
    assert len(rows) == exported.manifest.rows == 2500
    assert rows[0]["run_id"] == wire_run(0)["id"]
    assert exported.manifest.api_version == f"bulk {version}"
    assert exported.manifest.bulk_export_id == "bulk-export-1"
    assert exported.manifest.execution_backends == ("smithdb",)
