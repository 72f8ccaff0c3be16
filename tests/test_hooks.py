"""The hook: Airflow connections in each form, and queries of LangSmith."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from airflow.sdk import Connection
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_langsmith.api.run_filter import ARGUMENTS
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.errors import ConfigurationError, InvalidQueryError, LangSmithError
from airflow_langsmith.filters import thread
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.messages import MAX_LINE
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import TaskLog
from tests.versions import AIRFLOW
from tests.wording import says

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def unreachable_hook() -> Iterator[LangSmithHook]:
    """A hook whose server does not answer."""
    hook = LangSmithHook()
    hook.__dict__["settings"] = Settings(api_url="http://127.0.0.1:1", api_version="v2", api_key="k", max_retries=0)
    with hook:
        yield hook


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a connection into the environment."""

    def put(connection: str, conn_id: str = "langsmith_default") -> LangSmithHook:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", connection)
        return LangSmithHook(conn_id)

    return put


def test_json_and_uri_say_the_same(langsmith: LangSmithStandIn, connect: Any) -> None:
    """A connection in the environment works as JSON and as a URI, with the same settings."""
    workspace = langsmith.workspace_id
    port = langsmith.url.rpartition(":")[2]
    written = langsmith.connection(workspace_id=workspace, api_version="v1", verify=False, timeout=7)
    key = langsmith.api_key
    extra = f"workspace_id={workspace}&api_version=v1&verify=false&timeout=7"
    spellings = [
        written,
        f"langsmith://http://:{key}@127.0.0.1:{port}/?{extra}",
        f"langsmith://http://:{key}@127.0.0.1:{port}/api/v1?{extra}",
        f"langsmith://:{key}@127.0.0.1:{port}?{extra}",
        f"langsmith://:{key}@{quote(langsmith.url, safe='')}?{extra}",
        f"langsmith://:{key}@127.0.0.1:{port}?__extra__={quote(json.dumps(json.loads(written)['extra']))}",
    ]
    hook = connect(f"langsmith://http://:{key}@127.0.0.1:{port}/api?{extra}", "x")
    spellings.append(hook.get_connection("x").get_uri())  # as Airflow itself writes it
    first = connect(written).settings
    assert (first.api_url, first.workspace_id, first.api_version) == (langsmith.url, workspace, "v1")
    assert (first.verify, first.timeout) == (False, 7)
    for number, spelling in enumerate(spellings):
        assert connect(spelling, f"langsmith_{number}").settings == first, spelling


@pytest.mark.parametrize(
    ("connection", "host"),
    [
        ("langsmith://:k@", "https://api.smith.langchain.com"),
        ("langsmith://:k@eu", "https://eu.api.smith.langchain.com"),
        ("langsmith://:k@aws/", "https://aws.api.smith.langchain.com"),
        ("langsmith://:k@langsmith.example.com/api/v1", "https://langsmith.example.com"),
        ("langsmith://:k@langsmith.example.com:8443/api", "https://langsmith.example.com:8443"),
        ('{"conn_type": "langsmith", "password": "k", "host": "apac"}', "https://apac.api.smith.langchain.com"),
        ('{"conn_type": "langsmith", "password": "k", "host": "http://x/api", "port": 80}', "http://x"),
    ],
)
def test_hosts_in_connections(connect: Any, connection: str, host: str) -> None:
    """A connection's host may be a region or a URL, in any form of the connection."""
    assert connect(connection).settings.api_url == host


def test_a_connection_without_a_key(connect: Any) -> None:
    """A connection without a password says where the key belongs."""
    with pytest.raises(ConfigurationError, match="password field"):
        _ = connect("langsmith://eu").settings


def test_unknown_extras_are_named(connect: Any, task_log: TaskLog) -> None:
    """An unknown extra is ignored, with a warning that has its name and not its value."""
    hook = connect('{"conn_type": "langsmith", "password": "k", "extra": {"workspace": "secret-ish", "timeout": 5}}')
    assert hook.settings.timeout == 5
    said = [line for _, line in task_log()]
    assert any("workspace" in line and "workspace_id" in line for line in said)
    assert not any("secret-ish" in line for line in said)


