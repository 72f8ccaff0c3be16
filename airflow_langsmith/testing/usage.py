"""Tokens and dollars of a run: where the SDK logs them, and their sum over a tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

__all__ = ["NO_USAGE", "Usage", "logged_usage"]

_Number = TypeVar("_Number", int, Decimal)


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
        """Add usages, category by category."""
        usages = [part for part in parts if part is not NO_USAGE]
        if len(usages) <= 1:
            return usages[0] if usages else NO_USAGE
        return cls(
            sum(usage.prompt_tokens for usage in usages),
            sum(usage.completion_tokens for usage in usages),
            sum(usage.total_tokens for usage in usages),
            _sum_costs(usage.prompt_cost for usage in usages),
            _sum_costs(usage.completion_cost for usage in usages),
            _sum_costs(usage.total_cost for usage in usages),
            _sum_details(usage.prompt_token_details for usage in usages),
            _sum_details(usage.completion_token_details for usage in usages),
            _sum_details(usage.prompt_cost_details for usage in usages),
            _sum_details(usage.completion_cost_details for usage in usages),
        )


NO_USAGE = Usage()


def logged_usage(outputs: object, extra: object) -> Usage:
    """Return the ``usage_metadata`` that an SDK logged, in the outputs or in the metadata of the run."""
    metadata = extra.get("metadata") if isinstance(extra, dict) else None
    for fields in (outputs, metadata):
        logged = fields.get("usage_metadata") if isinstance(fields, dict) else None
        if isinstance(logged, dict):
            return _from_usage_metadata(logged)
    return NO_USAGE


def _from_usage_metadata(logged: Mapping[str, object]) -> Usage:
    prompt, completion = _count(logged.get("input_tokens")), _count(logged.get("output_tokens"))
    prompt_cost, completion_cost = _cost(logged.get("input_cost")), _cost(logged.get("output_cost"))
    total_cost = _cost(logged.get("total_cost"))
    return Usage(
        prompt,
        completion,
        _count(logged.get("total_tokens")) or prompt + completion,
        prompt_cost,
        completion_cost,
        _sum_costs((prompt_cost, completion_cost)) if total_cost is None else total_cost,
        _token_details(logged.get("input_token_details")),
        _token_details(logged.get("output_token_details")),
        _cost_details(logged.get("input_cost_details")),
        _cost_details(logged.get("output_cost_details")),
    )


def _cost(value: object) -> Decimal | None:
    """Read dollars exactly, from a JSON number or a string."""
    return None if value is None or isinstance(value, bool) else Decimal(str(value))


def _token_details(value: object) -> dict[str, int]:
    return {name: _count(count) for name, count in value.items()} if isinstance(value, dict) else {}


def _cost_details(value: object) -> dict[str, Decimal]:
    return {name: Decimal(str(part)) for name, part in value.items()} if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return int(value) if isinstance(value, (int, float)) else 0


def _sum_costs(costs: Iterable[Decimal | None]) -> Decimal | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if known else None


def _sum_details(details: Iterable[Mapping[str, _Number]]) -> dict[str, _Number]:
    total: dict[str, _Number] = {}
    for detail in details:
        for name, part in detail.items():
            total[name] = total[name] + part if name in total else part
    return total
