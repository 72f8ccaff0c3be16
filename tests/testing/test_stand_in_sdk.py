"""LangSmith's SDK reads from the stand-in what it has logged to it, with both versions of the API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import langsmith as sdk
import pytest
from langsmith.run_helpers import trace, traceable, tracing_context
from langsmith.schemas import Run
from langsmith.types import RunSelectField
from langsmith.types.run import PromptTokenDetails

from airflow_langsmith.testing import LangSmithStandIn, sample_feedback, sample_runs

# The SDK warns of each use of v1.
pytestmark = pytest.mark.filterwarnings("ignore::langsmith._internal._beta_decorator.LangSmithDeprecationWarning")

SELECTS: list[RunSelectField] = [
    *("ID", "NAME", "RUN_TYPE", "STATUS", "START_TIME", "END_TIME"),
    *("ERROR", "INPUTS", "OUTPUTS", "TAGS", "METADATA", "PARENT_RUN_IDS"),
]


@pytest.fixture
def langsmith() -> Iterator[LangSmithStandIn]:
    """A stand-in with the real clock: the SDK has no other."""
    with LangSmithStandIn() as server:
        yield server


@pytest.fixture
def client(langsmith: LangSmithStandIn) -> Iterator[sdk.Client]:
    """The SDK's client, which logs nothing about this machine."""
    client = sdk.Client(api_url=langsmith.url, api_key=langsmith.api_key, omit_traced_runtime_info=True)
    yield client
    client.close()


def minutes_ago(minutes: float) -> datetime:
    """Return a recent time: v2 reads the last day by default."""
    return datetime.now(UTC) - timedelta(minutes=minutes)


def v2_runs(client: sdk.Client, project_id: object, **query: Any) -> list[Any]:
    """List runs with v2, by the SDK's generated client."""
    api = client._get_langsmith_api_sync()
    return list(api.runs.query_v2(project_ids=[str(project_id)], selects=SELECTS, **query))


def log_trace(client: sdk.Client, *, batched: bool) -> tuple[UUID, UUID]:
    """Log a chain and its tool, with two requests each; with trace and order the SDK sends them together."""
    root, child, start = uuid4(), uuid4(), minutes_ago(5)
    order = f"{start:%Y%m%dT%H%M%S%f}Z{root}"
    place: dict[str, Any] = {"trace_id": root, "dotted_order": order} if batched else {}
    child_order = f"{order}.{start:%Y%m%dT%H%M%S%f}Z{child}"
    child_place: dict[str, Any] = {"trace_id": root, "dotted_order": child_order} if batched else {}
    client.create_run(
        "agent",
        {"question": "wohin?"},
        "chain",
        id=root,
        project_name="shop",
        start_time=start,
        tags=["a", "ü"],
        extra={"metadata": {"thread_id": "t1", "user": {"id": 7}}},
        **place,
    )
    client.create_run(
        "search",
        {"q": ["x", None]},
        "tool",
        id=child,
        parent_run_id=root,
        project_name="shop",
        start_time=start + timedelta(seconds=1),
        **child_place,
    )
    end = start + timedelta(seconds=2)
    client.update_run(child, error="ValueError('no')", end_time=end, parent_run_id=root, **child_place)
    client.update_run(root, outputs={"answer": "nach Köln 🚂"}, end_time=end, **place)
    client.flush()
    return root, child


@pytest.mark.parametrize("batched", [True, False])
def test_what_create_run_and_update_run_log_is_listed_over_v1(
    langsmith: LangSmithStandIn, client: sdk.Client, batched: bool
) -> None:
    """The runs are the same with a request for each step, and with all steps in one form."""
    root, child = log_trace(client, batched=batched)
    runs = {run.id: run for run in client.list_runs(project_name="shop")}
    assert set(runs) == {root, child}
    chain, tool = runs[root], runs[child]
    assert (chain.name, chain.run_type, chain.status) == ("agent", "chain", "success")
    assert (chain.inputs, chain.outputs) == ({"question": "wohin?"}, {"answer": "nach Köln 🚂"})
    assert (chain.tags, chain.metadata["user"], chain.parent_run_id) == (["a", "ü"], {"id": 7}, None)
    assert (tool.name, tool.run_type, tool.status, tool.error) == ("search", "tool", "error", "ValueError('no')")
    assert (tool.parent_run_id, tool.trace_id, tool.inputs) == (root, root, {"q": ["x", None]})
    assert tool.dotted_order.startswith(f"{chain.dotted_order}.")
    assert bool(langsmith.requests_to("/runs/multipart")) is batched


