"""A condition is parsed and prints as a text that parses to it, or is refused with a mark at the position."""

from __future__ import annotations

import pickle
from datetime import timedelta
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.waiting import parse
from airflow_langsmith.waiting.condition import measures
from airflow_langsmith.waiting.parser import MAX_CHARACTERS, MAX_DEPTH
from tests.wording import says, words

IN_TIME = settings(deadline=timedelta(seconds=2))  # most take less than a thousandth of it


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("coverage(user_score)>=0.90", "coverage(user_score) >= 0.9"),
        ("  total ( )\n>\n+1e2 ", "total() > 100"),
        ("avg(a.b-c) < -.5", "avg(a.b-c) < -0.5"),
        ("avg(x) == -0", "avg(x) == 0"),
        ("avg(x) == 5.", "avg(x) == 5"),
        ("avg(x) != 1e-7", "avg(x) != 1e-07"),
        ("avg('x') > 1", "avg(x) > 1"),
        ("avg('größe') > 1", "avg(größe) > 1"),
        ("avg('3 stars') > 1", 'avg("3 stars") > 1'),
        (r"avg('a \'b\' \\ \"c\"') > 1", r'avg("a \'b\' \\ \"c\"") > 1'.replace(r"\'", "'")),
        ("avg(and) > 1 and min(NOT) > 1", "avg(and) > 1 and min(NOT) > 1"),
        ("avg(avg) > 1", "avg(avg) > 1"),
        ("avg(lambda) > 1 and min(None) > 1", "avg(lambda) > 1 and min(None) > 1"),
        ("avg(ﬁn) > 1", "avg(ﬁn) > 1"),  # Python would read the letters f, i
        ("share(x, TRUE) > 0.5 and share(x, false) < 0.5", "share(x, 1) > 0.5 and share(x, 0) < 0.5"),
        ("share(x, 'true') > 0.5 and share(x, '') < 0.5", 'share(x, "true") > 0.5 and share(x, "") < 0.5'),
        ("Avg(x) > 1 AND mIn(X) > 1 Or max(x) > 1", "avg(x) > 1 and min(X) > 1 or max(x) > 1"),
        ("avg(x) > 1 and (min(x) > 1 or max(x) > 1)", "avg(x) > 1 and (min(x) > 1 or max(x) > 1)"),
        ("(avg(x) > 1 and min(x) > 1) or (max(x) > 1)", "avg(x) > 1 and min(x) > 1 or max(x) > 1"),
        ("avg(x) > 1 and (min(x) > 1 and (max(x) > 1))", "avg(x) > 1 and min(x) > 1 and max(x) > 1"),
        ("not avg(x) > 1 and min(x) > 1", "avg(x) <= 1 and min(x) > 1"),
        ("not(avg(x) > 1 and min(x) >= 1 or max(x) == 1)", "(avg(x) <= 1 or min(x) < 1) and max(x) != 1"),
        ("not (not avg(x) < 1 and not not min(x) <= 1)", "avg(x) < 1 or min(x) > 1"),
    ],
)
def test_a_condition_has_one_text(written: str, canonical: str) -> None:
    """Conditions that differ in spaces, brackets, quotes or case have one text, which parses to the same tree."""
    condition = parse(written)
    assert str(condition) == canonical
    assert parse(canonical) == condition
    assert hash(parse(canonical)) == hash(condition)


def test_a_condition_travels() -> None:
    """A condition survives pickle."""
    condition = parse("coverage(a) > 0.5 and avg(b) > 1")
    assert pickle.loads(pickle.dumps(condition)) == condition


