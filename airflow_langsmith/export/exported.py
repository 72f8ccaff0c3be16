"""What came of an export."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_langsmith.export.progress import Progress
from airflow_langsmith.manifest import Manifest

_MAX_NAME_BYTES = 256  # of JSON; the longest key that S3 takes and all the rest of a summary leave more than this


@dataclass(frozen=True, kw_only=True)
class Exported:
    """
    The result of an export: its manifest, where that lies, what it replaced, and what it took.

    If ``is_skipped``, the window was empty and nothing was written: ``manifest`` is what would lie at ``uri``.
    ``previous`` is the manifest that was there before, written at ``previous_at`` if the store says so.
    Of its ``seconds`` it waited ``waited_seconds`` for the rate limit or before another request.
    ``empty_columns`` are the flat columns that are null in all rows, each with a hint; ``unmet_paths`` the paths of
    ``redact`` that no row has.
    """

    uri: str
    manifest: Manifest
    progress: Progress
    is_skipped: bool = False
    previous: Manifest | None = field(compare=False)
    previous_at: datetime | None = field(compare=False)
    requests: int = field(compare=False)
    seconds: float = field(compare=False)
    waited_seconds: float = field(compare=False)
    empty_columns: dict[str, str] = field(default_factory=dict)
    unmet_paths: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Return the numbers of the export for XCom: under 2 KB, however long the project's name is."""
        manifest, project = self.manifest, self.manifest.project
        while len(json.dumps(project)) > _MAX_NAME_BYTES:
            project = f"{project.removesuffix('…')[:-1]}…"
        return {
            "manifest": self.uri,
            "view": manifest.view,
            "project": project,
            "project_id": manifest.project_id,
            "window_start": manifest.window_start.isoformat(),
            "window_end": manifest.window_end.isoformat(),
            "rows": manifest.rows,
            "files": len(manifest.files),
            "bytes": manifest.bytes,
            "pending": manifest.pending,
            "misfits": manifest.misfits,
            "missing_payloads": manifest.missing_payloads,
            "schema_changes": len(manifest.schema_changes),
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "waited_seconds": round(self.waited_seconds, 3),
        }
