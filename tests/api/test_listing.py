"""Lists that are paged by number: whole, though they change meanwhile, and however they are sorted and cut."""

from __future__ import annotations

import random
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.flow import Flow
from airflow_langsmith.api.listing import Listing
from airflow_langsmith.api.records import Project
from airflow_langsmith.errors import ListChangedError
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.testing.settings import FeedbackOrder
from tests.conftest import ClientOf

START = datetime(2026, 3, 1, tzinfo=UTC)
ORDERS = [order for order in get_args(FeedbackOrder) if order != "none"]


def give(langsmith: LangSmithStandIn, count: int, same: int = 1) -> list[str]:
    """Put in feedback, so many pieces of one moment."""
    run = langsmith.add_run(project="shop", start_time=START)
    moments = [START + timedelta(seconds=number // same) for number in range(count)]
    return [langsmith.add_feedback(run, score=1, created_at=moment.isoformat()) for moment in moments]


def listed(client: LangSmithClient, **arguments: Any) -> list[str]:
    """List the ids of the project's feedback."""
    return [piece.id for piece in client.feedback(project=client.project("shop"), **arguments)]


def test_a_large_page_of_feedback(client_of: ClientOf, langsmith: LangSmithStandIn) -> None:
    """Comments and corrections of any length are listed, though a page of them cannot be asked for in halves."""
    run = langsmith.add_run(project="shop", start_time=START)
    pieces = [langsmith.add_feedback(run, comment="x" * 2**20, created_at=START.isoformat()) for _ in range(20)]
    assert sorted(listed(client_of(langsmith))) == sorted(pieces)


@pytest.mark.parametrize("order", ORDERS)
def test_a_piece_that_is_withdrawn_takes_no_other_with_it(client_of: ClientOf, order: FeedbackOrder) -> None:
    """If a piece of a page that was read is withdrawn, the piece that moves up across the seam is still listed."""
    with LangSmithStandIn(feedback_order=order) as langsmith:
        pieces = give(langsmith, 350)
        client = client_of(langsmith)
        gone = listed(client)[3]
        langsmith.misbehave("meanwhile", action=lambda: langsmith.withdraw_feedback(gone), path="/feedback", after=1)
        result = listed(client)
        assert not langsmith.unspent_faults
        assert sorted(result) == sorted(pieces)


def test_pages_of_one_piece(client_of: ClientOf) -> None:
    """If pages of one piece cannot overlap, the list is read until it was the same twice."""
    with LangSmithStandIn(largest_list=1) as langsmith:
        pieces = give(langsmith, 7)
        client = client_of(langsmith)
        assert sorted(listed(client)) == sorted(pieces)
        gone = listed(client)[1]
        langsmith.misbehave("meanwhile", action=lambda: langsmith.withdraw_feedback(gone), path="/feedback", after=3)
        assert set(listed(client)) >= {*pieces} - {gone}
        assert not langsmith.unspent_faults


@pytest.mark.parametrize("size", [1, 5])
def test_a_server_that_knows_no_offsets(size: int) -> None:
    """If each page is the first one again, the list fails after a few requests."""
    offsets = []

    def ask(offset: int) -> Flow[list[Project]]:
        offsets.append(offset)
        return [Project(id=f"{number}", name="") for number in range(size)]
        yield

    listing = Listing(ask, "projects")
    with pytest.raises(ListChangedError):
        deque(iter(lambda: list(listing.next_page()), None), maxlen=0)
    assert len(offsets) == 20


@pytest.mark.parametrize("cap", [1, 2, 50, 99])
@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 130])
def test_smaller_pages_than_were_asked_for(client_of: ClientOf, cap: int, count: int) -> None:
    """A server, or a proxy, that cuts pages to 50 costs requests, not feedback."""
    with LangSmithStandIn(largest_list=cap) as langsmith:
        langsmith.add_project("shop")
        pieces = give(langsmith, count)
        assert sorted(listed(client_of(langsmith))) == sorted(pieces)


@pytest.mark.parametrize("cap", [7, 100])
def test_projects_come_whole_too(client_of: ClientOf, cap: int) -> None:
    """Projects are listed whole from servers with smaller pages, and if one is opened meanwhile."""
    with LangSmithStandIn(largest_list=cap) as langsmith:
        projects = {langsmith.add_project(f"project {number:03}") for number in range(230)}
        langsmith.misbehave("meanwhile", action=lambda: langsmith.add_project("new"), path="/sessions", after=1)
        result = [project.id for project in client_of(langsmith).projects()]
        assert len(result) == len(set(result))
        assert projects <= set(result)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_changes_meanwhile(client_of: ClientOf, seed: int) -> None:
    """
    Between any two pages a piece is withdrawn, edited, or given with an old date.

    Whatever the order of the list and the size of its pages, each piece that was there all the time comes once.
    """
    chance = random.Random(seed)
    cap = chance.choice([5, 10, 100])
    with LangSmithStandIn(feedback_order=chance.choice(ORDERS), largest_list=cap) as langsmith:
        pieces = give(langsmith, chance.randint(1, 4 * cap + 1), same=chance.choice([1, 1, 30]))
        alive, changes = set(pieces), chance.randint(0, 6)

        def change() -> None:
            nonlocal changes
            if changes == 0 or chance.random() < 0.4 or not alive:
                return
            changes -= 1
            piece = chance.choice(sorted(alive))
            match chance.randrange(3):
                case 0:
                    alive.remove(piece)
                    langsmith.withdraw_feedback(piece)
                case 1:
                    langsmith.update_feedback(piece, score=0)
                case 2:
                    moment = START + chance.random() * timedelta(minutes=5)
                    langsmith.add_feedback(None, session_id=langsmith.project_id("shop"), created_at=moment.isoformat())

        langsmith.misbehave("meanwhile", action=change, path="/feedback", times=None)
        result = listed(client_of(langsmith))
        assert len(result) == len(set(result))
        assert alive <= set(result)


def test_a_list_without_an_order_is_an_error(client_of: ClientOf) -> None:
    """If the order of a list changes from page to page, a list of one page is whole, and a longer one fails."""
    with LangSmithStandIn(feedback_order="none") as langsmith:
        pieces = give(langsmith, 90)
        client = client_of(langsmith)
        assert sorted(listed(client)) == sorted(pieces)
        give(langsmith, 200)
        with pytest.raises(ListChangedError) as caught:
            listed(client)
        assert caught.value.retriable


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (1, 2), (99, 2), (100, 2), (198, 2), (199, 3), (990, 10)])
def test_a_quiet_list_takes_a_request_a_page(
    langsmith: LangSmithStandIn, client_of: ClientOf, count: int, requests: int
) -> None:
    """If nothing changes, pages overlap by one piece; only a first page that may be the last costs a request more."""
    langsmith.add_project("shop")
    give(langsmith, count)
    assert len(listed(client_of(langsmith))) == count
    assert len(langsmith.requests_to("/feedback")) == requests
