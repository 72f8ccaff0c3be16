"""Two exports of one partition at the same time: it ends whole, and the export that lost fails."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from airflow_langsmith.errors import ConcurrentExportError, DestinationConflictError, StorageError
from airflow_langsmith.export.destination import StoragePath, path_at
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.export import Export, Exported, OutputOptions
from airflow_langsmith.export.layout import MANIFEST
from airflow_langsmith.export.pages import PageSource
from airflow_langsmith.export.parts import Part
from airflow_langsmith.export.publication import Identity, Publication
from airflow_langsmith.export.storage import Store
from airflow_langsmith.manifest import Manifest, read_manifest
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.views import view_of
from tests.conftest import ClientOf
from tests.export.turns import Place, Task
from tests.queries import run_query

Publish = Callable[[StoragePath], None]
MakeExport = Callable[..., Publish]
START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ALWAYS = 1000  # calls, more than any of these exports makes


@pytest.fixture
def exporting(make_part: Callable[[int, str], Part], make_manifest: Callable[..., Manifest]) -> MakeExport:
    """Make exports of parts with the given texts."""

    def publish(texts: tuple[str, ...], query: dict[str, Any], place: StoragePath) -> None:
        with Publication(place) as publication:
            Identity.of(make_manifest([], query=query)).refuse_another(publication.previous, place)
            for number, text in enumerate(texts):
                publication.upload(make_part(number, text))
            publication.commit(make_manifest(publication.files, query=query))

    return lambda *texts, **query: partial(publish, texts, query)


def rows(place: StoragePath) -> tuple[str, ...]:
    """Read what a reader by the manifest reads, and see that it is whole."""
    store, contents = Store(place), []
    for file in read_manifest(place).files:
        content = store.read(file.name)
        assert content is not None, f"{file.name} is gone"
        assert hashlib.sha256(content).hexdigest() == file.sha256
        contents.append(content.decode())
    return tuple(contents)


def assert_no_strays(place: StoragePath) -> None:
    """See that nothing lies there but what the manifest lists."""
    assert Store(place).sizes().keys() == {MANIFEST, *read_manifest(place).sizes}


OLD = ("old", "kept")
TRIOS = [  # what was there, and what two tasks publish
    pytest.param(OLD, ("one", "kept"), ("two", "kept"), id="other rows"),
    pytest.param(OLD, OLD, ("two", "kept"), id="rows as before"),
    pytest.param(OLD, ("one", "kept"), OLD, id="rows as before in between"),
    pytest.param(OLD, ("one", "kept"), ("one", "kept"), id="same rows"),
    pytest.param(None, ("one", "more"), ("two", "more"), id="nothing before"),
]


def overtake(
    place: StoragePath, before: Publish, first: Publish, second: Publish
) -> Iterator[tuple[StoragePath, Task]]:
    """Let one export wait before its first call, its second, and so on, while another one begins and ends."""
    for calls in range(ALWAYS):
        partition = place / str(calls)
        before(partition)
        task = Task(partition, first)
        task.steps(calls)
        has_ended = task.ended
        second(partition)
        task.finish()
        yield partition, task
        if has_ended:
            assert calls > 8
            return


def test_what_was_published_meanwhile_is_not_replaced(place: StoragePath, exporting: MakeExport) -> None:
    """
    A lost worker waits before any of its calls, while its retry publishes.

    Readers find what the retry published, all of it. The lost worker fails; if it is tried again, that is published.
    """
    first = exporting("lost")
    for calls, (partition, task) in enumerate(overtake(place, exporting("old"), first, exporting("retry"))):
        assert rows(partition) == (("retry",) if calls else ("lost",))
        if task.error:
            # StorageError: on a local disk a file was removed before it had its name
            assert isinstance(task.error, ConcurrentExportError | StorageError)
        if task.error and "file" in place.fs.protocol:  # on S3 these tests take long
            first(partition)
            assert rows(partition) == ("lost",)
            assert_no_strays(partition)


def test_another_query_is_not_replaced(place: StoragePath, exporting: MakeExport) -> None:
    """An export waits before any of its calls, while one of another query begins: one publishes, one fails for good."""
    refused = []

    def other(partition: StoragePath) -> None:
        try:
            exporting("tools", run_type="tool")(partition)
        except DestinationConflictError:
            refused.append(partition)

    for partition, task in overtake(place, lambda _: None, exporting("models", run_type="llm"), other):
        assert (task.error is None) == (partition in refused)
        assert rows(partition) == (("models",) if partition in refused else ("tools",))
        assert isinstance(task.error, DestinationConflictError | StorageError | None)
    assert len(refused) > 3


@pytest.mark.parametrize(("before", "first_texts", "second_texts"), TRIOS)
def test_two_exports_take_turns(
    tmp_path: Path,
    exporting: MakeExport,
    before: tuple[str, ...] | None,
    first_texts: tuple[str, ...],
    second_texts: tuple[str, ...],
) -> None:
    """Each of two exports waits before any of its calls, while the other one goes on: the partition ends whole."""
    calls = ALWAYS
    for first_calls, second_calls in product(range(ALWAYS), range(ALWAYS)):
        if first_calls > calls:
            return
        if second_calls > calls:
            continue
        partition = path_at(f"file://{tmp_path}/{first_calls}/{second_calls}")
        if before:
            exporting(*before)(partition)
        first = Task(partition, exporting(*first_texts))
        first.steps(first_calls)
        second = Task(partition, exporting(*second_texts))
        second.steps(second_calls)
        first.finish()
        second.finish()
        published = [texts for task, texts in ((first, first_texts), (second, second_texts)) if task.error is None]
        assert rows(partition) in published
        assert all(isinstance(task.error, ConcurrentExportError | StorageError | None) for task in (first, second))
        calls = max(first.calls, second.calls)
    pytest.fail("an export without end")


@dataclass(frozen=True)
class Simple:
    """The client of a store that knows no conditions: it ignores them, or refuses them with a status."""

    fs: Any
    status: int | None

    def __getattr__(self, name: str) -> Any:
        """Pass on the rest."""
        return getattr(self.fs, name)

    def pipe_file(self, path: str, content: bytes, **conditions: str) -> None:
        """Write."""
        if conditions and self.status:
            error = OSError("A header you provided implies functionality that is not implemented")
            error.__cause__ = ClientError({"ResponseMetadata": {"HTTPStatusCode": self.status}}, "PutObject")
            raise error
        self.fs.pipe_file(path, content)


@pytest.mark.parametrize("status", [400, 412, 501])
def test_a_store_that_refuses_conditions_is_looked_at_instead(lake: str, exporting: MakeExport, status: int) -> None:
    """On a server that refuses also a condition that holds, exports publish, and a loser still says so."""
    place = path_at(lake) / str(uuid4())
    simple = Place(Simple(place.fs, status), place.path)
    exporting("old")(simple)
    task = Task(simple, exporting("lost"))
    task.steps(5)  # it has uploaded
    exporting("retry")(simple)
    task.finish()
    assert isinstance(task.error, ConcurrentExportError)
    assert rows(place) == ("retry",)


def test_a_store_that_ignores_conditions_never_ends_broken_and_green(lake: str, exporting: MakeExport) -> None:
    """
    An export waits before any of its calls, between its look and its write too, while another one publishes.

    If parts are missing in the end, it says so, and its retry mends that.
    """
    place = path_at(lake) / str(uuid4())
    simple = Place(Simple(place.fs, None), place.path)
    for partition, task in overtake(simple, exporting("old"), exporting("lost"), exporting("retry")):
        there = Store(partition).sizes()
        is_whole = read_manifest(partition).sizes.items() <= there.items()
        assert is_whole or isinstance(task.error, ConcurrentExportError)
        if not is_whole:
            exporting("lost")(partition)
            assert rows(partition) == ("lost",)


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        pytest.param({"run_type": "tool"}, "another query", id="mapped over run types"),
        pytest.param({"end": START + DAY / 2}, "another window", id="hours with a daily partition"),
    ],
)
def test_tasks_that_share_a_partition_by_mistake(
    langsmith: LangSmithStandIn,
    client_of: ClientOf,
    tmp_path: Path,
    other: dict[str, Any],
    difference: str,
) -> None:
    """If two tasks export other things into one partition at the same time, one of them fails, for good, by name."""
    for hour in range(24):
        run_type = "llm" if hour % 2 else "tool"
        langsmith.add_run(project="shop", start_time=START + hour * timedelta(hours=1), run_type=run_type)
    client, view = client_of(langsmith), view_of("runs")
    arguments = {"start": START, "end": START + DAY, "fields": view.fields, "run_type": "llm"}
    query, other_query = (
        run_query(project=client.project("shop"), **{**arguments, **changed}) for changed in ({}, other)
    )
    target = OutputOptions(destination=f"file://{tmp_path}", format=format_of("jsonl"), partition="dt={start:%Y-%m-%d}")
    published: list[Exported] = []

    def meanwhile() -> None:
        published.append(Export(PageSource(client_of(langsmith)), other_query, view, target).run())

    langsmith.misbehave("meanwhile", action=meanwhile)
    with pytest.raises(DestinationConflictError, match=difference) as caught:
        Export(PageSource(client), query, view, target).run()
    assert not caught.value.retriable
    (done,) = published
    assert read_manifest(done.uri) == done.manifest
    assert {path.name for path in Path(done.uri.removeprefix("file://")).parent.iterdir()} == {
        MANIFEST,
        *done.manifest.sizes,
    }
