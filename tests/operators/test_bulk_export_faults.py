"""A bulk export task whose requests fail, are refused or lose their answers, also while it is killed and cleared."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from importlib import import_module
from random import Random
from typing import Any, get_args

import pytest

from airflow_langsmith.testing.bulk.behaviour import BulkFaultKind
from tests.operators.bulk_export_stories import Shop, Story, shop_of

ReadRows = Callable[[str], list[dict[str, Any]]]

SEEDS = 8 * int(os.environ.get("RACE_ROUNDS", "1"))
KILLED_BY_USER = {"signal": "SIGTERM", "state": "failed"}
EXPORTS = "/v1/bulk-exports"


@pytest.fixture(scope="module")
def shop_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A LangSmith with a day of runs, and a worker."""
    with pytest.MonkeyPatch.context() as monkeypatch, shop_of(tmp_path_factory.mktemp("shop"), monkeypatch) as shop:
        yield shop


@pytest.fixture
def shop(shop_of_all: Shop) -> Iterator[Shop]:
    """The same, without faults and refusals of an earlier test."""
    yield shop_of_all
    shop_of_all.langsmith.behave()
    shop_of_all.langsmith.bulk.has_plan = True


CREATION_FAULTS: list[dict[str, Any]] = [
    {"kind": "lose_answer"},
    {"kind": "reset"},
    {"kind": "truncate"},
    {"kind": "truncate", "clean": True},
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 409},
    {"kind": "html"},
    {"kind": "rate_limit", "retry_after": 0},
]


@pytest.mark.parametrize("fault", CREATION_FAULTS, ids=str)
@pytest.mark.parametrize("times", [1, 2])
def test_a_creation_that_fails_makes_one_export(
    shop: Shop, read_rows: ReadRows, fault: dict[str, Any], times: int
) -> None:
    """Whatever answers a creation, in one try or in two, the task has one export in the end."""
    shop.langsmith.misbehave(path=EXPORTS, method="POST", times=times, **fault)
    story = shop.story(reuse="none")
    ended = story.run()
    if ended["ended"] != "published":
        assert ended["retriable"]
        story.retry()
        ended = story.run()
    story.check_published(ended, read_rows)
    assert len(story.exports) == 1


@pytest.mark.parametrize("fault", CREATION_FAULTS, ids=str)
def test_a_creation_and_the_list_after_it_fail(shop: Shop, read_rows: ReadRows, fault: dict[str, Any]) -> None:
    """If the list of exports fails, too, the request is not sent again before a retry has read the list."""
    story = shop.story(reuse="none")
    shop.langsmith.misbehave(path=EXPORTS, method="POST", **fault)
    shop.langsmith.misbehave("status", path=EXPORTS, method="GET", after=1, times=2)
    ended = story.run()
    assert ended["retriable"]
    story.retry()
    story.check_published(story.run(), read_rows)
    assert len(story.exports) == 1


def test_a_refused_creation_leaves_no_claim(shop: Shop) -> None:
    """After a refusal the task takes no export of somebody else for its own, and cancels none."""
    shop.langsmith.bulk.has_plan = False
    story = shop.story()
    assert "needs an Enterprise plan" in " ".join(story.run()["ended"].split())
    shop.langsmith.bulk.has_plan = True
    other = story.another()
    story.clear()
    assert story.run(kill_at=40, **KILLED_BY_USER)["moment"]
    assert story.exports == []
    assert other in story.others


@pytest.mark.parametrize("fault", [{"kind": "lose_answer"}, {"kind": "status", "status": 503}], ids=str)
@pytest.mark.parametrize("stores_state", [True, False])
def test_a_cancellation_that_fails_is_made_up_for(
    shop: Shop, read_rows: ReadRows, fault: dict[str, Any], stores_state: bool
) -> None:
    """If the export of a task that a user ended is not cancelled, the next try cancels it, or adopts it before 3.3."""
    story = shop.story(stores_state=stores_state)
    shop.langsmith.misbehave(path="", method="PATCH", times=3, **fault)
    story.run(kill_at=40, **KILLED_BY_USER)
    assert len(story.live) == (fault["kind"] == "status")
    story.clear()
    story.check_published(story.run(), read_rows)
    assert len(story.exports) == (1 if story.exports[0]["status"] == "Completed" else 2)


