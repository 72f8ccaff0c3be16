"""What is written in any format reads back as it was, by its own library and by DuckDB."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec import Raw

from airflow_langsmith.api.records import Run
from airflow_langsmith.errors import ConfigurationError, PayloadError
from airflow_langsmith.export.arrow import ROW_GROUP_BYTES, schema_of
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.views import View, view_of
from tests.wording import says

MakeRun = Callable[..., Run]
Write = Callable[..., Path]
COMPRESSIONS = {
    "parquet": ("zstd", "snappy", "gzip", "none"),
    "jsonl": ("gzip", "zstd", "none"),
    "csv": ("gzip", "zstd", "none"),
}
EVERY_FORMAT = [(name, compression) for name, compressions in COMPRESSIONS.items() for compression in compressions]
TEXTS = [
    "",
    "plain",
    "café",
    "🛒 cart",
    "mended \ufffd",
    'say "so", then',
    "two\nlines\r\nand\tmore",
    "progress\rbar",
    "nul\x00",
    "\ufeffmark",
    " edges ",
    "null",
]
PAYLOADS = [
    "{}",
    "[]",
    '""',
    "0",
    '"null"',
    '{"number":123456789012345678901234567890.0000000000000000001}',
    '{"escaped":"\\u0000 \\ud83d\\uded2 \\" \\\\ \\n"}',
    '{"plain":"🛒 café, \'quoted\'"}',
    '{"twice":1,"twice":2}',
    '{"long":"' + "x" * 100_000 + '"}',
]


@pytest.fixture(scope="module")
def awkward(make_run: MakeRun) -> list[Run]:
    """Runs with everything that has ever been lost on the way into a file."""
    texts = [make_run(number, name=text, error=text) for number, text in enumerate(TEXTS)]
    payloads = [make_run(100 + number, inputs=Raw(raw.encode())) for number, raw in enumerate(PAYLOADS)]
    moments = [
        datetime(2025, 3, 1, 9, 30, 0, 1, UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
        datetime(1, 1, 1, tzinfo=UTC),  # how Go writes that there is no time
        datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
    ]
    times = [make_run(200 + number, start_time=moment, end_time=moment) for number, moment in enumerate(moments)]
    tags: list[list[str]] = [[], [""], ["", ""], ["a", "b,c", 'd"e', "🛒"]]
    lists = [make_run(300 + number, tags=each) for number, each in enumerate(tags)]
    numbers = [
        make_run(400, prompt_tokens=2**63 - 1, completion_tokens=-(2**63), total_cost=1e-300, prompt_cost=0.1 + 0.2),
        make_run(401, total_cost=-0.0, completion_cost=1.7976931348623157e308, in_dataset=False),
        make_run(402, in_dataset=True, parent_run_id="parent"),
    ]
    return [*texts, *payloads, *times, *lists, *numbers]


@pytest.fixture
def write(whole_view: View, tmp_path: Path) -> Write:
    """Write runs into a file of a format."""

    def write(runs: list[Run], name: str, compression: str | None = None, view: View = whole_view) -> Path:
        format_ = format_of(name, compression)
        path = tmp_path / f"part.{format_.extension}"
        encoder = format_.open(path, view)
        encoder.write(view.rows(runs))
        encoder.close()
        return path

    return write


def expected(runs: list[Run], view: View) -> list[dict[str, Any]]:
    """Print a view's rows as they are meant: payloads as their text."""
    rows = zip(*view.rows(runs).columns, strict=True)
    names = [column.name for column in view.columns]
    return [
        {
            name: bytes(value).decode() if isinstance(value, Raw) else value
            for name, value in zip(names, row, strict=True)
        }
        for row in rows
    ]


def instant(moment: datetime | None) -> str | None:
    """Print a time as the text formats do."""
    return f"{moment.year:04d}{moment:-%m-%dT%H:%M:%S.%f}Z" if moment else None


def ask_duckdb(query: str) -> duckdb.DuckDBPyRelation:
    """Ask in UTC."""
    result = duckdb.sql(f"SET TimeZone = 'UTC'; {query}")
    assert result is not None
    return result


def content(path: Path) -> bytes:
    """Read a file of any compression, by other means than it was written with."""
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
            return bytes(stream.read())
    return path.read_bytes()


