"""A bulk export task that is killed at any moment and tried again has one live export, and its rows land once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from tests.operators.bulk_export_stories import Shop, Story, shop_of
from tests.versions import needs_state_store

ReadRows = Callable[[str], list[dict[str, Any]]]

# One moment of so many is tried, or each by ``make races``.
STEP = 1 if int(os.environ.get("RACE_ROUNDS", "1")) > 1 else 15

USER = {"signal": "SIGTERM", "state": "failed"}  # what Airflow says of a task that a user marked or cleared
WORKER_STOPS = {"signal": "SIGTERM", "state": "running"}
MACHINE_FAILS = {"signal": "SIGKILL"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A LangSmith with a day of runs, and a worker."""
    with pytest.MonkeyPatch.context() as monkeypatch, shop_of(tmp_path_factory.mktemp("shop"), monkeypatch) as shop:
        yield shop


def killed_at_each_moment(
    shop: Shop, first: int, kill: dict[str, str], **task: Any
) -> Iterator[tuple[Story, dict[str, Any]]]:
    """Yield tasks whose first try was killed, each at a later moment, until a try is not killed any more."""
    for moment in count(first, STEP):
        story = shop.story(**task)
        ended = story.run(kill_at=moment, **kill)
        if not ended["moment"]:
            assert moment > 60  # requests and file system calls
            return
        yield story, ended


@needs_state_store
@pytest.mark.parametrize(("kill", "first"), [(WORKER_STOPS, 0), (MACHINE_FAILS, 5)], ids=["worker stops", "kill -9"])
def test_a_retry_goes_on_with_the_same_export(
    shop: Shop, read_rows: ReadRows, kill: dict[str, str], first: int
) -> None:
    """After a worker's end at any moment a retry starts no second export, also if the answer with its id never came."""
    for story, _ in killed_at_each_moment(shop, first, kill, reuse="none"):
        story.retry()
        manifest = story.check_published(story.run(reuse="none"), read_rows)
        assert [export["id"] for export in story.exports] == [manifest.bulk_export_id]


@pytest.mark.parametrize(("kill", "first"), [(WORKER_STOPS, 2), (MACHINE_FAILS, 7)], ids=["worker stops", "kill -9"])
def test_without_stored_state_a_retry_adopts_what_runs(
    shop: Shop, read_rows: ReadRows, kill: dict[str, str], first: int
) -> None:
    """Before Airflow 3.3 a retry goes on with the export if it still runs, and starts another one if it has ended."""
    for story, _ in killed_at_each_moment(shop, first, kill, stores_state=False, reuse="none"):
        story.retry()
        story.check_published(story.run(), read_rows)
        assert len(story.exports) <= 2  # of which the first had ended


@pytest.mark.parametrize(("stores_state", "first"), [(True, 3), (False, 9)])
def test_a_user_ends_the_task_and_its_export(shop: Shop, read_rows: ReadRows, stores_state: bool, first: int) -> None:
    """
    A task that a user ends cancels its export, and a clear starts another one.

    If the request that creates the export is under way, the next try cancels the export, or adopts it before 3.3.
    """
    for story, ended in killed_at_each_moment(shop, first, USER, stores_state=stores_state):
        if not ended["moment"].startswith("POST"):
            assert story.live == []
        before = {export["id"] for export in story.exports}
        story.clear()
        manifest = story.check_published(story.run(), read_rows)
        assert len(story.exports) <= 2
        if stores_state:
            assert manifest.bulk_export_id not in before


@needs_state_store
def test_a_clear_after_the_machine_failed_starts_anew(shop: Shop, read_rows: ReadRows) -> None:
    """A worker that died cancels nothing, so the first try after a clear cancels the export, and starts another."""
    for story, _ in killed_at_each_moment(shop, 8, MACHINE_FAILS, reuse="none"):
        before = {export["id"] for export in story.exports}
        story.clear()
        assert story.check_published(story.run(), read_rows).bulk_export_id not in before
        assert len(story.exports) == len(before) + 1


@needs_state_store
@pytest.mark.parametrize("kill", [USER, MACHINE_FAILS], ids=["user", "kill -9"])
def test_an_adopted_export_lives_on(shop: Shop, read_rows: ReadRows, kill: dict[str, str]) -> None:
    """A task that is killed never cancels what somebody else started, and a retry goes on with it."""
    for moment in count(1, STEP):
        story = shop.story()
        adopted = story.another()
        moment_of_death = story.run(kill_at=moment, **kill)["moment"]
        story.retry()
        assert story.check_published(story.run(), read_rows).bulk_export_id == adopted
        assert story.exports == []
        if not moment_of_death:
            break


@needs_state_store
def test_killed_again_and_again(shop: Shop, read_rows: ReadRows) -> None:
    """A task whose every try dies a little later than the one before needs one export for all of them."""
    story = shop.story()
    for moment in count(0, 5):
        ended = story.run(kill_at=moment, **MACHINE_FAILS)
        story.retry()
        if not ended["moment"]:
            break
    manifest = story.check_published(ended, read_rows)
    assert [export["id"] for export in story.exports] == [manifest.bulk_export_id]


@needs_state_store
def test_a_user_ends_a_later_try_before_it_knows_the_export(shop: Shop) -> None:
    """A retry that a user ends, once it has read what is stored, cancels the export of the try before, which died."""
    for moment in count(1, STEP):
        story = shop.story()
        story.run(kill_at=25, **MACHINE_FAILS)
        assert story.live
        story.retry()
        if not story.run(kill_at=moment, **USER)["moment"]:
            break
        assert story.live == []
