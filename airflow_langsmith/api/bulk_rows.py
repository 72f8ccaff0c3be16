r"""
Runs from the columns of Bulk Export files, with the values that API v1 and v2 give.

::

    column       in the file                                    in the run
    id           '"0f9f5a3e-..."'                               "0f9f5a3e-..."
    start_time   "2026-03-01 23:59:59.999999999"                datetime(2026, 3, 1, 23, 59, 59, 999999, tzinfo=UTC)
    status       "SUCCESS"                                      "success"
    tags         '["prod"]'                                     ["prod"]
    total_cost   NaN                                            None
    total_tokens 12.0                                           12
    extra        '{"metadata": {"thread_id": "t1"}}'            as it is; metadata, and thread_id "t1"
    inputs       '{"input": "{\"q\": 1}", "other": null}'         {"input": {"q": 1}} (v2_beta)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import msgspec
from msgspec import Raw

from airflow_langsmith.api.decoding import NULL, decode
from airflow_langsmith.api.records import Project, Run
from airflow_langsmith.api.wire_run import WireRun, normalize_runs, read_extra
from airflow_langsmith.errors import PayloadError, TransportError

# The columns of a file, each once; without `export_fields` it has all but the last.
EXPORT_FIELDS = (
    *("completion_cost", "completion_tokens", "dotted_order", "end_time", "error", "events", "extra"),
    *("feedback_stats", "first_token_time", "id", "inputs", "is_root", "name", "outputs", "parent_run_id"),
    *("parent_run_ids", "prompt_cost", "prompt_tokens", "reference_example_id", "run_type", "session_id"),
    *("start_time", "status", "tags", "tenant_id", "total_cost", "total_tokens", "trace_id", "trace_tier"),
    "feedbacks",
)

_IDS = ("id", "trace_id", "parent_run_id", "reference_example_id")
_LOWER = ("run_type", "status")
_TEXTS = (*_IDS, *_LOWER, "name", "dotted_order", "error", "start_time", "end_time", "first_token_time")
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_COSTS = ("prompt_cost", "completion_cost", "total_cost")
_PAYLOADS = ("inputs", "outputs", "extra", "events", "feedback_stats")
JSON_FIELDS = frozenset((*_PAYLOADS, "tags"))  # text that holds JSON

# Fields of a run -> the columns that they are made of. The fields that are not here cannot be exported.
_SOURCES: Mapping[str, tuple[str, ...]] = {
    **{name: (name,) for name in (*_TEXTS, *_COUNTS, *_COSTS, *JSON_FIELDS)},
    **dict.fromkeys(("thread_id", "model", "metadata"), ("extra",)),
    "project": (),
    "missing_payloads": (),
}
# A null there has a meaning (a root, a pending run), or is not allowed: without the column, runs would be wrong.
_NEEDED = ("id", "start_time", "end_time", "parent_run_id")

Columns: TypeAlias = Mapping[str, list[Any]]


def export_fields(fields: Iterable[str]) -> tuple[list[str], list[str]]:
    """
    Return the export fields that some fields of a run are made of, and the fields that Bulk Export does not have.

    >>> export_fields(["id", "thread_id", "attachments"])
    (['extra', 'id'], ['attachments'])
    """
    names = set(fields)
    return (
        sorted({column for name in names & _SOURCES.keys() for column in _SOURCES[name]}),
        sorted(names - _SOURCES.keys()),
    )


class _BulkRun(WireRun, kw_only=True, gc=False):
    in_dataset: bool | None = None
    attachments: Any = None


class _RolledUpRun(_BulkRun, kw_only=True, gc=False):
    includes_children: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class BulkRunReader:
    """
    Makes runs of the columns of the files that a run of a bulk export wrote.

    :param fields: The fields of a run to fill. Those that the files do not have are None.
    :param format_version: ``v1`` or ``v2_beta``.
    :param backend: The engine that the rows come from. ``clickhouse`` adds up the tokens and costs of a run's children.
    """

    project: Project
    fields: Collection[str]
    format_version: str
    backend: str | None = None

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns to read from the files."""
        return tuple(export_fields((*self.fields, "id", "start_time"))[0])

    def runs(self, columns: Columns) -> list[Run]:
        """
        Make the runs of some rows.

        :param columns: Lists of plain values by the name of the column, all of the same length. Times are text; a
            column of :data:`JSON_FIELDS` has bytes of JSON, or dicts and lists.
        :raises PayloadError: for a column that is missing, and for values of another type.
        """
        for name in self.columns:
            if name in _NEEDED and name not in columns:
                raise PayloadError(f"There is no column {name!r}. Add it to the fields of the bulk export.")
        ids = _ids("id", columns["id"])
        values = {
            name: _RAW_READERS[name](name, columns[name], ids, is_padded=self._is_padded)
            if name in _RAW_READERS
            else _READERS[name](name, columns[name])
            for name in self.columns
            if name in columns
        }
        for name in ("id", "start_time"):
            if None in values[name]:
                raise PayloadError(f"Column {name!r} has a null. {_TELL}")
        make = _RolledUpRun if self.backend == "clickhouse" else _BulkRun
        names = tuple(values)
        runs = [make(**dict(zip(names, row, strict=True))) for row in zip(*values.values(), strict=True)]
        return self._normalized(runs, columns.keys())

    @property
    def _is_padded(self) -> bool:
        return self.format_version != "v1"

    def _normalized(self, runs: Sequence[WireRun], names: Collection[str]) -> list[Run]:
        fields = {*self.fields}
        if "extra" in self.columns:
            fields |= {"extra", "metadata"}
            read_extra(runs)
        normalized = normalize_runs(runs, self.project, fields)
        for name in (*_COUNTS, "tags"):
            if name in fields and name not in names:  # zero tokens and no tags would be a statement
                for run in normalized:
                    setattr(run, name, None)
        return normalized


