"""The operators that return runs by XCom: lists, single runs and trees."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import pytest
from langsmith import Client

from airflow_langsmith.airflow_sdk import AirflowFailException
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.operators import LangSmithExportOperator, LangSmithListRunsOperator, LangSmithReadRunOperator
from airflow_langsmith.testing import LangSmithStandIn
from tests.wording import says

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])

Run = Callable[..., Any]


def tree(langsmith: LangSmithStandIn) -> dict[str, str]:
    """
    Add a trace whose order in time is not that of its tree, and return the ids of its runs by name.

    ``root`` calls ``b``, which calls ``b1``; and before ``b1`` begins it calls ``c``.
    """
    ids: dict[str, str] = {}
    for name, parent, second in [("root", "", 0), ("b", "root", 1), ("b1", "b", 3), ("c", "root", 2)]:
        ids[name] = langsmith.add_run(
            project="shop",
            name=name,
            start_time=START + timedelta(seconds=second),
            end_time=START + timedelta(seconds=9),
            inputs={"n": second},
            **({"parent_run_id": ids[parent]} if parent else {}),
        )
    return ids


@BOTH
def test_a_list_of_small_dicts(langsmith: LangSmithStandIn, connect: Any, version: str, run: Run) -> None:
    """A list has the runs of a window as small dicts, newest first, and is JSON."""
    connect(langsmith, version)
    ids = tree(langsmith)
    langsmith.add_run(project="shop", start_time=START + DAY)
    listed = run(LangSmithListRunsOperator(task_id="list", project="shop"))
    assert [row["run_id"] for row in listed] == [ids[name] for name in ("b1", "c", "b", "root")]
    assert listed[0] == {
        "run_id": ids["b1"],
        "trace_id": ids["root"],
        "name": "b1",
        "run_type": "chain",
        "status": "success",
        "start_time": "2026-03-01T00:00:03Z",
    }
    chosen = LangSmithListRunsOperator(task_id="list", project="shop", select="run_id, inputs", filter='eq(name, "b")')
    assert run(chosen) == [{"run_id": ids["b"], "inputs": {"n": 1}}]
    assert json.loads(json.dumps(listed)) == listed


def test_more_than_the_limit_is_no_list(langsmith: LangSmithStandIn, connect: Any, run: Run) -> None:
    """More runs than the limit fail the task with the export operator as advice, after the pages needed."""
    connect(langsmith, "v1")
    for minute in range(500):
        langsmith.add_run(project="shop", start_time=START + timedelta(minutes=minute), outputs={"text": "x" * 6000})
    assert len(run(LangSmithListRunsOperator(task_id="list", project="shop", limit="500"))) == 500
    del langsmith.requests[:]
    with pytest.raises(AirflowFailException, match="LangSmithExportOperator"):
        run(LangSmithListRunsOperator(task_id="list", project="shop", limit=150))
    assert len(langsmith.requests_to("/runs/query")) == 2
    with pytest.raises(AirflowFailException, match=says("too much for XCom")):
        run(LangSmithListRunsOperator(task_id="list", project="shop", select=["outputs"]))
    with pytest.raises(AirflowFailException, match=says("no column .cost")):
        run(LangSmithListRunsOperator(task_id="list", project="shop", select=["cost"]))


@BOTH
def test_one_run_by_id_or_address(langsmith: LangSmithStandIn, connect: Any, version: str, run: Run) -> None:
    """A run is read by its id, its URL in the UI, or the URL of a list with the run open."""
    connect(langsmith, version)
    ids = tree(langsmith)
    project = f"https://smith.langchain.com/o/{langsmith.workspace_id}/projects/p/{langsmith.project_id('shop')}"
    for arguments in (
        {"run_id": ids["b"], "project": "shop"},
        {"run_id": f" {ids['b'].upper()} ", "project": langsmith.project_id("shop")},
        {"run_id": f"{project}/r/{ids['b']}?poll=true"},
        {"run_id": f"{project}?timeModel=%7B%7D&peek={ids['b']}&runtab=0"},
    ):
        operator = LangSmithReadRunOperator(task_id="read", **arguments)
        result = run(operator)
        assert (result["run_id"], result["name"], result["inputs"]) == (ids["b"], "b", {"n": 1})
        assert result["project_name"] == "shop"
        assert "child_runs" not in result
        assert operator.langsmith_url.endswith(f"/projects/p/{langsmith.project_id('shop')}/r/{ids['b']}?poll=true")


@BOTH
def test_a_tree_in_its_order(langsmith: LangSmithStandIn, connect: Any, version: str, run: Run) -> None:
    """Children are in the order of the tree, below the run that called them, from this run down."""
    connect(langsmith, version)
    ids = tree(langsmith)
    read = {"task_id": "read", "project": "shop", "load_children": "{{ true }}"}
    whole = run(LangSmithReadRunOperator(run_id=ids["root"], **read))
    assert [child["name"] for child in whole["child_runs"]] == ["b", "b1", "c"]
    part = run(LangSmithReadRunOperator(run_id=ids["b"], **read, columns=["name"]))
    assert part == {"name": "b", "child_runs": [{"name": "b1"}]}
    assert run(LangSmithReadRunOperator(run_id=ids["c"], **read))["child_runs"] == []


def other_clocks(langsmith: LangSmithStandIn) -> dict[str, str]:
    """
    Add the same tree, in which runs disagree on the start times of the runs above them.

    ``dotted_order`` puts ``root`` an hour later for ``b``, a year earlier for ``b1``, and ``b`` a second later for it.
    """
    ids = {name: str(uuid4()) for name in ("root", "b", "b1", "c")}
    for name, parent, order in [
        ("root", None, "20260301T000000000000Z{root}"),
        ("b", "root", "20260301T010000000000Z{root}.20260301T000001000000Z{b}"),
        ("b1", "b", "20250301T000000000000Z{root}.20260301T000002000000Z{b}.20260301T000003000000Z{b1}"),
        ("c", "root", "20260301T000000000000Z{root}.20260301T000002000000Z{c}"),
    ]:
        langsmith.add_run(
            id=ids[name],
            project="shop",
            name=name,
            trace_id=ids["root"],
            start_time=START,
            end_time=START,
            dotted_order=order.format(**ids),
            **({"parent_run_id": ids[parent]} if parent else {}),
        )
    return ids


@BOTH
def test_a_tree_by_ids(langsmith: LangSmithStandIn, connect: Any, version: str, run: Run) -> None:
    """A tree has all runs in order, also if they disagree on start times of runs above them."""
    connect(langsmith, version)
    ids = other_clocks(langsmith)
    read: dict[str, Any] = {"task_id": "read", "project": "shop", "load_children": True}
    whole = run(LangSmithReadRunOperator(run_id=ids["root"], **read))
    assert [whole["name"], *(child["name"] for child in whole["child_runs"])] == ["root", "b", "b1", "c"]
    part = run(LangSmithReadRunOperator(run_id=ids["b"], **read, columns=["name"]))
    assert part == {"name": "b", "child_runs": [{"name": "b1"}]}


@pytest.mark.parametrize("children", [False, True])
def test_a_run_too_large_for_xcom(
    langsmith: LangSmithStandIn, connect: Any, tmp_path: Path, run: Run, *, children: bool
) -> None:
    """A run too large for XCom fails the task, and the error has the export that lands it."""
    connect(langsmith)
    run_id = langsmith.add_run(project="shop", start_time=START, inputs={"text": "x" * 600_000})
    where: dict[str, Any] = {"trace_id": run_id} if children else {"run_ids": [run_id]}
    ((name, value),) = where.items()
    with pytest.raises(AirflowFailException, match=re.escape(f"LangSmithExportOperator({name}={value!r}, ...)")):
        run(LangSmithReadRunOperator(task_id="read", run_id=run_id, project="shop", load_children=children))
    landed = LangSmithExportOperator(task_id="export", project="shop", destination=f"file://{tmp_path}", **where)
    assert run(landed)["rows"] == 1


@BOTH
def test_a_run_that_is_not_there(langsmith: LangSmithStandIn, connect: Any, version: str, run: Run) -> None:
    """A missing run fails the task for good, or is None with ``missing_ok``."""
    connect(langsmith, version)
    langsmith.add_project("shop")
    nobody = "0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b"
    with pytest.raises(AirflowFailException, match="404"):
        run(LangSmithReadRunOperator(task_id="read", run_id=nobody, project="shop"))
    assert run(LangSmithReadRunOperator(task_id="read", run_id=nobody, project="shop", missing_ok=True)) is None


def test_what_names_no_run(langsmith: LangSmithStandIn, connect: Any, run: Run) -> None:
    """A value that is no run id is refused with the valid forms, and v2 requires the project."""
    connect(langsmith, "v2")
    ids = tree(langsmith)
    with pytest.raises(AirflowFailException, match=says("run_id is empty")):
        run(LangSmithReadRunOperator(task_id="read", run_id=""))
    for wrong in ("shop", "https://smith.langchain.com/o/x/projects", f"{ids['b']}x"):
        with pytest.raises(AirflowFailException, match=says("names no run")):
            run(LangSmithReadRunOperator(task_id="read", run_id=wrong))
    with pytest.raises(AirflowFailException, match=says("Name the project")):
        run(LangSmithReadRunOperator(task_id="read", run_id=ids["b"]))
    connect(langsmith, "v1")
    assert run(LangSmithReadRunOperator(task_id="read", run_id=ids["b"]))["project_name"] == "shop"


@pytest.mark.filterwarnings("ignore:share_run")  # the stand-in shares runs as v1 does
def test_a_public_link(langsmith: LangSmithStandIn, connect: Any, run: Run) -> None:
    """A share link of the SDK is read without the API key, and no error has its token."""
    connect(langsmith)
    ids = tree(langsmith)
    link = Client(api_url=langsmith.url, api_key=langsmith.api_key).share_run(ids["b"])
    token = link.removesuffix("/r").rpartition("/")[2]
    operator = LangSmithReadRunOperator(task_id="read", run_id=link)
    assert run(operator)["run_id"] == ids["b"]
    (request,) = langsmith.requests_to(f"/public/{token}/run")
    assert "x-api-key" not in request.headers
    assert operator.langsmith_url == ""
    with pytest.raises(AirflowFailException, match=says("and no more")):
        run(LangSmithReadRunOperator(task_id="read", run_id=link, load_children=True))
    langsmith.misbehave("status", path=f"/public/{token}/run", status=404)
    with pytest.raises(AirflowFailException) as caught:
        run(LangSmithReadRunOperator(task_id="read", run_id=link))
    assert token not in str(caught.value)


GONE = [("status", 404), ("status", 410), ("status", 501), ("rate_limit", 429)]


@pytest.mark.filterwarnings("ignore:share_run")
@pytest.mark.parametrize(("fault", "status"), GONE)
def test_a_public_link_after_the_end_of_v1(
    langsmith: LangSmithStandIn, connect: Any, run: Run, fault: Any, status: int
) -> None:
    """If v1's endpoint of share links is gone, v2 finds the run, and the key reads it with payloads."""
    connect(langsmith)
    ids = tree(langsmith)
    link = Client(api_url=langsmith.url, api_key=langsmith.api_key).share_run(ids["b"])
    token = link.removesuffix("/r").rpartition("/")[2]
    whole = run(LangSmithReadRunOperator(task_id="read", run_id=ids["b"], project="shop"))
    body = {"detail": "Not Found"}
    langsmith.misbehave(fault, status=status, body=body, path=f"/v1/public/{token}/run", times=None)
    langsmith.requests.clear()
    result = run(LangSmithReadRunOperator(task_id="read", run_id=link))
    assert result == whole
    assert result["inputs"]
    (request,) = langsmith.requests_to(f"/v2/public/{token}/runs/query")
    assert "x-api-key" not in request.headers


