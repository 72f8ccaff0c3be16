"""
Redaction of rows, before anything is written.

A rule acts on the column that it names, and on the columns whose values come from what it names
(:class:`~airflow_langsmith.views.columns.Column`, ``sources``)::

    rule                      acts on
    metadata.user_id          metadata at user_id, extra at metadata.user_id
    metadata.thread_id        metadata at thread_id, extra at metadata.thread_id, thread_id
    metadata                  metadata, extra at metadata, thread_id, model
    *                         all texts but ids
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
from msgspec import Raw

from airflow_langsmith.api.decoding import DECODE_ERRORS
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.transform.json_tree import change_leaves, find_places, read_tree, set_value, to_python
from airflow_langsmith.transform.paths import ANY, Step, parse, place_of, steps_from_run
from airflow_langsmith.transform.redaction_actions import DROP, Action, ActionError, Order, actions
from airflow_langsmith.views.columns import IDS, Column, ColumnType, Rows, SourcesIn

EVERYWHERE = "*"
TEXTS = ("string", "strings", "json")
_BARE = frozenset(("pattern", "patterns", "truncate", "call"))  # actions that, without a target, are for all texts


class Redaction:
    """
    Applies rules to rows. A rule maps a column, a path, or ``"*"`` for every text, to its actions.

    ``"*"`` is all text columns that are no ids, and in JSON all texts and keys. Patterns look at numbers too. In any
    order of rules, ``drop``, ``hash`` and ``call`` come first and see whole values, then patterns, then ``truncate``;
    and rules for a path before those for everything. A rule for a whole column, by its name, replaces the rules for
    its sources; ``keep`` replaces all. A column without a rule does not change, byte for byte.

    :param rules: A mapping, or a list of mappings; in a list, names of patterns and actions without a target are for
        ``"*"``.
    :param key: The key of hashes: with the same key, equal values have equal hashes.
    :raises ConfigurationError: for a column that is not there, and for a rule that cannot be applied.
    """

    def __init__(
        self, columns: Sequence[Column], rules: Mapping[str, Any] | Iterable[Any], key: str | None = None
    ) -> None:
        self._columns = columns
        self._row_counts: list[int] = []  # of each page; several threads add to it
        by_place: defaultdict[int, list[_Rule]] = defaultdict(list)
        exempt: set[int] = set()
        for target, spec in _targets(rules):
            rules_by_place = _rules(target, columns)
            if spec == "keep":
                whole = [place for place, rule in rules_by_place.items() if rule.by == "column"]
                if not whole:
                    raise ConfigurationError(f"Rule {target!r} says 'keep', which is for a whole column, by its name.")
                exempt.update(whole)
                continue
            for place, rule in rules_by_place.items():
                column = columns[place]
                for action in actions(spec, key, texts_only=rule.steps is None or column.type != "json"):
                    by_place[place].append(rule.doing(action, column))
        self._rules = {
            place: _in_order(rules, columns[place]) for place, rules in by_place.items() if place not in exempt
        }

    def apply(self, rows: Rows) -> Rows:
        """
        Redact rows.

        :raises ConfigurationError: if a rule fails; names the rule and the run.
        """
        self._row_counts.append(rows.count)
        redacted = [
            self._column(place, values, rows) if place in self._rules else values
            for place, values in enumerate(rows.columns)
        ]
        return replace(rows, columns=redacted)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of redacted rows: one is not required if a rule drops its values, or a function may."""
        return tuple(
            replace(column, required=False) if self._may_clear(place) else column
            for place, column in enumerate(self._columns)
        )

    def _may_clear(self, place: int) -> bool:
        return any(rule.action is DROP or rule.action.calls for rule in self._rules.get(place, ()))

    def unmatched(self, rows: int) -> tuple[str, ...]:
        """Return the paths that no row has; none if not all of these ``rows`` were redacted here."""
        if not 0 < rows <= sum(self._row_counts):  # an earlier attempt redacted some
            return ()
        rules = [rule for rules in self._rules.values() for rule in rules if rule.is_path]
        return tuple(sorted({rule.target for rule in rules} - {rule.target for rule in rules if rule.has_matched}))

    def _column(self, place: int, values: list[Any], rows: Rows) -> list[Any]:
        rules, column = self._rules[place], self._columns[place]
        if drops := [rule for rule in rules if rule.action is DROP and rule.steps == ()]:
            for rule in drops:
                rule.has_matched |= values.count(None) < rows.count
            return [None] * rows.count
        redacted = []
        for row, value in enumerate(values):
            try:
                redacted.append(None if value is None else _redact(value, rules, column.type))
            except ActionError as error:
                problem = str(error)
            except (*DECODE_ERRORS, RecursionError) as error:
                problem = f"its JSON cannot be read or written ({type(error).__name__})"
            else:
                continue
            raise ConfigurationError(  # not in a handler, because the error that it handles may quote the value
                f"Column {column.name!r} cannot be redacted in {self._row_name(rows, row)}: {problem}. "
                "Correct the rule, or drop what it cannot handle."
            )
        return redacted

    def _row_name(self, rows: Rows, row: int) -> str:
        for column, values in zip(self._columns, rows.columns, strict=True):
            if column.name in ("run_id", "trace_id") and values[row] is not None:
                return f"{column.name.removesuffix('_id')} {values[row]}"
        return f"row {row + 1} of a page"