def test_the_test_button_describes_the_connection(langsmith: LangSmithStandIn, connect: Any) -> None:
    """A successful test shows host, workspace, API version and the number of projects."""
    for name in ("a", "b"):
        langsmith.add_project(name)
    worked, message = connect(langsmith.connection()).test_connection()
    assert worked
    assert message == f"{langsmith.url}, workspace {langsmith.workspace_id}, API v2: sees 2 projects."


@pytest.mark.parametrize(
    ("connection", "why"),
    [
        ({"password": "wrong-key"}, "refused the API key"),
        ({"password": ""}, "no API key"),
        ({"host": "ftp://x"}, "no API address"),
        ({"extra": {"timeout": "soon"}}, "'timeout'"),
        ({"extra": {"verify": "/nowhere.pem"}}, "no readable CA bundle"),
    ],
)
def test_the_test_button_tells_what_is_wrong(
    langsmith: LangSmithStandIn, connect: Any, connection: dict[str, Any], why: str
) -> None:
    """A failed test shows the reason, without a traceback and without the key."""
    worked, message = connect(json.dumps({**json.loads(langsmith.connection()), **connection})).test_connection()
    assert not worked
    assert why in message
    assert "wrong-key" not in message


def test_query_runs_reads_all_pages_of_all_projects(langsmith: LangSmithStandIn, connect: Any) -> None:
    """A query returns runs of several projects, newest first, over all pages, up to the limit."""
    for minute in range(130):
        for project in ("a", "b"):
            langsmith.add_run(project=project, start_time=START + timedelta(minutes=minute), name=f"{project}{minute}")
    with connect(langsmith.connection(api_version="v1", requests_per_10s=1000)) as hook:
        both = list(hook.query_runs(project=["a", langsmith.project_id("b")], start_time=START, end_time=START + DAY))
        assert [run.name for run in both] == [f"{project}{n}" for project in "ab" for n in reversed(range(130))]
        assert {run.project.name for run in both} == {"a", "b"}
        assert len(list(hook.query_runs(project="a", limit=7))) == 7
        assert len(list(hook.query_runs(project="a"))) == 130
        with pytest.raises(LangSmithError, match="no project 'c'"):
            list(hook.query_runs(project="c"))


def test_query_runs_narrows(langsmith: LangSmithStandIn, connect: Any) -> None:
    """Each argument narrows a query alike on both API versions, and a blank one does not."""
    root = langsmith.add_run(project="a", start_time=START, name="root", end_time=START + timedelta(seconds=9))
    child = langsmith.add_run(
        project="a", start_time=START, name="tool", run_type="tool", parent_run_id=root, error="no", end_time=START
    )
    other = langsmith.add_run(project="a", start_time=START, name="other", tags=["x"])
    questions: list[tuple[dict[str, Any], set[str]]] = [
        ({}, {root, child, other}),
        ({"run_type": "tool"}, {child}),
        ({"is_root": True}, {root, other}),
        ({"is_root": False}, {child}),
        ({"error": True}, {child}),
        ({"filter": 'has(tags, "x")'}, {other}),
        ({"trace_filter": 'eq(name, "root")'}, {root, child}),
        ({"tree_filter": 'eq(run_type, "tool")'}, {root, child}),
        ({"trace_id": root}, {root, child}),
        ({"run_ids": [child, other]}, {child, other}),
        ({"run_ids": [child, other], "is_root": True}, {other}),
        ({"run_ids": f"{child}, {other}"}, {child, other}),
        ({"run_ids": " "}, set()),
        *(({name: " "}, {root, child, other}) for name in ARGUMENTS if name != "run_ids"),
        ({"end_time": START}, set()),
        ({"start_time": START, "end_time": START + timedelta(microseconds=1)}, {root, child, other}),
    ]
    for version in ("v1", "v2"):
        with connect(langsmith.connection(api_version=version, requests_per_10s=1000)) as hook:
            for question, expected in questions:
                if question.get("end_time") == START:
                    question = {**question, "start_time": START - DAY}  # noqa: PLW2901
                runs = hook.query_runs(project="a", select=["id"], **question)
                assert {run.id for run in runs} == expected, (version, question)


