"""What a trace spent: what each of its runs spent itself, over v1 and v2 alike."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_langsmith.api.records import Project, Run
from airflow_langsmith.api.v1 import V1
from airflow_langsmith.api.v2 import V2
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.views.spending import AMOUNTS, COSTS, TOKENS, Spending
from tests.conftest import ExportRows

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
BOTH = pytest.mark.parametrize("version", ["v1", "v2"])

Amounts = dict[str, Any]


def usage(tokens: int, dollars: float | None = None) -> dict[str, Any]:
    """Make what a model logs: a third of the tokens written."""
    cost = {} if dollars is None else {"input_cost": dollars / 4, "output_cost": dollars * 3 / 4, "total_cost": dollars}
    read = {"input_tokens": tokens - tokens // 3, "output_tokens": tokens // 3, "total_tokens": tokens}
    return {"usage_metadata": read | cost}


def price(dollars: float) -> dict[str, Any]:
    """Make what a tool with a price of its own logs."""
    return {"usage_metadata": {"total_cost": dollars}}


# A run: its type, what it logs, and the runs below it.
Tree = tuple[str, dict[str, Any], list[Any]]
TOOL: Tree = ("tool", {}, [])
SHAPES: dict[str, tuple[Tree, int, float | None]] = {
    "a model that calls a tool": (("chain", {}, [("llm", usage(120, 0.003), [TOOL])]), 120, 0.003),
    "a model with a parser and a prompt below it": (
        ("chain", {}, [("llm", usage(120, 0.003), [("parser", {}, []), ("prompt", {}, [])])]),
        120,
        0.003,
    ),
    "a model alone, with a tool below it": (("llm", usage(120, 0.003), [TOOL]), 120, 0.003),
    "a tool with a price of its own that calls a model": (
        ("chain", {}, [("tool", price(0.01), [("llm", usage(120, 0.003), [])])]),
        120,
        0.013,
    ),
    "a model in a model": (("llm", usage(100, 0.01), [("chain", {}, [("llm", usage(30, 0.002), [])])]), 130, 0.012),
    "a wrapped model that reports what its client reports": (
        ("chain", {}, [("llm", usage(120, 0.003), [("llm", usage(120, 0.003), [])])]),
        120,
        0.003,
    ),
    "a wrapper that knows the price of what its client reports": (
        ("llm", usage(120, 0.003), [("llm", usage(120), [])]),
        120,
        0.003,
    ),
    "usage that is repeated up the chain": (
        ("chain", usage(90), [("chain", usage(90), [("llm", usage(60, 0.1), []), ("llm", usage(30, 0.2), [])])]),
        90,
        0.3,
    ),
    "runs that report nothing": (("chain", {}, [("llm", {}, [TOOL]), ("llm", {}, [])]), 0, None),
    "a model that is free": (("chain", {}, [("llm", usage(120, 0.0), [TOOL])]), 120, 0.0),
}


def log(langsmith: LangSmithStandIn, tree: Tree, parent: str | None = None, depth: int = 0) -> str:
    """Log a tree, each level a second after the one above it, and return the id of its root."""
    run_type, logged, below = tree
    at = START + depth * SECOND
    run = langsmith.add_run(
        project="shop",
        run_type=run_type,
        start_time=at,
        end_time=at,
        parent_run_id=parent,
        outputs=logged,
        extra={"metadata": {"thread_id": "t"}},
    )
    for child in below:
        log(langsmith, child, run, depth + 1)
    return run


@BOTH
@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape(langsmith: LangSmithStandIn, export_rows: ExportRows, version: str, shape: str) -> None:
    """Whatever is below a run that spent, its tokens and dollars are in its trace and its thread, and once."""
    tree, tokens, dollars = SHAPES[shape]
    log(langsmith, tree)
    for view in ("traces", "threads"):
        (row,) = export_rows(langsmith, version, view)
        assert row["total_tokens"] == tokens
        assert row["prompt_tokens"] + row["completion_tokens"] == tokens
        assert row["total_cost"] == (None if dollars is None else pytest.approx(dollars))


AMOUNT = st.integers(1, 10**7)
DOLLARS = st.none() | st.just(0) | AMOUNT
SPENT = st.one_of(
    st.just({}),
    st.builds(
        lambda read, written, dollars: {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            **({} if dollars is None else {"prompt_cost": dollars, "total_cost": dollars}),
        },
        AMOUNT,
        st.just(0) | AMOUNT,
        DOLLARS,
    ),
    st.builds(lambda dollars: {"total_cost": dollars}, AMOUNT),
)


@st.composite
def traces(draw: st.DrawFn) -> list[dict[str, Any]]:
    """
    Draw a trace, parents first: what each run spent itself, and what it logs; dollars in millionths.

    Some runs only repeat the sum of what the runs below them spent, with dollars or without; some of those that log
    nothing never arrived.
    """
    count = draw(st.integers(1, 12))
    runs: list[dict[str, Any]] = []
    for number in range(count):
        parent = draw(st.integers(0, number - 1)) if number else None
        runs.append({"number": number, "parent": parent, "own": draw(SPENT), "repeats": draw(st.integers(0, 5))})
    for run in reversed(runs):
        below = total([child["subtree"] for child in runs if child["parent"] == run["number"]])
        if run["repeats"] < 2:
            run["own"] = {}
            run["logged"] = {name: below[name] for name in (AMOUNTS if run["repeats"] else TOKENS) if name in below}
        else:
            run["logged"] = run["own"]
            assume(not looks_repeated(run["own"], below))
        run["subtree"] = total([run["own"], below])
        run["arrived"] = not run["number"] or bool(run["logged"]) or draw(st.booleans())
    for run in reversed(runs):
        run["rolled_up"] = total(
            [run["logged"], *(child["rolled_up"] for child in runs if child["parent"] == run["number"])]
        )
    return runs


def total(parts: list[Amounts]) -> Amounts:
    """Add up amounts; what no part has is not in the sum."""
    return {
        name: sum(part[name] for part in parts if name in part)
        for name in AMOUNTS
        if any(name in part for part in parts)
    }


def looks_repeated(own: Amounts, below: Amounts) -> bool:
    """Whether a run spent by chance what the runs below it spent, which the data do not show."""
    return any(own.get(name) and own.get(name) == below.get(name) for name in ("total_tokens", "total_cost"))


def pages(runs: list[dict[str, Any]]) -> dict[str, list[Run]]:
    """Write a trace as v1 and as v2 answer it, and read both."""
    project = Project(id="p", name="shop")
    ids = [str(UUID(int=run["number"] + 1)) for run in runs]
    v1_rows, v2_rows = [], []
    for run in runs:
        above: list[int] = []
        number = run["parent"]
        while number is not None:
            above.insert(0, number)
            number = runs[number]["parent"]
        order = ".".join(f"20260301T0000{place:02}000000Z{ids[place]}" for place in [*above, run["number"]])
        row = {"id": ids[run["number"]], "trace_id": ids[0], "start_time": START.isoformat(), "dotted_order": order}
        if run["arrived"]:
            parent = ids[run["parent"]] if run["parent"] is not None else None
            v1_rows.append({**row, "parent_run_id": parent, **wire(run["rolled_up"], str)})
            v2_rows.append({**row, "parent_run_ids": [ids[place] for place in above], **wire(run["logged"], float)})
    fields = ("id", "trace_id", "parent_run_id", "dotted_order", "start_time", *AMOUNTS)
    return {
        "v1": V1().read_page(json.dumps({"runs": v1_rows}).encode(), project, fields, "a page").runs,
        "v2": V2().read_page(json.dumps({"items": v2_rows}).encode(), project, fields, "a page").runs,
    }


def wire(amounts: Amounts, money: Callable[[float], object]) -> Amounts:
    """Write amounts as a version does."""
    return {name: money(amount / 1e6) if name in COSTS else amount for name, amount in amounts.items()}


@given(traces(), st.randoms(use_true_random=False))
def test_any_trace(runs: list[dict[str, Any]], dice: Any) -> None:
    """Both versions give the sum of what the runs spent themselves, in whatever order runs come."""
    expected = total([run["own"] for run in runs])
    for version, page in pages(runs).items():
        dice.shuffle(page)
        spending = Spending()
        for run in page:
            spending.add(run)
        for name in AMOUNTS:
            totals = spending.total(name)
            if name in TOKENS:
                assert totals == expected.get(name, 0), (version, name)
            elif name not in expected:
                assert not totals, (version, name)  # a wrapper can repeat no dollars as none
            else:
                assert math.isclose(totals, expected[name] / 1e6, abs_tol=1e-9), (version, name)


def test_a_parent_that_does_not_know_its_children_yet() -> None:
    """On v1 a parent whose sum is older than its children takes nothing away from them."""
    runs = pages(
        [
            {"number": 0, "parent": None, "arrived": True, "logged": {}, "rolled_up": {"total_tokens": 5}},
            {"number": 1, "parent": 0, "arrived": True, "logged": {}, "rolled_up": {"total_tokens": 120}},
        ]
    )["v1"]
    spending = Spending()
    for run in runs:
        spending.add(run)
    assert spending.total("total_tokens") == 120


def test_runs_that_are_below_each_other() -> None:
    """Broken data, in which runs name each other or themselves as their parent, still count once each."""
    spending = Spending()
    for run, parent, tokens in (("a", "b", 3), ("b", "a", 4), ("c", "c", 5)):
        project = Project(id="p", name="shop")
        spending.add(Run(id=run, parent_run_id=parent, project=project, start_time=START, tags=[], total_tokens=tokens))
    assert spending.total("total_tokens") == 12


@BOTH
def test_a_conversation_of_many_shapes(langsmith: LangSmithStandIn, export_rows: ExportRows, version: str) -> None:
    """Every shape in one conversation: the thread spent what its traces spent, and the traces what their runs did."""
    expected = {log(langsmith, tree): (tokens, dollars) for tree, tokens, dollars in SHAPES.values()}
    totals = {row["trace_id"]: row for row in export_rows(langsmith, version, "traces")}
    assert {trace: row["total_tokens"] for trace, row in totals.items()} == {
        trace: tokens for trace, (tokens, _) in expected.items()
    }
    (thread,) = export_rows(langsmith, version, "threads")
    assert thread["total_tokens"] == sum(tokens for tokens, _ in expected.values())
    assert thread["total_cost"] == pytest.approx(sum(dollars or 0 for _, dollars in expected.values()))
