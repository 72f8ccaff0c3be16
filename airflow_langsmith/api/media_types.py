"""Media types of files: by their names, by what a server says, and by what came."""

from __future__ import annotations

import re
from functools import cache
from mimetypes import MimeTypes

_HTML = ("text/html", "application/xhtml+xml")
_OTHER_MESSAGES = ("application/json", "application/xml")
_NO_TEXT = ("image", "audio", "video", "font")
_LENGTH = re.compile(r"\s*;\s*length=([0-9]{1,15})\s*(?=;|$)", re.IGNORECASE)


def _without_parameters(written: str | None) -> str:
    return (written or "").partition(";")[0].strip().lower()


def printable_type(written: str) -> str:
    """Return a type as an error may show it: its name, and nothing else that a server can write there."""
    name = re.match(r"[a-z]{1,20}/[a-z0-9.+-]{1,60}(?=\s*(?:;|$))", written, re.IGNORECASE)
    return name[0].lower() if name else ""


def type_and_size(written: str | None) -> tuple[str | None, int | None]:
    """Return the type and the bytes of a file from a type as LangSmith's SDK writes it: ``image/png; length=1234``."""
    length = _LENGTH.search(written or "")
    if written is None or length is None:
        return written or None, None
    return _LENGTH.sub("", written) or None, int(length[1])


def is_server_message(received: str, expected: str | None, *, own_host: bool) -> bool:
    """
    Return whether a server's own message came in place of a file, by the types of both.

    If a file does not exist, servers and proxies may answer with a page or a message, and status 200. A type that is
    only more general, such as ``application/octet-stream``, is no sign of that.

    :param own_host: Whether LangSmith's own host answered, whose user interface is a page at every address.

    >>> is_server_message("text/html; charset=utf-8", "image/jpeg", own_host=False)
    True
    >>> is_server_message("application/octet-stream", "image/jpeg", own_host=True)
    False
    """
    received_type, expected_type = _without_parameters(received), _without_parameters(expected)
    if received_type in _HTML:
        return expected_type not in _HTML if expected_type else own_host
    is_message = received_type.startswith("text/") or received_type in _OTHER_MESSAGES
    return is_message and expected_type.partition("/")[0] in _NO_TEXT and not expected_type.endswith("+xml")


def extension(type_: str | None) -> str:
    """Return the ending that files of a type have: ``png``, ``txt``, or ``bin`` for an unknown type."""
    return (_types().guess_extension(_without_parameters(type_), strict=False) or ".bin").removeprefix(".")


def guess_type(name: str) -> str | None:
    """Guess the type of a file by its name."""
    type_, compression = _types().guess_type(name, strict=False)
    return None if compression else type_


@cache
def _types() -> MimeTypes:
    return MimeTypes()  # Python's own table, because the machine's differs between workers