@pytest.mark.parametrize(
    ("text", "marks", "what"),
    [
        ("", "^", "it is empty"),
        ("  ", "^", "it is empty"),
        ("average(x) > 1", "^", "no measure 'average', did you mean 'avg'? (there is count, runs, coverage, avg,"),
        ("avg(x) > 1 or Cuont(x) > 1", "              ^", "no measure 'cuont', did you mean 'count'?"),
        ("zebra(x) > 1", "^", "no measure 'zebra' (there is count"),
        ("user_score > 1", "^", "'user_score' is no measure; a key stands in the brackets of one"),
        ("1 < avg(x)", "^", "expected a measure, such as coverage(user_score)"),
        ("'x' > 1", "^", "expected a measure"),
        ("avg(x) > 1 and", "              ^", "expected a measure"),
        ("avg(x) > 1 and or", "               ^", "expected a measure"),
        ("not", "   ^", "expected a measure"),
        ("()", " ^", "expected a measure"),
        ("avg > 1", "    ^", "expected '('; it is avg(key)"),
        ("avg() > 1", "    ^", "expected a key; it is avg(key)"),
        ("avg(1) > 1", "    ^", "expected a key; it is avg(key)"),
        ("avg('') > 1", "    ^", "the key is empty"),
        ("avg(3stars) > 1", "    ^", "no number; a key that begins like one goes in quotes"),
        ("avg(x y) > 1", "      ^", "expected ')'; it is avg(key)"),
        ("avg(x, 1) > 1", "     ^", "expected ')'; it is avg(key)"),
        ("total(x) > 1", "      ^", "expected ')'; it is total()"),
        ("share(x) > 0.5", "       ^", "expected ',' and a value; it is share(key, value)"),
        ("share(x, good) > 0.5", "         ^", "a score (a number, true, false) or a label in quotes"),
        ("share(x, 1, 2) > 0.5", "          ^", "expected ')'; it is share(key, value)"),
        ("avg(x)", "      ^", "expected a comparison (< <= > >= == !=) after avg(x)"),
        ("avg(x) and", "       ^", "expected a comparison"),
        ("avg(x) = 1", "       ^", "a single '='; equal is written =="),
        ("avg(x) >", "        ^", "expected the number that avg(x) is compared with"),
        ("avg(x) > '1'", "         ^", "expected the number"),
        ("avg(x) > true", "         ^", "expected the number"),
        ("avg(x) > avg(y)", "         ^", "expected the number"),
        ("avg(x) > 1e999", "         ^", "too large a number"),
        ("share(x, -1e999) > 0.5", "         ^", "too large a number"),
        ("avg(x) > nan", "         ^", "expected the number"),
        ("avg(x) > 1and", "         ^", "no number"),
        ("avg(x) > 1.2.3", "         ^", "no number"),
        ("avg(x) > 1 + 1", "           ^", "no number"),
        ("avg(x) > ٣", "         ^", "'٣' has no meaning here"),
        ("avg(x) > 90%", "           ^", "'%' has no meaning here"),
        ("avg(x) > 1 < 2", "           ^", "comparisons do not chain; join two with 'and'"),
        ("(avg(x) > 1 < 2)", "            ^", "comparisons do not chain"),
        ("(avg(x) > 1) == 1", "             ^", "comparisons do not chain"),
        ("avg(x) > 1 avg(y) > 1", "           ^", "expected 'and', 'or' or the end instead of 'avg'"),
        ("avg(x) > 1 not avg(y) > 1", "           ^", "expected 'and', 'or' or the end instead of 'not'"),
        ("avg(x) > 1)", "          ^", "expected 'and', 'or' or the end instead of ')'"),
        ("(avg(x) > 1", "           ^", "expected 'and', 'or' or ')'"),
        ("avg('x > 1", "    ^", "a text that is not closed on its line"),
        ("avg('x\\') > 1", "    ^", "a text that is not closed on its line"),
        (
            "coverage(x) > 1",
            "              ^",
            "coverage(x) > 1 never holds, because coverage(x) is a number from 0 to 1",
        ),
        ("not coverage(x) > 1", "                  ^", "coverage(x) > 1 never holds"),
        ("share(x, 1) >= -1", "               ^", "share(x, 1) >= -1 always holds"),
        ("count(x) < 0", "           ^", "count(x) < 0 never holds, because count(x) is a whole number from 0 up"),
        ("runs(x) == 0.5", "           ^", "runs(x) == 0.5 never holds"),
        ("avg(x) > 1 &&", "           ^", "'&' has no meaning here"),
        ("__class__", "^", "'__class__' is no measure"),
        ("__import__('os') > 1", "^", "no measure '__import__'"),
        ("avg(x).__class__ > 1", "      ^", "no number"),
        ("avg(x())", "     ^", "expected ')'"),
        ("avg(x)[0] > 1", "      ^", "'[' has no meaning here"),
        ("lambda: 1", "      ^", "':' has no meaning here"),
        ("f'{x}' > 1", "^", "'f' is no measure"),
        ("avg(f'{x}') > 1", "     ^", "expected ')'"),
        ("(x := 1)", "   ^", "':' has no meaning here"),
        ("avg(x) is 1", "       ^", "expected a comparison (< <= > >= == !=) after avg(x)"),
        ("avg(x) not in x", "       ^", "expected a comparison"),
        ("avg(x) > 1 if total() > 1 else 1", "           ^", "expected 'and', 'or' or the end instead of 'if'"),
        ("avg(key=x) > 1", "       ^", "a single '='"),
        ("avg(*x) > 1", "    ^", "'*' has no meaning here"),
        ("avg(x for x in y) > 1", "      ^", "expected ')'; it is avg(key)"),
        ("avg(user score) > 1", "         ^", "expected ')'; it is avg(key)"),
        ("avg('a' 'b') > 1", "        ^", "expected ')'; it is avg(key)"),
        ("avg(x,) > 1", "     ^", "expected ')'; it is avg(key)"),
        ("avg(a and b) > 1", "      ^", "expected ')'; it is avg(key)"),
        ("avg(x > 1", "      ^", "expected ')'; it is avg(key)"),
        ("avg((x)) > 1", "    ^", "expected a key; it is avg(key)"),
        ("avg(x)(y) > 1", "      ^", "expected a comparison"),
        ("(avg(x)) > 1", "       ^", "expected a comparison"),
        ("(not avg(x)) > 1", "           ^", "expected a comparison"),
        ("avg(x) > (1)", "         ^", "expected the number"),
        ("avg(x) > not avg(y)", "         ^", "expected the number"),
        ("avg(x) > 1_0", "         ^", "no number"),
        ("avg(x) > 0x10", "         ^", "no number"),
        ("(avg(x) > 1, min(x) > 1)", "           ^", "expected 'and', 'or' or ')'"),
        ("((avg(x) > 1), min(x) > 1)", "             ^", "expected 'and', 'or' or ')'"),
        ("(avg(x) > 1)(y)", "            ^", "expected 'and', 'or' or the end instead of '('"),
        ("(avg(x) > 1 or min(x) > 1) == 1", "                           ^", "comparisons do not chain"),
        ("not avg(x) > 1 > 2", "               ^", "comparisons do not chain"),
        ("avg(x) > 1 # so", "           ^", "'#' has no meaning here"),
        ("avg(x) > 1 ^", "           ^", "'^' has no meaning here"),
        ("(avg(x) > 1)%", "            ^", "'%' has no meaning here"),
    ],
)
def test_a_mistake_is_marked(text: str, marks: str, what: str) -> None:
    """The error names the argument and the mistake, marks its position, and shows an example."""
    with pytest.raises(ConfigurationError) as caught:
        parse(text, "fail_when")
    said = str(caught.value)
    assert said.startswith("fail_when cannot be read: ")
    lines = said.splitlines()
    shown = lines.index(f"  {text}")
    assert what in words("".join(lines[:shown]))
    assert lines[shown + 1] == f"  {marks}"
    assert lines[shown + 2].startswith("  Conditions look like")