@pytest.mark.filterwarnings("ignore:share_run")
def test_a_public_link_to_another_workspace_after_the_end_of_v1(
    langsmith: LangSmithStandIn, connect: Any, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """A run of another workspace comes without payloads, which it names as missing, and the log says so."""
    connect(langsmith)
    ids = tree(langsmith)
    link = Client(api_url=langsmith.url, api_key=langsmith.api_key).share_run(ids["root"])
    token = link.removesuffix("/r").rpartition("/")[2]
    langsmith.misbehave("status", status=410, path=f"/v1/public/{token}/run", times=None)
    langsmith.misbehave("status", status=403, body={"error": "Forbidden"}, path="/sessions", times=None)
    logging.getLogger("airflow_langsmith").addHandler(caplog.handler)
    with LangSmithHook() as hook:
        shared = hook.read_run(link)
    assert (shared.id, shared.name, shared.trace_id) == (ids["root"], "root", ids["root"])
    assert shared.project.id == langsmith.project_id("shop")
    assert (shared.inputs, shared.outputs) == (None, None)
    assert shared.missing_payloads == ["inputs", "outputs", "events", "serialized"]
    logging.getLogger("airflow_langsmith").removeHandler(caplog.handler)
    assert "no inputs and outputs" in caplog.text
    assert token not in caplog.text
    langsmith.misbehave("status", status=404, path=f"/v2/public/{token}/runs/query", times=None)
    with pytest.raises(AirflowFailException) as caught:
        run(LangSmithReadRunOperator(task_id="read", run_id=link))
    assert token not in str(caught.value)
    (second,) = langsmith.requests_to(f"/public/{token}/runs/v2/query")
    assert second.path.startswith("/api/v2")


def test_the_link_to_the_project_is_narrowed(langsmith: LangSmithStandIn, connect: Any, run: Run) -> None:
    """The link of a task leads to its project, window and filters, and is empty before it runs."""
    connect(langsmith)
    langsmith.add_run(project="shop", start_time=START)
    operator = LangSmithListRunsOperator(
        task_id="list", project="shop", filter='eq(name, "b")', trace_filter='has(tags, "é")'
    )
    (link,) = operator.operator_extra_links
    key: Any = None
    assert link.get_link(operator, ti_key=key) == ""
    run(operator)
    url = link.get_link(operator, ti_key=key)
    place, _, query = url.partition("?")
    assert place == f"{langsmith.url}/o/{langsmith.workspace_id}/projects/p/{langsmith.project_id('shop')}"
    search = json.loads(parse_qs(query)["searchModel"][0])
    assert search == {
        "filter": 'and(gte(start_time, "2026-03-01T00:00:00.000000Z"), lt(start_time, "2026-03-02T00:00:00.000000Z"), '
        'eq(name, "b"))',
        "traceFilter": 'has(tags, "é")',
    }
