"""What a run spent: tokens and dollars, where the SDK logs them, and how they add up over a tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

__all__ = ["NOTHING", "Usage", "cost", "cost_details", "logged_usage", "token_details"]

Number = TypeVar("Number", int, Decimal)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and costs of a run, or of a tree of runs. A cost of None was never logged; zero is a price."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_cost: Decimal | None = None
    completion_cost: Decimal | None = None
    total_cost: Decimal | None = None
    prompt_token_details: Mapping[str, int] = field(default_factory=dict)
    completion_token_details: Mapping[str, int] = field(default_factory=dict)
    prompt_cost_details: Mapping[str, Decimal] = field(default_factory=dict)
    completion_cost_details: Mapping[str, Decimal] = field(default_factory=dict)

    @classmethod
    def sum(cls, parts: Iterable[Usage]) -> Usage:
        """Add usages up, category by category."""
        spent = [part for part in parts if part is not NOTHING]
        if not spent:
            return NOTHING
        if len(spent) == 1:
            return spent[0]
        return cls(
            sum(part.prompt_tokens for part in spent),
            sum(part.completion_tokens for part in spent),
            sum(part.total_tokens for part in spent),
            _sum_costs(part.prompt_cost for part in spent),
            _sum_costs(part.completion_cost for part in spent),
            _sum_costs(part.total_cost for part in spent),
            _sum_details(part.prompt_token_details for part in spent),
            _sum_details(part.completion_token_details for part in spent),
            _sum_details(part.prompt_cost_details for part in spent),
            _sum_details(part.completion_cost_details for part in spent),
        )


NOTHING = Usage()


def logged_usage(outputs: object, extra: object) -> Usage:
    """Find the usage an SDK logged with a run of any type: in its outputs, or in its metadata."""
    metadata = extra.get("metadata") if isinstance(extra, dict) else None
    for holder in (outputs, metadata):
        found = holder.get("usage_metadata") if isinstance(holder, dict) else None
        if isinstance(found, dict):
            return _from_usage_metadata(found)
    return NOTHING


def _from_usage_metadata(logged: Mapping[str, object]) -> Usage:
    prompt, completion = _count(logged.get("input_tokens")), _count(logged.get("output_tokens"))
    prompt_cost, completion_cost = cost(logged.get("input_cost")), cost(logged.get("output_cost"))
    total_cost = cost(logged.get("total_cost"))
    return Usage(
        prompt,
        completion,
        _count(logged.get("total_tokens")) or prompt + completion,
        prompt_cost,
        completion_cost,
        _sum_costs((prompt_cost, completion_cost)) if total_cost is None else total_cost,
        token_details(logged.get("input_token_details")),
        token_details(logged.get("output_token_details")),
        cost_details(logged.get("input_cost_details")),
        cost_details(logged.get("output_cost_details")),
    )


def cost(value: object) -> Decimal | None:
    """Read dollars from a JSON number or string without a binary detour."""
    if value is None or isinstance(value, bool):
        return None
    return Decimal(str(value))


def token_details(value: object) -> dict[str, int]:
    """Read a breakdown of tokens."""
    return {name: _count(count) for name, count in value.items()} if isinstance(value, dict) else {}


def cost_details(value: object) -> dict[str, Decimal]:
    """Read a breakdown of costs."""
    return {name: Decimal(str(part)) for name, part in value.items()} if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return int(value) if isinstance(value, (int, float)) else 0


def _sum_costs(costs: Iterable[Decimal | None]) -> Decimal | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if known else None


def _sum_details(details: Iterable[Mapping[str, Number]]) -> dict[str, Number]:
    total: dict[str, Number] = {}
    for detail in details:
        for name, part in detail.items():
            total[name] = total[name] + part if name in total else part
    return total
