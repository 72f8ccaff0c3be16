"""
A sample workspace: the assistant of a web shop talks with customers over several days.

The runs have the form of ``langsmith.Client.create_run``, and the feedback that of ``create_feedback``: the SDK can log
them, or the stand-in can load them. The same seed gives the same workspace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from airflow_langsmith.testing.times import dotted_order_segment

__all__ = ["PROJECT", "sample_feedback", "sample_runs"]

PROJECT = "shop-assistant"

_DAY = timedelta(days=1)
_MAX_TURNS = 4

# Provider, model, dollars for a million input and output tokens.
_MODELS = (
    ("openai", "gpt-5-mini", 0.25, 2.0),
    ("anthropic", "claude-sonnet-4-5", 3.0, 15.0),
    ("google", "gemini-2.5-flash", 0.3, 2.5),
)
_CONVERSATIONS = (
    ("en-GB", "Where is my parcel?", "Your parcel left the depot this morning.", "track_parcel"),
    ("de-DE", "Kann ich die Größe noch ändern?", "Ja, bis heute Abend geht das noch.", "change_order"),
    ("fr-FR", "Je voudrais être remboursée.", "C'est noté : le remboursement part aujourd'hui.", "refund"),
    ("ja-JP", "領収書をもらえますか。", "はい、メールでお送りしました。", "send_invoice"),
    ("en-US", "Do you have these boots in 42? 🥾", "We do: two pairs are left.", "check_stock"),
    ("es-ES", "¿Cuánto cuesta el envío?", "El envío es gratuito a partir de 50 €.", None),
)
_PAGES = ("delivery", "returns", "invoices", "sizes", "payment")
_COMMENTS = {
    1: ("Quick and friendly.", "Danke, perfekt!", "助かりました。"),
    0: ("It asked me the same thing twice.", "Wrong order.", "Réponse à côté de la question."),
}


@dataclass(slots=True)
class _Turn:
    """A question and its answer: a trace, its root first."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    feedback: list[dict[str, Any]] = field(default_factory=list)


def sample_runs(
    *, start: datetime, days: int = 7, traces_per_day: int = 20, seed: int = 0, project: str = PROJECT
) -> Iterator[dict[str, Any]]:
    """
    Yield the runs, day by day, parents before their children.

    :param start: The begin of the first day. A time without a zone is in UTC.
    :param traces_per_day: How many questions; each is a trace of two to five runs.
    """
    for turn in _turns(start, days, traces_per_day, seed, project):
        yield from turn.runs


def sample_feedback(
    *, start: datetime, days: int = 7, traces_per_day: int = 20, seed: int = 0, project: str = PROJECT
) -> Iterator[dict[str, Any]]:
    """Yield the feedback on the runs: a ``user_score`` of 0 or 1 on about a third of the traces."""
    for turn in _turns(start, days, traces_per_day, seed, project):
        yield from turn.feedback


def _turns(start: datetime, days: int, traces_per_day: int, seed: int, project: str) -> Iterator[_Turn]:
    first = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
    for day in range(days):
        rng = Random(f"{project} {seed} {day}")  # noqa: S311 (sample data)
        remaining = traces_per_day
        while remaining > 0:
            turns = min(remaining, rng.randint(1, _MAX_TURNS))
            remaining -= turns
            begin = first + day * _DAY + timedelta(seconds=rng.uniform(0, 86_400 - 600), microseconds=1)
            yield from _Thread(rng, project).turns(begin, turns)