def test_a_mistake_is_marked_on_its_line() -> None:
    """The error shows only the line with the mistake."""
    with pytest.raises(ConfigurationError, match=r"did you mean\s+'count'(?s:.*)\n  or \(cuont\(x\) > 1\n      \^\n"):
        parse("avg(x) > 1\nor (cuont(x) > 1\nor min(x) > 1)")


@pytest.mark.parametrize("control", ["\n", "\r", "\t", "\x00", "\x1b", "\x85", "\u2028"])
def test_a_text_is_of_one_line(control: str) -> None:
    """A key or label with a control character, escaped or not, is refused, to keep it out of logs."""
    for quote, inside in product("'\"", (control, "\\" + control)):
        with pytest.raises(ConfigurationError, match="not closed on its line"):
            parse(f"avg({quote}a{inside}b{quote}) > 1")


@pytest.mark.parametrize(
    "measure", ["count(x)", "runs(x)", "total()", "coverage(x)", "share(x, 1)", "avg(x)", "min(x)", "max(x)"]
)
def test_constant_comparisons_are_refused(measure: str) -> None:
    """A comparison is refused if and only if all figures fulfil it, or none."""
    lies = {
        "<": lambda figure, bound: figure < bound,
        "<=": lambda figure, bound: figure <= bound,
        ">": lambda figure, bound: figure > bound,
        ">=": lambda figure, bound: figure >= bound,
        "==": lambda figure, bound: figure == bound,
        "!=": lambda figure, bound: figure != bound,
    }
    eighths = [Fraction(n, 8) for n in range(-24, 25)]
    figures = {
        "count": [f for f in eighths if f >= 0 and f.denominator == 1],
        "coverage": [f for f in eighths if 0 <= f <= 1],
        "share": [f for f in eighths if 0 <= f <= 1],
    }
    figures["runs"] = figures["total"] = figures["count"]
    possible = figures.get(measure.partition("(")[0], eighths)
    for operator, bound, negation in product(lies, [Fraction(n, 8) for n in range(-20, 21)], ("", "not ")):
        text = f"{negation}{measure} {operator} {float(bound)}"
        outcomes = {lies[operator](figure, bound) for figure in possible}
        if len(outcomes) == 2:
            parse(text)
        else:
            with pytest.raises(ConfigurationError, match="always holds" if True in outcomes else "never holds"):
                parse(text)


