"""Rows are cut into parts by their number and size alone, and a part is what its bytes are."""

from __future__ import annotations

import hashlib
import resource
import tempfile
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from airflow_langsmith.api.records import Run
from airflow_langsmith.errors import PayloadError, StorageError
from airflow_langsmith.export import arrow
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.layout import PART
from airflow_langsmith.export.parts import Parts
from airflow_langsmith.export.workdir import working_directory
from airflow_langsmith.manifest import ManifestFile
from airflow_langsmith.views import View, view_of
from tests.wording import says

MakeRun = Callable[..., Run]
FORMATS = [("parquet", "zstd"), ("jsonl", "gzip"), ("jsonl", "zstd"), ("csv", "gzip"), ("csv", "none")]


@pytest.fixture(scope="module")
def runs(make_run: MakeRun) -> list[Run]:
    """Some thousand runs, 7 MB: several data pages of a megabyte in a row group."""
    return [
        make_run(
            number,
            name=f"step {number % 300}",
            error=str(number) * 50 if number % 9 == 0 else None,
            tags=[f"tag {number % 7}"] * (number % 3),
            inputs=Raw(b'{"text":"%s"}' % (str(number**7).encode() * (number % 200))),
        )
        for number in range(3000)
    ]


def written(
    runs: list[Run], view: View, format_: tuple[str, str], cuts: list[int], max_rows: int, max_bytes: int = 2**40
) -> list[tuple[ManifestFile, bytes]]:
    """Write runs that come in pages cut at the given places."""
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(Parts(format_of(*format_), view, Path(directory), max_rows, max_bytes)) as parts,
    ):
        parts_written: list[tuple[ManifestFile, bytes]] = []
        for start, end in pairwise([0, *sorted(cuts), len(runs)]):
            parts_written.extend((part.file, part.path.read_bytes()) for part in parts.add(view.rows(runs[start:end])))
        parts_written.extend((part.file, part.path.read_bytes()) for part in parts.finish())
        return parts_written