def test_a_looks_answer_is_lost(shop: Shop, read_rows: ReadRows) -> None:
    """Lost answers to looks at the export change nothing."""
    story = shop.story()
    shop.langsmith.misbehave("lose_answer", path="", after=5, times=6)
    story.check_published(story.run(), read_rows)
    assert len(story.exports) == 1


# Any of it, in any order.

BULK_FAULTS = [kind for kind in get_args(BulkFaultKind) if kind != "stuck"]
WIRE_FAULTS: list[dict[str, Any]] = [
    {"kind": "status", "status": 503},
    {"kind": "reset"},
    {"kind": "lose_answer"},
    {"kind": "truncate"},
    {"kind": "html"},
]


class Fate:
    """What happens to a task, drawn from a seed."""

    def __init__(self, story: Story, seed: int) -> None:
        self._story, self._draw = story, Random(seed)
        self._langsmith = story.shop.langsmith

    def trouble(self) -> None:
        """Let some requests and exports fail."""
        for _ in range(self._draw.randrange(3)):
            after, times = self._draw.randrange(25), self._draw.choice([1, 1, 2])
            self._langsmith.misbehave(path="", after=after, times=times, **self._draw.choice(WIRE_FAULTS))
        if self._draw.random() < 0.3:
            self._langsmith.misbehave_bulk_export(self._draw.choice(BULK_FAULTS))
        if self._draw.random() < 0.15:
            self._langsmith.misbehave(
                **self._draw.choice(CREATION_FAULTS), path=EXPORTS, method="POST", times=self._draw.choice([1, 2])
            )

    def kill(self) -> dict[str, Any]:
        """Return when and how the next try is killed, or nothing."""
        if self._draw.random() < 0.4:
            return {}
        sent = self._draw.choice([KILLED_BY_USER, {"signal": "SIGTERM"}, {"signal": "SIGKILL"}])
        return {"kill_at": self._draw.randrange(100), **sent}

    def step(self) -> dict[str, Any]:
        """Run a try, its trigger if it defers, and what comes after; then let the task be retried or cleared."""
        kill = self.kill()
        ended = self._story.run(**kill)
        while ended["ended"] == "deferred":
            ended = self._resume(ended)
        is_users = kill.get("state") == "failed" and ended.get("moment")
        if is_users or ended["ended"] in ("published", "ended by a user") or not self._may_retry(ended):
            self._story.clear()
        else:
            self._story.retry()
        return ended

    def _may_retry(self, ended: dict[str, Any]) -> bool:
        is_cleared = self._draw.random() < 0.2
        return self._story.may_retry and bool(ended.get("retriable", True)) and not is_cleared

    def _resume(self, deferred: dict[str, Any]) -> dict[str, Any]:
        path, arguments = deferred["trigger"]
        module, _, name = path.rpartition(".")
        trigger = getattr(import_module(module), name)(**arguments)
        if self._draw.random() < 0.3:
            asyncio.run(trigger.on_kill())
            self._story.check()
            return {"ended": "ended by a user"}
        if self._draw.random() < 0.3:
            return deferred  # its triggerer is killed, and another one runs the trigger
        event = asyncio.run(anext(trigger.run())).payload
        return self._story.run(event=event, **self.kill())


@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_fate(shop: Shop, read_rows: ReadRows, seed: int) -> None:
    """Whatever happens to a task: at most one export is live, those of others are not cancelled, and rows are whole."""
    draw = Random(seed)
    task = {name: draw.choice(values) for name, values in VARIANTS.items()}
    story = shop.story(**task)
    fate = Fate(story, seed)
    if draw.random() < 0.3:
        story.another()
    for _ in range(draw.randint(1, 5)):
        fate.trouble()
        fate.step()
        shop.langsmith.behave()
    for _ in range(5):  # no trouble any more, but kills
        if (ended := fate.step())["ended"] == "published":
            break
    else:
        ended = story.run(deferrable=False)
    story.check_published(ended, read_rows)


VARIANTS: dict[str, list[Any]] = {
    "stores_state": [True, True, False],
    "deferrable": [True, False],
    "reuse": ["running", "none", "completed"],
}
