"""
What must not leave is taken out of rows, before anything is written.

A rule is aimed at columns: at the one it names, and at those that are made of what it names
(:class:`~airflow_langsmith.views.columns.Column`, ``sources``)::

    rule                      acts on
    metadata.user_id          metadata at user_id, extra at metadata.user_id
    metadata.thread_id        metadata at thread_id, extra at metadata.thread_id, thread_id
    metadata                  metadata, extra at metadata, thread_id, model
    *                         all texts but ids
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
from msgspec import Raw

from airflow_langsmith.api.decoding import DECODE_ERRORS
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.transform.json_tree import change_leaves, grown, places, plain, put
from airflow_langsmith.transform.paths import ANY, SHORT, Path, Step, origin, parse, place_of
from airflow_langsmith.transform.redaction_actions import Action, ActionError, Turn, actions
from airflow_langsmith.views.columns import IDS, Column, ColumnType, Rows, SourcesIn

EVERYWHERE = "*"
KEEP = "keep"
TEXTS = ("string", "strings", "json")
_BARE = frozenset(("pattern", "patterns", "truncate", "call"))  # actions that, without a target, are for all texts


class Redaction:
    """
    Applies rules to rows. Rules map a column or a path, or ``"*"`` for every text there is, to what is done to it.

    ``"*"`` is all text columns that are no ids, and in JSON all texts and keys. Patterns look at numbers, too. However
    the rules are ordered, ``drop``, ``hash`` and ``call`` go first and see whole values, then patterns, then
    ``truncate``; and those for a path before those for everything. What a rule does to the whole of a column by its own
    name stands in place of what rules do for what it is made of; ``keep`` in place of all. Columns without a rule stay
    as they came, byte for byte; JSON with one is written anew.

    :param rules: A mapping, or a list of such; in it, names of patterns and actions without a target are for ``"*"``.
    :param key: The key of hashes: with the same key, equal values have equal hashes.
    :raises ConfigurationError: for a column that is not there, or a rule that cannot be meant.
    """

    def __init__(
        self, columns: Sequence[Column], rules: Mapping[str, Any] | Iterable[Any], key: str | None = None
    ) -> None:
        self._columns = columns
        self._rows: list[int] = []  # of each page; several threads add to it
        found: dict[int, list[_Rule]] = {}
        kept: set[int] = set()
        for target, spec in _pairs(rules):
            aims = list(_aims(target, columns))
            if spec == KEEP:
                kept |= {_whole_column(target, aims)}
                continue
            for aim in aims:
                texts = aim.steps is None or columns[aim.place].type != "json"
                for action in actions(spec, key, texts=texts):
                    found.setdefault(aim.place, []).append(_rule(target, aim, action, columns[aim.place]))
        self._rules = {place: _in_turn(rules, columns[place]) for place, rules in found.items() if place not in kept}

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
        rules = [rule for of_column in self._rules.values() for rule in of_column if rule.is_path]
        met = {rule.target for rule in rules if rule.met}
        return tuple(sorted({rule.target for rule in rules} - met))

    def _column(self, place: int, values: list[Any], rows: Rows) -> list[Any]:
        rules, column = self._rules[place], self._columns[place]
        if drops := [rule for rule in rules if rule.action.drops and rule.steps == ()]:
            for rule in drops:
                rule.met = rule.met or values.count(None) < rows.count
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


@dataclass(frozen=True)
class _Aim:
    """
    A column that a rule acts on: at ``steps`` into it, None for every text in it.

    ``by`` says why: the rule names the column, or what a column is made of, or more than that, or everything.
    """

    place: int
    steps: tuple[Step, ...] | None
    by: Literal["name", "source", "more", "all"]
    is_path: bool = False


@dataclass
class _Rule:
    """
    What is done, and where: ``steps`` into a column, or None for every text in it.

    ``met`` tells whether there was anything, for a rule that is about a path.
    """

    target: str
    steps: tuple[Step, ...] | None
    action: Action
    by: Literal["name", "source", "more", "all"]
    is_path: bool
    met: bool = False

    @property
    def is_inherited(self) -> bool:
        """Whether it is about what the column is made of."""
        return self.by in ("source", "more")

    @property
    def is_own(self) -> bool:
        """Whether it says what becomes of the column as a whole."""
        return self.by == "name" and not self.is_path and self.action.turn is Turn.WHOLE

    def apply(self, top: list[Any]) -> None:
        """Change the tree that ``top`` holds."""
        try:
            if self.steps is None:
                self.met = True
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


def _aims(target: str, columns: Sequence[Column]) -> Iterator[_Aim]:
    """Yield what a rule acts on: the column it names, and those made of what it names."""
    if target == EVERYWHERE:
        for place, column in enumerate(columns):
            if column.type in TEXTS and column.sources != IDS:
                yield _Aim(place, None, "all")
        return
    path = parse(target)
    if path.type:
        raise ConfigurationError(f"OutputOptions {target!r} of redact= has a type; a path without one is meant.")
    names = {column.name for column in columns}
    name = path.column if path.column in names else SHORT.get(path.column, path.column)
    inherited = list(_inherited(path, name, columns))
    if name in names or not inherited:
        yield _Aim(place_of(path, columns), path.steps, "name", bool(path.steps))
    yield from inherited


def _inherited(path: Path, name: str, columns: Sequence[Column]) -> Iterator[_Aim]:
    """Yield the columns of other names that are made of what is at a path, of a part of it, or of what is around it."""
    wanted = origin(path)
    for place, column in enumerate(columns):
        if column.name == name:
            continue
        for source in column.sources or (column.name,):
            steps, inside = origin(parse(source)), _INSIDE[column.sources_in]
            rest = wanted[len(steps) :]
            if all(map(_meet, wanted, steps)) and (not rest or inside is None or column.type == "json"):
                by: Literal["source", "more"] = "source" if len(wanted) >= len(steps) else "more"
                yield _Aim(place, None if inside is None else (*inside, *rest), by, bool(path.steps))
                break


_INSIDE: dict[SourcesIn, tuple[Step, ...] | None] = {"whole": (), "items": (ANY,), "texts": None}


def _meet(one: Step, other: Step) -> bool:
    """Tell whether two steps can lead to one place."""
    return one is ANY or other is ANY or str(one) == str(other)


def _whole_column(target: str, aims: list[_Aim]) -> int:
    """Return the place of the column that is to be kept."""
    for aim in aims:
        if aim.by == "name" and not aim.is_path:
            return aim.place
    raise ConfigurationError(f"Rule {target!r} says 'keep', which is for a whole column, by its name.")


def _rule(target: str, aim: _Aim, action: Action, column: Column) -> _Rule:
    """Make a rule for a column, if its type allows."""
    steps = aim.steps
    if column.type == "strings" and not action.drops:
        steps = None if steps is None else (ANY,)
    elif not action.drops and column.type not in ("json", "string"):
        raise ConfigurationError(
            f"Column {target!r} of redact= is {column.type}, and holds no text; it can only be dropped."
        )
    return _Rule(target, steps, action, aim.by, aim.is_path)


def _in_turn(rules: list[_Rule], column: Column) -> list[_Rule]:
    """
    Put the rules of a column into the order they go in.

    :raises ConfigurationError: for a function that is made for more than the column has.
    """
    if any(rule.is_own for rule in rules):
        rules = [rule for rule in rules if not (rule.is_inherited and rule.action.turn is Turn.WHOLE)]
    for rule in rules:
        if rule.by == "more" and rule.action.calls:
            raise ConfigurationError(
                f"Rule {rule.target!r} of redact= calls a function, and column {column.name!r} is made of a part of "
                f"what it takes. Say what becomes of the column by a rule of its own: {{{column.name!r}: 'drop'}}, "
                "'hash', 'keep' or a function; or leave it out of columns."
            )
    return sorted(rules, key=lambda rule: (rule.action.turn, rule.steps is None))