WORDS = st.sampled_from(
    [
        *"(),<>'\"\\.-+% \n",
        *"<= >= == != and or not AND avg( count( share( total() x user_score true 1 0.5 -1 1e9".split(),
    ]
)


@IN_TIME
@given(st.text() | st.lists(WORDS, max_size=60).map("".join) | st.lists(WORDS, max_size=60).map(" ".join))
@example("(" * MAX_CHARACTERS)
@example("avg(" * (MAX_CHARACTERS // 4))
@example("(avg(x) > 1)" + "(x)" * 1300)
@example("avg(x) > 1" + " > 1" * 900)
@example("not " * 990 + "avg(x) > 1")
@example("avg(x) > 1" + ")" * 3000)
@example("not " * (MAX_CHARACTERS // 4))
@example("not(" * (MAX_CHARACTERS // 4))
@example("'" + "\\" * (MAX_CHARACTERS - 1))
@example("avg(x) > " + "1" * (MAX_CHARACTERS - 9))
@example("avg(x) > " + "1" * (MAX_CHARACTERS - 10) + "x")
@example("avg(x) > 1e" + "9" * (MAX_CHARACTERS - 11))
@example("avg(x) > 0." + "0" * (MAX_CHARACTERS - 12) + "1")
@example("x" * MAX_CHARACTERS)
@example("a" * (MAX_CHARACTERS - 1) + "(")
@example(" " * MAX_CHARACTERS)
@example("\ud800")
def test_nothing_but_a_refusal_comes_of_any_text(text: str) -> None:
    """Any text is parsed or refused in a short time, without another error."""
    try:
        condition = parse(text)
    except ConfigurationError:
        return
    assert parse(str(condition)) == condition


def test_depth_and_length_have_limits() -> None:
    """A condition at the limits of depth and length is parsed; one beyond them is refused."""
    assert str(parse("(" * MAX_DEPTH + "avg(x) > 1" + ")" * MAX_DEPTH)) == "avg(x) > 1"
    with pytest.raises(ConfigurationError, match=rf"nested deeper than {MAX_DEPTH} brackets\n  …\(+avg.*…\n +\^\n"):
        parse("(" * (MAX_DEPTH + 1) + "avg(x) > 1" + ")" * (MAX_DEPTH + 1))
    text = "avg(x) > 1" + " and avg(x) > 1" * ((MAX_CHARACTERS - 10) // 15)
    assert len(measures(parse(text.ljust(MAX_CHARACTERS)))) == 1
    with pytest.raises(
        ConfigurationError,
        match=says(f"{MAX_CHARACTERS + 1} characters, of {MAX_CHARACTERS} at most.*retry will not help"),
    ):
        parse(text.ljust(MAX_CHARACTERS + 1))


def test_side_by_side_brackets_are_not_deep() -> None:
    """Closed brackets do not count as depth."""
    assert len(measures(parse(" or ".join(f"(avg(x{n}) > 1)" for n in range(MAX_DEPTH * 2))))) == MAX_DEPTH * 2
