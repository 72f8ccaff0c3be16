"""The files of a bulk export land like the pages of LangSmith."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
import pytest

from airflow_langsmith.api.bulk_output import BulkOutput, BulkPart
from airflow_langsmith.api.sampling import Sample
from airflow_langsmith.errors import BulkExportError, ConfigurationError, LangSmithError, PayloadError, StorageError
from airflow_langsmith.export.bulk import BulkSource, check_readable
from airflow_langsmith.export.destination import path_at
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.export import Export, Exported, OutputOptions
from airflow_langsmith.export.object_file import READ_BYTES
from airflow_langsmith.export.pages import PageSource
from airflow_langsmith.export.progress import Progress
from airflow_langsmith.export.row_transforms import RowTransforms
from airflow_langsmith.export.source import RowSource
from airflow_langsmith.export.storage import Store
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.views import view_of
from airflow_langsmith.windows import TimeWindow
from tests.bulk_files import SHOP, START, VERSIONS, table_of, wire_run, write_file, write_table
from tests.conftest import ClientOf, ReadRows
from tests.queries import run_query
from tests.wording import says, words

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ONE_DAY = TimeWindow(START, START + DAY)
IDS = [wire_run(number)["id"] for number in range(10)]


@dataclass
class Bucket:
    """A bucket that a bulk export writes to, and a lake that its rows land in."""

    folder: Path
    version: str = "v2_beta"
    parts: list[BulkPart] = field(default_factory=list)

    def write(
        self, *runs: dict[str, Any], window: TimeWindow = ONE_DAY, backend: str | None = "smithdb", **options: Any
    ) -> Path:
        """Write a file by a run of its own, and return its path."""
        key = f"bulk/export_id=e/year=2026/month=3/{len(self.parts)}.parquet"
        path = write_file(self.folder / "bucket" / key, runs, self.version, **options)
        self.report(len(runs), key, window=window, backend=backend)
        return path

    def report(self, rows: int, *keys: str, window: TimeWindow = ONE_DAY, backend: str | None = "smithdb") -> None:
        """Report that a run wrote rows to files."""
        run_id = f"run-{len(self.parts)}"
        self.parts.append(BulkPart(run_id=run_id, window=window, rows=rows, files=keys, backend=backend))

    @property
    def source(self) -> BulkSource:
        """What the bulk export wrote, as a source."""
        bulk = BulkOutput(export_id="bulk-export-1", format_version=self.version, parts=tuple(self.parts))
        return BulkSource(bulk, f"file://{self.folder}/bucket")

    def export(
        self,
        transforms: RowTransforms | None = None,
        *,
        view: str = "runs",
        columns: list[str] | None = None,
        on_page: Callable[[Progress], None] = lambda _: None,
        **narrowed: Any,
    ) -> Exported:
        """Export the day."""
        chosen = view_of(view, columns)
        query = run_query(project=SHOP, start=START, end=START + DAY, fields=chosen.fields, **narrowed)
        output = OutputOptions(destination=f"file://{self.folder}/lake", format=format_of("parquet"))
        return Export(self.source, query, chosen, output, transforms, on_page=on_page).run()

    def landed(self) -> list[Path]:
        """Return the objects of the lake."""
        return [path for path in (self.folder / "lake").rglob("*") if path.is_file()]


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    """An empty bucket."""
    return Bucket(tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
def test_files_land_as_rows(bucket: Bucket, version: str, read_rows: ReadRows) -> None:
    """Each run is a row of the view ``runs``, in an export whose manifest says where the rows came from."""
    bucket.version = version
    path = bucket.write(*(wire_run(number) for number in range(2500)))
    assert bucket.source.check() == path.stat().st_size
    exported = bucket.export()
    rows, manifest = read_rows(exported.uri), exported.manifest
    assert [row["run_id"] for row in rows] == [wire_run(number)["id"] for number in range(2500)]
    assert rows[7]["start_time"] == datetime.fromisoformat(f"{wire_run(7)['start_time']}Z")
    assert json.loads(rows[7]["inputs"]) == wire_run(7)["inputs"]
    assert {row["thread_id"] for row in rows[:5]} == {"thread 0"}
    assert (manifest.rows, manifest.pending, exported.requests) == (2500, 0, 0)
    assert (manifest.api_version, manifest.bulk_export_id) == (f"bulk {version}", "bulk-export-1")
    assert manifest.execution_backends == ("smithdb",)


@pytest.mark.parametrize("is_bulk_first", [True, False])
def test_a_window_is_the_same_partition_either_way(
    bucket: Bucket, langsmith: LangSmithStandIn, client_of: ClientOf, *, is_bulk_first: bool
) -> None:
    """A bulk export replaces an export from pages, and the other way round; only its manifest names a bulk export."""
    langsmith.add_run(project="shop", start_time=START)
    client, view = client_of(langsmith), view_of("runs")
    project = client.project("shop")
    bucket.write(wire_run(1), backend="clickhouse")
    sources: list[RowSource] = [PageSource(client), bucket.source]
    uris = set()
    for source in reversed(sources) if is_bulk_first else sources:
        query = run_query(project=project, start=START, end=START + DAY, fields=view.fields)
        output = OutputOptions(destination=f"file://{bucket.folder}/lake", format=format_of("parquet"))
        exported = Export(source, query, view, output).run()
        uris.add(exported.uri)
        text = Path(path_at(exported.uri).path).read_text()
        assert ("bulk_export_id" in text) == ("execution_backends" in text) == isinstance(source, BulkSource)
    assert len(uris) == 1
    assert exported.previous is not None
    assert exported.previous.rows == exported.manifest.rows == 1


def test_rows_of_other_windows_and_copies_are_left_out(
    bucket: Bucket, read_rows: ReadRows, caplog: pytest.LogCaptureFixture
) -> None:
    """A window has its own runs, each once, however they lie in files: newest part first. A warning counts others."""
    early, late = (TimeWindow(START + n * 12 * HOUR, START + (n + 1) * 12 * HOUR) for n in (0, 1))
    before = wire_run(3, start_time="2026-02-28T23:59:59.999999999")
    after, last = (wire_run(4 + n, start_time=f"2026-03-0{2 - n}T{0 + 23 * n:02}:00:00") for n in (0, 1))
    bucket.write(wire_run(0), before, wire_run(1), wire_run(0), window=early)
    bucket.write(last, after, wire_run(1), window=late, backend="clickhouse")
    bucket.report(0, window=TimeWindow(START + DAY, START + 2 * DAY), backend=None)
    shares: list[float] = []
    exported = bucket.export(on_page=lambda progress: shares.append(progress.share))
    assert [row["run_id"] for row in read_rows(exported.uri)] == [last["id"], wire_run(1)["id"], wire_run(0)["id"]]
    assert exported.progress.repeated == 2
    assert "Left out, because they start outside of the window: 2 rows" in caplog.text
    assert exported.progress.runs == exported.manifest.rows == 3
    assert exported.manifest.execution_backends == ("clickhouse", "smithdb")
    assert shares == [3 / 7, 1.0]


def test_a_sample_is_that_of_pages(bucket: Bucket, read_rows: ReadRows) -> None:
    """What LangSmith cannot narrow by is applied to the rows of files, too."""
    bucket.write(*(wire_run(number) for number in range(10)))
    rows = read_rows(bucket.export(columns=["run_id", "trace_id"], sample=Sample(0.5)).uri)
    assert 0 < len(rows) < len(IDS)
    assert {row["run_id"] for row in rows} < set(IDS)


def test_rows_are_transformed_like_those_of_pages(bucket: Bucket, read_rows: ReadRows) -> None:
    """``flatten`` and ``redact`` work, and nothing that is redacted lies on the local disk meanwhile."""
    bucket.write(*(wire_run(number, inputs={"email": "ada@example.com", "n": number}) for number in range(3000)))
    seen: list[bytes] = []

    def look(_: Progress) -> None:
        seen.extend(path.read_bytes() for path in bucket.folder.glob("tmp/*/*"))

    with pytest.MonkeyPatch.context() as environment:
        (bucket.folder / "tmp").mkdir()
        environment.setattr("tempfile.tempdir", str(bucket.folder / "tmp"))
        transforms = RowTransforms(redact={"inputs.email": "drop"}, flatten="*")
        exported = bucket.export(transforms, columns=["run_id", "inputs"], on_page=look)
    assert any(seen)
    assert not any(b"ada@example.com" in content for content in seen)
    assert [row["inputs__n"] for row in read_rows(exported.uri)] == list(range(3000))


def test_only_runs_can_be_made_of_files(bucket: Bucket) -> None:
    """A view whose rows need the children of runs, or feedback, says so."""
    bucket.write(wire_run(0))
    for view in ("traces", "retrievals", "threads", "feedback"):
        with pytest.raises(ConfigurationError, match=says(f"The rows of {view} cannot be made of the files")):
            bucket.export(view=view)


PRICES = pa.struct([("cost", pa.decimal128(9, 2))])
STRUCT = pa.struct([("answer", pa.string()), ("score", pa.int64())])


def typed(name: str, values: list[Any], type_: Any) -> tuple[str, Any]:
    """Return a column of a type."""
    return name, pa.array(values, type_)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (typed("outputs", [{"answer": "yes"}, {"score": 1}], STRUCT), [{"answer": "yes"}, {"score": 1}]),
        (typed("outputs", [[("a", 1)], None], pa.map_(pa.string(), pa.int64())), [{"a": 1}, None]),
        (typed("outputs", ['{"a": 1}', None], pa.large_string()), [{"a": 1}, None]),
        (typed("outputs", [b'{"a": "\xff"}', None], pa.binary()), [{"a": "\ufffd"}, None]),
        (typed("outputs", [None, None], pa.null()), [None, None]),
        (typed("tags", [["a", "b"], None], pa.list_(pa.string())), [["a", "b"], []]),
        (typed("name", ["a", "b"], pa.dictionary(pa.int8(), pa.string())), ["a", "b"]),
        (typed("name", [b"a\xff", None], pa.binary()), ["a\ufffd", None]),
        (typed("run_id", [UUID(int=1).bytes, UUID(int=2).bytes], pa.binary(16)), [str(UUID(int=n)) for n in (1, 2)]),
        (typed("outputs", [{"cost": Decimal("0.07")}, None], PRICES), [{"cost": 0.07}, None]),
        (typed("total_cost", [Decimal("0.07"), None], pa.decimal128(38, 6)), [0.07, None]),
        (typed("total_tokens", [1, None], pa.int32()), [1, 0]),
        (typed("total_tokens", [7.0, float("nan")], pa.float64()), [7, 0]),
        (typed("total_tokens", [Decimal(7), None], pa.decimal128(38, 0)), [7, 0]),
        (typed("start_time", [0, 86399999999999], pa.timestamp("ns")), [0, 86399999999]),
        (typed("start_time", [0, 86399999], pa.timestamp("ms", "UTC")), [0, 86399999000]),
        (typed("start_time", [0, 86399999999], pa.timestamp("us", "Asia/Tokyo")), [0, 86399999999]),
        (typed("start_time", ["00:00:00", "23:59:59.999999999Z"], pa.string()), [0, 86399999999]),
    ],
)
def test_each_type_of_column_is_read(
    bucket: Bucket, column: tuple[str, Any], expected: list[Any], read_rows: ReadRows
) -> None:
    """However an engine types a column, the rows are the same."""
    name, array = column
    if name == "start_time" and array.type == pa.string():
        array = pa.array([f"2026-03-01T{text.as_py()}" for text in array])
    elif name == "start_time":
        since_start = array.cast(pa.int64())
        start = pa.scalar(START.replace(tzinfo=None), pa.timestamp("s")).cast(pa.timestamp(array.type.unit))
        array = pa.compute.add(since_start, start.cast(pa.int64())).cast(array.type)
    table = table_of([wire_run(0), wire_run(1)], bucket.version)
    place = table.column_names.index("id" if name == "run_id" else name)
    write_table(bucket.folder / "bucket/x.parquet", table.set_column(place, table.column_names[place], array))
    bucket.report(2, "x.parquet")
    rows = [row[name] for row in read_rows(bucket.export().uri)]
    if name == "start_time":
        rows = [(row - START) // timedelta(microseconds=1) for row in rows]
    assert [json.loads(row) if name == "outputs" and row else row for row in rows] == expected


def broken(bucket: Bucket, kind: str) -> str:
    """Break what a run reports, and return what the error says."""
    if kind == "no files":
        bucket.report(7)
        return "A run of the bulk export has no files, and reports 7 rows."
    path = bucket.write(*(wire_run(number) for number in range(1000)))
    match kind:
        case "lost":
            path.unlink()
            return "A file that the bulk export reports is not there"
        case "cut":
            path.write_bytes(path.read_bytes()[:-1000])
        case "empty":
            path.write_bytes(b"")
        case "pages":
            path.write_bytes(b"PAR1" + bytes(1000) + path.read_bytes()[1004:])
        case "rows":
            bucket.parts[-1] = BulkPart(run_id="run-0", window=ONE_DAY, rows=1001, files=bucket.parts[-1].files)
            return "A run of the bulk export has 1,000 rows in its files, and reports 1,001 rows."
    return "A file of the bulk export is no whole Parquet file"


@pytest.mark.parametrize("kind", ["no files", "lost", "cut", "empty", "pages", "rows"])
def test_what_is_not_as_reported_is_an_error(bucket: Bucket, kind: str) -> None:
    """The error names the run and the place, a retry may help, and nothing lands."""
    message = broken(bucket, kind)
    for act in (bucket.source.check, bucket.export) if kind != "pages" else (bucket.export,):  # a footer is whole
        with pytest.raises(BulkExportError) as caught:
            act()
        said = words(caught.value)
        assert message in said
        assert "Run run-0 of bulk export bulk-export-1" in said
        assert f"file://{bucket.folder}/bucket" in said
        assert all(len(line) <= 90 or "/" in line for line in str(caught.value).splitlines())
        assert caught.value.retriable
    assert bucket.landed() == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("langsmith-bulk")]


def test_a_file_that_goes_away_while_it_is_read_is_an_error(bucket: Bucket) -> None:
    """Nothing lands of the rows that were read before."""
    chance = random.Random(7)
    runs = (wire_run(number, outputs={"answer": chance.randbytes(2000).hex()}) for number in range(3000))
    path = bucket.write(*runs, row_group_size=500)
    assert path.stat().st_size > 4 * READ_BYTES
    with pytest.raises(BulkExportError, match=says("A file that the bulk export reports is not there")) as caught:
        bucket.export(on_page=lambda _: path.unlink(missing_ok=True))
    assert f"File: file://{path}" in words(caught.value)
    assert bucket.landed() == []


def test_a_value_that_cannot_be_read_names_its_file(bucket: Bucket) -> None:
    """No retry makes JSON of it."""
    path = bucket.write(wire_run(0, inputs="{not JSON}"))
    with pytest.raises(PayloadError, match=says(f"The inputs of run {IDS[0]} is no JSON")) as caught:
        bucket.export()
    assert f"Run run-0 of bulk export bulk-export-1. File: file://{path}" in words(caught.value)
    assert not caught.value.retriable
    assert bucket.landed() == []


def test_a_failed_export_leaves_the_one_before(bucket: Bucket, read_rows: ReadRows) -> None:
    """A file that breaks after rows of another were uploaded costs nothing that was published."""
    bucket.write(wire_run(0))
    uri = bucket.export().uri
    before = bucket.landed()
    bucket.write(wire_run(1)).write_bytes(b"PAR1")
    with pytest.raises(BulkExportError):
        bucket.export()
    assert bucket.landed() == before
    assert len(read_rows(uri)) == 1


def test_an_export_that_ends_early_leaves_no_thread(bucket: Bucket) -> None:
    """Who is killed between two batches stops the one that reads ahead."""
    bucket.write(*(wire_run(number) for number in range(5000)))

    def die(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bucket.export(on_page=die)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("langsmith-bulk")]


def test_files_are_read_from_s3(bucket: Bucket, lake: str, read_rows: ReadRows) -> None:
    """Files lie in one bucket, rows land in another place, and other objects there are left alone."""
    path = bucket.write(*(wire_run(number) for number in range(3000)))
    folder = str(uuid4())
    Store(path_at(lake) / folder / "tmp").write(b"a check of the destination", "check.txt")
    Store(path_at(lake) / folder / "year=2026").put(path, "a.parquet")
    parts = (BulkPart(run_id="run-0", window=ONE_DAY, rows=3000, files=(f"{folder}/year=2026/a.parquet",)),)
    bulk = BulkOutput(export_id="bulk-export-1", format_version="v2_beta", parts=parts)
    source, view = BulkSource(bulk, lake), view_of("runs")
    assert source.check() == path.stat().st_size
    query = run_query(project=SHOP, start=START, end=START + DAY, fields=view.fields)
    output = OutputOptions(destination=f"file://{bucket.folder}/lake", format=format_of("parquet"))
    assert len(read_rows(Export(source, query, view, output).run().uri)) == 3000


def test_a_right_to_read_that_is_missing_is_named(bucket: Bucket, guarded: Any) -> None:
    """The error is the store's, and not that of a broken file; also before there is a file."""
    bucket.write(wire_run(0))
    place = guarded.place_for(["s3:ListBucket"])
    bulk = BulkOutput(export_id="bulk-export-1", format_version="v2_beta", parts=tuple(bucket.parts))
    for check in (BulkSource(bulk, place).check, partial(check_readable, place)):
        with pytest.raises(StorageError, match=says("has not the right to read")) as caught:
            check()
        assert isinstance(caught.value, LangSmithError)
        assert not caught.value.retriable
