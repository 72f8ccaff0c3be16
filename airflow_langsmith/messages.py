"""
How an error reads in a log that does not wrap: short lines, each sentence on lines of its own.

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
_DRAWN = "  "  # what a line begins with that stays as it is: a marked filter


def format_message(*texts: str) -> str:
    r"""
    Put each sentence on lines of its own, none over 90 characters, the first one at the edge.

    The first line leaves room for the error's class. Lines that begin with two blanks stay as they are. No word is
    broken, so that ids and addresses can be copied; one that is longer than any of these is cut. Marks that no log can
    show, or that would move its cursor, are replaced one by one.

    >>> print(format_message("There is no view 'run'. Did you mean 'runs'?", "A retry will not help."))
    There is no view 'run'.
      Did you mean 'runs'?
      A retry will not help.
    """
    lines: list[str] = []
    for written in "\n".join(texts).split("\n"):
        line = _LONG_WORD.sub(r"\1…", "".join(mark if mark.isprintable() else "\ufffd" for mark in written))
        if line.startswith(_DRAWN):
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
    """
    Return the text, or its beginning where it is longer, without the marks that a log cannot show.

    >>> shorten("connection refused by the host", 12)
    'connection…'
    """
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    return line if len(line) <= max_characters else line[: max_characters - 1].rstrip() + "…"


def mark_position(text: str, place: int) -> str:
    """Show the line of a text with a mark under one of its characters, for the error about it; cut where it is long."""
    before, after = text[:place].rpartition("\n")[2], text[place:].partition("\n")[0]
    room = MAX_LINE - len(_DRAWN)
    if len(before) + len(after) > room:
        if len(before) > room // 2:
            before = "…" + before[len(before) - room // 2 + 1 :]
        if len(before) + len(after) > room:
            after = after[: room - len(before) - 1] + "…"
    return f"{_DRAWN}{before}{after}\n{_DRAWN}{' ' * len(before)}^"


def did_you_mean(written: object, known: Iterable[str]) -> str:
    """
    Return the question that names the closest of the known names, or nothing if none is close.

    >>> did_you_mean("Shop_Assistant", ["billing", "shop-assistant"])
    "Did you mean 'shop-assistant'?"
    """
    names = list(known)
    plain = _plain(str(written))
    by_plain = {_plain(name): name for name in reversed(names)}
    close = difflib.get_close_matches(plain, by_plain, n=1)
    if not close and len(plain) > 1:
        close = [name for name in map(_plain, names) if plain in name.split("-")]
        close += [name for name in map(_plain, names) if len(name) > 1 and plain.startswith(name)]
    return f"Did you mean {by_plain[close[0]]!r}?" if close else ""


def suggest(written: object, known: Iterable[str]) -> str:
    """
    Return what to write in place of an unknown name: the closest one first, all of them last.

    >>> suggest("wirte", ["write", "skip", "fail"])
    "Did you mean 'write'? It is one of write, skip, fail."
    """
    names = list(known)
    return f"{did_you_mean(written, names)} It is one of {', '.join(names)}.".strip()


def _plain(name: str) -> str:
    """Write a name as it is compared: capitals and the marks between words are what people mix up."""
    return re.sub(r"[\s_.-]+", "-", name.strip().lower())
