"""A load: what the manifests say, what the table allows, and one change of the table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import combinations
from typing import Any, Literal, get_args

from airflow_langsmith.api.query import ALL_TIME
from airflow_langsmith.errors import (
    ConfigurationError,
    ManifestError,
    PartMissingError,
    SchemaChangeError,
    TableError,
)
from airflow_langsmith.export.destination import path_at
from airflow_langsmith.export.workdir import working_directory
from airflow_langsmith.filters import format_time
from airflow_langsmith.manifest import Manifest, ManifestColumn, encode, read_manifest
from airflow_langsmith.messages import suggest
from airflow_langsmith.problems import Problem
from airflow_langsmith.tables.parts import LandedExport, Part
from airflow_langsmith.tables.table import PROJECT, Change, Loaded, Mark, Mode, Session, Table, TableState
from airflow_langsmith.views import VIEWS, ColumnType, View
from airflow_langsmith.windows import TimeWindow

log = logging.getLogger(__name__)

SchemaChanges = Literal["evolve", "fail"]
ExportReference = str | Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """
    How exports are loaded.

    ``mode`` None stands for what the exports are made for.

    :raises ConfigurationError: for an option that does not exist.
    """

    mode: Mode | None = None
    schema_changes: SchemaChanges = "evolve"

    def __post_init__(self) -> None:
        for name, known in (("mode", Mode), ("schema_changes", SchemaChanges)):
            value = getattr(self, name)
            if value not in get_args(known) and (value, name) != (None, "mode"):
                raise ConfigurationError(f"{name} is {value!r}. {suggest(value, get_args(known))}")


@dataclass(frozen=True)
class Load:
    """
    One load of exports into a table.

    :param exported: Manifests: URIs, or what exports returned.
    :param before_commit: Called last before the commit; what it raises prevents that.
    :raises ConfigurationError: for exports that do not go together, or rows that are not of their window and project.
    """

    exported: Sequence[ExportReference]
    table: Table
    options: LoadOptions = LoadOptions()
    before_commit: Callable[[], None] = lambda: None

    def run(self) -> tuple[Change, Loaded]:
        """
        Load, and return what was to be done and what was done.

        A part is gone if an export replaced it meanwhile: then the manifests are read again, once.
        """
        try:
            return self._run()
        except PartMissingError as error:
            log.info("%s. The manifest is read again", error.cause)
            return self._run()

    def _run(self) -> tuple[Change, Loaded]:
        change = self._change()
        for part in change.parts:
            _check_rows(part, change)
        with working_directory(Problem.NO_ROOM_FOR_PART) as directory, self.table.session(directory) as session:
            state = session.open(change)
            if session.is_loaded(change):
                return change, Loaded(version=state.version, is_changed=False)
            _check_table(change, state, session, self.options.schema_changes)
            return change, session.apply(change)

    def _change(self) -> Change:
        exports = [_landed(reference) for reference in self.exported]
        if not exports:
            raise ConfigurationError("exported is empty: there is no export to load.")
        exports.sort(key=lambda export: (export.manifest.window_end, export.manifest.window_start))
        manifests = [export.manifest for export in exports]
        view = _view(manifests)
        mode = self.options.mode or _common(
            {"merge" if _is_by_key(view, manifest) else "replace" for manifest in manifests},
            "Exports of a refresh and of a window do not go into one load. Load them one after the other.",
        )
        digest = sha256(mode.encode() + b"".join(map(encode, manifests))).hexdigest()
        query = None
        if mode == "replace":
            _check_windows(view, manifests)
            query = _common(
                (manifest.query for manifest in manifests),
                "The exports are narrowed differently, so they do not go into one load that replaces windows.",
            )
        elif len({manifest.columns for manifest in manifests}) > 1:
            raise ConfigurationError(
                "A merge of several exports needs the same columns in each. Load them one after the other."
            )
        return Change(
            mode=mode,
            view=view,
            exports=tuple(exports),
            columns=_columns(manifests, view),
            mark=Mark(view=view.name, query=query, digest=digest, manifest=str(exports[-1].folder)),
            before_commit=self.before_commit,
        )


def _landed(reference: ExportReference) -> LandedExport:
    manifest = read_manifest(reference)
    return LandedExport(path_at(manifest.uri).parent, manifest)


def _view(manifests: Sequence[Manifest]) -> View:
    name = _common(
        (manifest.view for manifest in manifests),
        "The exports are of different views. Load each view into a table of its own.",
    )
    if name not in VIEWS:
        raise ManifestError(f"This version knows no view {name!r}. {suggest(name, VIEWS)}")
    formats = {manifest.format for manifest in manifests if manifest.format != "parquet"}
    if formats:
        raise ManifestError(
            f"The export has the format {', '.join(sorted(formats))}, and a load reads Parquet alone. Export the "
            "window again as Parquet."
        ).of(Problem.NOT_PARQUET)
    return VIEWS[name]


def _is_by_key(view: View, manifest: Manifest) -> bool:
    """Return whether rows of an export belong to other windows, too, so that only their keys identify them."""
    return view.row_grows or not _is_whole_window(view, manifest)


def _is_whole_window(view: View, manifest: Manifest) -> bool:
    """Return whether an export has the rows of its window, and no others."""
    return view.is_of_window(manifest.query) and _window(manifest) != ALL_TIME


def _window(manifest: Manifest) -> TimeWindow:
    return TimeWindow(manifest.window_start, manifest.window_end)


def _check_windows(view: View, manifests: Sequence[Manifest]) -> None:
    """Refuse to replace windows that rows of the exports are not of, or that overlap."""
    for manifest in manifests:
        if not _is_whole_window(view, manifest):
            raise ConfigurationError(
                f"To replace the window would delete more than it adds: the export of {manifest.view} has rows of "
                "other windows, or not all rows of its own."
            ).of(Problem.WINDOW_NOT_WHOLE)
    for first, second in combinations(manifests, 2):
        is_apart = first.window_end <= second.window_start or second.window_end <= first.window_start
        if first.project_id == second.project_id and not is_apart:
            raise ConfigurationError(
                f"Two of the exports overlap, both of project {first.project!r}. Load them one after the other.\n"
                f"First: {_described_window(first)}. Second: {_described_window(second)}."
            )


def _columns(manifests: Iterable[Manifest], view: View) -> tuple[ManifestColumn, ...]:
    """Return the columns of all exports, which have one type each."""
    columns: dict[str, ManifestColumn] = {}
    for manifest in manifests:
        names = {column.name for column in manifest.columns}
        if missing := [name for name in (PROJECT, view.key, view.time) if name not in names]:
            raise ConfigurationError(
                f"The export of {manifest.view} lacks columns by which a load finds its rows: {', '.join(missing)}."
            ).of(Problem.KEY_COLUMN_MISSING)
        for column in manifest.columns:
            if column.type not in get_args(ColumnType):
                raise ManifestError(
                    f"This version knows no type {column.type!r}, which the column {column.name!r} of {manifest.uri} "
                    "has. Upgrade airflow-provider-langsmith, or export the window again."
                )
            if columns.setdefault(column.name, column).type != column.type:
                raise TableError(
                    f"The column {column.name!r} is {columns[column.name].type} in one export and {column.type} in "
                    "another. Export again with the same types."
                )
    return tuple(columns.values())


def _check_rows(part: Part, change: Change) -> None:
    """Refuse a part with rows of another project, or outside of the window that they replace."""
    manifest, view = part.manifest, change.view
    projects, times, keys = (part.bounds(name) for name in (PROJECT, view.time, view.key))
    if (projects.min, projects.max, projects.nulls) != (manifest.project_id, manifest.project_id, 0):
        foreign_id = projects.max if projects.min == manifest.project_id else projects.min
        raise ManifestError(
            f"{part.place} has rows of project {None if projects.nulls else foreign_id}, and its manifest is of "
            f"{manifest.project_id}. Nothing was loaded. Export the window again."
        )
    if times.nulls or keys.nulls:
        raise ManifestError(
            f"{part.place} has rows without {view.key} or {view.time}, which identify rows in a table. Nothing was "
            "loaded. Export the window again with values there."
        ).of(Problem.KEY_NULL)
    is_outside = times.min < manifest.window_start or times.max >= manifest.window_end
    if change.mode == "replace" and is_outside:
        raise ManifestError(
            f"{part.place} has rows outside of its window. Nothing was loaded. Export the window again.\n"
            f"Window: {_described_window(manifest)}. Its rows have {view.time} from {_short(times.min)} to "
            f"{_short(times.max)}."
        )


def _check_table(change: Change, state: TableState, session: Session, schema_changes: SchemaChanges) -> None:
    """Refuse a table that the rows do not fit into."""
    mark, view = state.mark, change.view.name
    if mark and mark.view != view:
        raise TableError(
            f"The table holds the view {mark.view}, and the export is of {view}. Load it into another table."
        )
    if change.mode == "replace" and mark and mark.query is not None and mark.query != change.mark.query:
        raise TableError(
            "The table holds exports that are narrowed differently, so replacing a window would delete rows of theirs. "
            f"Load this export into another table.\nThere: {_described(mark.query)}.\n"
            f"This export: {_described(change.mark.query)}."
        )
    names = {column.name for column in change.columns}
    absent = [name for name in state.columns if name not in names]
    if mark is None and absent:
        raise TableError(
            f"The table was not made by a load, and has columns that no export has: {', '.join(absent[:5])}. "
            "Load into another table, which the load makes, or drop these columns."
        )
    for column in change.columns:
        known, now = state.columns.get(column.name), session.types[column.type]
        if known is not None and known != now:
            raise TableError(
                f"The column {column.name!r} is {known} in the table, and {now} ({column.type}) in the export. Load "
                "into another table, or give the column that type in the table."
            )
    changes = [*(f"+ {column.name}" for column in change.new_columns(state)), *(f"- {name}" for name in absent)]
    if changes and schema_changes == "fail":
        raise SchemaChangeError(f"The columns differ from those of the table ({'; '.join(changes)}).")


def _described_window(manifest: Manifest) -> str:
    return f"[{_short(manifest.window_start)}, {_short(manifest.window_end)})"


def _short(time: datetime) -> str:
    return format_time(time).replace(".000000", "")


def _described(query: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name}={value}" for name, value in (query or {}).items()) or "not narrowed"


def _common(values: Iterable[Any], refusal: str) -> Any:
    """Return the one value that all are."""
    first, *others = values
    if any(other != first for other in others):
        raise ConfigurationError(refusal)
    return first