@pytest.fixture
def conversation(langsmith: LangSmithStandIn) -> dict[str, str]:
    """Add a thread of three turns, one under each key; the first has a tree and feedback."""
    ids = {}
    for number, key in enumerate(("session_id", "thread_id", "conversation_id")):
        ids[key] = langsmith.add_run(
            project="shop",
            name=key,
            start_time=START + timedelta(minutes=number),
            end_time=START + timedelta(minutes=number + 1),
            extra={"metadata": {key: "t1"}},
        )
    first = ids["session_id"]
    ids["b"] = langsmith.add_run(project="shop", name="b", start_time=START + timedelta(seconds=1), parent_run_id=first)
    ids["c"] = langsmith.add_run(project="shop", name="c", start_time=START + timedelta(seconds=2), parent_run_id=first)
    ids["b1"] = langsmith.add_run(
        project="shop", name="b1", start_time=START + timedelta(seconds=3), parent_run_id=ids["b"]
    )
    langsmith.add_run(project="shop", name="other thread", start_time=START, extra={"metadata": {"thread_id": "t2"}})
    for number in range(120):
        langsmith.add_feedback(first, key="user_score" if number % 2 else "note", score=number % 2)
    langsmith.add_feedback(ids["b"], key="user_score", score=1)
    return ids


VERSIONS = pytest.mark.parametrize("version", ["v1", "v2"])


@VERSIONS
def test_a_trace_by_ids(langsmith: LangSmithStandIn, connect: Any, version: str) -> None:
    """A trace is in the order of its tree, also if runs disagree on the start of their parent."""
    root, child = (str(UUID(int=number)) for number in (1, 2))
    first, second = "20260301T000000000000Z", "20260301T000001000000Z"
    for run, order in ((root, f"{second}{root}"), (child, f"{first}{root}.{second}{child}")):
        langsmith.add_run(id=run, project="shop", trace_id=root, start_time=START, name=run, dotted_order=order)
    with connect(langsmith.connection(api_version=version, requests_per_10s=1000)) as hook:
        assert [run.id for run in hook.read_trace(root, "shop", ["name"])] == [root, child]


@VERSIONS
def test_reads_of_one_run_a_trace_and_a_thread(
    langsmith: LangSmithStandIn, connect: Any, conversation: dict[str, str], version: str
) -> None:
    """The hook reads a run, the tree of a trace, the turns of a thread and the children of a run, in order."""
    with connect(langsmith.connection(api_version=version, requests_per_10s=1000)) as hook:
        root = conversation["session_id"]
        assert hook.read_run(conversation["b"], "shop").name == "b"
        part = hook.read_run(root, "shop", ["trace_id"])
        assert (part.trace_id, part.start_time.tzinfo, part.end_time, part.total_cost) == (root, UTC, None, None)
        names = [run.name for run in hook.read_trace(root, "shop", ["name"])]
        assert names == ["session_id", "b", "b1", "c"]
        turns = [run.name for run in hook.read_thread("t1", "shop")]
        assert turns == ["session_id", "thread_id", "conversation_id"]
        children = hook.query_runs(project="shop", parent_run_id=root, select=["name"])
        assert [run.name for run in children] == ["c", "b"]
        assert [run.name for run in hook.query_runs(project="shop", parent_run_id=root, limit=1)] == ["c"]


@VERSIONS
def test_a_query_asks_for_the_default_columns(langsmith: LangSmithStandIn, connect: Any, version: str) -> None:
    """Without ``select`` a query requests exactly the fields of the default columns of ``runs``."""
    langsmith.add_run(project="shop", start_time=START, inputs={"q": 1}, serialized={"name": "agent"})
    with connect(langsmith.connection(api_version=version)) as hook:
        (run,) = hook.query_runs(project="shop")
        (whole,) = hook.query_runs(project="shop", select=["inputs", "serialized"])
    assert (run.inputs, run.serialized) == (whole.inputs, None)
    assert whole.serialized is not None
    default, _ = [request.body for request in langsmith.requests_to("/runs/query")]
    assert "serialized" not in {name.lower() for name in default.get("select", default.get("selects"))}


