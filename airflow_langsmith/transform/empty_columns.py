"""Flat columns without any value, as a warning tells of them: most likely their path is misspelt."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_langsmith.messages import MAX_LINE

LINE = MAX_LINE - 2  # characters of a hint, which the log indents


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
        Say on one line what there is.

        >>> EmptyColumn("inputs__question", "inputs", ("messages", "turn")).hint
        'keys of inputs seen: messages, turn'
        """
        place = _line(self.place, LINE // 2)
        if self.keys is None:
            return f"{place} has values, but nulls or of another type"
        if not self.keys:
            return f"no row has an object at {place}"
        told = f"keys of {place} seen: {_line(self.keys[0], LINE // 4)}"
        for number, key in enumerate(self.keys[1:], 1):
            more = f", and {len(self.keys) - number} more"
            longer = f"{told}, {_line(key, LINE // 4)}"
            if len(longer) + len(more) > LINE:
                return told + more
            told = longer
        return told


def _line(text: str, length: int) -> str:
    """Write text on one line, and no more than so many characters of it."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)
    return printable if len(printable) <= length else f"{printable[: length - 3]}..."
