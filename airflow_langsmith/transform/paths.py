"""The paths that users write into a row: ``inputs.customer.id``, ``outputs.documents[0].page_content:string``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import suggest
from airflow_langsmith.views.columns import Column, ColumnType

# A text is a key of an object, a number an index of a list or a key of an object, and None any of them (*).
Step = str | int | None
ANY: Final = None
SCORES, STATS = "feedback", "feedback_stats"  # feedback.user_score is the score that feedback_stats has of a key

TYPES: dict[str, ColumnType] = {
    **dict.fromkeys(("string", "str"), "string"),
    **dict.fromkeys(("int64", "integer", "int"), "integer"),
    **dict.fromkeys(("float64", "number", "float"), "number"),
    **dict.fromkeys(("bool", "boolean"), "boolean"),
    "timestamp": "timestamp",
    "strings": "strings",
    "json": "json",
}

_STEP = re.compile(
    r'(?:^|\.)(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>(?:[^.:"\[\]\\]|\\.)+))|\[(?P<index>0|[1-9][0-9]{0,8}|\*)\]',
    re.DOTALL,
)
_INDEX = re.compile("0|[1-9][0-9]{0,8}")  # 01 is a key
_PLAIN = re.compile(r"[\w$@/+-]+")


@dataclass(frozen=True)
class Path:
    """A column and the steps into its JSON, and a type. ``text`` is the path without type, ``name`` its beginning."""

    text: str
    name: str
    steps: tuple[Step, ...]
    type: ColumnType | None = None

    @property
    def column(self) -> str:
        """The column that it leads into."""
        return STATS if self.name == SCORES else self.name

    @property
    def is_score(self) -> bool:
        """Whether it stands for the score of a feedback key."""
        return self.name == SCORES and len(self.steps) == 1


def parse(text: str) -> Path:
    r"""
    Read a path. Keys with a dot, a colon or a bracket in them go in quotes, or the character after a backslash.

    >>> parse("outputs.documents[0].score:float64").steps
    ('documents', 0, 'score')
    >>> parse('metadata."key.with.dots"').steps == parse(r"metadata.key\.with\.dots").steps
    True

    :raises ConfigurationError: for what is no path.
    """
    steps: list[Step] = []
    rest, end = str(text).strip(), 0
    while match := _STEP.match(rest, end):
        steps.append(_step(match))
        end = match.end()
    colon, type_ = rest[end : end + 1], rest[end + 1 :].strip()
    if not steps or not isinstance(steps[0], str) or rest[0] == "." or colon not in ("", ":"):
        raise ConfigurationError(
            f"{text!r} is no path at character {end + 1}. A path is a column and keys or indices, such as "
            "inputs.customer.id or outputs.documents[0].page_content; a key with dots, colons, brackets or quotes goes "
            'in double quotes: metadata."key.with.dots".'
        )
    if colon and type_ not in TYPES:
        raise ConfigurationError(
            f"Path {text!r} has type {type_!r}, which does not exist. {suggest(type_, TYPES)} "
            "If the colon is part of a key, put the key in double quotes."
        )
    return Path(rest[:end], steps[0], tuple(steps[1:]), TYPES[type_] if colon else None)


def _step(match: re.Match[str]) -> Step:
    if match["quoted"] is not None:
        return _unescape(match["quoted"])
    bare = match["plain"] or match["index"]
    if bare == "*":
        return ANY
    return int(bare) if _INDEX.fullmatch(bare) else _unescape(bare)


def _unescape(key: str) -> str:
    return re.sub(r"\\(.)", r"\1", key, flags=re.DOTALL)


def spell(column: str, steps: Sequence[str | int]) -> str:
    """
    Write a path that :func:`parse` reads as just these keys and indices.

    >>> spell("metadata", ["user", "key.with.dots", "0", 0])
    'metadata.user."key.with.dots"."0"[0]'
    """
    return column + "".join(f"[{step}]" if isinstance(step, int) else f".{_spell_key(step)}" for step in steps)


def _spell_key(key: str) -> str:
    if _PLAIN.fullmatch(key) and not _INDEX.fullmatch(key):
        return key
    return '"' + re.sub(r'(["\\])', r"\\\1", key) + '"'


def place_of(path: Path, columns: Sequence[Column]) -> int:
    """
    Return the place of the column that a path begins with.

    :raises ConfigurationError: for a column that is not there, and for steps into one that is not JSON.
    """
    names = [column.name for column in columns]
    if path.column not in names:
        raise ConfigurationError(
            f"Path {path.text!r} begins with {path.name!r}, which is no column here. {suggest(path.name, names)}"
        )
    place = names.index(path.column)
    if path.steps and columns[place].type != "json":
        raise ConfigurationError(
            f"Path {path.text!r} leads into column {path.column!r}, which is {columns[place].type}; only these are "
            f"JSON: {', '.join(column.name for column in columns if column.type == 'json')}."
        )
    return place


def steps_from_run(path: Path) -> tuple[Step, ...]:
    """
    Return the steps of a path from a run's own fields, because its metadata is inside its extra.

    >>> steps_from_run(parse("metadata.user")), steps_from_run(parse("inputs.messages[0]"))
    (('extra', 'metadata', 'user'), ('inputs', 'messages', 0))
    """
    return (*(("extra",) if path.column == "metadata" else ()), path.column, *path.steps)


def matching_keys(container: Any, step: Step) -> Sequence[Any]:
    """
    Return the keys or indices of a container that a step stands for.

    >>> matching_keys({"a": 1, "0": 2}, 0), matching_keys(["x", "y"], 0), matching_keys(["x", "y"], ANY)
    (['0'], [0], range(0, 2))
    """
    if isinstance(container, dict):
        return list(container) if step is ANY else [str(step)] if str(step) in container else ()
    if isinstance(container, list):
        if step is ANY:
            return range(len(container))
        if isinstance(step, int) and step < len(container):
            return [step]
    return ()


def hidden_columns(paths: Iterable[str], names: Sequence[str] | None) -> list[str]:
    """
    Return the columns that paths lead into and that are not named. They are read, and not written.

    >>> hidden_columns(["feedback.user_score", "inputs.question"], ["run_id", "inputs"])
    ['feedback_stats']
    """
    if names is None:  # all columns are written
        return []
    columns = dict.fromkeys(parse(path).column for path in paths if path != "*")
    return [column for column in columns if column not in names]
