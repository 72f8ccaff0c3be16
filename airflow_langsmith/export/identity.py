"""What an export is: what a re-run has in common with it, and no other export."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Self

from airflow_langsmith import __version__
from airflow_langsmith.errors import DestinationConflictError
from airflow_langsmith.export.destination import StoragePath
from airflow_langsmith.filters import format_time
from airflow_langsmith.manifest import Manifest
from airflow_langsmith.messages import shorten
from airflow_langsmith.windows import TimeWindow


@dataclass(frozen=True, kw_only=True)
class Identity:
    """
    View, project, window and query of an export: what it may replace, and which checkpoints it may use.

    ``project`` is the name, for messages only. ``query`` holds the arguments that narrow it, ``{"is_root": True}``.
    """

    view: str
    project: str
    project_id: str
    window: TimeWindow
    query: dict[str, Any]

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Read the identity of a published export."""
        return cls(
            view=manifest.view,
            project=manifest.project,
            project_id=manifest.project_id,
            window=TimeWindow(manifest.window_start, manifest.window_end),
            query=manifest.query,
        )

    def digest(self, *details: Any) -> str:
        """Return a digest of it, of this version of the package, and of what else makes its rows differ."""
        content = [__version__, self.view, self.project_id, self.window.arguments(), self.query, *details]
        return sha256(json.dumps(content, default=str).encode()).hexdigest()[:16]

    def refuse_another(self, previous: Manifest | None, path: StoragePath) -> None:
        """
        Fail rather than replace another export.

        :raises DestinationConflictError: naming both.
        """
        if previous is None:
            return
        other = self.of(previous)
        fields = (("view", "view"), ("project", "project_id"), ("window", "window"), ("query", "query"))
        differences = [name for name, field in fields if getattr(other, field) != getattr(self, field)]
        if not differences:
            return
        names = [repr(other.project), repr(self.project)]
        if "project" in differences and other.project == self.project:  # deleted and made anew
            names = [f"{names[0]} ({other.project_id})", f"{names[1]} ({self.project_id})"]
        raise DestinationConflictError(
            f"The destination holds an export of another {' and '.join(differences)}. To go on would lose it. Use "
            "another destination, or remove the export there.\n"
            f"There: {_described(other, names[0])}.\n"
            f"This export: {_described(self, names[1])}.\n"
            f"Place: {path}"
        )


def _described(identity: Identity, project: str) -> str:
    window = identity.window
    start, end = (format_time(bound).replace(".000000", "") for bound in (window.start, window.end))
    query = shorten(", ".join(f"{name}={value}" for name, value in identity.query.items()), 300) or "not narrowed"
    return f"{identity.view} of {project}, [{start}, {end}), {query}"
