"""A rule for where a value comes from holds for all that is made of it, in every view."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from airflow_langsmith.api.records import Attachment, Feedback, Project, Run
from airflow_langsmith.api.wire_run import read_metadata
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.transform.redact import Redaction
from airflow_langsmith.views import VIEWS, Rows, View
from airflow_langsmith.views.retrievals import Retrieval
from airflow_langsmith.views.threads import Thread
from airflow_langsmith.views.traces import Trace
from tests.wording import says

REDACT = (Path(__file__).parents[2] / "docs" / "how-to" / "redact.md").read_text()
PLANTED = "ada.planted@example.com"
SECRET = "a key of our own"
WHEN = datetime(2026, 3, 1, tzinfo=UTC)
IDS = ("id", "trace_id", "parent_run_id", "dotted_order", "reference_example_id")
TEXTS = ("name", "run_type", "status", "error")
PAYLOADS = ("inputs", "outputs", "feedback_stats", "events", "serialized", "prompt_token_details")
THREADS = ("metadata.session_id", "metadata.thread_id", "metadata.conversation_id")
OF_METADATA = (*THREADS, "metadata.ls_model_name", "metadata.user")
# Places of a run that a user can write to, as rules name them.
PLACES = (*TEXTS, "tags", *(f"{name}.who" for name in PAYLOADS), *OF_METADATA, "extra.runtime", "attachments")


def run_with(places: Iterable[str], run_type: str = "chain", **fields: Any) -> Run:
    """Make a run with the address in some places."""
    planted = set(places)
    of: dict[str, Any] = {name: PLANTED for name in (*TEXTS, *IDS) if name in planted}
    of["tags"] = [PLANTED] if "tags" in planted else []
    for name in PAYLOADS:
        of[name] = Raw(json.dumps({"who": PLANTED if f"{name}.who" in planted else "nobody"}).encode())
    metadata: dict[str, Any] = {path.partition(".")[2]: PLANTED for path in OF_METADATA if path in planted} or {
        "other": 1
    }
    extra = {"metadata": metadata} | ({"runtime": PLANTED} if "extra.runtime" in planted else {})
    of |= {"metadata": Raw(json.dumps(metadata).encode()), "extra": Raw(json.dumps(extra).encode())}
    if "attachments" in planted:
        of |= {"attachments": [Attachment(name=PLANTED, type=None)], "missing_payloads": [f"attachments.{PLANTED}"]}
    plain = {"id": "run", "start_time": WHEN, "project": Project(id="project", name="shop"), "run_type": run_type}
    run = Run(**{**plain, **of, **fields})
    read_metadata([run])
    return run


def rows_of(view: View, runs: list[Run], piece: Feedback, thread_id: str = "thread") -> Rows:
    """Make the one row that a view has of the runs of a trace, the root first."""
    if view.name == "feedback":
        return view.rows([piece])
    if view.name == "runs":
        return view.rows(runs[:1])
    record = Retrieval(runs[0]) if view.name == "retrievals" else Trace(runs[0])
    for run in runs:
        record.add(run)
    if isinstance(record, Trace) and view.name == "threads":
        return view.rows([Thread(runs[0].thread_id or thread_id, [record], {})])
    return view.rows([record])


def whole(view: View) -> View:
    """Take all columns of a view, with that of missing payloads."""
    return view.choose([column.name for column in view.columns], missing_payloads=True)


def columns_with(text: str, view: View, rows: Rows) -> set[str]:
    """Name the columns that a text is in."""
    cells = zip(view.columns, rows.columns, strict=True)
    return {
        column.name
        for column, (value,) in cells
        if text in (bytes(value).decode() if isinstance(value, Raw) else str(value))
    }


@given(
    view=st.sampled_from(sorted(VIEWS)),
    place=st.sampled_from(PLACES),
    length=st.integers(1, 3),
    any_step=st.booleans(),
    action=st.sampled_from(["drop", "hash", {"pattern": "email"}, {"truncate": 3}]),
)
def test_a_rule_for_the_source_holds_for_all_that_is_made_of_it(
    view: str, place: str, length: int, any_step: bool, action: Any
) -> None:
    """Whatever view, a rule for a place, for what is around it or for any key leaves nothing of it in any column."""
    steps = place.split(".")[:length]
    target = ".".join([*steps[:-1], "*"] if any_step and len(steps) > 1 else steps)
    chosen = whole(VIEWS[view])
    runs = [run_with([place]), run_with([place], "tool", id="below"), run_with([place], "retriever", id="low")]
    rows = rows_of(chosen, runs, Feedback(id="f", key="k"))
    try:
        redaction = Redaction(chosen.columns, {target: action}, SECRET)
    except ConfigurationError:
        assert not columns_with(PLANTED, chosen, rows)
    else:
        assert not columns_with(PLANTED, chosen, redaction.apply(rows))


@pytest.mark.parametrize("action", ["drop", "hash", {"pattern": "email"}, {"truncate": 3}])
@pytest.mark.parametrize("name", sorted(VIEWS))
def test_the_page_names_all_that_is_left_alone(name: str, action: Any) -> None:
    """With ``*``, what is in every field that a record has stays in those columns alone that the page names."""
    view = whole(VIEWS[name])
    (line,) = re.findall(rf"^\| `{name}` \| (.*) \|$", REDACT.partition("<!-- left alone -->")[2], re.MULTILINE)[:1]
    left_by_page = set(re.findall(r"`(\w+)`", line))
    runs = [
        run_with([*PLACES, *IDS], run_type, id=PLANTED, project=Project(id=PLANTED, name=PLANTED))
        for run_type in ("chain", "tool", "retriever")
    ]
    texts = ("id", "key", "value", "comment", "correction", "run_id", "trace_id", "session_id")
    ids = ("feedback_group_id", "comparative_experiment_id", "feedback_thread_id")
    of: dict[str, Any] = dict.fromkeys((*texts, *ids), PLANTED)
    piece = Feedback(**of, extra={PLANTED: PLANTED}, feedback_source={"type": PLANTED, "user_id": PLANTED})
    rows = rows_of(view, runs, piece)
    left = columns_with(PLANTED, view, Redaction(view.columns, {"*": action}, SECRET).apply(rows))
    texts_left = {c.name for c in view.columns if c.name in left_by_page and c.type in ("string", "strings", "json")}
    assert left == texts_left
    assert left_by_page == {c.name for c in view.columns if c.type not in ("string", "strings", "json")} | left


def test_one_value_has_one_hash() -> None:
    """A thread's id is the same hash in its own column, in metadata and in extra, in every view."""
    hashes = set()
    for name in ("runs", "traces", "threads"):
        view = whole(VIEWS[name])
        rows = rows_of(view, [run_with(["metadata.thread_id"])], Feedback(id="f", key="k"))
        clean = Redaction(view.columns, {"metadata.thread_id": "hash"}, SECRET).apply(rows)
        for column, (value,) in zip(view.columns, clean.columns, strict=True):
            if column.name == "thread_id":
                hashes.add(value)
            elif column.name in ("metadata", "extra"):
                tree = json.loads(bytes(value))
                hashes.add(tree.get("metadata", tree)["thread_id"])
    assert len(hashes) == 1
    assert len(hashes.pop()) == 64