@pytest.mark.parametrize("batched", [True, False])
def test_what_create_run_and_update_run_log_is_listed_over_v2(client: sdk.Client, batched: bool) -> None:
    """v2 lists the same runs."""
    root, child = log_trace(client, batched=batched)
    project = client.read_project(project_name="shop").id
    tool, chain = v2_runs(client, project)
    assert (chain.id, chain.run_type, chain.status) == (str(root), "CHAIN", "SUCCESS")
    assert (chain.inputs, chain.outputs) == ({"question": "wohin?"}, {"answer": "nach Köln 🚂"})
    assert chain.metadata["user"] == {"id": 7}
    assert (tool.id, tool.run_type, tool.status, tool.error) == (str(child), "TOOL", "ERROR", "ValueError('no')")
    assert tool.parent_run_ids == [str(root)]
    assert tool.end_time - tool.start_time == timedelta(seconds=1)


def test_a_run_is_read_back_by_its_id(client: sdk.Client) -> None:
    """v1 and v2 read a run by its id, and an unknown id is not found."""
    root, _ = log_trace(client, batched=True)
    project = str(client.read_project(project_name="shop").id)
    assert client.read_run(root).outputs == {"answer": "nach Köln 🚂"}
    api = client._get_langsmith_api_sync()
    assert api.runs.retrieve_v2(str(root), project_id=project, selects=["NAME"]).name == "agent"
    with pytest.raises(sdk.utils.LangSmithNotFoundError, match="Run not found"):
        client.read_run(uuid4())


def test_decorated_functions_are_traced(client: sdk.Client) -> None:
    """@traceable and trace log inputs, outputs and errors."""

    @traceable(client=client, run_type="tool")
    def double(number: int) -> int:
        return number * 2

    @traceable(client=client)
    def fail() -> None:
        raise LookupError("nothing there")

    with tracing_context(enabled=True, client=client, project_name="mine"):
        with trace("outer", inputs={"number": 21}, client=client, project_name="mine", tags=["t"]) as run:
            run.end(outputs={"result": double(21)})
        with pytest.raises(LookupError):
            fail()
    client.flush()
    runs = {run.name: run for run in client.list_runs(project_name="mine")}
    assert (runs["outer"].outputs, runs["outer"].tags) == ({"result": 42}, ["t"])
    assert (runs["double"].inputs, runs["double"].outputs) == ({"number": 21}, {"output": 42})
    assert runs["double"].parent_run_id == runs["outer"].id
    assert runs["fail"].status == "error"
    assert "nothing there" in (runs["fail"].error or "")


