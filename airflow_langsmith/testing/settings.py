"""How one stand-in behaves, where real deployments differ or the documentation leaves it open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CostForm", "Edges", "FeedbackOrder", "Settings", "V1EndTime", "VersionNegotiator"]

VersionNegotiator = Literal["clickhouse", "smithdb", "dual"]
Edges = Literal["half_open", "inclusive", "exclusive"]
V1EndTime = Literal["end", "start"]
CostForm = Literal["number", "string"]
FeedbackOrder = Literal["newest", "oldest", "modified", "id", "none"]


@dataclass(frozen=True, slots=True)
class Settings:
    """See ``LangSmithStandIn`` for the meaning of each."""

    api_key: str = field(default="lsv2_pt_stand_in_key", repr=False)
    version: str = "0.16.3"
    backend: VersionNegotiator = "dual"
    workspace_id: str | None = None
    require_workspace: bool = False
    edges: Edges = "half_open"
    last_cursor: bool = True
    v1_end_time: V1EndTime = "end"
    v1_costs: CostForm = "number"
    rate_limits: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    retry_after: bool = True
    feedback_order: FeedbackOrder = "newest"
    largest_list: int = 100
    retention_days: int | None = None
    self_hosted: bool = False

    @property
    def release(self) -> tuple[int, ...]:
        """The version as numbers that compare."""
        return tuple(int(part) for part in self.version.split(".")[:2])

    @property
    def serves_v1_queries(self) -> bool:
        """Only ClickHouse answers v1 queries."""
        return self.backend != "smithdb"

    @property
    def has_v1_queries(self) -> bool:
        """Release 0.18 removed the v1 run methods."""
        return self.release < (0, 18)

    @property
    def has_v2(self) -> bool:
        """The v2 endpoints came with release 0.16."""
        return self.release >= (0, 16)
