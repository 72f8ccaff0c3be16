"""The form in which the SDK sends runs: ``multipart/form-data``, a part for a run and one for each of its payloads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

from airflow_langsmith.testing.records import PAYLOADS, Attachment
from airflow_langsmith.testing.refusals import Refusal

__all__ = ["Shipment", "unpack"]

_NAME = re.compile(rb'name="([^"]*)"')
_TYPE = re.compile(rb"content-type:\s*([^;\r\n]+)", re.IGNORECASE)


@dataclass(slots=True)
class Shipment:
    """What one request brings: new runs and changes by the run's id, and feedback."""

    posts: dict[str, dict[str, Any]] = field(default_factory=dict)
    patches: dict[str, dict[str, Any]] = field(default_factory=dict)
    feedback: list[dict[str, Any]] = field(default_factory=list)


def unpack(content_type: str, content: bytes) -> Shipment:
    """
    Sort the parts by what they are about.

    :raises Refusal: 422 for a body that is no such form, or a part that fits nowhere.
    """
    shipment = Shipment()
    attachments: dict[str, dict[str, Attachment]] = {}
    for name, mime_type, payload in _parts(content_type, content):
        kind, _, rest = name.partition(".")
        run_id, _, part = rest.partition(".")
        if kind == "attachment" and part:
            attachments.setdefault(run_id, {})[part] = Attachment(mime_type, payload)
        elif kind == "feedback" and not part:
            shipment.feedback.append(_object(name, payload))
        elif kind in ("post", "patch"):
            runs = shipment.posts if kind == "post" else shipment.patches
            run = runs.setdefault(run_id, {"id": run_id})
            run.update(_object(name, payload) if not part else {_payload(name, part): _json(name, payload)})
        else:
            raise _misfit(name)
    for run_id, files in attachments.items():
        runs = shipment.posts if run_id in shipment.posts else shipment.patches
        runs.setdefault(run_id, {"id": run_id})["attachments"] = files
    return shipment


def _parts(content_type: str, content: bytes) -> Iterator[tuple[str, str, bytes]]:
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise Refusal(422, "Expected multipart/form-data", loc=("body",))
    pieces = (b"\r\n" + content).split(b"\r\n--" + boundary.encode())
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):  # noqa: PLR2004 (preamble, one part, end)
        raise Refusal(422, "The form has no end", loc=("body",))
    for piece in pieces[1:-1]:
        head, _, payload = piece.partition(b"\r\n\r\n")
        name, mime_type = _NAME.search(head), _TYPE.search(head)
        yield (
            name[1].decode() if name else "",
            mime_type[1].strip().decode() if mime_type else "application/octet-stream",
            payload,
        )


def _payload(name: str, part: str) -> str:
    if part not in PAYLOADS:
        raise _misfit(name)
    return part


def _object(name: str, payload: bytes) -> dict[str, Any]:
    value = _json(name, payload)
    if not isinstance(value, dict):
        raise _misfit(name)
    return value


def _json(name: str, payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError as error:
        raise Refusal(422, f"JSON decode error: {error}", loc=("body", name), kind="json_invalid") from error


def _misfit(name: str) -> Refusal:
    return Refusal(422, f"Unexpected part {name!r}", loc=("body", name))
