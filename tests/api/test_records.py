"""Places in a trace go by ids, however each run spells the starts of those above it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from airflow_langsmith.api.records import Project, Run, tree_order


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[tuple[int, ...]], list[str]]:
    """Draw the paths of runs from the root, depth first and oldest first, and a dotted order for each."""
    parents = [draw(st.integers(0, number)) for number in range(draw(st.integers(0, 12)))]
    paths: list[tuple[int, ...]] = [(0,)]
    for number, parent in enumerate(parents, 1):
        paths.append((*paths[parent], number))
    return sorted(paths), [".".join(segment(draw, run, path) for run in path) for path in sorted(paths)]


def segment(draw: st.DrawFn, run: int, path: tuple[int, ...]) -> str:
    """Spell a run: by its true start at the end of its own path, by any start in the paths of runs below it."""
    second = run if run == path[-1] else draw(st.integers(0, 59))
    return f"20260301T0000{second:02}000000Z{UUID(int=run)}"


@given(trees(), st.randoms(use_true_random=False))
def test_any_tree_sorts_depth_first(tree: Any, dice: Any) -> None:
    """Each run comes before those below it, and these come by their own start."""
    paths, orders = tree
    shuffled = dice.sample(orders, len(orders))
    assert sorted(shuffled, key=tree_order(shuffled)) == orders
    start, project = datetime(2026, 3, 1, tzinfo=UTC), Project(id="p", name="shop")
    for path, order in zip(paths, orders, strict=True):
        run = Run(id=str(UUID(int=path[-1])), project=project, start_time=start, tags=[], dotted_order=order)
        assert [*run.ancestor_ids, run.id] == [str(UUID(int=run)) for run in path]


@given(trees(), st.randoms(use_true_random=False))
def test_a_part_of_a_tree_sorts_alike(tree: Any, dice: Any) -> None:
    """Below a run that is not there, too, whatever the runs below it call its start, its runs stay together."""
    paths, orders = tree
    below = [order for path, order in zip(paths, orders, strict=True) if path[1:2] == (1,)]
    shuffled = dice.sample(below, len(below))
    assert sorted(shuffled, key=tree_order(shuffled)) == below