@VERSIONS
def test_counts(langsmith: LangSmithStandIn, connect: Any, conversation: dict[str, str], version: str) -> None:
    """A count equals the listed runs, and requests only ids."""
    with connect(langsmith.connection(api_version=version, requests_per_10s=1000)) as hook:
        assert hook.count_runs(project="shop") == 7
        assert hook.count_runs(project="shop", is_root=True, filter=thread("t1")) == 3
        bodies = [request.body for request in langsmith.requests_to("/runs/query")]
        assert {tuple(body.get("select", body.get("selects"))) for body in bodies} <= {
            ("id", "start_time"),
            ("ID", "START_TIME"),
        }


def test_feedback_and_projects(langsmith: LangSmithStandIn, connect: Any, conversation: dict[str, str]) -> None:
    """Feedback is listed by project, runs, keys and creation time, and projects by part of their name."""
    for number in range(60):
        langsmith.add_feedback(langsmith.add_run(project="many"), key="k", score=number)
    with connect(langsmith.connection()) as hook:
        assert len(list(hook.list_feedback(project="shop"))) == 121
        assert len(list(hook.list_feedback(project="shop", keys=["user_score"]))) == 61
        assert len(list(hook.list_feedback(run_ids=[conversation["b"], conversation["session_id"]]))) == 121
        many = [run.id for run in hook.query_runs(project="many", select=["id"])]
        assert sorted(str(piece.run_id) for piece in hook.list_feedback(run_ids=many)) == sorted(many)
        now = datetime.now(UTC)
        assert not list(hook.list_feedback(project="shop", created_after=now + DAY))
        assert len(list(hook.list_feedback(project="shop", created_after=now - DAY, created_before=now + DAY))) == 121
        assert list(hook.list_feedback(project="shop", run_ids=[])) == []
        assert [project.name for project in hook.list_projects("an")] == ["many"]
        assert len(list(hook.list_projects())) == 2
        assert hook.project_id("shop") == langsmith.project_id("shop")


@VERSIONS
@pytest.mark.parametrize("hours", [-5, 0, 5])
def test_bounds_at_the_ends_of_the_calendar(
    langsmith: LangSmithStandIn, connect: Any, conversation: dict[str, str], version: str, hours: int
) -> None:
    """A window from the first to the last moment of the calendar has all runs, in any time zone."""
    zone = timezone(timedelta(hours=hours))
    first, last = datetime.min.replace(tzinfo=zone), datetime.max.replace(tzinfo=zone)
    with connect(langsmith.connection(api_version=version, requests_per_10s=1000)) as hook:
        assert len(list(hook.query_runs(project="shop", start_time=first, end_time=last))) == 7
        assert hook.count_runs(project="shop", start_time=first, end_time=last) == 7
        feedback = hook.list_feedback(project="shop", created_after=first, created_before=last)
        assert len(list(feedback)) == len(list(hook.list_feedback(project="shop")))
        with pytest.raises(ConfigurationError, match="created_before has no time zone"):
            list(hook.list_feedback(project="shop", created_before=first.replace(tzinfo=None)))


@VERSIONS
def test_filters_are_judged(langsmith: LangSmithStandIn, connect: Any, version: str) -> None:
    """LangSmith checks a filter by one small query; text that is no filter is refused without a request."""
    langsmith.add_project("shop")
    with connect(langsmith.connection(api_version=version, requests_per_10s=1000)) as hook:
        hook.validate_filter(thread("t1") & 'gt(latency, "5s")', project="shop", tree_filter='eq(name, "x")')
        with pytest.raises(InvalidQueryError, match="nonsense"):
            hook.validate_filter("eq(nonsense, 1)", project="shop")
        assert len(langsmith.requests_to("/runs/query")) == 2
        with pytest.raises(ConfigurationError, match="trace_filter is no expression"):
            hook.validate_filter(project="shop", trace_filter="eq(name")
        assert len(langsmith.requests_to("/runs/query")) == 2


def test_a_closed_hook_opens_again(langsmith: LangSmithStandIn, connect: Any) -> None:
    """A closed hook has no client, and makes a new one if it is used again."""
    langsmith.add_run(project="a")
    hook = connect(langsmith.connection())
    first = hook.get_conn()
    assert hook.get_conn() is first
    hook.close()
    hook.close()
    assert hook.get_conn() is not first
    assert hook.get_conn().project("a").name == "a"
    hook.close()


