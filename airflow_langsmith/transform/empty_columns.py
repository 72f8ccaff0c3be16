"""Flat columns without any value, as a warning names them: most likely their path is misspelt."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_langsmith.messages import MAX_LINE

MAX_HINT = MAX_LINE - 2  # characters; the log indents it


@dataclass(frozen=True)
class EmptyColumn:
    """
    A flat column that is null in all rows, and what there is at the place where its path ends in nothing.

    Of ``inputs.question`` in rows whose inputs are ``{"messages": [], "turn": 1}`` it is::

        EmptyColumn(name="inputs__question", place="inputs", keys=("messages", "turn"))

    ``keys`` are None if the path leads to values; then they are null, or not of its type.
    """

    name: str
    place: str
    keys: tuple[str, ...] | None

    @property
    def hint(self) -> str:
        """
        What there is, on one line.

        >>> EmptyColumn("inputs__question", "inputs", ("messages", "turn")).hint
        'keys of inputs seen: messages, turn'
        """
        place = _printable(self.place, MAX_HINT // 2)
        if self.keys is None:
            return f"{place} has values, but nulls or of another type"
        if not self.keys:
            return f"no row has an object at {place}"
        hint = f"keys of {place} seen: {_printable(self.keys[0], MAX_HINT // 4)}"
        for number, key in enumerate(self.keys[1:], 1):
            more = f", and {len(self.keys) - number} more"
            longer = f"{hint}, {_printable(key, MAX_HINT // 4)}"
            if len(longer) + len(more) > MAX_HINT:
                return hint + more
            hint = longer
        return hint


def _printable(text: str, length: int) -> str:
    """Return text on one line, and no more than so many characters of it."""
    line = "".join(letter if letter.isprintable() else "?" for letter in text)
    return line if len(line) <= length else f"{line[: length - 3]}..."
