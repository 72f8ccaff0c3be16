"""A filter, compiled to a predicate on a run, and what each API version refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce

from airflow_langsmith.testing.filters.attributes import ATTRIBUTES, COMPARATORS, PAIRS, Attribute, pairs_of, text_of
from airflow_langsmith.testing.filters.comparisons import InvalidLiteral, make_test
from airflow_langsmith.testing.filters.pairs import Condition, bind
from airflow_langsmith.testing.filters.syntax import Call, FilterSyntaxError, Literal, Name, Scalar, parse
from airflow_langsmith.testing.records import Feedback, Run
from airflow_langsmith.testing.refusals import Refusal
from airflow_langsmith.testing.timeline import ANY_TIME, Bounds
from airflow_langsmith.testing.times import parse_time, to_micros

__all__ = ["Dialect", "Filter", "compile_filter"]

_Predicate = Callable[[Run], bool]
_ATTRIBUTE_AND_VALUE = 2  # arguments
_POSITIVE = {"neq": "eq", "notlike": "like"}


class Dialect(IntEnum):
    """The API version whose rules apply."""

    V1 = 1
    V2 = 2


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled filter. Runs that started outside ``starts`` never match."""

    matches: _Predicate
    uses_feedback: bool
    starts: Bounds


def compile_filter(text: str, dialect: Dialect, feedback_of: Callable[[Run], list[Feedback]]) -> Filter:
    """
    Compile a filter.

    :param feedback_of: Returns the feedback to which conditions on feedback apply.
    :raises Refusal: 400, in the words of the version.
    """
    compiler = _Compiler(dialect, feedback_of)
    try:
        call = parse(text)
        predicate = compiler.expression(call)
    except FilterSyntaxError as error:
        detail = f"Failed to parse filter: {error}"
        raise Refusal(400, detail if dialect is Dialect.V1 else f"invalid request: {detail}") from error
    return Filter(predicate, compiler.uses_feedback, _start_bounds(call))


