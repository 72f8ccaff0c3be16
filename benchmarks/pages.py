"""Realistic runs of a chosen size, on pages of both API versions."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from itertools import cycle
from typing import Any
from uuid import UUID

PROJECT_ID = "7b0f2f6e-0c35-4a4e-9d0a-1f6f0c7c1a11"
START = datetime(2026, 3, 1, tzinfo=UTC)
BLOCK = 100  # runs; pages are whole blocks
BLOCK_INTERVAL = timedelta(seconds=5)  # the runs of a block start within milliseconds
TEMPLATES = 128  # blocks; the others are copies with other ids and times

_SEASONING = (
    "",
    "",
    "",
    "é",
    "ß",
    "東京",
    "\U0001f6d2",
    '"',
    "\\",
    "\n",
)  # what JSON escapes, and other characters than ASCII
_KINDS = ("llm",) * 8 + ("tool",) * 5 + ("retriever",) * 2 + ("chain",) * 5
_REST = 1000  # bytes of a run without its payloads
_SMALL = 500  # bytes of a payload
_NUMBER = "ffffffff"  # placeholder of the block's number in ids
_SECOND = "2001-01-01T00:00:00"  # placeholder of the block's second
_ORDER = "20010101T000000"


def end(blocks: int) -> datetime:
    """Return the end of a window with a number of blocks from ``START``."""
    return START + blocks * BLOCK_INTERVAL


def place(time: datetime) -> tuple[int, int]:
    """Return the block of a time, and how many of its runs start before the time."""
    block, within = divmod(time - START, BLOCK_INTERVAL)
    return block, min(BLOCK, within // timedelta(microseconds=1))


def page(size: int, version: str, newest: int, oldest: int, cursor: str | None, rows: int = BLOCK) -> bytes:
    """Write runs of about ``size`` bytes, newest first: ``rows`` of the newest block, and the older blocks."""
    blocks = [_block(size, version, newest, rows)] if rows else []
    blocks += [_block(size, version, number, BLOCK) for number in range(newest - 1, oldest - 1, -1)]
    runs = ",".join(blocks)
    if version == "v1":
        return f'{{"runs":[{runs}],"cursors":{{"next":{json.dumps(cursor)}}}}}'.encode()
    return f'{{"items":[{runs}],"next_cursor":{json.dumps(cursor)}}}'.encode()


def _block(size: int, version: str, number: int, rows: int) -> str:
    start = START + number * BLOCK_INTERVAL
    return (
        ",".join(_template(size, version, number % TEMPLATES)[-rows:])
        .replace(_NUMBER, f"{number:08x}")
        .replace(_SECOND, f"{start:%Y-%m-%dT%H:%M:%S}")
        .replace(_ORDER, f"{start:%Y%m%dT%H%M%S}")
    )


@cache
def _template(size: int, version: str, number: int) -> list[str]:
    """Return the runs of a block, newest first, a microsecond apart."""
    dice = random.Random(f"{size} {number}")
    write = _v1 if version == "v1" else _v2
    runs = [write(_run(dice, number, row, size), row) for row in reversed(range(BLOCK))]
    return [json.dumps(run, separators=(",", ":"), ensure_ascii=False) for run in runs]


def _run(dice: random.Random, template: int, row: int, size: int) -> dict[str, Any]:
    """Return a run. A trace is a root and up to four children."""
    kind = dice.choice(_KINDS)
    root = row - row % 5
    prompt, completion = dice.randrange(50, 4000), dice.randrange(5, 900)
    usage: dict[str, float] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    usage |= {"prompt_cost": prompt * 2.5e-06, "completion_cost": completion * 1e-05}
    usage["total_cost"] = usage["prompt_cost"] + usage["completion_cost"]
    failed = dice.random() < 0.04
    payloads = max(size - _REST, 400)
    return {
        "id": _id(template, row),
        "trace_id": _id(template, root),
        "parent_run_id": _id(template, root) if row != root else None,
        "name": {"llm": "ChatOpenAI", "tool": dice.choice(("search_orders", "get_weather", "refund"))}.get(kind, kind),
        "run_type": kind,
        "status": "error" if failed else "success",
        "error": "ValueError('no such order')\n\nTraceback (most recent call last):\n" + _text(dice, 200)
        if failed
        else None,
        "tags": dice.sample(("production", "eu", "beta", "agent-3"), dice.randrange(3)),
        "dotted_order": f"{_ORDER}{root:06d}Z{_id(template, root)}"
        + (f".{_ORDER}{row:06d}Z{_id(template, row)}" if row != root else ""),
        "inputs": _payload(dice, kind, "inputs", payloads * 0.6),
        "outputs": _payload(dice, kind, "outputs", payloads * 0.4),
        "metadata": {
            "thread_id": f"thread-{_NUMBER}-{row // 20}",
            "ls_model_name": "gpt-5-mini",
            "ls_provider": "openai",
            "user_id": f"user-{dice.randrange(500)}",
            "revision_id": "3f9a1c2b",
        },
        "feedback_stats": {"user_score": {"n": 1, "avg": 1.0, "values": {}}} if dice.random() < 0.1 else None,
        "events": [{"name": "start", "time": f"{_SECOND}.{row:06d}"}, {"name": "end", "time": f"{_SECOND}.{row:06d}"}],
        **(usage if kind == "llm" else {}),
    }


def _v1(run: dict[str, Any], row: int) -> dict[str, Any]:
    metadata = run.pop("metadata")
    extra = {"metadata": metadata, "runtime": {"sdk": "langsmith-py", "library": "langchain-core", "platform": "Linux"}}
    empty: dict[str, Any] = {
        **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0),
        **dict.fromkeys(("prompt_cost", "completion_cost", "total_cost", "reference_example_id", "first_token_time")),
    }
    return {
        **empty,
        **run,
        "session_id": PROJECT_ID,
        "start_time": f"{_SECOND}.{row:06d}",
        "end_time": f"{_SECOND}.{row + 900:06d}",
        "first_token_time": f"{_SECOND}.{row + 300:06d}" if run["run_type"] == "llm" else None,
        "extra": extra,
        "parent_run_ids": [run["parent_run_id"]] if run["parent_run_id"] else [],
    }


def _v2(run: dict[str, Any], row: int) -> dict[str, Any]:
    parent = run.pop("parent_run_id")
    sent = {
        **run,
        "run_type": run["run_type"].upper(),
        "status": run["status"].upper(),
        "project_id": PROJECT_ID,
        "parent_run_ids": [parent] if parent else None,
        "thread_id": run["metadata"]["thread_id"],
        "start_time": f"{_SECOND}.{row:06d}Z",
        "end_time": f"{_SECOND}.{row + 900:06d}Z",
        "first_token_time": f"{_SECOND}.{row + 300:06d}Z" if run["run_type"] == "llm" else None,
    }
    return {name: value for name, value in sent.items() if value is not None}


def _id(template: int, row: int) -> str:
    return str(UUID(int=random.Random(template * BLOCK + row).getrandbits(96))).replace("00000000", _NUMBER, 1)


def _payload(dice: random.Random, kind: str, side: str, size: float) -> dict[str, Any]:
    """Return inputs or outputs: a text for a small run, and otherwise the messages of LangChain."""
    if size < _SMALL:
        return {"question" if side == "inputs" else "answer": _text(dice, size)}
    if kind == "llm":
        roles = ("SystemMessage", "HumanMessage", "AIMessage", "ToolMessage") if side == "inputs" else ("AIMessage",)
        messages = [
            _message(dice, role) for role, _ in zip(cycle(roles), range(max(1, round(size / 650))), strict=False)
        ]
        return {"messages": [messages]} if side == "inputs" else {"generations": [messages], "llm_output": None}
    if kind == "retriever" and side == "outputs":
        return {"documents": [_document(dice) for _ in range(max(1, round(size / 500)))]}
    steps = [_step(dice) for _ in range(round(size / 350))]
    return {"input" if side == "inputs" else "output": _text(dice, 100), "steps": steps}


def _message(dice: random.Random, role: str) -> dict[str, Any]:
    return {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", role],
        "kwargs": {
            "content": _text(dice, 350),
            "type": role.removesuffix("Message").lower(),
            "id": f"run-{dice.getrandbits(64):016x}",
            "additional_kwargs": {},
            "response_metadata": {"finish_reason": "stop", "model_name": "gpt-5-mini", "logprobs": None},
            "tool_calls": [],
        },
    }


def _step(dice: random.Random) -> dict[str, Any]:
    arguments = {"query": _text(dice, 60), "limit": 5, "since": None}
    return {"tool": "search_orders", "args": arguments, "observation": _text(dice, 200), "ok": True}


def _document(dice: random.Random) -> dict[str, Any]:
    metadata = {"source": f"doc-{dice.randrange(999)}.md", "score": dice.random(), "chunk": dice.randrange(40)}
    return {"id": None, "page_content": _text(dice, 350), "metadata": metadata, "type": "Document"}


def _text(dice: random.Random, size: float) -> str:
    words: list[str] = []
    vocabulary = _vocabulary()
    while size > 0:
        word = vocabulary[int(len(vocabulary) * dice.random() ** 3)]  # a few words are frequent
        words.append(word)
        size -= len(word) + 1
    return " ".join(words)


@lru_cache
def _vocabulary() -> list[str]:
    dice = random.Random("words")
    letters = "etaoinshrdlucmfwypvbg"
    plain = ["".join(dice.choices(letters, k=dice.randrange(2, 10))) for _ in range(4000)]
    return [word + dice.choice(_SEASONING) if dice.random() < 0.1 else word for word in plain]
