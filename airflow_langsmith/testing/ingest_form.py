"""
The form in which the SDK sends runs: ``multipart/form-data``.

``post.<run id>`` is a new run, ``patch.<run id>`` a change, ``post.<run id>.inputs`` a payload, ``attachment.<run
id>.photo`` a file, and ``feedback.<id>`` feedback.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

from airflow_langsmith.testing.records import PAYLOADS, Attachment
from airflow_langsmith.testing.refusals import Refusal

__all__ = ["IngestForm", "parse_form"]

_NAME = re.compile(rb'name="([^"]*)"')
_TYPE = re.compile(rb"content-type:\s*([^;\r\n]+)", re.IGNORECASE)
_MIN_PIECES = 3  # preamble, one part, end


@dataclass(slots=True)
class IngestForm:
    """The content of a form: new runs and changes by run id, and feedback."""

    posts: dict[str, dict[str, Any]] = field(default_factory=dict)
    patches: dict[str, dict[str, Any]] = field(default_factory=dict)
    feedback: list[dict[str, Any]] = field(default_factory=list)


def parse_form(content_type: str, content: bytes) -> IngestForm:
    """
    Read a form.

    :raises Refusal: 422 for another content type, a form without an end, or an unknown part.
    """
    form = IngestForm()
    attachments: dict[str, dict[str, Attachment]] = {}
    for name, mime_type, payload in _parts(content_type, content):
        kind, _, rest = name.partition(".")
        run_id, _, part = rest.partition(".")
        if kind == "attachment" and part:
            attachments.setdefault(run_id, {})[part] = Attachment(mime_type, payload)
        elif kind == "feedback" and not part:
            form.feedback.append(_object(name, payload))
        elif kind in ("post", "patch") and part in ("", *PAYLOADS):
            runs = form.posts if kind == "post" else form.patches
            run = runs.setdefault(run_id, {"id": run_id})
            run.update({part: _json(name, payload)} if part else _object(name, payload))
        else:
            raise _unexpected(name)
    for run_id, files in attachments.items():
        runs = form.posts if run_id in form.posts else form.patches
        runs.setdefault(run_id, {"id": run_id})["attachments"] = files
    return form


def _parts(content_type: str, content: bytes) -> Iterator[tuple[str, str, bytes]]:
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise Refusal(422, "Expected multipart/form-data", loc=("body",))
    pieces = (b"\r\n" + content).split(b"\r\n--" + boundary.encode())
    if len(pieces) < _MIN_PIECES or not pieces[-1].startswith(b"--"):
        raise Refusal(422, "The form has no end", loc=("body",))
    for piece in pieces[1:-1]:
        head, _, payload = piece.partition(b"\r\n\r\n")
        name, mime_type = _NAME.search(head), _TYPE.search(head)
        yield (
            name[1].decode() if name else "",
            mime_type[1].strip().decode() if mime_type else "application/octet-stream",
            payload,
        )


def _object(name: str, payload: bytes) -> dict[str, Any]:
    value = _json(name, payload)
    if not isinstance(value, dict):
        raise _unexpected(name)
    return value


def _json(name: str, payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError as error:
        raise Refusal(422, f"JSON decode error: {error}", loc=("body", name), kind="json_invalid") from error


def _unexpected(name: str) -> Refusal:
    return Refusal(422, f"Unexpected part {name!r}", loc=("body", name))
