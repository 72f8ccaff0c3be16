"""What a filter expression says about a run, and what each API version refuses to hear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from airflow_langsmith.testing.filters.attributes import ATTRIBUTES, COMPARATORS, PAIRS, Attribute, pairs_of, text_of
from airflow_langsmith.testing.filters.comparisons import NotAccepted, make_test
from airflow_langsmith.testing.filters.pairs import Condition, bind
from airflow_langsmith.testing.filters.starts import starts_of
from airflow_langsmith.testing.filters.syntax import Call, FilterSyntaxError, Literal, Name, Scalar, parse
from airflow_langsmith.testing.records import Feedback, Run
from airflow_langsmith.testing.refusals import Refusal
from airflow_langsmith.testing.timeline import Bounds

__all__ = ["Dialect", "Filter", "compile_filter"]

_Predicate = Callable[[Run], bool]
_SUBJECT_AND_VALUE = 2
_POSITIVE = {"neq": "eq", "notlike": "like"}


class Dialect(IntEnum):
    """The API version whose rules apply."""

    V1 = 1
    V2 = 2


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled filter. Runs that started outside ``starts`` never match."""

    matches: _Predicate
    asks_feedback: bool
    starts: Bounds


def compile_filter(text: str, dialect: Dialect, feedback_of: Callable[[Run], list[Feedback]]) -> Filter:
    """
    Turn a filter into a predicate.

    :param feedback_of: Finds the feedback that the feedback conditions are about.
    :raises Refusal: 400, in the words of the version.
    """
    compiler = _Compiler(dialect, feedback_of)
    try:
        call = parse(text)
        predicate = compiler.expression(call)
    except FilterSyntaxError as error:
        detail = f"Failed to parse filter: {error}"
        raise Refusal(400, detail if dialect is Dialect.V1 else f"invalid request: {detail}") from error
    return Filter(predicate, compiler.asks_feedback, starts_of(call))


class _Compiler:
    def __init__(self, dialect: Dialect, feedback_of: Callable[[Run], list[Feedback]]) -> None:
        self.dialect = dialect
        self.feedback_of = feedback_of
        self.asks_feedback = False

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
        """Compile an ``and``: its conditions on pairs of one family speak of the same pair."""
        tests: list[_Predicate] = []
        families: dict[str, list[Condition]] = {}
        for part in self._parts(call):
            pair = self._pair_family(part)
            if pair is None:
                tests.append(self.expression(part))
            else:
                families.setdefault(pair, []).append(self._condition(part))
        tests.extend(self._bound(family, conditions) for family, conditions in families.items())
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
        subject = call.arguments[0]
        pair = PAIRS.get(subject.text) if isinstance(subject, Name) else None
        return pair.family if pair is not None else None

    def _bound(self, family: str, conditions: list[Condition]) -> _Predicate:
        judge = bind(conditions)
        if family != "feedback":
            return lambda run: judge(pairs_of(family, run, []))
        self.asks_feedback = True
        return lambda run: judge(pairs_of(family, run, self.feedback_of(run)))

    def _comparison(self, call: Call) -> _Predicate:
        family = self._pair_family(call)
        if family is not None:
            return self._bound(family, [self._condition(call)])
        name, value = self._subject_and_value(call)
        attribute = ATTRIBUTES.get(name)
        if attribute is None:
            raise self._refuse(f"Unknown attribute: {name}", call, name, value)
        self._check(call, name, value, attribute)
        if len(call.arguments) == 1:
            return lambda run: attribute.read(run) is not None
        try:
            zone_required = self.dialect is Dialect.V2
            test = make_test(call.operator, attribute.kind, value, zone_required=zone_required)
        except NotAccepted as error:
            raise self._refuse(str(error), call, name, value) from error
        return lambda run: test(attribute.read(run))

    def _check(self, call: Call, name: str, value: Scalar | list[Scalar], attribute: Attribute) -> None:
        if self.dialect not in attribute.versions or call.operator not in attribute.comparators:
            raise self._refuse(f'"{call.operator}" is not supported on {name}', call, name, value)
        if value is None and not attribute.nullable:
            raise self._refuse(f"{name} cannot be compared with null", call, name, value)

    def _condition(self, call: Call) -> Condition:
        name, value = self._subject_and_value(call)
        pair = PAIRS[name]
        if call.operator not in pair.comparators:
            raise self._refuse(f'"{call.operator}" is not supported on {name}', call, name, value)
        if len(call.arguments) == 1:
            return Condition(pair.part, lambda found: found is not None, negative=False)
        positive = _POSITIVE.get(call.operator, call.operator)
        try:
            test = make_test(positive, pair.kind, value, zone_required=False)
        except NotAccepted as error:
            raise self._refuse(str(error), call, name, value) from error
        return Condition(pair.part, test, negative=positive != call.operator)

    def _search(self, call: Call) -> _Predicate:
        if len(call.arguments) != 1:
            subject = call.arguments[0] if call.arguments else None
            name = subject.text if isinstance(subject, Name) else ""
            last = call.arguments[-1] if call.arguments else None
            value = last.value if isinstance(last, Literal) else None
            count = f'Invalid argument count: "search" requires 1 arguments, got {len(call.arguments)}'
            raise self._refuse(count, call, name, value)
        argument = call.arguments[0]
        if not isinstance(argument, Literal) or not isinstance(argument.value, str):
            raise self._refuse(f'"search" needs a quoted string at position {argument.position}')
        words = argument.value.casefold().split()

        def found(run: Run) -> bool:
            text = "\n".join(text_of(payload) for payload in (run.inputs, run.outputs) if payload).casefold()
            return all(word in text for word in words)

        return found

    def _subject_and_value(self, call: Call) -> tuple[str, Scalar | list[Scalar]]:
        if len(call.arguments) != _SUBJECT_AND_VALUE and not (call.operator == "exists" and len(call.arguments) == 1):
            raise self._wrong_count(call, "2")
        subject = call.arguments[0]
        if not isinstance(subject, Name):
            raise self._refuse(f"expected an attribute at position {subject.position}")
        if len(call.arguments) == 1:
            return subject.text, True
        value = call.arguments[1]
        if not isinstance(value, Literal):
            raise self._refuse(f"expected a value at position {value.position}; strings need quotes")
        return subject.text, value.value

    def _wrong_count(self, call: Call, wanted: str) -> Refusal:
        got = len(call.arguments)
        return self._refuse(f'Invalid argument count: "{call.operator}" requires {wanted} arguments, got {got}')

    def _refuse(
        self, why: str, call: Call | None = None, name: str = "", value: Scalar | list[Scalar] = None
    ) -> Refusal:
        if self.dialect is Dialect.V2:
            return Refusal(400, f"invalid request: Failed to parse filter: {why}")
        if call is None:
            return Refusal(400, f"Failed to parse filter: {why}")
        comparator = f"<Comparator.{call.operator.upper()}: {call.operator!r}>"
        multi = isinstance(value, list)
        return Refusal(
            400, f"Comparison comparator={comparator} attribute={name!r} value={value!r} multi={multi} not accepted."
        )
