"""Which version is asked while v1 ends: slowed, limited, failed, gone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from airflow_langsmith.api import client, negotiation, runs
from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.statuses import error_for
from airflow_langsmith.errors import ApiError, RunNotFoundError, ServerError, UnsupportedError
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ClientOf
from tests.queries import run_query
from tests.wording import says

START = datetime(2026, 3, 1, tzinfo=UTC)
GONE = [404, 405, 410, 501]
V1 = "/v1/runs/query"


@pytest.fixture
def langsmith() -> Iterator[LangSmithStandIn]:
    """A self-hosted server of 250 runs, which ``auto`` asks in v1: ClickHouse has all runs, and SmithDB none."""
    with LangSmithStandIn(backend="clickhouse") as server:
        for minute in range(250):
            server.add_run(project="shop", start_time=START + timedelta(minutes=minute))
        yield server


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was logged about versions; what was announced before is announced again."""
    monkeypatch.setattr(client, "_WARNED", set())
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("airflow_langsmith")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def read(asking: LangSmithClient) -> int:
    """Read the day's runs."""
    query = run_query(project=asking.project("shop"), start=START, end=START + timedelta(days=1))
    return sum(1 for _ in asking.runs(query))


@pytest.mark.parametrize("status", [*GONE, 500, 503, 429])
def test_a_version_that_fails_for_long_is_as_good_as_gone(
    langsmith: LangSmithStandIn, client_of: ClientOf, warnings: list[str], status: int
) -> None:
    """If v1 is gone, or answers 5xx or 429 to all retries, v2 is asked for all, and the log says why."""
    langsmith.misbehave("status", status=status, path=V1, times=None, headers={"Sunset": "Sun, 31 Jan 2027"})
    asking = client_of(langsmith, max_retries=1)
    assert read(asking) == 250
    assert asking.api_version() == "v2"
    assert any("Asking API v2 instead" in line and str(status) in line for line in warnings)


@pytest.mark.parametrize("status", [503, 429])
def test_a_version_that_fails_once_is_asked_again(
    langsmith: LangSmithStandIn, client_of: ClientOf, status: int
) -> None:
    """A failure that a retry cures changes nothing."""
    langsmith.misbehave("status", status=status, path=V1)
    asking = client_of(langsmith, max_retries=1)
    assert (read(asking), asking.api_version()) == (250, "v1")


@pytest.mark.parametrize("status", [*GONE, 503, 429])
def test_an_export_has_one_version(langsmith: LangSmithStandIn, client_of: ClientOf, status: int) -> None:
    """After the first page an error is an error: parents have other sums in the other version."""
    langsmith.misbehave("status", status=status, path=V1, after=1, times=None)
    with pytest.raises(ApiError) as caught:
        read(client_of(langsmith, max_retries=0))
    assert caught.value.status == status
    assert not langsmith.requests_to("/v2/runs/query")


@pytest.mark.parametrize("status", [503, 429])
def test_an_outage_of_a_server_without_v2_stays_an_outage(client_of: ClientOf, status: int) -> None:
    """If the server has no v2, the error is v1's, and a retry helps."""
    with LangSmithStandIn(version="0.15.2", backend="clickhouse") as langsmith:
        langsmith.add_run(project="shop", start_time=START)
        langsmith.misbehave("status", status=status, path=V1, times=None)
        asking = client_of(langsmith, max_retries=0)
        for _ in range(2):
            with pytest.raises(ApiError) as caught:
                read(asking)
            assert (caught.value.status, caught.value.retriable) == (status, True)
        langsmith.behave()
        assert read(asking) == 1


def test_an_outage_of_v2_is_no_reason_for_v1(client_of: ClientOf) -> None:
    """v2 does not end, so its failures are failures."""
    with LangSmithStandIn() as langsmith:
        langsmith.add_run(project="shop", start_time=START)
        langsmith.misbehave("status", path="/v2/runs/query", times=None)
        with pytest.raises(ServerError):
            read(client_of(langsmith, max_retries=0))


