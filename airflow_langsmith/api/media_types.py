"""Media types: what a name or a server says of a file, and whether what came can be that."""

from __future__ import annotations

import re
from functools import cache
from mimetypes import MimeTypes

_HTML = ("text/html", "application/xhtml+xml")
_OTHER_MESSAGES = ("application/json", "application/xml")
_NO_TEXT = ("image", "audio", "video", "font")
_LENGTH = re.compile(r"\s*;\s*length=([0-9]{1,15})\s*(?=;|$)", re.IGNORECASE)


def media_type(written: str | None) -> str:
    """
    Read the type without its parameters.

    >>> media_type("Text/Plain; charset=utf-8")
    'text/plain'
    """
    return (written or "").partition(";")[0].strip().lower()


def printable_type(written: str) -> str:
    """
    Read a type as an error may show it: its name, and nothing else that a server can write there.

    >>> printable_type("text/html; charset=utf-8"), printable_type("<script>")
    ('text/html', '')
    """
    found = re.match(r"[a-z]{1,20}/[a-z0-9.+-]{1,60}(?=\s*(?:;|$))", written, re.IGNORECASE)
    return found[0].lower() if found else ""


def type_and_size(written: str | None) -> tuple[str | None, int | None]:
    """
    Read the type of a file and its size in bytes, which LangSmith's SDK writes behind the type.

    >>> type_and_size("image/png; length=1234"), type_and_size("image/png")
    (('image/png', 1234), ('image/png', None))
    """
    found = _LENGTH.search(written or "")
    if written is None or found is None:
        return written or None, None
    return _LENGTH.sub("", written) or None, int(found[1])


def is_server_message(arrived: str, said: str | None, *, own_host: bool) -> bool:
    """
    Tell whether a server's own message came in place of a file, by the type of both.

    Servers and proxies answer with a page or a message, and status 200, where there is no such file. A type that is
    only more general, such as ``application/octet-stream``, is no sign of that.

    :param said: The type that the file is said to have, if any is known.
    :param own_host: Whether LangSmith's own host answered, whose user interface is a page at every address.

    >>> is_server_message("text/html; charset=utf-8", "image/jpeg", own_host=False)
    True
    >>> is_server_message("application/octet-stream", "image/jpeg", own_host=True)
    False
    """
    came, meant = media_type(arrived), media_type(said)
    if came in _HTML:
        return meant not in _HTML if meant else own_host
    is_message = came.startswith("text/") or came in _OTHER_MESSAGES
    return is_message and meant.partition("/")[0] in _NO_TEXT and not meant.endswith("+xml")


def extension(type_: str | None) -> str:
    """
    Name the ending that files of a type have.

    >>> extension("image/png"), extension("text/plain; charset=utf-8"), extension(None)
    ('png', 'txt', 'bin')
    """
    return (_types().guess_extension(media_type(type_), strict=False) or ".bin").removeprefix(".")


def guess_type(name: str) -> str | None:
    """Guess the type of a file by its name."""
    type_, compression = _types().guess_type(name, strict=False)
    return None if compression else type_


@cache
def _types() -> MimeTypes:
    return MimeTypes()  # Python's own table: that of the machine would give other rows on another worker