class _Thread:
    """The conversation of a customer."""

    def __init__(self, rng: Random, project: str) -> None:
        self.rng = rng
        self.project = project
        self.tool: str | None
        self.locale, self.question, self.answer, self.tool = rng.choice(_CONVERSATIONS)
        self.provider, self.model, self.price_in, self.price_out = rng.choice(_MODELS)
        self.metadata = {"thread_id": self._new_id(), "user_id": f"customer-{rng.randint(1, 500)}"}
        self.tags = ["shop", self.locale, *(["beta"] if self._chance(0.2) else [])]

    def turns(self, begin: datetime, count: int) -> Iterator[_Turn]:
        messages: list[dict[str, str]] = []
        for number in range(count):
            question = self.question if number == 0 else f"{self.question} ({number + 1})"
            messages = [*messages, {"role": "user", "content": question}]
            yield self._turn(begin, messages, number)
            messages = [*messages, {"role": "assistant", "content": self.answer}]
            begin += timedelta(seconds=self.rng.uniform(40, 140))

    def _turn(self, begin: datetime, messages: list[dict[str, str]], number: int) -> _Turn:
        turn, rng = _Turn(), self.rng
        customer = {"id": self.metadata["user_id"], "locale": self.locale}
        inputs = {"messages": messages, "customer": customer, "turn": number + 1}
        root = self._run(None, "shop-assistant", "chain", begin, 0.0, inputs)
        turn.runs.append(root)
        clock = begin + timedelta(milliseconds=rng.randint(2, 9))
        clock = self._retrieve(turn, root, clock, messages[-1]["content"])
        clock = self._ask_model(turn, root, clock, messages, self.tool is not None)
        failed = False
        if self.tool is not None:
            clock, failed = self._use_tool(turn, root, clock)
            if not failed:
                clock = self._ask_model(turn, root, clock, messages, False)
        self._finish(turn, root, clock, messages, failed)
        return turn

    def _finish(
        self, turn: _Turn, root: dict[str, Any], clock: datetime, messages: list[dict[str, str]], failed: bool
    ) -> None:
        if self._chance(0.03):  # the process died before the end
            return
        root["end_time"] = clock + timedelta(milliseconds=self.rng.randint(1, 8))
        if failed and self._chance(0.6):
            root["error"] = turn.runs[-1]["error"]
        elif not self._chance(0.02):  # otherwise it ended without an answer
            history = [*messages, {"role": "assistant", "content": self.answer}]
            root["outputs"] = {"messages": history, "answer": self.answer, "resolved": not failed}
        if self._chance(0.33):
            score = 0 if failed or self._chance(0.2) else 1
            comment = self.rng.choice(_COMMENTS[score]) if self._chance(0.5) else None
            turn.feedback.append(
                {
                    "feedback_id": self._new_id(),
                    "run_id": root["id"],
                    "trace_id": root["id"],
                    "key": "user_score",
                    "score": score,
                    "comment": comment,
                    "feedback_source_type": "api",
                }
            )

    def _retrieve(self, turn: _Turn, root: dict[str, Any], clock: datetime, question: str) -> datetime:
        run = self._run(root, "search_help_pages", "retriever", clock, self.rng.uniform(0.02, 0.3), {"query": question})
        run["outputs"] = {
            "documents": [
                {"page_content": f"All about {page}.", "metadata": {"source": f"help/{page}.md", "score": score / 10}}
                for score, page in enumerate(self.rng.sample(_PAGES, 2), start=6)
            ]
        }
        turn.runs.append(run)
        return _end(run)

    def _ask_model(
        self, turn: _Turn, root: dict[str, Any], clock: datetime, messages: list[dict[str, str]], calls_tool: bool
    ) -> datetime:
        rng = self.rng
        run = self._run(root, "answer", "llm", clock, rng.uniform(0.4, 4.0), {"messages": [messages]})
        first_token = clock + (_end(run) - clock) * rng.uniform(0.1, 0.4)
        message: dict[str, Any] = {"role": "assistant", "content": "" if calls_tool else self.answer}
        if calls_tool:
            message["tool_calls"] = [{"name": self.tool, "args": {"customer": self.metadata["user_id"]}}]
        run["outputs"] = {"message": message, "usage_metadata": self._usage()}
        run["extra"]["metadata"].update(ls_provider=self.provider, ls_model_name=self.model, ls_model_type="chat")
        run["extra"]["invocation_params"] = {"model": self.model, "temperature": 0.2}
        run["events"] = [
            {"name": "start", "time": clock.isoformat()},
            {"name": "new_token", "time": first_token.isoformat()},  # the SDK never sends the token itself
            {"name": "end", "time": _end(run).isoformat()},
        ]
        turn.runs.append(run)
        return _end(run)

    def _use_tool(self, turn: _Turn, root: dict[str, Any], clock: datetime) -> tuple[datetime, bool]:
        order = self.rng.randint(10_000, 99_999)
        inputs = {"order": order, "options": {"notify": True, "channels": ["mail"]}}
        run = self._run(root, str(self.tool), "tool", clock, self.rng.uniform(0.01, 1.2), inputs)
        failed = self._chance(0.12)
        if failed:
            run["error"] = f"LookupError('order {order} is not known')"
        else:
            run["outputs"] = {"output": {"order": order, "ok": True}}
        turn.runs.append(run)
        return _end(run), failed

    def _usage(self) -> dict[str, Any]:
        prompt, completion = self.rng.randint(200, 3_000), self.rng.randint(10, 400)
        input_cost = round(prompt * self.price_in / 1e6, 9)
        output_cost = round(completion * self.price_out / 1e6, 9)
        return {
            "input_tokens": prompt,
            "output_tokens": completion,
            "total_tokens": prompt + completion,
            "input_token_details": {"cache_read": prompt // 4},
            "output_token_details": {"reasoning": completion // 3},
            "input_cost": input_cost,
            "output_cost": output_cost,
            "total_cost": round(input_cost + output_cost, 9),
        }

    def _run(
        self,
        parent: dict[str, Any] | None,
        name: str,
        run_type: str,
        begin: datetime,
        seconds: float,
        inputs: dict[str, Any],
    ) -> dict[str, Any]:
        """Return a run. A root has no end yet."""
        run_id = self._new_id()
        order = dotted_order_segment(begin, run_id)
        run: dict[str, Any] = {
            "id": run_id,
            "name": name,
            "run_type": run_type,
            "inputs": inputs,
            "start_time": begin,
            "trace_id": run_id,
            "dotted_order": order,
            "extra": {"metadata": dict(self.metadata)},
            "tags": self.tags,
            "project_name": self.project,
        }
        if parent is not None:
            run["end_time"] = begin + timedelta(seconds=seconds)
            run["trace_id"] = parent["trace_id"]
            run["parent_run_id"] = parent["id"]
            run["dotted_order"] = f"{parent['dotted_order']}.{order}"
        return run

    def _chance(self, share: float) -> bool:
        return self.rng.random() < share

    def _new_id(self) -> str:
        return str(UUID(int=self.rng.getrandbits(128), version=4))


def _end(run: dict[str, Any]) -> datetime:
    end: datetime = run["end_time"]
    return end