def test_a_connection_that_is_not_defined_is_named_at_once(connect: Any) -> None:
    """The error of a missing connection names it and says how to add it, also in triggers."""
    hook = LangSmithHook("langsmith_prod")
    with pytest.raises(ConfigurationError) as caught:
        _ = hook.settings
    assert str(caught.value).splitlines()[0] == "Connection 'langsmith_prod' is not defined."
    assert "AIRFLOW_CONN_LANGSMITH_PROD" in str(caught.value)
    assert not caught.value.retriable
    with pytest.raises(ConfigurationError, match="'langsmith_prod' is not defined"):
        asyncio.run(hook.aget_conn())


def test_one_error_lists_all_that_is_wrong_with_a_connection(connect: Any) -> None:
    """One error has a line for each wrong field, and the connection's id."""
    hook = connect(
        json.dumps(
            {
                "conn_type": "langsmith",
                "host": "europe",
                "password": "",
                "extra": {"timeout": "soon", "max_retries": 1.7, "api_version": "3", "workspace_id": "mine"},
            }
        )
    )
    with pytest.raises(ConfigurationError) as caught:
        _ = hook.settings
    message = str(caught.value)
    for wrong in ("'europe'", "no API key", "'timeout'", "'max_retries'", "'api_version'", "'workspace_id'"):
        assert wrong in message
    assert "Connection langsmith_default." in message


@pytest.mark.skipif(AIRFLOW < (3, 2), reason="before Airflow 3.2 such a connection is as if it were not defined")
@pytest.mark.parametrize("extra", ["[1]", '"eu"', "{timeout: 5}"])
def test_an_extra_that_is_no_object(monkeypatch: pytest.MonkeyPatch, extra: str) -> None:
    """An extra that is no JSON object is refused, because Airflow would ignore it."""
    monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", json.dumps({"password": "key", "extra": extra}))
    with pytest.raises(ConfigurationError, match="extra is no JSON object"):
        _ = LangSmithHook().settings


@pytest.mark.parametrize("written", ["{nope", "langsmith://me:hunter2@[x", "langsmith://me:hunter2@x:port"])
def test_a_variable_that_airflow_cannot_read(connect: Any, written: str) -> None:
    """The error of an unreadable connection has its variable, and does not call it missing."""
    with pytest.raises(ConfigurationError, match="AIRFLOW_CONN_BROKEN") as caught:
        _ = connect(written, "broken").settings
    assert "percent-encoded" in str(caught.value)
    assert "hunter2" not in str(caught.value)


ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=3)
    | st.datetimes()
    | st.sampled_from(["None", " ", "[1", "eq(", "https://[oops", "9" * 5000, 10**30, object(), timedelta(days=1)])
    | st.lists(st.none() | st.integers() | st.text(max_size=3), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=1)
)
RUNS: dict[str, Any] = dict.fromkeys(["project", *ARGUMENTS, "start_time", "end_time"])
CALLS: dict[str, list[str]] = {
    "query_runs": [*RUNS, "select", "limit", "parent_run_id"],
    "count_runs": [*RUNS],
    "read_run": ["run_id", "project", "select"],
    "read_trace": ["trace_id", "project", "select"],
    "read_thread": ["thread_id", "project", "select"],
    "list_feedback": ["project", "run_ids", "keys", "created_after", "created_before"],
    "list_projects": ["name_contains"],
    "project_id": ["name"],
    "validate_filter": ["filter", "project", "trace_filter", "tree_filter"],
}
NEEDED = {"project": "shop", "run_id": "a", "trace_id": "a", "thread_id": "a", "name": "shop"}


