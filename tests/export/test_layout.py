"""Where an export lies: one path for a view, a project and a window, and never another one's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.export.layout import PART, part_name, partition
from airflow_langsmith.windows import TimeWindow


def window(start: str, end: str) -> TimeWindow:
    """Make a window out of text."""
    return TimeWindow(datetime.fromisoformat(start), datetime.fromisoformat(end))


DAY = window("2025-03-01T00:00Z", "2025-03-02T00:00Z")
WINDOWS = st.builds(
    lambda start, microseconds: TimeWindow(start, start + timedelta(microseconds=microseconds)),
    st.datetimes(datetime(2025, 1, 1), datetime(2025, 1, 3), timezones=st.just(UTC)),  # noqa: DTZ001  # zone follows
    st.integers(1, 10**11),
)


@pytest.mark.parametrize(
    ("start", "end", "stretch"),
    [
        ("2025-03-01T00:00Z", "2025-03-02T00:00Z", "date=2025-03-01"),
        ("2025-03-01T01:00+01:00", "2025-03-02T01:00+01:00", "date=2025-03-01"),
        ("2025-03-01T00:00Z", "2025-03-01T01:00Z", "date=2025-03-01/hour=00"),
        ("2025-03-01T23:00Z", "2025-03-02T00:00Z", "date=2025-03-01/hour=23"),
        ("2025-03-01T00:00+01:00", "2025-03-02T00:00+01:00", "window=20250228T230000Z--20250301T230000Z"),
        ("2025-03-01T00:00Z", "2025-03-03T00:00Z", "window=20250301T000000Z--20250303T000000Z"),
        ("2025-03-01T09:30Z", "2025-03-01T09:45Z", "window=20250301T093000Z--20250301T094500Z"),
        ("2025-03-01T09:30Z", "2025-03-01T10:30Z", "window=20250301T093000Z--20250301T103000Z"),
        ("2025-03-01T00:00Z", "2025-03-01T00:00:00.5Z", "window=20250301T000000Z--20250301T000000.500000Z"),
        ("2025-03-01T00:00:00.000001Z", "2025-03-02T00:00:00.000001Z",
         "window=20250301T000000.000001Z--20250302T000000.000001Z"),
    ],
)  # fmt: skip
def test_a_window_has_its_place(start: str, end: str, stretch: str) -> None:
    """Whole UTC days and hours go by date and hour, any other window by both its ends."""
    assert partition("runs", "shop", window(start, end)) == f"runs/project=shop/{stretch}"


@given(WINDOWS, WINDOWS)
def test_no_two_windows_share_a_place(first: TimeWindow, second: TimeWindow) -> None:
    """Windows that differ by a microsecond at either end have places of their own."""
    assert (partition("runs", "shop", first) == partition("runs", "shop", second)) == (first == second)


def test_adjacent_windows_within_a_second_are_told_apart() -> None:
    """Windows of a few milliseconds, one after the other, do not overwrite each other."""
    step = timedelta(milliseconds=7)
    windows = [TimeWindow(DAY.start + number * step, DAY.start + (number + 1) * step) for number in range(300)]
    assert len({partition("runs", "shop", each) for each in windows}) == 300


@pytest.mark.parametrize(
    ("project", "written"),
    [
        ("a/b", "a%2Fb"),
        ("..", ".."),
        (".", "."),
        ("my shop", "my%20shop"),
        ("100%", "100%25"),
        ("date=2025-03-01", "date%3D2025-03-01"),
        ("café", "caf%C3%A9"),
        ("🛒", "%F0%9F%9B%92"),
        ("a\\b\n?#:*", "a%5Cb%0A%3F%23%3A%2A"),
        ("", ""),
    ],
)
def test_a_projects_name_is_one_step_of_the_path(project: str, written: str) -> None:
    """Names that would mean something in a path or a URI are percent-encoded."""
    assert partition("runs", project, DAY) == f"runs/project={written}/date=2025-03-01"


@given(st.text(st.characters(codec="utf-8")))
def test_a_projects_name_can_be_read_back(project: str) -> None:
    """Whatever the name, it stays below the destination and comes back whole, unless it is too long for a path."""
    view, step, stretch = partition("runs", project, DAY).split("/")
    assert (view, stretch) == ("runs", "date=2025-03-01")
    assert len(step) < 255
    assert len(quote(project, safe="")) > 240 or unquote(step.removeprefix("project=")) == project


def test_names_too_long_for_a_path_are_told_apart() -> None:
    """Of a name that no file system takes the beginning is kept, and a digest tells it from others that begin so."""
    steps = {partition("runs", "日本語" * 30 + end, DAY).split("/")[1] for end in ("", "a", "b")}
    assert len(steps) == 3
    assert {len(step) for step in steps} == {254}


LETTERS = st.text(st.sampled_from("aB~.% /é日🛒"), min_size=15, max_size=400)


@given(LETTERS, LETTERS, st.text(max_size=3))
def test_long_names_are_cut_between_characters(start: str, other: str, end: str) -> None:
    """A name that was cut can still be decoded, begins like the name, and is that of no other project."""
    name = start * 9 + end
    step = partition("runs", name, DAY).split("/")[1].removeprefix("project=")
    prefix, _, _ = step.rpartition("~")
    assert len(step.encode()) < 255 - len("project=")
    if len(quote(name, safe="")) > 240:
        assert quote(unquote(prefix, errors="strict"), safe="") == prefix
        assert name.startswith(unquote(prefix))
        assert len(prefix) > 220
    others = {name[:-1], name + "a", start + other, unquote(step), step} - {name}
    assert step not in {partition("runs", name, DAY).split("/")[1].removeprefix("project=") for name in others}


@pytest.mark.parametrize(
    ("pattern", "stretch"),
    [
        ("dt={start:%Y-%m-%d}", "dt=2025-03-01"),
        ("year={start:%Y}/month={start:%m}/day={start:%d}/", "year=2025/month=03/day=01"),
        ("from={start:%Y%m%dT%H}/to={end:%Y%m%dT%H}", "from=20250301T00/to=20250302T00"),
        ("all", "all"),
        ("{{}}", "{}"),
    ],
)
def test_a_pattern_replaces_the_stretch(pattern: str, stretch: str) -> None:
    """Any format string over the window's two ends is a path below the project."""
    assert partition("runs", "shop", DAY, pattern) == f"runs/project=shop/{stretch}"