@dataclass
class _Rule:
    """
    An action on a column: at ``steps`` into it, or for None on every text in it.

    ``by`` says why: the target is the column, a path in it, one of its sources, more than a source, or everything.
    """

    target: str
    steps: tuple[Step, ...] | None
    by: Literal["column", "path", "source", "more", "all"]
    is_path: bool = False
    action: Action = DROP
    has_matched: bool = False

    def doing(self, action: Action, column: Column) -> _Rule:
        """Return the rule with an action, if the column's type allows it."""
        steps = self.steps
        if column.type == "strings" and action is not DROP:
            steps = None if steps is None else (ANY,)
        elif action is not DROP and column.type not in ("json", "string"):
            raise ConfigurationError(
                f"Column {self.target!r} of redact is {column.type}, and holds no text; it can only be dropped."
            )
        return replace(self, action=action, steps=steps)

    def apply(self, top: list[Any]) -> None:
        """Change the tree that ``top`` holds."""
        change = self.action.change
        try:
            if self.steps is None:
                self.has_matched = True
                change_leaves(top, self._change_text if self.action.order is Order.WHOLE else change)
                return
            for container, key in find_places(top, self.steps):
                self.has_matched = True
                if self.action.order is Order.WHOLE:
                    set_value(container, key, change(container[key]))
                else:
                    inside = [container[key]]
                    change_leaves(inside, change)
                    container[key] = inside[0]
        except ActionError as error:
            raise ActionError(f"rule {self.target!r}: {error}") from None

    def _change_text(self, leaf: Any) -> Any:
        return self.action.change(leaf) if isinstance(leaf, str) else leaf


def _redact(value: Any, rules: list[_Rule], type_: ColumnType) -> Any:
    top = [read_tree(value) if type_ == "json" else list(value) if type_ == "strings" else value]
    for rule in rules:
        rule.apply(top)
    match type_, top[0]:
        case _, None:
            return None
        case "json", tree:
            return Raw(msgspec.json.encode(tree))
        case "strings", texts:
            return [_text(text) for text in texts if text is not None]
        case _, text:
            return _text(text)


def _text(value: Any) -> Any:
    return to_python(value) if isinstance(value, Raw) else value  # a hash


def _targets(rules: Mapping[str, Any] | Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for rule in [rules] if isinstance(rules, Mapping | str) else rules:
        if isinstance(rule, str):
            yield EVERYWHERE, {"pattern": rule}
        elif isinstance(rule, Mapping):
            yield from [(EVERYWHERE, rule)] if rule.keys() & _BARE else rule.items()
        else:
            raise ConfigurationError(f"{rule!r} is no rule of redact; a rule is {{'inputs.user': 'drop'}} or the like.")


def _rules(target: str, columns: Sequence[Column]) -> dict[int, _Rule]:
    """Return the rules, by place, for the column that a target names and those whose values come from what it names."""
    if target == EVERYWHERE:
        texts = (place for place, column in enumerate(columns) if column.type in TEXTS and column.sources != IDS)
        return {place: _Rule(target, None, "all") for place in texts}
    path = parse(target)
    if path.type:
        raise ConfigurationError(f"Target {target!r} of redact has a type; a path without one is meant.")
    named = steps_from_run(path)
    rules: dict[int, _Rule] = {}
    for place, column in enumerate(columns):
        for source in column.sources or (column.name,):
            steps, inside = steps_from_run(parse(source)), _STEPS_TO_SOURCE[column.sources_in]
            rest = named[len(steps) :]
            if all(map(_may_match, named, steps)) and (not rest or inside is None or column.type == "json"):
                into = None if inside is None else (*inside, *rest)
                rules[place] = _Rule(target, into, "source" if len(named) >= len(steps) else "more", bool(path.steps))
                break
    if not rules or path.column in {column.name for column in columns}:
        rules[place_of(path, columns)] = _Rule(target, path.steps, "path" if path.steps else "column", bool(path.steps))
    return rules


_STEPS_TO_SOURCE: dict[SourcesIn, tuple[Step, ...] | None] = {"whole": (), "items": (ANY,), "texts": None}


def _may_match(a: Step, b: Step) -> bool:
    """Return whether two steps can lead to one place."""
    return a is ANY or b is ANY or str(a) == str(b)


def _in_order(rules: list[_Rule], column: Column) -> list[_Rule]:
    """Return the rules of a column in the order in which they are applied."""
    whole = [rule for rule in rules if rule.action.order is Order.WHOLE]
    if any(rule.by == "column" for rule in whole):  # it replaces the rules for sources
        rules = [rule for rule in rules if rule not in whole or rule.by not in ("source", "more")]
    for rule in rules:
        if rule.by == "more" and rule.action.calls:
            raise ConfigurationError(
                f"Rule {rule.target!r} of redact calls a function, and column {column.name!r} is made of a part of "
                f"what it takes. Give the column a rule of its own: {{{column.name!r}: 'drop'}}, 'hash', 'keep' or a "
                "function; or leave the column out."
            )
    return sorted(rules, key=lambda rule: (rule.action.order, rule.steps is None))
