"""A verdict equals a slow evaluation by single pieces of feedback and truth tables."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from airflow_langsmith.waiting import Figures, Tally, judge, parse
from airflow_langsmith.waiting.condition import measures


@dataclass(frozen=True)
class Piece:
    """One piece of feedback."""

    key: str
    score: float | None = None
    label: str | None = None


Run = list[Piece]
KEYS = ["user_score", "a b", "größe-2"]
LABELS = ["good", "it's", "1"]
SCORES = [0, 1, True, False, 0.1, 0.2, 0.3, -1.5, 0.25, 4.0, 7]
PIECES = st.builds(
    Piece, st.sampled_from(KEYS[:2]), st.none() | st.sampled_from(SCORES), st.none() | st.sampled_from(LABELS)
)
RUNS = st.lists(st.lists(PIECES, max_size=3), max_size=6)


def counted(runs: list[Run]) -> Figures:
    """Count single pieces into figures."""
    pieces = [piece for run in runs for piece in run]

    def tally(key: str) -> Tally:
        mine = [piece for piece in pieces if piece.key == key]
        return Tally(
            pieces=len(mine),
            runs=sum(any(piece.key == key for piece in run) for run in runs),
            scores=Counter(piece.score for piece in mine if piece.score is not None),
            labels=Counter(piece.label for piece in mine if piece.label is not None),
        )

    return Figures(len(runs), {key: tally(key) for key in {piece.key for piece in pieces}})


# Conditions of this test: ("and", left, right), ("or", left, right), ("not", part), (measure, operator, bound).
Tree = tuple[Any, ...]


@dataclass(frozen=True)
class Figure:
    """A measure and its arguments."""

    name: str
    key: str = ""
    value: float | str = 0

    def __str__(self) -> str:
        arguments = [f'"{text}"' if isinstance(text, str) else str(text) for text in (self.key, self.value)]
        return f"{self.name}({', '.join(arguments[: {'total': 0, 'share': 2}.get(self.name, 1)])})"

    def by_hand(self, runs: list[Run]) -> Fraction | None:
        """Compute the measure from single pieces."""
        mine = [piece for run in runs for piece in run if piece.key == self.key]
        scores = [Fraction(str(float(piece.score))) for piece in mine if piece.score is not None]
        having = [run for run in runs if self.key in [piece.key for piece in run]]
        value = self.value if isinstance(self.value, str) else Fraction(str(float(self.value)))
        matching = [
            piece
            for piece in mine
            if value == piece.label or (piece.score is not None and value == Fraction(str(float(piece.score))))
        ]
        try:
            return {
                "total": lambda: Fraction(len(runs)),
                "count": lambda: Fraction(len(mine)),
                "runs": lambda: Fraction(len(having)),
                "coverage": lambda: Fraction(len(having), len(runs)),
                "avg": lambda: sum(scores, Fraction(0)) / len(scores),
                "min": lambda: min(scores),
                "max": lambda: max(scores),
                "share": lambda: Fraction(len(matching), len(mine)),
            }[self.name]()
        except (ZeroDivisionError, ValueError):
            return None


KEY = st.sampled_from(KEYS)
VALUE = st.sampled_from([*SCORES, *LABELS])
ORDERS = ["<", "<=", ">", ">=", "==", "!="]
COUNTS = st.one_of(st.builds(Figure, st.just("total")), st.builds(Figure, st.sampled_from(["count", "runs"]), KEY))
PARTS = st.one_of(st.builds(Figure, st.just("coverage"), KEY), st.builds(Figure, st.just("share"), KEY, VALUE))
ANYTHING = st.builds(Figure, st.sampled_from(["avg", "min", "max"]), KEY)
COMPARISONS: st.SearchStrategy[Tree] = st.one_of(
    st.tuples(COUNTS, st.sampled_from(ORDERS), st.integers(1, 6).map(str)),
    st.tuples(PARTS, st.sampled_from(ORDERS), st.sampled_from(["0.25", "0.5", "0.2", ".6", "75e-2", "0.333"])),
    st.tuples(ANYTHING, st.sampled_from(ORDERS), st.sampled_from(["0", "1", "0.1", "0.2", "-1.5", "+.15", "2.5"])),
)
TREES: st.SearchStrategy[Tree] = st.recursive(
    COMPARISONS,
    lambda parts: st.one_of(st.tuples(st.sampled_from(["and", "or"]), parts, parts), st.tuples(st.just("not"), parts)),
    max_leaves=8,
)


def written(tree: Tree) -> str:
    """Write a tree as text, every group in brackets."""
    match tree:
        case ("and" | "or" as word, left, right):
            return f"({written(left)} {word} {written(right)})"
        case ("not", part):
            return f"not {written(part)}"
    return " ".join(map(str, tree))


T, F, U = "true", "false", "undefined"
AND = {(T, T): T, (T, F): F, (T, U): U, (F, T): F, (F, F): F, (F, U): F, (U, T): U, (U, F): F, (U, U): U}
OR = {(T, T): T, (T, F): T, (T, U): T, (F, T): T, (F, F): F, (F, U): U, (U, T): T, (U, F): U, (U, U): U}
NOT = {T: F, F: T, U: U}


def evaluated(tree: Tree, runs: list[Run]) -> str:
    """Evaluate a tree by truth table."""
    match tree:
        case ("and", left, right):
            return AND[evaluated(left, runs), evaluated(right, runs)]
        case ("or", left, right):
            return OR[evaluated(left, runs), evaluated(right, runs)]
        case ("not", part):
            return NOT[evaluated(part, runs)]
    measure, operator, number = tree
    figure, bound = measure.by_hand(runs), Fraction(number)
    if figure is None:
        return U
    below, at = figure < bound, figure == bound
    fulfilled = {"<": below, "<=": below or at, ">": not (below or at), ">=": not below, "==": at, "!=": not at}
    return T if fulfilled[operator] else F


def leaves(tree: Tree) -> Iterator[Figure]:
    """Yield the measures of a tree."""
    if isinstance(tree[0], Figure):
        yield tree[0]
    else:
        for part in tree[1:]:
            yield from leaves(part)


@given(TREES, st.none() | TREES, RUNS)
def test_a_verdict_is_what_it_is_by_hand(tree: Tree, danger: Tree | None, runs: list[Run]) -> None:
    """The state is failed if ``fail_when`` is true, else met if the condition is true, else waiting."""
    fail_when = None if danger is None else parse(written(danger))
    verdict = judge(parse(written(tree)), fail_when, counted(runs), min_runs=0)
    if danger is not None and evaluated(danger, runs) == T:
        assert verdict.state == "failed"
    else:
        assert verdict.state == ("met" if evaluated(tree, runs) == T else "waiting")
    by_hand = [figure.by_hand(runs) for part in (tree, danger) if part for figure in leaves(part)]
    assert {figure and round(figure, 9) for figure in verdict.figures.values()} == {
        None if figure is None else round(float(figure), 9) for figure in by_hand
    }
    assert json.loads(json.dumps(verdict.figures)) == verdict.figures
    assert verdict.line.startswith(f"{verdict.state}: ")
    assert len(verdict.line.splitlines()) == 1


@given(TREES)
def test_a_canonical_text_reads_back(tree: Tree) -> None:
    """The text of a condition parses to the same condition."""
    condition = parse(written(tree))
    assert parse(str(condition)) == condition
    assert str(parse(str(condition))) == str(condition)
    assert {(measure.name, measure.key) for measure in measures(condition)} == {
        (figure.name, figure.key) for figure in leaves(tree)
    }


@given(
    st.sampled_from(["coverage", "runs", "count"]),
    st.sampled_from([">=", ">", "=="]),
    st.fractions(0, 1, max_denominator=40),
    st.integers(1, 60),
    st.data(),
)
def test_as_many_more_as_it_says(name: str, operator: str, part: Fraction, total: int, data: st.DataObject) -> None:
    """The condition is met with as many more pieces as the line says, and not with fewer."""
    bound = round(float(part), 4) or 0.1 if name == "coverage" else int(part * total) or 1
    if (operator, bound) == (">", 1) and name == "coverage":
        operator = ">="
    condition = parse(f"{name}(x) {operator} {bound}")
    have = data.draw(st.integers(0, total))

    def with_more(more: int) -> Any:
        figures = Figures(total, {"x": Tally(pieces=have + more, runs=have + more)})
        return judge(condition, None, figures, min_runs=0)

    missing = re.search(r": (\d+) more(?: of (\d+) runs)?\)$", with_more(0).line)
    reachable = [more for more in range(2 * total + 2) if with_more(more).state == "met"]
    if missing is None:
        assert not reachable or reachable[0] == 0
    else:
        assert int(missing[1]) == reachable[0] > 0
        assert missing[2] == (str(total) if name == "coverage" else None)


@pytest.mark.parametrize("comparison", ["count(x) < 5", "count(x) != 5", "coverage(x) <= 0.5", "coverage(x) != 1"])
def test_more_is_no_cure_for_too_much(comparison: str) -> None:
    """If a figure is too large, or has to differ from a value, the line has no missing number."""
    verdict = judge(parse(comparison), None, Figures(5, {"x": Tally(5, 5)}))
    measure, _, need = comparison.partition(" ")
    assert verdict.line == f"waiting: {measure} {5 if 'count' in measure else 1} (needs {need})"


@given(st.fractions(-2, 2, max_denominator=10**7), st.decimals(-2, 2, places=3), st.sampled_from(ORDERS))
def test_a_figure_never_belies_its_bound(score: Fraction, bound: Any, operator: str) -> None:
    """A rounded figure is on the same side of its bound as the exact one."""
    verdict = judge(parse(f"avg(x) {operator} {bound}"), None, Figures(1, {"x": Tally(1, 1, {float(score): 1})}))
    shown = re.match(r"\w+: avg\(x\) (\S+) \(", verdict.line)
    assert shown is not None
    again = judge(parse(f"avg(x) {operator} {bound}"), None, Figures(1, {"x": Tally(1, 1, {float(shown[1]): 1})}))
    assert again.state == verdict.state


SHOP = Figures(50, {"user_score": Tally(42, 42, {1: 36, 0: 6})})


@pytest.mark.parametrize(
    ("fail_when", "state"), [(None, "met"), ("avg(user_score) < 0.9", "failed"), ("avg(user_score) < 0.8", "met")]
)
def test_failing_goes_first(fail_when: str | None, state: Literal["met", "failed"]) -> None:
    """If the condition and ``fail_when`` are both true, the state is failed."""
    verdict = judge(parse("coverage(user_score) > 0.8"), parse(fail_when) if fail_when else None, SHOP)
    assert verdict.state == state


def test_the_line_tells_all() -> None:
    """The line has each figure with its bound, and how much is missing."""
    condition = parse("coverage(user_score) >= 0.9 and avg(user_score) >= 0.8")
    verdict = judge(condition, parse("share(user_score, 0) > 0.33"), SHOP)
    missing = "coverage(user_score) 0.84 (needs >= 0.9: 3 more of 50 runs)"
    danger = "fail_when: share(user_score, 0) 0.1429 (> 0.33 no)"
    assert verdict.line == f"waiting: {missing} · avg(user_score) 0.8571 (>= 0.8 ok); {danger}"
    assert verdict.figures == {
        "coverage(user_score)": 0.84,
        "avg(user_score)": float(Fraction(6, 7)),
        "share(user_score, 0)": float(Fraction(1, 7)),
    }


@pytest.mark.parametrize("fail_when", [None, "count(x) == 0"])
def test_too_few_runs_decide_nothing(fail_when: str | None) -> None:
    """With fewer runs than ``min_runs`` the state is waiting."""
    condition, danger = parse("total() < 10"), parse(fail_when) if fail_when else None
    verdict = judge(condition, danger, Figures(0))
    assert (verdict.state, verdict.line) == ("waiting", "waiting: 0 runs (needs min_runs 1)")
    assert verdict.figures["total()"] == 0
    decided = "failed" if fail_when else "met"
    assert judge(condition, danger, Figures(4), min_runs=5).state == "waiting"
    assert judge(condition, danger, Figures(5), min_runs=5).state == decided
    assert judge(condition, danger, Figures(0), min_runs=0).state == decided


@pytest.mark.parametrize("measure", ["coverage(x)", "avg(x)", "min(x)", "max(x)", "share(x, 1)", "share(x, 'a')"])
def test_undefined_is_neither_true_nor_false(measure: str) -> None:
    """A comparison with an undefined figure is not true, and neither is its negation."""
    for text in (f"{measure} > 0.5", f"not {measure} > 0.5"):
        verdict = judge(parse(text), parse(text), Figures(0), min_runs=0)
        assert verdict.state == "waiting"
        assert set(verdict.figures.values()) == {None}


def test_rounded_averages_are_equal() -> None:
    """Numbers that differ by less than a billionth are equal in each comparison; others are not."""
    for score, same in ((0.7999999999999999, True), (0.80000000001, True), (0.79999999, False), (0.80000001, False)):
        figures = Figures(1, {"x": Tally(1, 1, {score: 1})})
        holds = {operator: judge(parse(f"avg(x) {operator} 0.8"), None, figures).state == "met" for operator in ORDERS}
        assert holds["=="] is same
        assert holds["!="] is not holds["=="]
        assert holds["<"] is not holds[">="]
        assert holds[">"] is not holds["<="]
        assert holds["<="] is (holds["<"] or holds["=="])
        assert holds[">="] is (holds[">"] or holds["=="])


def test_tenths_add_up() -> None:
    """A sum of tenths equals its decimal value."""
    for scores, average in (
        ({0.1: 1, 0.2: 1}, 0.15),
        ({0.1: 1, 0.2: 1, -0.3: 1}, 0),
        ({0.1: 10}, 0.1),
        ({0.7: 1, 0.8: 1, 0.9: 1}, 0.8),
    ):
        figures = Figures(10, {"x": Tally(sum(scores.values()), 1, scores)})
        assert judge(parse(f"avg(x) == {average}"), None, figures).state == "met"


THOUSANDTHS = st.integers(-1_000_000, 1_000_000)


@given(
    st.dictionaries(THOUSANDTHS, st.integers(1, 50), min_size=1, max_size=30),
    st.none() | THOUSANDTHS,
    st.integers(-2, 2),
    st.sampled_from(ORDERS),
)
@example({100: 1, 200: 1, -300: 1}, None, 0, "==")
def test_an_average_compares_as_exact_fractions_do(
    thousandths: dict[int, int], bound: int | None, step: int, operator: str
) -> None:
    """An average compares like exact fractions, within the tolerance."""
    exact = Fraction(sum(score * pieces for score, pieces in thousandths.items()), sum(thousandths.values()) * 1000)
    right = Fraction(round(exact * 1000) + step if bound is None else bound, 1000)
    difference, tolerance = abs(exact - right), max(abs(exact), abs(right)) / 10**9
    assume(difference == 0 or difference > 2 * tolerance)
    figures = Figures(1, {"x": Tally(1, 1, {score / 1000: pieces for score, pieces in thousandths.items()})})
    verdict = judge(parse(f"avg(x) {operator} {float(right)}"), None, figures)
    below, at = exact < right, exact == right
    holds = {"<": below, "<=": below or at, ">": not (below or at), ">=": not below, "==": at, "!=": not at}
    assert (verdict.state == "met") is holds[operator]


@given(st.dictionaries(st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 1000), min_size=1, max_size=9))
@example({1.7e308: 1000})
@example({1e308: 1, -1e308: 1, 3e-320: 1})
def test_an_average_of_any_scores_is_a_number(scores: dict[float, int]) -> None:
    """The average of any doubles is a number, and as exact as doubles are."""
    exact = sum(Fraction(score) * pieces for score, pieces in scores.items()) / sum(scores.values())
    largest = max(map(abs, scores))
    assert Tally(scores=scores).average == pytest.approx(float(exact), rel=1e-12, abs=largest * 1e-12 + 1e-280)


def test_scores_need_not_be_written_alike() -> None:
    """A score with the rounding error of a sum equals the exact score."""
    figures = Figures(4, {"x": Tally(4, 4, {0.1 + 0.2: 1, 0.3: 1, 0.300001: 1, 1e-9: 1})})
    assert judge(parse("share(x, 0.3) == 0.5 and share(x, 0) == 0"), None, figures).state == "met"


def test_zero_has_no_sign() -> None:
    """An average just below zero is shown as 0."""
    assert judge(parse("avg(x) < 1"), None, Figures(1, {"x": Tally(1, 1, {-0.00001: 1})})).line == (
        "met: avg(x) 0 (< 1 ok)"
    )


def test_a_summary_is_small_and_plain() -> None:
    """The summary has six figures of each key, and the total, as JSON."""
    summary = SHOP.summary()
    assert summary == {
        "total": 50,
        "feedback": {"user_score": {"count": 42, "runs": 42, "coverage": 0.84, "avg": 36 / 42, "min": 0, "max": 1}},
    }
    assert '{"total": 50, "feedback": {"user_score": {"count": 42, "runs": 42, ' in json.dumps(summary)
    nothing = {"count": 0, "runs": 0, "coverage": None, "avg": None, "min": None, "max": None}
    assert Figures(0, {"x": Tally()}).summary() == {"total": 0, "feedback": {"x": nothing}}