@pytest.mark.parametrize("compression", COMPRESSIONS["parquet"])
def test_parquet_gives_the_rows_back(awkward: list[Run], write: Write, whole_view: View, compression: str) -> None:
    """Every value of every type is in the file as it was, to the microsecond and the digit."""
    path = write(awkward, "parquet", compression)
    assert pq.read_table(path).to_pylist() == expected(awkward, whole_view)
    codec = pq.read_metadata(path).row_group(0).column(0).compression
    assert codec == {"none": "UNCOMPRESSED"}.get(compression, compression.upper())


@pytest.mark.parametrize("compression", COMPRESSIONS["parquet"])
def test_duckdb_reads_the_same_from_parquet(awkward: list[Run], write: Write, compression: str) -> None:
    """A second reader, with a Parquet library of its own, finds what pyarrow finds."""
    path = write(awkward, "parquet", compression)
    table = ask_duckdb(f"SELECT * FROM '{path}'").to_arrow_table()
    assert table.cast(pq.read_schema(path)).to_pylist() == pq.read_table(path).to_pylist()


@pytest.mark.parametrize("compression", COMPRESSIONS["jsonl"])
def test_json_lines_give_the_rows_back(awkward: list[Run], write: Write, whole_view: View, compression: str) -> None:
    """Each line is an object; payloads are values in it, written as they came."""
    lines = content(write(awkward, "jsonl", compression)).decode().split("\n")
    assert lines.pop() == ""
    payloads = {column.name for column in whole_view.columns if column.type == "json"}
    for line, row in zip(lines, expected(awkward, whole_view), strict=True):
        for name, value in row.items():
            if isinstance(value, datetime):
                row[name] = instant(value)
            if name in payloads and value is not None:
                assert f'"{name}":{value}' in line
                row[name] = json.loads(value)
        assert json.loads(line) == row


def test_duckdb_reads_json_lines(awkward: list[Run], write: Write) -> None:
    """A loader finds every row, and its numbers and texts."""
    path = write(awkward, "jsonl", "gzip")
    rows = ask_duckdb(
        f"SELECT run_id, name, prompt_tokens FROM read_json('{path}', format = 'newline_delimited', columns = "
        "{run_id: 'VARCHAR', name: 'VARCHAR', prompt_tokens: 'BIGINT', inputs: 'JSON'})"
    ).fetchall()
    assert rows == [(run.id, run.name, run.prompt_tokens) for run in awkward]


@pytest.mark.parametrize("compression", COMPRESSIONS["csv"])
def test_csv_gives_the_rows_back(awkward: list[Run], write: Write, whole_view: View, compression: str) -> None:
    """Every value is one field, whatever quotes, commas and lines it holds; a null and an empty text are empty."""
    text = content(write(awkward, "csv", compression)).decode()
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    types = {column.name: column.type for column in whole_view.columns}
    for field, row in zip(read, expected(awkward, whole_view), strict=True):
        for name, value in row.items():
            match types[name]:
                case "timestamp":
                    assert field[name] == (instant(value) or "")
                case "strings":
                    assert json.loads(field[name]) == value
                case "boolean":
                    assert field[name] == {True: "true", False: "false", None: ""}[value]
                case "integer" | "number":
                    assert field[name] == ("" if value is None else repr(value))
                case _:
                    assert field[name] == (value or "")


def test_duckdb_reads_csv(awkward: list[Run], write: Write) -> None:
    """A loader finds every row, with lines and quotes inside fields."""
    path = write(awkward, "csv", "gzip")
    rows = ask_duckdb(f"SELECT run_id, error, inputs FROM read_csv('{path}', all_varchar = true)").fetchall()
    assert rows == [(run.id, run.error or None, bytes(run.inputs or b"").decode()) for run in awkward]


def test_times_sort_as_text(make_run: MakeRun, write: Write) -> None:
    """In the text formats all times have one length, so a sort of text is a sort of times."""
    moments = [datetime(2025, 3, 1, 0, 0, 0, micros, UTC) for micros in (0, 1, 500_000)]
    runs = [make_run(start_time=moment) for moment in moments]
    written = [json.loads(line)["start_time"] for line in write(runs, "jsonl", "none").read_text().splitlines()]
    assert written == sorted(written)
    assert written[0] == "2025-03-01T00:00:00.000000Z"


