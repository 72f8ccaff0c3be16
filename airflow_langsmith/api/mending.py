r"""
Mends what is almost JSON, as language models and Python programs write it.

Each defect is mended on its own, and every other byte stays where it is::

    {"a": "cut \ud83d"}     half of an emoji                 {"a": "cut \ufffd"}
    {"a": NaN}              a number that JSON has not       {"a": "NaN"}
    {"a": 1}<NUL>           a NUL or BOM between values      {"a": 1}
    {"a": "C:\data"}        a backslash that escapes nothing {"a": "C:\\data"}
    {"a": "x<TAB>y"}        a control character in a text    {"a": "x\u0009y"}
    [[[... [[1]] ...]]]     more levels than readers take    [[[... "[[1]]" ...]]]
"""

from __future__ import annotations

import re
from codecs import utf_8_decode

import msgspec

# Levels of a payload that was too deep: Python's reader takes about 1,000, BigQuery 500, DuckDB 128.
DEEPEST = 100

_PIECE = 8 * 1024

# A text that is never closed goes to the end, so that its quotes are not tried again, each as the start of a text.
_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
_TOKEN = re.compile(_TEXT + rb"|-?\b(?:NaN|Infinity)\b|\x00|\xef\xbb\xbf", re.DOTALL)
_BRACKET = re.compile(_TEXT + rb"|[\[\]{}]", re.DOTALL)
_IN_TEXT = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair of surrogates
    rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb'|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
    rb"|(?P<bare>[\x00-\x1f\\])"
)


def as_utf8(body: bytes) -> bytes:
    """Replace bytes that are no UTF-8 by U+FFFD; the decoder does not check those of raw payloads."""
    return body if _is_utf8(body) else body.decode("utf-8", "replace").encode()


def as_json(body: bytes) -> bytes:
    """Mend everything but the depth; what is no JSON for another reason stays so."""
    return _TOKEN.sub(_mended, body)


def as_shallow(body: bytes, levels: int) -> bytes:
    """Write each object or list below that many levels as a text, which is its JSON."""
    pieces, depth, end = [], 0, 0
    for token in _BRACKET.finditer(body):
        if token[0] in b"[{":
            depth += 1
            if depth == levels + 1:
                pieces.append(body[end : token.start()])
                end = token.start()
        elif token[0] in b"]}":
            depth -= 1
            if depth == levels:
                pieces.append(msgspec.json.encode(body[end : token.end()].decode()))
                end = token.end()
    return b"".join([*pieces, body[end:]])


def _is_utf8(body: bytes) -> bool:
    if body.isascii():
        return True
    # Piece by piece: the text of a whole page would be four times its size, and large texts leave holes in memory.
    view, start = memoryview(body), 0
    try:
        while start < len(body):
            start += utf_8_decode(view[start : start + _PIECE], "strict", start + _PIECE >= len(body))[1]
    except UnicodeDecodeError:
        return False
    return True


def _mended(token: re.Match[bytes]) -> bytes:
    text = token[0]
    if text.startswith(b'"'):
        return _IN_TEXT.sub(_escaped, text)
    return b" " if text in (b"\x00", b"\xef\xbb\xbf") else b'"%b"' % text


def _escaped(found: re.Match[bytes]) -> bytes:
    if found["half"]:
        return rb"\ufffd"
    if bare := found["bare"]:
        return rb"\\" if bare == b"\\" else rb"\u%04x" % bare[0]
    return found[0]
