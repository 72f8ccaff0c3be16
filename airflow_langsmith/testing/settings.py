"""How a stand-in behaves where deployments differ, or where the documentation does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Backend", "CostForm", "Edges", "FeedbackOrder", "Settings", "V1EndTime"]

Backend = Literal["clickhouse", "smithdb", "dual"]
Edges = Literal["half_open", "inclusive", "exclusive"]
V1EndTime = Literal["end", "start"]
CostForm = Literal["number", "string"]
FeedbackOrder = Literal["newest", "oldest", "modified", "id", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The arguments of ``LangSmithStandIn`` that endpoints read."""

    api_key: str = field(repr=False)
    version: str
    backend: Backend
    require_workspace: bool
    edges: Edges
    last_cursor: bool
    v1_end_time: V1EndTime
    v1_costs: CostForm
    rate_limits: Mapping[str, tuple[int, float]]
    retry_after: bool
    feedback_order: FeedbackOrder
    largest_list: int
    retention_days: int | None
    self_hosted: bool

    @property
    def release(self) -> tuple[int, ...]:
        """The version in numbers, to compare."""
        return tuple(int(part) for part in self.version.split(".")[:2])

    @property
    def serves_v1_queries(self) -> bool:
        """Only ClickHouse answers v1 queries."""
        return self.backend != "smithdb"

    @property
    def has_v1_queries(self) -> bool:
        """Release 0.18 removes the v1 run methods."""
        return self.release < (0, 18)

    @property
    def has_v2(self) -> bool:
        """Release 0.16 adds the v2 endpoints."""
        return self.release >= (0, 16)
