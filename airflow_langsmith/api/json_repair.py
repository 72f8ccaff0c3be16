r"""
Repair what is almost JSON, as language models and Python programs write it.

Each defect is repaired on its own, and every other byte stays where it is::

    {"a": "cut \ud83d"}     half of an emoji                 {"a": "cut \ufffd"}
    {"a": NaN}              a number that is not in JSON     {"a": "NaN"}
    {"a": 1}<NUL>           a NUL or BOM between values      {"a": 1}
    {"a": "C:\data"}        a backslash that escapes nothing {"a": "C:\\data"}
    {"a": "x<TAB>y"}        a control character in a text    {"a": "x\u0009y"}
    [[[... [[1]] ...]]]     more levels than readers take    [[[... "[[1]]" ...]]]
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder, utf_8_decode
from collections.abc import Iterator
from io import BytesIO

# Levels of a payload that was too deep: Python reads about 1,000, BigQuery 500, DuckDB 128.
MAX_DEPTH = 100

_PIECE = 8 * 1024

# Two rules for speed and memory. Every alternative begins with one fixed character, so that the search runs to the next
# of these in C. And no group repeats, because Python keeps 70 bytes for each repetition, which is every escape.
_TOKEN = re.compile(
    rb'"'
    rb"|\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair of surrogates
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb'|["\\/bfnrt]|u[0-9a-fA-F]{4}'
    rb"|(?P<bare>))"
    rb"|N(?<!\wN)aN\b|I(?<!\wI)nfinity\b|-(?:NaN|Infinity)\b"
    rb"|\xef\xbb\xbf"
    rb"|%b" % b"|".join(rb"\x%02x" % control for control in range(0x20))
)
_BRACKET = re.compile(rb'"|\\.|\[[\[{]*+|\{[\[{]*+|\][\]}]*+|\}[\]}]*+', re.DOTALL)


def repair_utf8(body: bytes) -> bytes:
    """Replace bytes that are no UTF-8 by U+FFFD; the decoder does not check those of raw payloads."""
    if _is_utf8(body):
        return body
    decoder, repaired = getincrementaldecoder("utf-8")("replace"), BytesIO()
    for piece in _pieces(body, 0, len(body)):
        repaired.write(decoder.decode(piece).encode())
    repaired.write(decoder.decode(b"", final=True).encode())
    return repaired.getvalue()


def repair_json(body: bytes) -> bytes:
    """Repair everything but the depth; what is no JSON for another reason stays so."""
    repaired, end, in_text = BytesIO(), 0, False
    for token in _TOKEN.finditer(body):
        if token[0] == b'"':
            in_text = not in_text
        elif text := (_in_text if in_text else _between)(token):
            repaired.write(memoryview(body)[end : token.start()])
            repaired.write(text)
            end = token.end()
    return _with_rest(repaired, body, end)


def limit_depth(body: bytes, levels: int) -> bytes:
    """Replace each object or list below this many levels by its JSON, as a text."""
    repaired, depth, end, in_text = BytesIO(), 0, 0, False
    for token in _BRACKET.finditer(body):
        brackets = token[0]
        if brackets == b'"':
            in_text = not in_text
        elif in_text or brackets.startswith(b"\\"):
            continue
        elif brackets.startswith((b"[", b"{")):
            if depth <= levels < depth + len(brackets):
                start = token.start() + levels - depth
                repaired.write(memoryview(body)[end:start])
                end = start
            depth += len(brackets)
        else:
            if depth - len(brackets) <= levels < depth:
                start, end = end, token.start() + depth - levels
                _write_text(repaired, body, start, end)
            depth -= len(brackets)
    return _with_rest(repaired, body, end)


def _is_utf8(body: bytes) -> bool:
    if body.isascii():
        return True
    # Piece by piece, because the text of a page may be four times its size, and large texts fragment the memory.
    view, start = memoryview(body), 0
    try:
        while start < len(body):
            start += utf_8_decode(view[start : start + _PIECE], "strict", start + _PIECE >= len(body))[1]
    except UnicodeDecodeError:
        return False
    return True


def _in_text(token: re.Match[bytes]) -> bytes:
    """Return the replacement of a token inside a text; empty if it stays."""
    if token[0][0] < 0x20:  # noqa: PLR2004  # a control character
        return rb"\u%04x" % token[0][0]
    if token.lastgroup == "bare":
        return rb"\\"
    return rb"\ufffd" if token.lastgroup == "half" else b""


def _between(token: re.Match[bytes]) -> bytes:
    """Return the replacement of a token between texts; empty if it stays."""
    if token[0].endswith((b"NaN", b"Infinity")):
        return b'"%b"' % token[0]
    return b" " if token[0] in (b"\x00", b"\xef\xbb\xbf") else b""


def _write_text(file: BytesIO, body: bytes, start: int, end: int) -> None:
    """Write a part of the body as a JSON string."""
    file.write(b'"')
    for piece in _pieces(body, start, end):
        text = piece.replace(b"\\", rb"\\").replace(b'"', rb"\"")
        file.write(text.replace(b"\n", rb"\n").replace(b"\r", rb"\r").replace(b"\t", rb"\t"))
    file.write(b'"')


def _with_rest(repaired: BytesIO, body: bytes, end: int) -> bytes:
    if end == 0:
        return body
    repaired.write(memoryview(body)[end:])
    return repaired.getvalue()


def _pieces(body: bytes, start: int, end: int) -> Iterator[bytes]:
    for place in range(start, end, _PIECE):
        yield body[place : min(end, place + _PIECE)]