def test_usage_and_first_token_are_those_of_the_log(client: sdk.Client) -> None:
    """Tokens and costs in usage_metadata become those of the run, and on v1 of its ancestors."""
    root, model, start = uuid4(), uuid4(), minutes_ago(3)
    order = f"{start:%Y%m%dT%H%M%S%f}Z{root}"
    client.create_run(
        "agent",
        {},
        "chain",
        id=root,
        trace_id=root,
        dotted_order=order,
        project_name="shop",
        start_time=start,
        end_time=start + timedelta(seconds=2),
    )
    first = start + timedelta(milliseconds=250)
    client.create_run(
        "ask", {}, "llm", id=model, trace_id=root, parent_run_id=root, start_time=start, project_name="shop",
        dotted_order=f"{order}.{start:%Y%m%dT%H%M%S%f}Z{model}", end_time=start + timedelta(seconds=1),
        events=[{"name": "new_token", "time": first.isoformat()}],
        outputs={"usage_metadata": {
            "input_tokens": 7, "output_tokens": 3, "total_tokens": 10, "input_cost": 0.25, "output_cost": 0.5,
            "input_token_details": {"cache_read": 4},
        }},
    )  # fmt: skip
    client.flush()
    details = ["id", "prompt_tokens", "completion_tokens", "total_tokens", "total_cost", "prompt_token_details"]
    listed = list(client.list_runs(project_name="shop", select=[*details, "first_token_time"]))
    assert len(listed) == 2
    for run in listed:
        assert (run.prompt_tokens, run.completion_tokens, run.total_tokens) == (7, 3, 10)
        assert (float(run.total_cost or 0), run.prompt_token_details) == (0.75, {"cache_read": 4})
        assert run.first_token_time == first.replace(tzinfo=None)
    api, project = client._get_langsmith_api_sync(), str(client.read_project(project_name="shop").id)
    selects: list[RunSelectField] = ["ID", "TOTAL_TOKENS", "TOTAL_COST", "PROMPT_TOKEN_DETAILS", "FIRST_TOKEN_TIME"]
    own = {run.id: run for run in api.runs.query_v2(project_ids=[project], selects=selects)}
    assert (own[str(root)].total_tokens, own[str(root)].total_cost, own[str(root)].first_token_time) == (0, None, None)
    assert (own[str(model)].total_tokens, own[str(model)].total_cost) == (10, 0.75)
    assert own[str(model)].prompt_token_details == PromptTokenDetails(raw={"cache_read": 4})
    assert own[str(model)].first_token_time == first
    totals = [
        (run.total_tokens, run.total_cost, run.first_token_time)
        for run in api.runs.query_v2(project_ids=[project], selects=selects, include_subtree_usage=True)
    ]
    assert totals == [(10, 0.75, first)] * 2


def test_attachments_are_read_back(client: sdk.Client) -> None:
    """Files of a run are at the URLs that v1 answers."""
    root, start = uuid4(), minutes_ago(1)
    order = f"{start:%Y%m%dT%H%M%S%f}Z{root}"
    client.create_run(
        "see", {}, "chain", id=root, trace_id=root, dotted_order=order, project_name="shop", start_time=start,
        attachments={"photo": ("image/png", b"\x89PNG\r\n--\x00")},
    )  # fmt: skip
    client.flush()
    (run,) = client.list_runs(project_name="shop")
    file = (run.attachments or {})["photo"]
    assert (file["mime_type"], file["reader"].read()) == ("image/png", b"\x89PNG\r\n--\x00")


