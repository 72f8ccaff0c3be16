"""
From rows to published files.

``gather`` makes traces of roots, ``shape`` redacts, sorts (by way of a ``spool``) and flattens rows, ``encoders`` and
``arrow`` write them into local files, ``parts`` cuts and names these, ``layout`` says where they lie, ``storage`` puts
them there whole, ``attachments`` brings files along, ``publish`` makes them one export and ``manifest`` describes it.
``pipeline`` walks the whole way.
"""

from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.manifest import Manifest, read_manifest
from airflow_langsmith.export.pipeline import (
    MAX_ROWS_PER_FILE,
    AttachmentMode,
    Exported,
    OnEmpty,
    Progress,
    SchemaChanges,
    Target,
    export,
)
from airflow_langsmith.export.shape import Shape

__all__ = [
    "MAX_ROWS_PER_FILE",
    "AttachmentMode",
    "Exported",
    "Manifest",
    "OnEmpty",
    "Progress",
    "SchemaChanges",
    "Shape",
    "Target",
    "export",
    "format_of",
    "read_manifest",
]
