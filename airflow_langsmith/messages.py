"""
Write errors for a log that does not wrap: short lines, each sentence on lines of its own.

::

    There is no project 'shop-asistant' that this key can see.
      Did you mean 'shop-assistant'?
      Connection langsmith_default: https://eu.api.smith.langchain.com.
      A retry will not help.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Iterable

MAX_LINE = 90  # characters that Airflow's log view shows of a line
PREFIX = "AirflowFailException: "  # what the log view writes before the first line of an error

_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\.\.)(?<!e\.g\.)(?<!i\.e\.)\s+")
_LONG_WORD = re.compile(r"(\S{1100})\S+")  # keys of objects have 1024 bytes
_VERBATIM = "  "  # the beginning of a line that stays as it is, for example a marked filter


def format_message(*texts: str) -> str:
    r"""
    Put each sentence on lines of its own, none over 90 characters, the first one at the edge.

    The first line leaves room for the error's class. Lines that begin with two blanks stay as they are. No word is
    broken, so that ids and addresses can be copied; a word longer than any of these is cut. Characters that are not
    printable are replaced.

    >>> print(format_message("There is no view 'run'. Did you mean 'runs'?", "A retry will not help."))
    There is no view 'run'.
      Did you mean 'runs'?
      A retry will not help.
    """
    lines: list[str] = []
    for text in "\n".join(texts).split("\n"):
        printable = "".join(character if character.isprintable() else "\ufffd" for character in text)
        line = _LONG_WORD.sub(r"\1…", printable)
        if line.startswith(_VERBATIM):
            lines.append(line)
            continue
        for sentence in _SENTENCE_END.split(line.strip()):
            lines += textwrap.wrap(
                sentence,
                width=MAX_LINE,
                initial_indent="  " if lines else PREFIX,
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
    return "\n".join(lines).removeprefix(PREFIX)


def shorten(text: str, max_characters: int) -> str:
    """Return the text, or its beginning and ``…`` if it is longer, without characters that are not printable."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= max_characters else line[: max_characters - 1].rstrip() + "…"


def mark_position(text: str, position: int) -> str:
    """Return the line at a position of a text, with a mark under the position; a long line is cut."""
    before, after = text[:position].rpartition("\n")[2], text[position:].partition("\n")[0]
    room = MAX_LINE - len(_VERBATIM)
    if len(before) + len(after) > room:
        if len(before) > room // 2:
            before = "…" + before[len(before) - room // 2 + 1 :]
        if len(before) + len(after) > room:
            after = after[: room - len(before) - 1] + "…"
    return f"{_VERBATIM}{before}{after}\n{_VERBATIM}{' ' * len(before)}^"


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return the question that names the closest of the known names, or nothing if none is close."""
    names = list(known)
    plain = _plain(str(name))
    by_plain = {_plain(name): name for name in reversed(names)}
    close = difflib.get_close_matches(plain, by_plain, n=1)
    if not close and len(plain) > 1:
        close = [name for name in map(_plain, names) if plain in name.split("-")]
        close += [name for name in map(_plain, names) if len(name) > 1 and plain.startswith(name)]
    return f"Did you mean {by_plain[close[0]]!r}?" if close else ""


def suggest(name: object, known: Iterable[str]) -> str:
    """
    Return the advice about an unknown name: the closest one first, all of them last.

    >>> suggest("wirte", ["write", "skip", "fail"])
    "Did you mean 'write'? It is one of write, skip, fail."
    """
    names = list(known)
    return f"{did_you_mean(name, names)} It is one of {', '.join(names)}.".strip()


def _plain(name: str) -> str:
    """Return a name for comparison, without capitals, and with one character between words."""
    return re.sub(r"[\s_.-]+", "-", name.strip().lower())