@given(data=st.data(), call=st.sampled_from(sorted(CALLS)))
@settings(max_examples=150)
def test_no_argument_is_an_error_of_its_own(unreachable_hook: LangSmithHook, data: Any, call: str) -> None:
    """Any argument of the hook is accepted, or refused in printable lines that fit."""
    name = data.draw(st.sampled_from(CALLS[call]))
    arguments = {needed: NEEDED[needed] for needed in NEEDED if needed in CALLS[call]} | {name: data.draw(ODD)}
    try:
        answer = getattr(unreachable_hook, call)(**arguments)
        list(answer if isinstance(answer, Iterator) else [])
    except LangSmithError as error:
        message = str(error)
    else:
        message = ""
    assert message.replace("\n", "").isprintable()
    assert all(len(line) <= MAX_LINE or len(line.split()) == 1 for line in message.splitlines())


@pytest.mark.parametrize(
    ("call", "arguments", "message"),
    [
        ("query_runs", {"limit": -1}, "limit is -1; it has to be 0 or more"),
        ("query_runs", {"limit": "ten"}, "limit is 'ten'; it has to be a whole number"),
        ("query_runs", {"project": None}, "project is empty"),
        ("query_runs", {"project": 5}, "project is 5; it has to be a list"),
        ("query_runs", {"start_time": "2026-03-01"}, "start_time is '2026-03-01'; it has to be a datetime"),
        ("read_trace", {"trace_id": " "}, "trace_id is empty"),
        ("read_run", {"run_id": "https://[oops"}, "names no run"),
        ("read_run", {"run_id": str(UUID(int=0)), "project": " ", "select": ["nam"]}, "Did you mean 'name'"),
    ],
)
def test_a_wrong_argument_is_named(
    unreachable_hook: LangSmithHook, call: str, arguments: dict[str, Any], message: str
) -> None:
    """A wrong argument of the hook is refused by its name."""
    with pytest.raises(ConfigurationError, match=says(message)):
        list(getattr(unreachable_hook, call)(**{"project": "shop", **arguments}))


def test_a_blank_limit_is_none(langsmith: LangSmithStandIn, connect: Any) -> None:
    """A blank limit means all runs, and text is read as a number."""
    for _ in range(3):
        langsmith.add_run(project="shop", start_time=START)
    with connect(langsmith.connection()) as hook:
        numbers = [len(list(hook.query_runs(project="shop", limit=limit))) for limit in ("", " ", None, "2", 0)]
    assert numbers == [3, 3, 3, 2, 0]


@pytest.mark.parametrize("conn_id", ["\ud83d", "a\0b", "5", "{{ conn }}"])
def test_an_odd_connection_id_is_one_that_is_not_defined(conn_id: str) -> None:
    """An odd connection id is reported as not defined."""
    with pytest.raises(ConfigurationError, match="is not defined"):
        _ = LangSmithHook(conn_id).settings


def test_a_blank_connection_id_is_the_default() -> None:
    """A blank connection id means the default one, as for operators."""
    assert LangSmithHook("  ").langsmith_conn_id == LangSmithHook.default_conn_name


def test_the_key_is_masked_and_nothing_else_is(langsmith: LangSmithStandIn) -> None:
    """Airflow masks the key, and does not warn about secrets that are too short."""
    script = (
        "from airflow_langsmith.hooks import LangSmithHook\n"
        "try:\n    from airflow.sdk._shared.secrets_masker import redact\n"
        "except ImportError:  # Airflow 3.0\n    from airflow.sdk.execution_time.secrets_masker import redact\n"
        "settings = LangSmithHook().settings\n"
        "print(redact(f'{settings.api_key} {settings.workspace_id}'))\n"
    )
    workspace = "0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b"
    connection = langsmith.connection(api_version=None, verify=None, workspace_id=workspace)  # as our form has it
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"AIRFLOW_CONN_LANGSMITH_DEFAULT": connection},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == f"*** {workspace}"
    assert "Skipping masking" not in done.stdout + done.stderr


