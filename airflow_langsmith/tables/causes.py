"""What the libraries of tables say about their errors, as a sentence of ours can quote it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from airflow_langsmith.export.destination import MAX_CAUSE
from airflow_langsmith.messages import shorten

_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_STACK = re.compile(r"\n\s*0: ")  # Rust's
_ANSWER = re.compile(r"<Code>(.*?)</Code>.*?<Message>(.*?)(?:\n|</Message>)", re.DOTALL)  # of S3, GCS and Azure


def cause_of(error: BaseException) -> str:
    """Return the text of an error as one sentence, without colors and stacks; the store's own answer if it has one."""
    text = _STACK.split(_COLOR.sub("", str(error)))[0]
    if answer := _ANSWER.search(text):
        text = ": ".join(answer.groups())
    return sentence(text)


def sentence(text: str) -> str:
    """
    Return a text as one sentence.

    >>> sentence("is it there?"), sentence("  no bucket .")
    ('is it there?', 'no bucket.')
    """
    line = shorten(text, MAX_CAUSE).rstrip(" .")
    return line if line.endswith(("?", "!")) else f"{line}."


def has_any(error: BaseException, texts: Iterable[str]) -> bool:
    """Return whether the whole text of an error has one of these in it."""
    return any(text in str(error) for text in texts)
