"""What must not leave is taken out of rows, before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from msgspec import Raw

from airflow_langsmith.api.errors import ConfigurationError
from airflow_langsmith.api.wire import DECODE_ERRORS
from airflow_langsmith.views.actions import Action, ActionError, Turn, actions
from airflow_langsmith.views.columns import Column, ColumnType, Rows
from airflow_langsmith.views.paths import ANY, Step, parse, place_of
from airflow_langsmith.views.trees import change_leaves, grown, places, plain, put

EVERYWHERE = "*"
# Not texts but names of things: rows are found and joined by them.
IDS = frozenset(
    "run_id trace_id parent_run_id project_id thread_id dotted_order reference_example_id retriever_run_ids "
    "feedback_id feedback_group_id comparative_experiment_id feedback_thread_id".split()
)
_TEXTS = ("string", "strings", "json")
_BARE = frozenset(("pattern", "patterns", "truncate", "call"))  # actions that, without a target, are for all texts


class Redaction:
    """
    Applies rules to rows. Rules map a column or a path, or ``"*"`` for every text there is, to what is done to it.

    ``"*"`` is all text columns that are no ids, and in JSON all texts and keys. Patterns look at numbers, too. However
    the rules are ordered, ``drop``, ``hash`` and ``call`` go first and see whole values, then patterns, then
    ``truncate``; and those for a path before those for everything. Columns without a rule stay as they came, byte for
    byte; JSON with one is written anew.

    :param rules: A mapping, or a list of such; in it, names of patterns and actions without a target are for ``"*"``.
    :param key: The key of hashes: with the same key, equal values have equal hashes.
    :raises ConfigurationError: for a column that is not there, or a rule that cannot be meant.
    """

    def __init__(
        self, columns: Sequence[Column], rules: Mapping[str, Any] | Iterable[Any], key: str | None = None
    ) -> None:
        self._columns = columns
        self._rows: list[int] = []  # of each page; several threads add to it
        self._rules: dict[int, list[_Rule]] = {}
        for target, spec in _pairs(rules):
            for place, steps in _aims(target, columns):
                texts = steps is None or columns[place].type != "json"
                for action in actions(spec, key, texts=texts):
                    self._rules.setdefault(place, []).append(_rule(target, steps, action, columns[place]))
        for of_column in self._rules.values():
            of_column.sort(key=lambda rule: (rule.action.turn, rule.steps is None))

    def apply(self, rows: Rows) -> Rows:
        """
        Redact rows.

        :raises ConfigurationError: where a rule fails; names the rule and the run.
        """
        self._rows.append(rows.count)
        redacted = [
            self._column(place, values, rows) if place in self._rules else values
            for place, values in enumerate(rows.columns)
        ]
        return replace(rows, columns=redacted)

    def unmet(self, rows: int) -> tuple[str, ...]:
        """List the paths that none of so many rows has; nothing, if not all of the rows came this way."""
        if not 0 < rows <= sum(self._rows):  # some are from an earlier try, which redacted them
            return ()
        rules = [rule for of_column in self._rules.values() for rule in of_column if rule.steps]
        met = {rule.target for rule in rules if rule.met}
        return tuple(sorted({rule.target for rule in rules} - met))

    def _column(self, place: int, values: list[Any], rows: Rows) -> list[Any]:
        rules, column = self._rules[place], self._columns[place]
        if any(rule.action.drops and rule.steps == () for rule in rules):
            return [None] * rows.count
        redacted = []
        for row, value in enumerate(values):
            try:
                redacted.append(None if value is None else _redacted(value, rules, column.type))
            except ActionError as error:
                problem = str(error)
            except (*DECODE_ERRORS, RecursionError) as error:
                problem = f"its JSON cannot be read or written ({type(error).__name__})"
            else:
                continue
            raise ConfigurationError(  # outside of the handlers: what they caught may quote the value
                f"Column {column.name!r} cannot be redacted in {self._which(rows, row)}: {problem}. "
                "Correct the rule, or drop what it cannot handle."
            )
        return redacted

    def _which(self, rows: Rows, row: int) -> str:
        """Name a row by its run or trace."""
        for column, values in zip(self._columns, rows.columns, strict=True):
            if column.name in ("run_id", "trace_id") and values[row] is not None:
                return f"{column.name.removesuffix('_id')} {values[row]}"
        return f"row {row + 1} of a page"


@dataclass
class _Rule:
    """
    What is done, and where: ``steps`` into a column, or None for every text in it.

    ``met`` tells whether there was anything.
    """

    target: str
    steps: tuple[Step, ...] | None
    action: Action
    met: bool = False

    def apply(self, top: list[Any]) -> None:
        """Change the tree that ``top`` holds."""
        try:
            if self.steps is None:
                change_leaves(top, self.action.change if self.action.turn > Turn.WHOLE else self._change_text)
                return
            for container, key in places(top, self.steps):
                self.met = True
                if self.action.turn > Turn.WHOLE:
                    inside = [container[key]]
                    change_leaves(inside, self.action.change)
                    container[key] = inside[0]
                else:
                    put(container, key, self.action.change(container[key]))
        except ActionError as error:
            raise ActionError(f"rule {self.target!r}: {error}") from None

    def _change_text(self, value: Any) -> Any:
        return self.action.change(value) if isinstance(value, str) else value


def _redacted(value: Any, rules: list[_Rule], type_: ColumnType) -> Any:
    top = [grown(value) if type_ == "json" else list(value) if type_ == "strings" else value]
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
    """Take a text that is final out of its JSON."""
    return plain(value) if isinstance(value, Raw) else value


def _pairs(rules: Mapping[str, Any] | Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Give the target and the action of each rule."""
    for rule in [rules] if isinstance(rules, Mapping | str) else rules:
        if isinstance(rule, str):
            yield EVERYWHERE, {"pattern": rule}
        elif isinstance(rule, Mapping):
            yield from [(EVERYWHERE, rule)] if rule.keys() & _BARE else rule.items()
        else:
            raise ConfigurationError(
                f"{rule!r} is no rule of redact=; a rule is {{'inputs.user': 'drop'}} or the like."
            )


def _aims(target: str, columns: Sequence[Column]) -> Iterator[tuple[int, tuple[Step, ...] | None]]:
    """Give the places of the columns that a target means, and the steps into them."""
    if target == EVERYWHERE:
        for place, column in enumerate(columns):
            if column.type in _TEXTS and column.name not in IDS:
                yield place, None
        return
    path = parse(target)
    if path.type:
        raise ConfigurationError(f"Target {target!r} of redact= has a type; a path without one is meant.")
    yield place_of(path, columns), path.steps


def _rule(target: str, steps: tuple[Step, ...] | None, action: Action, column: Column) -> _Rule:
    """Make a rule for a column, if its type allows."""
    if action.drops or column.type in ("json", "string"):
        return _Rule(target, steps, action)
    if column.type == "strings":
        return _Rule(target, None if steps is None else (ANY,), action)
    raise ConfigurationError(
        f"Column {target!r} of redact= is {column.type}, and holds no text; it can only be dropped."
    )