@settings(deadline=None)
@given(
    host=st.sampled_from(
        [
            *(
                "",
                "eu",
                "AWS",
                "langsmith.example.com",
                "127.0.0.1",
                "::1",
                "http://::1",
                "https://example.com/langsmith",
            ),
            *("http://negotiator", "https://langsmith.example.com/api/v1", "europe-west4.p.api.smith.langchain.com"),
        ]
    ),
    port=st.sampled_from([None, 0, 1984]),
    schema=st.sampled_from([None, "", "https", "http", "api/v1", "api"]),
    key=st.text("abcXYZ019_-%/@:?#&=+", min_size=1, max_size=40),
    extra=st.fixed_dictionaries(
        {},
        optional={
            "workspace_id": st.uuids().map(str),
            "api_version": st.sampled_from(["auto", "v1", "v2", None]),
            "timeout": st.one_of(st.floats(0.1, 1e6), st.integers(1, 999)),
            "max_retries": st.one_of(st.none(), st.integers(0, 99)),
            "requests_per_10s": st.integers(1, 10_000).map(str),
            "verify": st.sampled_from([True, False, "/etc/ssl/a b.pem", None]),
            "ui_host": st.sampled_from(["", "https://ui.example.com/x?y=1&z=ü"]),
        },
    ),
)
def test_a_connection_survives_airflows_own_spellings(
    host: str, port: int | None, schema: str | None, key: str, extra: dict[str, Any]
) -> None:
    """A connection has the same settings as fields, as Airflow's URI and as JSON."""
    connection = Connection(
        conn_id="langsmith_default",
        conn_type="langsmith",
        host=host,
        port=port,
        schema=schema,
        password=key,
        extra=json.dumps(extra),
    )
    written = {"conn_type": "langsmith", "host": host, "port": port, "schema": schema, "password": key, "extra": extra}
    read: list[Any] = []
    for spelling in (connection.get_uri(), json.dumps(written)):
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", spelling)
            try:
                read.append(LangSmithHook().settings)
            except ConfigurationError as error:
                read.append(error.message)
    assert read[0] == read[1]
    if not isinstance(read[0], str):
        assert read[0].api_key == key


def test_the_test_button_does_not_wait(langsmith: LangSmithStandIn, connect: Any) -> None:
    """A test of a connection sends one request, and reports an outage or a rate limit without a wait."""
    langsmith.misbehave("rate_limit", path="/sessions", retry_after=60, times=None)
    hook = connect(langsmith.connection(max_retries=6))
    worked, message = hook.test_connection()
    assert (worked, len(langsmith.requests)) == (False, 1)
    assert "rate limit" in message
    langsmith.stop()
    worked, message = hook.test_connection()
    assert not worked
    assert message.startswith("No whole answer from 127.0.0.1")


def test_what_the_hook_returns_becomes_plain_values(langsmith: LangSmithStandIn, connect: Any) -> None:
    """Runs, iterators, projects and feedback become JSON values, with payloads."""
    run = langsmith.add_run(project="shop", start_time=START, inputs={"question": "ü?", "n": [1, 2.5, None]})
    langsmith.add_feedback(run, key="score", score=1)
    with connect(langsmith.connection()) as hook:
        plain_run = hook.plain(hook.read_run(run, "shop", ["inputs", "start_time"]))
        assert plain_run["inputs"] == {"question": "ü?", "n": [1, 2.5, None]}
        assert plain_run["start_time"] == "2026-03-01T00:00:00Z"
        assert [item["id"] for item in hook.plain(hook.query_runs(project="shop"))] == [run]
        assert hook.plain(hook.read_trace(run, "shop"))[0]["project"]["name"] == "shop"
        assert [piece["score"] for piece in hook.plain(hook.list_feedback(run_ids=[run]))] == [1]
        assert [project["name"] for project in hook.plain(hook.list_projects())] == ["shop"]
        assert hook.plain(hook.count_runs(project="shop")) == 1


def test_bulk_destinations_come_in_one_request(langsmith: LangSmithStandIn, connect: Any, tmp_path: Path) -> None:
    """Each destination of Bulk Export is listed once, by one request, because LangSmith lists them without pages."""
    with connect(langsmith.connection()) as hook:
        assert hook.list_bulk_destinations() == []
        ids = {langsmith.add_bulk_destination(tmp_path, display_name=name) for name in ("lake", "archive")}
        del langsmith.requests[:]
        destinations = hook.list_bulk_destinations()
    assert {destination.id for destination in destinations} == ids
    assert [destination.display_name for destination in destinations] == ["lake", "archive"]
    assert len(langsmith.requests) == 1