_TELL = "Bulk Export documents another type: tell us which version of LangSmith wrote it."


def _of_type(type_: Any) -> Callable[[str, list[Any]], list[Any]]:
    """Return a reader of a column whose values have a type already."""

    def read(name: str, values: list[Any]) -> list[Any]:
        try:
            msgspec.convert(values, list[type_])
        except msgspec.ValidationError as error:  # it quotes no value
            raise PayloadError(f"Column {name!r} has a value of another type: {error}. {_TELL}") from None
        return values

    return read


_texts, _whole_numbers, _numbers = _of_type(str | None), _of_type(int | None), _of_type(float | str | None)


def _ids(name: str, values: list[Any]) -> list[Any]:
    """Read ids, which v2_beta may write as JSON: in quotes, or as null."""
    ids = [id_ and id_.strip('"') for id_ in _texts(name, values)]
    return [None if id_ in ("", "null") else id_ for id_ in ids]


def _lower(name: str, values: list[Any]) -> list[Any]:
    return [text and text.lower() for text in _texts(name, values)]


def _counts(name: str, values: list[Any]) -> list[Any]:
    """Read counts, also those of an engine that makes floats or decimals of a column with nulls."""
    return _whole_numbers(name, list(map(_whole, values)))


def _whole(value: Any) -> Any:
    if not isinstance(value, float | Decimal):
        return value
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) else value


def _costs(name: str, values: list[Any]) -> list[Any]:
    return [
        cost if cost is None or isinstance(cost, str) else float(cost) if math.isfinite(cost) else None
        for cost in _numbers(name, values)
    ]


_JSON_ENCODER = msgspec.json.Encoder(decimal_format="number")
_JSON = msgspec.json.Decoder(Raw)
_JSON_LIST = msgspec.json.Decoder(list[Raw])
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_TAGS = msgspec.json.Decoder(list[list[str] | None])


def _payloads(name: str, values: list[Any], ids: list[Any], *, is_padded: bool) -> list[Raw | None]:
    texts = _json_texts(name, values, ids)
    if is_padded:
        texts = [text and _unpadded(text, name) for text in texts]
    return [None if text is None else Raw(text) for text in texts]