class _Compiler:
    def __init__(self, dialect: Dialect, feedback_of: Callable[[Run], list[Feedback]]) -> None:
        self.dialect = dialect
        self.feedback_of = feedback_of
        self.uses_feedback = False

    def expression(self, call: Call) -> _Predicate:
        if call.operator == "and":
            return self._conjunction(call)
        if call.operator == "or":
            tests = [self.expression(part) for part in self._parts(call)]
            return lambda run: any(test(run) for test in tests)
        if call.operator not in COMPARATORS:
            raise self._refuse(f'Unknown function "{call.operator}" at position {call.position}')
        if call.operator == "search":
            return self._search(call)
        return self._comparison(call)

    def _conjunction(self, call: Call) -> _Predicate:
        """Compile an ``and``: its conditions on a family of pairs apply to the same pair."""
        tests: list[_Predicate] = []
        families: dict[str, list[Condition]] = {}
        for part in self._parts(call):
            family = self._pair_family(part)
            if family is None:
                tests.append(self.expression(part))
            else:
                families.setdefault(family, []).append(self._condition(part))
        tests.extend(self._pair_test(family, conditions) for family, conditions in families.items())
        return lambda run: all(test(run) for test in tests)

    def _parts(self, call: Call) -> Iterator[Call]:
        if not call.arguments:
            raise self._wrong_count(call, "at least 1")
        for argument in call.arguments:
            if not isinstance(argument, Call):
                raise self._refuse(f'"{call.operator}" joins comparisons, at position {argument.position}')
            yield argument

    def _pair_family(self, call: Call) -> str | None:
        if call.operator not in COMPARATORS or not call.arguments:
            return None
        attribute = call.arguments[0]
        pair = PAIRS.get(attribute.text) if isinstance(attribute, Name) else None
        return pair.family if pair is not None else None

    def _pair_test(self, family: str, conditions: list[Condition]) -> _Predicate:
        matches = bind(conditions)
        if family != "feedback":
            return lambda run: matches(pairs_of(family, run, []))
        self.uses_feedback = True
        return lambda run: matches(pairs_of(family, run, self.feedback_of(run)))

    def _comparison(self, call: Call) -> _Predicate:
        family = self._pair_family(call)
        if family is not None:
            return self._pair_test(family, [self._condition(call)])
        name, value = self._attribute_and_value(call)
        attribute = ATTRIBUTES.get(name)
        if attribute is None:
            raise self._refuse(f"Unknown attribute: {name}", call, name, value)
        self._check(call, name, value, attribute)
        if len(call.arguments) == 1:
            return lambda run: attribute.read(run) is not None
        try:
            zone_required = self.dialect is Dialect.V2
            test = make_test(call.operator, attribute.kind, value, zone_required=zone_required)
        except InvalidLiteral as error:
            raise self._refuse(str(error), call, name, value) from error
        return lambda run: test(attribute.read(run))

    def _check(self, call: Call, name: str, value: Scalar | list[Scalar], attribute: Attribute) -> None:
        if self.dialect not in attribute.versions or call.operator not in attribute.comparators:
            raise self._refuse(f'"{call.operator}" is not supported on {name}', call, name, value)
        if value is None and not attribute.nullable:
            raise self._refuse(f"{name} cannot be compared with null", call, name, value)

    def _condition(self, call: Call) -> Condition:
        name, value = self._attribute_and_value(call)
        pair = PAIRS[name]
        if call.operator not in pair.comparators:
            raise self._refuse(f'"{call.operator}" is not supported on {name}', call, name, value)
        if len(call.arguments) == 1:
            return Condition(pair.part, lambda value: value is not None, negative=False)
        positive = _POSITIVE.get(call.operator, call.operator)
        try:
            test = make_test(positive, pair.kind, value, zone_required=False)
        except InvalidLiteral as error:
            raise self._refuse(str(error), call, name, value) from error
        return Condition(pair.part, test, negative=positive != call.operator)

    def _search(self, call: Call) -> _Predicate:
        if len(call.arguments) != 1:
            first, last = (call.arguments[0], call.arguments[-1]) if call.arguments else (None, None)
            name = first.text if isinstance(first, Name) else ""
            value = last.value if isinstance(last, Literal) else None
            count = f'Invalid argument count: "search" requires 1 arguments, got {len(call.arguments)}'
            raise self._refuse(count, call, name, value)
        argument = call.arguments[0]
        if not isinstance(argument, Literal) or not isinstance(argument.value, str):
            raise self._refuse(f'"search" needs a quoted string at position {argument.position}')
        words = argument.value.casefold().split()

        def matches(run: Run) -> bool:
            text = "\n".join(text_of(payload) for payload in (run.inputs, run.outputs) if payload).casefold()
            return all(word in text for word in words)

        return matches

    def _attribute_and_value(self, call: Call) -> tuple[str, Scalar | list[Scalar]]:
        count = len(call.arguments)
        if count != _ATTRIBUTE_AND_VALUE and not (call.operator == "exists" and count == 1):
            raise self._wrong_count(call, "2")
        attribute = call.arguments[0]
        if not isinstance(attribute, Name):
            raise self._refuse(f"expected an attribute at position {attribute.position}")
        if count == 1:
            return attribute.text, True
        value = call.arguments[1]
        if not isinstance(value, Literal):
            raise self._refuse(f"expected a value at position {value.position}; strings need quotes")
        return attribute.text, value.value

    def _wrong_count(self, call: Call, count: str) -> Refusal:
        got = len(call.arguments)
        return self._refuse(f'Invalid argument count: "{call.operator}" requires {count} arguments, got {got}')

    def _refuse(
        self, reason: str, call: Call | None = None, name: str = "", value: Scalar | list[Scalar] = None
    ) -> Refusal:
        if self.dialect is Dialect.V2:
            return Refusal(400, f"invalid request: Failed to parse filter: {reason}")
        if call is None:
            return Refusal(400, f"Failed to parse filter: {reason}")
        comparator = f"<Comparator.{call.operator.upper()}: {call.operator!r}>"
        multi = isinstance(value, list)
        return Refusal(
            400, f"Comparison comparator={comparator} attribute={name!r} value={value!r} multi={multi} not accepted."
        )


def _start_bounds(call: Call) -> Bounds:
    """Return bounds on the start of the runs that a valid filter can match, so that no other run is read."""
    match call:
        case Call(operator="and"):
            parts = (part for part in call.arguments if isinstance(part, Call))
            return reduce(Bounds.intersect, map(_start_bounds, parts), ANY_TIME)
        case Call(arguments=(Name(text="start_time"), Literal(value=str(text)))):
            start = to_micros(parse_time(text, zone_required=False))
            return {
                "gt": Bounds(low=start + 1),
                "gte": Bounds(low=start),
                "lt": Bounds(high=start),
                "lte": Bounds(high=start + 1),
            }[call.operator]
    return ANY_TIME