@pytest.mark.parametrize(("name", "compression"), EVERY_FORMAT)
def test_a_file_without_rows_is_still_one(write: Write, whole_view: View, name: str, compression: str) -> None:
    """An empty window gives a file that its readers open: with the columns, where the format names them."""
    path = write([], name, compression)
    if name == "parquet":
        assert pq.read_schema(path).equals(schema_of(whole_view))
        assert pq.read_table(path).num_rows == 0
    else:
        header = ",".join(column.name for column in whole_view.columns) + "\r\n"
        assert content(path).decode() == ("" if name == "jsonl" else header)


def test_every_part_has_the_same_schema(awkward: list[Run], make_run: MakeRun, write: Write, whole_view: View) -> None:
    """Columns and types come from the view, never from the rows that happen to be in a part."""
    for runs in ([], [make_run()], awkward):
        assert pq.read_schema(write(runs, "parquet")).equals(schema_of(whole_view))


def test_a_text_that_is_no_utf8_is_refused(make_run: MakeRun, write: Write) -> None:
    """A payload that no reader could decode fails the export instead of poisoning the file."""
    with pytest.raises(pa.ArrowInvalid):
        write([make_run(inputs=Raw(b'"\xff"'))], "parquet")


@pytest.mark.parametrize("tokens", [2**63, 2**64, -(2**63) - 1])
def test_a_number_too_large_is_told_or_kept(make_run: MakeRun, tmp_path: Path, tokens: int) -> None:
    """A count beyond 64 bits, for which Parquet has no column, fails by the column's name; elsewhere it is kept."""
    view = view_of("runs", ["name", "prompt_tokens"])
    rows = view.rows([make_run(prompt_tokens=1), make_run(prompt_tokens=tokens)])
    encoder = format_of("parquet").open(tmp_path / "part", view)
    with pytest.raises(PayloadError, match=says(r"Column 'prompt_tokens' .* leave the column out, or write JSONL")):
        encoder.write(rows)
    for name in ("jsonl", "csv"):
        encoder = format_of(name, "none").open(tmp_path / name, view)
        encoder.write(rows)
        encoder.close()
        assert str(tokens) in (tmp_path / name).read_text().splitlines()[-1]


@pytest.mark.parametrize("column", ["inputs", "error"])
def test_row_groups_are_bounded_in_bytes(make_run: MakeRun, write: Write, column: str) -> None:
    """A page larger than a row group becomes several, whichever column makes it large, and no row is lost."""
    size = ROW_GROUP_BYTES // 8
    large: dict[str, Any] = {"inputs": Raw(b'"' + b"x" * size + b'"'), "error": "x" * size}
    path = write([make_run(number, **{column: large[column]}) for number in range(20)], "parquet")
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [8, 8, 4]
    assert pq.read_table(path, columns=["run_id"])["run_id"].to_pylist() == [make_run(n).id for n in range(20)]


def test_columns_that_repeat_have_a_dictionary(make_run: MakeRun, write: Write) -> None:
    """Names and tags have a dictionary, because they repeat; random ids have none."""
    group = pq.read_metadata(write([make_run(0, tags=["a"]), make_run(1)], "parquet")).row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert columns["name"].has_dictionary_page
    assert columns["tags.list.element"].has_dictionary_page
    assert not columns["run_id"].has_dictionary_page


@pytest.mark.parametrize(
    ("name", "compression", "offered"),
    [
        ("orc", None, "parquet, jsonl, csv"),
        ("parquet", "lzo", "zstd, snappy, gzip, none"),
        ("jsonl", "snappy", "gzip, zstd, none"),
        ("csv", "bz2", "gzip, zstd, none"),
    ],
)
def test_a_format_that_does_not_exist_is_refused(name: str, compression: str | None, offered: str) -> None:
    """The refusal lists what there is."""
    with pytest.raises(ConfigurationError, match=offered):
        format_of(name, compression)


@pytest.mark.parametrize(
    ("name", "compression", "extension"),
    [
        ("parquet", None, "parquet"),
        ("parquet", "gzip", "parquet"),
        ("jsonl", None, "jsonl.gz"),
        ("jsonl", "zstd", "jsonl.zst"),
        ("csv", None, "csv.gz"),
        ("csv", "none", "csv"),
    ],
)
def test_a_parts_name_tells_how_to_open_it(name: str, compression: str | None, extension: str) -> None:
    """The extension is the one that readers guess the compression from."""
    assert format_of(name, compression).extension == extension