def _tags(name: str, values: list[Any], ids: list[Any], *, is_padded: bool) -> list[list[str] | None]:  # noqa: ARG001
    texts = [b"null" if text is None else text for text in _json_texts(name, values, ids)]
    try:
        return _TAGS.decode(b"[%b]" % b",".join(texts))
    except msgspec.ValidationError as error:
        raise PayloadError(f"Column 'tags' has another value than a list of texts: {error}. {_TELL}") from None


def _json_texts(name: str, values: list[Any], ids: list[Any]) -> list[bytes | None]:
    """Return the values as valid JSON; the defects of :mod:`airflow_langsmith.api.json_repair` are repaired."""
    kinds = {*map(type, values)} - {bytes, type(None)}
    if unknown := kinds - {dict, list}:
        raise PayloadError(f"Column {name!r} has a value of type {unknown.pop().__name__}, which is no JSON. {_TELL}")
    if kinds:
        values = [
            _JSON_ENCODER.encode(_without_nulls(value)) if isinstance(value, dict | list) else value for value in values
        ]
    texts = [value or None for value in values]  # an empty text is no value
    if _are_valid([text for text in texts if text is not None]):
        return texts
    return [text and _repaired(text, name, id_) for text, id_ in zip(texts, ids, strict=True)]


def _are_valid(texts: list[bytes]) -> bool:
    """Return whether each text is JSON on one line, without a defect; all at once, in a third of the time."""
    body = b"[%b]" % b",".join(texts)
    if not body.isascii() or b"\n" in body or b"\r" in body:
        return False
    try:
        payloads = _JSON_LIST.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    # Of these lengths, each is where its text is: no two texts were read as one.
    return list(map(len, payloads)) == list(map(len, texts))


def _repaired(text: bytes, name: str, run_id: str) -> bytes | None:
    try:
        return bytes(decode(_JSON, text, name, levels=0)) if text.strip() else None
    except (TransportError, PayloadError):
        raise PayloadError(f"The {name} of run {run_id} is no JSON. {_TELL}") from None


def _unpadded(text: bytes, name: str) -> bytes:
    """
    Remove what v2_beta adds to an object: null members, and JSON inside JSON in ``inputs.input``.

    Only the object's own members are looked at: a null further down is the user's.
    """
    may_be_wrapped = name == "inputs" and b'"input"' in text
    if not (may_be_wrapped or b"null" in text) or not text.lstrip().startswith(b"{"):
        return text
    members = _MEMBERS.decode(text)
    own = {key: value for key, value in members.items() if value != NULL}
    inner = _unwrapped(own["input"]) if may_be_wrapped and "input" in own else None
    if inner is not None:
        own["input"] = inner
    return msgspec.json.encode(own) if inner is not None or len(own) < len(members) else text


def _unwrapped(value: Raw) -> Raw | None:
    """Return the object or list that a JSON string holds; None for any other value."""
    text = bytes(value)
    if not text.startswith(b'"'):
        return None
    inner = msgspec.json.decode(text, type=str).encode()
    if not inner.lstrip().startswith((b"{", b"[")):
        return None
    try:
        return decode(_JSON, inner, "input", levels=1)
    except (TransportError, PayloadError):
        return None


def _without_nulls(value: Any) -> Any:
    """Return the value of a struct: Parquet gives each object all members that any of them has, as nulls."""
    if isinstance(value, list) and value and all(isinstance(item, tuple) for item in value):  # a map, as Arrow gives it
        value = dict(value)
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return list(map(_without_nulls, value)) if isinstance(value, list) else value


_READERS: dict[str, Callable[[str, list[Any]], list[Any]]] = {
    **dict.fromkeys(_TEXTS, _texts),
    **dict.fromkeys(_IDS, _ids),
    **dict.fromkeys(_LOWER, _lower),
    **dict.fromkeys(_COUNTS, _counts),
    **dict.fromkeys(_COSTS, _costs),
}
_RAW_READERS: dict[str, Callable[..., list[Any]]] = {**dict.fromkeys(_PAYLOADS, _payloads), "tags": _tags}