@pytest.mark.parametrize("format_", FORMATS)
def test_other_pages_give_the_same_bytes(
    runs: list[Run], whole_view: View, format_: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows give the same objects, however LangSmith cut them into pages: a re-run changes nothing."""
    monkeypatch.setattr(arrow, "ROW_GROUP_BYTES", 3_000_000)  # so that a part has several
    whole = written(runs, whole_view, format_, [], 2500, 4_000_000)
    assert [file.rows for file, _ in whole] == [1787, 1213]  # the first by bytes

    @settings(max_examples=8, deadline=None)
    @given(st.lists(st.integers(0, len(runs)), max_size=30))
    def however_cut(cuts: list[int]) -> None:
        assert written(runs, whole_view, format_, cuts, 2500, 4_000_000) == whole

    however_cut()


@pytest.mark.parametrize("format_", FORMATS)
def test_a_part_holds_rows_and_nothing_else(
    runs: list[Run], whole_view: View, format_: tuple[str, str], tmp_path: Path
) -> None:
    """When and where a part is written is not in it."""
    ((_, content),) = written(runs[:10], whole_view, format_, [], 10)
    elsewhere = tmp_path / "elsewhere"
    encoder = format_of(*format_).open(elsewhere, whole_view)
    encoder.write(whole_view.rows(runs[:10]))
    encoder.close()
    assert elsewhere.read_bytes() == content
    if content.startswith(b"\x1f\x8b"):
        assert content[3:8] == bytes(5)  # gzip: no name, no time


@pytest.mark.parametrize(
    ("rows", "max_rows", "counts"),
    [(0, 10, [0]), (9, 10, [9]), (10, 10, [10]), (11, 10, [10, 1]), (35, 10, [10, 10, 10, 5]), (3, 1, [1, 1, 1])],
)
def test_parts_are_cut_by_rows(runs: list[Run], whole_view: View, rows: int, max_rows: int, counts: list[int]) -> None:
    """Each part but the last is full; a window without rows still has a part, which holds the schema."""
    files = written(runs[:rows], whole_view, ("parquet", "zstd"), [rows // 3, rows // 2], max_rows)
    assert [file.rows for file, _ in files] == counts
    assert [int(file.name[5:10]) for file, _ in files] == list(range(len(counts)))


ROWS = st.tuples(st.text(max_size=30), st.lists(st.text(max_size=5), max_size=3), st.none() | st.integers(0, 40))


@given(st.lists(ROWS, max_size=12), st.integers(1, 6), st.integers(1, 120), st.lists(st.integers(0, 12), max_size=5))
def test_parts_are_cut_by_the_bytes_of_their_values(
    make_run: MakeRun,
    values: list[tuple[str, list[str], int | None]],
    max_rows: int,
    max_bytes: int,
    cuts: list[int],
) -> None:
    """A part has as many rows as fit, by rows and by bytes, however they came; one too large row is alone."""
    view = view_of("runs", ["name", "tags", "inputs", "start_time"])
    runs = [
        make_run(name=name, tags=tags, inputs=None if size is None else Raw(b'"%s"' % (b"x" * size)))
        for name, tags, size in values
    ]
    sizes = [
        8 + len(name.encode()) + len("".join(tags).encode()) + (0 if size is None else size + 2)
        for name, tags, size in values
    ]
    expected = [[]] if not runs else list[list[int]]()
    for size in sizes:
        if not expected or len(expected[-1]) == max_rows or sum(expected[-1]) + size > max_bytes:
            expected.append([])
        expected[-1].append(size)
    where = [min(cut, len(runs)) for cut in cuts]
    files = written(runs, view, ("jsonl", "none"), where, max_rows, max_bytes)
    assert [file.rows for file, _ in files] == list(map(len, expected))


@pytest.mark.parametrize("format_", FORMATS)
def test_a_parts_line_in_the_manifest_is_true(runs: list[Run], whole_view: View, format_: tuple[str, str]) -> None:
    """Size and digest are the file's own, and its name begins with the digest and is one of ours."""
    for file, content in written(runs, whole_view, format_, [100], 1000):
        assert file.bytes == len(content)
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert file.name.split("-")[2].partition(".")[0] == file.sha256[:8]
        assert PART.fullmatch(file.name)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("wrong", [{"name": "\ud83d"}, {"tags": ["a", "\ude00"]}])
def test_a_text_that_is_no_utf_8_is_refused(
    make_run: MakeRun, whole_view: View, format_: tuple[str, str], wrong: dict[str, Any]
) -> None:
    """Half an emoji, as a rule of redact may write it, never reaches a file: the error names its column."""
    with pytest.raises(PayloadError, match=says(f"Column {next(iter(wrong))!r} has a text with half an emoji")):
        written([make_run(**wrong)], whole_view, format_, [], 10)


def test_other_rows_have_another_name(runs: list[Run], whole_view: View) -> None:
    """A part that changed lies beside the one it replaces until the manifest is swapped."""
    names = {written(runs[:end], whole_view, ("jsonl", "gzip"), [], 100)[0][0].name for end in (5, 6)}
    assert len(names) == 2


def test_a_part_is_whole_when_it_is_given(runs: list[Run], whole_view: View, tmp_path: Path) -> None:
    """A part can be read, uploaded and removed before the next row is written."""
    parts = Parts(format_of("parquet"), whole_view, tmp_path, 100, 2**40)
    for part in parts.add(whole_view.rows(runs[:250])):
        assert pq.read_metadata(part.path).num_rows == 100
        part.path.unlink()
    (last,) = parts.finish()
    assert pq.read_metadata(last.path).num_rows == 50
    assert list(tmp_path.iterdir()) == [last.path]


@pytest.mark.parametrize("format_", FORMATS)
def test_a_full_disk_is_named(runs: list[Run], whole_view: View, format_: tuple[str, str]) -> None:
    """When the worker's disk takes no more, the error says that it was this disk, and may be retried."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with (
            pytest.raises(StorageError, match=says(f"the local {tempfile.gettempdir()}.*A retry may help")),
            working_directory(),
        ):
            written(runs, whole_view, format_, [], len(runs))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