@pytest.mark.parametrize(
    "pattern",
    [
        "../x",
        "x/../../y",
        "./x",
        "/x",
        "x//y",
        "s3://x/y",
        "",
        "/",
        "{}",
        "{0}",
        "{project}",
        "{start",
        "{start.year}",
        "{start.__class__}",
        "{start[0]}",
        "{start:{end.__class__}}",
        "{start:%Y/../..}",
    ],
)
def test_a_pattern_that_leads_elsewhere_is_refused(pattern: str) -> None:
    """A pattern neither leaves the project's directory nor looks into anything but the window's two ends."""
    with pytest.raises(ConfigurationError, match="The partition "):
        partition("runs", "shop", DAY, pattern)


@pytest.mark.parametrize("extension", ["parquet", "jsonl", "jsonl.gz", "jsonl.zst", "csv.gz"])
@pytest.mark.parametrize("number", [0, 7, 99_999, 123_456])
def test_a_part_is_known_by_its_name(number: int, extension: str) -> None:
    """Every name that is given is one that is cleaned up."""
    assert PART.fullmatch(part_name(number, 64 * "f", extension))


def test_a_window_in_another_zone_is_the_same_window() -> None:
    """The same instants have the same place, whatever zone they are written in."""
    zone = timezone(timedelta(hours=5, minutes=30))
    moved = TimeWindow(DAY.start.astimezone(zone), DAY.end.astimezone(zone))
    assert partition("runs", "shop", moved, "{start:%Y%m%dT%H%M}") == partition(
        "runs", "shop", DAY, "{start:%Y%m%dT%H%M}"
    )