def test_a_list_has_all_pages(langsmith: LangSmithStandIn, client: sdk.Client) -> None:
    """Each run is listed once, newest first, with both versions."""
    start = minutes_ago(10)
    ids = {langsmith.add_run(project="shop", start_time=start + timedelta(seconds=n // 3)) for n in range(230)}
    project = langsmith.project_id("shop")
    v1 = [str(run.id) for run in client.list_runs(project_id=project)]
    v2 = [run.id for run in v2_runs(client, project, page_size=50)]
    assert v1 == v2
    assert (len(v1), set(v1)) == (230, ids)
    assert [len(langsmith.requests_to(f"/{path}runs/query")) for path in ("", "v2/")] == [3 + 5, 5]


def test_the_limit_of_list_runs_is_that_of_a_page(langsmith: LangSmithStandIn, client: sdk.Client) -> None:
    """The SDK requests a page of its limit, and a limit above a hundred is refused."""
    ids = [langsmith.add_run(project="shop", start_time=minutes_ago(minute)) for minute in range(9)]
    assert [str(run.id) for run in client.list_runs(project_name="shop", limit=5)] == ids[:5]
    with pytest.raises(sdk.utils.LangSmithError, match="Limit exceeds maximum allowed value of 100"):
        list(client.list_runs(project_name="shop", limit=130))


def test_the_asynchronous_clients_agree(langsmith: LangSmithStandIn, client: sdk.Client) -> None:
    """Both asynchronous clients of the SDK list the same runs as the synchronous client."""
    start = minutes_ago(10)
    for number in range(120):
        langsmith.add_run(project="shop", start_time=start + timedelta(seconds=number))
    project = langsmith.project_id("shop")

    async def listed() -> tuple[list[str], list[str]]:
        async with sdk.AsyncClient(api_url=langsmith.url, api_key=langsmith.api_key) as other:
            v1 = [str(run.id) async for run in other.list_runs(project_name="shop")]
        v2 = [str(run.id) async for run in client.runs.query(project_ids=[project], page_size=50, selects=["ID"])]
        await client._get_langsmith_api().close()  # Client.close leaves its sockets open
        return v1, v2

    v1, v2 = asyncio.run(listed())
    assert v1 == v2 == [str(run.id) for run in client.list_runs(project_id=project)]


def test_filters_of_list_runs_reach_the_server(langsmith: LangSmithStandIn, client: sdk.Client) -> None:
    """Each argument of the SDK selects runs."""
    start = minutes_ago(10)
    old = langsmith.add_run(project="shop", start_time=start - timedelta(days=2), run_type="llm")
    bad = langsmith.add_run(project="shop", start_time=start, error="no", name="a")
    child = langsmith.add_run(project="shop", start_time=start, parent_run_id=bad, run_type="llm")

    def ids(**arguments: Any) -> set[str]:
        return {str(run.id) for run in client.list_runs(project_name="shop", **arguments)}

    assert ids(run_type="llm") == {old, child}
    assert ids(error=True) == {bad}
    assert ids(is_root=True) == {old, bad}
    assert ids(start_time=start - timedelta(hours=1)) == {bad, child}
    assert ids(trace_id=bad) == {bad, child}
    assert ids(parent_run_id=bad) == {child}
    assert ids(filter='eq(name, "a")') == {bad}
    assert ids(trace_filter='eq(name, "a")') == {bad, child}
    assert {str(run.id) for run in client.list_runs(run_ids=[old, child])} == {old, child}


def same_feedback(logged: Any, read: Any) -> bool:
    """Compare the fields of feedback."""
    names = ("id", "run_id", "trace_id", "key", "score", "value", "comment", "correction", "extra")
    return all(getattr(logged, name) == getattr(read, name) for name in names)


def test_feedback_is_read_back_changed_and_deleted(langsmith: LangSmithStandIn, client: sdk.Client) -> None:
    """Feedback is read back as it was created, queued or direct; null clears a field, and other fields stay."""
    run = langsmith.add_run(project="shop")
    project = langsmith.project_id("shop")
    queued = client.create_feedback(
        session_id=project, run_id=run, trace_id=run, key="score", score=0.5, comment="naïve", source_info={"who": "me"}
    )
    direct = client.create_feedback(
        session_id=project, run_id=run, key="label", value="good", correction={"answer": 1}, extra={"a": 1}
    )
    client.flush()
    by_key = {item.key: item for item in client.list_feedback(run_ids=[run])}
    assert same_feedback(queued, by_key["score"])
    assert same_feedback(direct.model_copy(update={"trace_id": UUID(run)}), by_key["label"])
    source = by_key["score"].feedback_source
    assert source is not None
    assert (source.type, source.metadata) == ("api", {"who": "me"})
    assert str(by_key["label"].session_id) == str(by_key["score"].session_id) == project
    assert [item.key for item in client.list_feedback(run_ids=[run], feedback_key=["label"])] == ["label"]
    client.update_feedback(queued.id, score=1, comment=None)
    changed = client.read_feedback(queued.id)
    assert (changed.score, changed.comment, changed.key) == (1, None, "score")
    assert changed.modified_at > changed.created_at
    client.delete_feedback(queued.id)
    assert [item.key for item in client.list_feedback(run_ids=[run])] == ["label"]


def test_feedback_shows_in_the_stats_of_its_run(langsmith: LangSmithStandIn, client: sdk.Client) -> None:
    """Both versions have statistics of the feedback on a run."""
    run = langsmith.add_run(project="shop", start_time=minutes_ago(5))
    project = langsmith.project_id("shop")
    for score in (0, 1):
        client.create_feedback(session_id=project, run_id=run, key="user_score", score=score, comment=f"{score}!")
    stats: dict[str, Any] = (client.read_run(run).feedback_stats or {})["user_score"]
    assert (stats["n"], stats["avg"], stats["comments"]) == (2, 0.5, ["0!", "1!"])
    api = client._get_langsmith_api_sync()
    v2_stats = api.runs.retrieve_v2(run, project_id=project, selects=["FEEDBACK_STATS"]).feedback_stats
    assert v2_stats is not None
    assert (v2_stats["user_score"].n, v2_stats["user_score"].avg) == (2, 0.5)


def test_projects_are_created_read_listed_and_changed(langsmith: LangSmithStandIn, client: sdk.Client) -> None:
    """A project is created by a request or by its first run, and read by name, id or part of its name."""
    made = client.create_project("by hand", description="first", metadata={"team": "x"})
    langsmith.add_run(project="by run")
    by_name, by_id = client.read_project(project_name="by hand"), client.read_project(project_id=made.id)
    assert by_name == by_id
    assert (by_id.id, by_id.start_time, by_id.description) == (made.id, made.start_time, "first")
    assert (by_id.metadata, str(by_id.tenant_id)) == ({"team": "x"}, langsmith.workspace_id)
    assert [project.name for project in client.list_projects(name_contains="run")] == ["by run"]
    assert {project.name for project in client.list_projects()} == {"by hand", "by run"}
    assert client.update_project(made.id, description="second").description == "second"
    assert client.create_project("by hand", upsert=True).id == made.id
    with pytest.raises(sdk.utils.LangSmithConflictError):
        client.create_project("by hand")
    with pytest.raises(sdk.utils.LangSmithNotFoundError):
        client.read_project(project_name="nobody")


def test_the_client_may_send_the_workspace(langsmith: LangSmithStandIn) -> None:
    """workspace_id is sent as X-Tenant-Id with each request."""
    client = sdk.Client(api_url=langsmith.url, api_key=langsmith.api_key, workspace_id=langsmith.workspace_id)
    assert list(client.list_projects()) == []
    client.close()
    assert langsmith.requests[-1].headers["x-tenant-id"] == langsmith.workspace_id


def test_a_logged_sample_is_the_same_as_a_loaded_one(client: sdk.Client) -> None:
    """The SDK logs the sample's runs and feedback as they are, and the workspace is that of ``load_sample``."""
    sample: dict[str, Any] = {"start": datetime(2026, 3, 1, tzinfo=UTC), "days": 1, "traces_per_day": 8, "project": "p"}
    for run in sample_runs(**sample):
        client.create_run(**run)
    client.flush()
    project = client.read_project(project_name="p").id
    for item in sample_feedback(**sample):
        client.create_feedback(**item, session_id=project)
    client.flush()
    with LangSmithStandIn() as other:
        other.load_sample(**sample, seed=0)
        reader = sdk.Client(api_url=other.url, api_key=other.api_key)
        loaded = [content(run) for run in reader.list_runs(project_name="p")]
        reader.close()
    logged = [content(run) for run in client.list_runs(project_name="p")]
    assert len(logged) > 8
    assert logged == loaded


def content(run: Run) -> dict[str, Any]:
    """Return a run without the fields that depend on the project's id."""
    return run.model_dump(exclude={"session_id", "app_path"})


def test_the_sdk_reads_from_a_self_hosted_server() -> None:
    """The SDK reads the attachments of a self-hosted server by relative links."""
    with LangSmithStandIn(self_hosted=True) as server:
        assert server.url.endswith("/api")
        client = sdk.Client(api_url=server.url, api_key=server.api_key)
        run = server.add_run(project="shop", attachments={"photo": ("image/png", b"png")})
        read = client.read_run(run)
        assert read.attachments["photo"]["reader"].read() == b"png"
        client.close()