@pytest.mark.parametrize("status", [*GONE, 503])
def test_a_connection_that_insists_on_v1_is_told_what_to_do(
    langsmith: LangSmithStandIn, client_of: ClientOf, status: int
) -> None:
    """With api_version v1 nothing is changed; the error says the cure, and names the connection."""
    langsmith.misbehave("status", status=status, path=V1, times=None, headers={"Deprecation": "true"})
    with pytest.raises(ApiError, match=says("set api_version to auto or v2 in connection langsmith_shop")) as caught:
        read(client_of(langsmith, "v1", max_retries=0, conn_id="langsmith_shop"))
    assert caught.value.status == status
    assert not langsmith.requests_to("/v2/runs/query")


@pytest.mark.parametrize(
    ("version", "todo"),
    [
        ("v1", "Set api_version to auto or v2 in connection langsmith_shop"),
        ("auto", "There is nothing to do: this package changes to what takes its place"),
    ],
)
def test_a_removal_is_announced_with_what_to_do(
    langsmith: LangSmithStandIn, client_of: ClientOf, warnings: list[str], version: str, todo: str
) -> None:
    """The warning says which address is removed, when, and what is to be done; once."""
    asking = client_of(langsmith, version, conn_id="langsmith_shop")
    read(asking)
    (line,) = [line for line in warnings if "removes" in line]
    assert "POST /api/v1/runs/query on Sun, 31 Jan 2027" in line
    assert warnings[warnings.index(line) + 1] == todo
    assert max(map(len, warnings)) < 90


def test_a_server_without_v1_is_asked_in_v2(client_of: ClientOf) -> None:
    """Release 0.18 has no v1 any more, whatever stores its runs: v2 is asked at once, for single runs, too."""
    with LangSmithStandIn(version="0.18.0", backend="clickhouse") as langsmith:
        run = langsmith.add_run(project="shop", start_time=START)
        asking = client_of(langsmith)
        assert asking.run(run, asking.project("shop")).id == run
        assert read(asking) == 1
        assert not langsmith.requests_to(V1)


@pytest.mark.parametrize("status", [405, 410, 501, 503])
def test_a_single_run_is_read_in_the_other_version(
    langsmith: LangSmithStandIn, client_of: ClientOf, status: int
) -> None:
    """One run by its id comes from v2, too, if v1 is gone or fails, and its project is known."""
    run = langsmith.add_run(project="shop", start_time=START, inputs={"n": 1})
    langsmith.misbehave("status", status=status, path=f"/v1/runs/{run}", times=None)
    asking = client_of(langsmith, max_retries=0)
    assert asking.run(run, asking.project("shop")).inputs is not None
    unknown = str(uuid4())
    with pytest.raises(RunNotFoundError):
        asking.run(unknown, asking.project("shop"))


def test_without_v1_everything_is_read_in_v2(monkeypatch: pytest.MonkeyPatch, client_of: ClientOf) -> None:
    """If V1 is not registered, runs are read, counted and found in v2, by ``auto`` as well."""
    only_v2 = {"v2": negotiation.DIALECTS["v2"]}
    for module in (negotiation, runs):
        monkeypatch.setattr(module, "DIALECTS", only_v2)
    with LangSmithStandIn() as langsmith:
        run = langsmith.add_run(project="shop", start_time=START, inputs={"n": 1})
        for second in range(1200):
            langsmith.add_run(project="shop", start_time=START + timedelta(seconds=second))
        asking = client_of(langsmith)
        query = run_query(project=asking.project("shop"), start=START, end=START + timedelta(days=1))
        assert (read(asking), asking.count(query), asking.api_version()) == (1201, 1201, "v2")
        assert asking.run(run, query.project).inputs is not None
        assert not langsmith.requests_to("/v1/runs/query")


def test_gone_is_not_supported() -> None:
    """410 Gone is an address that this server does not have any more; no retry helps."""
    error: Any = error_for(410, "GET", "/api/v1/runs", b"{}")
    assert isinstance(error, UnsupportedError)
    assert not error.retriable