@pytest.mark.parametrize(
    ("rules", "thread_id", "model"),
    [
        ({"metadata": "drop"}, None, None),
        ({"extra": "drop"}, None, None),
        ({"metadata": "drop", "model": "keep"}, None, PLANTED),
        ({"metadata": "drop", "*": "drop", "model": "keep"}, None, PLANTED),
        ({"metadata": "drop", "model": {"call": "builtins.len"}}, None, None),
        ({"metadata": "drop", "model": {"truncate": 3}}, None, None),
        ({"metadata": "drop", "model": {"call": "builtins.ascii"}}, None, f"'{PLANTED}'"),
        ({"metadata": {"truncate": 3}}, "ada", "ada"),
        ({"metadata.thread_id": {"call": "builtins.ascii"}}, f"'{PLANTED}'", PLANTED),
        ({"thread_id": "drop"}, None, PLANTED),
        ({"metadata.*.email": "drop", "metadata.thread_id.email": "drop"}, PLANTED, PLANTED),
    ],
)
def test_a_columns_own_rule_goes_first(rules: Any, thread_id: str | None, model: str | None) -> None:
    """What is said of a column by its name stands in place of what is said of its source; ``keep`` keeps it."""
    view = VIEWS["runs"]
    places = ("metadata.thread_id", "metadata.ls_model_name")
    rows = rows_of(view, [run_with(places)], Feedback(id="f", key="k"))
    redaction = Redaction(view.columns, rules, SECRET)
    if {"call": "builtins.len"} in rules.values():
        with pytest.raises(ConfigurationError, match=says("other than text")):
            redaction.apply(rows)
        return
    clean = dict(zip([column.name for column in view.columns], redaction.apply(rows).columns, strict=True))
    assert (clean["thread_id"], clean["model"]) == ([thread_id], [model])


def test_a_rule_may_name_what_no_column_is() -> None:
    """A source without a column of its own can be named, for the columns that are made of it."""
    view = VIEWS["threads"]
    rows = rows_of(view, [run_with(["metadata.session_id", "inputs.who"])], Feedback(id="f", key="k"))
    redaction = Redaction(view.columns, {"metadata.session_id": "hash", "inputs.who": "drop"}, SECRET)
    assert not columns_with(PLANTED, view, redaction.apply(rows))
    assert redaction.unmatched(1) == ()
    other = Redaction(view.columns, {"inputs.whom": "drop", "metadata.session_id": "drop"})
    other.apply(rows)
    assert other.unmatched(1) == ("inputs.whom",)


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({"metadata": {"call": "builtins.str"}}, r"'metadata' of redact calls .*'thread_id' is made of a part"),
        ({"inputs.a": "keep"}, "'keep', which is for a whole column"),
        ({"*": "keep"}, "'keep', which is for a whole column"),
        ({"metadatas": "drop"}, "no column"),
    ],
)
def test_what_cannot_be_meant_is_refused(rules: Any, why: str) -> None:
    """A function is not asked about less than it is for; and only a whole column is kept."""
    with pytest.raises(ConfigurationError, match=says(why)):
        Redaction(VIEWS["runs"].columns, rules, SECRET)
