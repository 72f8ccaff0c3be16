"""Write the tables of ``docs`` that the code decides, such as those of columns: ``python scripts/tables.py``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from airflow_langsmith import errors
from airflow_langsmith.api.bulk_rows import export_fields
from airflow_langsmith.api.v1 import V1
from airflow_langsmith.api.v2 import V2
from airflow_langsmith.errors import LangSmithError
from airflow_langsmith.tables import delta, duckdb, iceberg, postgres
from airflow_langsmith.transform.redact import TEXTS
from airflow_langsmith.views import VIEWS, Column
from airflow_langsmith.views.columns import IDS

_PARENTS = "With `clickhouse` a parent includes its child runs, with `smithdb` it does not."
_PADDED = "`v2_beta`: without the members that are null."
# How the values of a bulk export differ; a column that is not here has the same ones.
BULK_DIFFERENCES = {
    **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), _PARENTS),
    **dict.fromkeys(("prompt_cost", "completion_cost", "total_cost", "first_token_time"), _PARENTS),
    **dict.fromkeys(("outputs", "extra"), _PADDED),
    "inputs": f"{_PADDED} `input` that is text of a JSON object or list is that object or list.",
    "metadata": "`v2_beta`: without the members that are null, in some files.",
    "feedback_stats": "With `clickhouse` as on v1, with `smithdb` as on v2. Of values, only texts are counted.",
}

DOCS = Path(__file__).resolve().parent.parent / "docs"


def table(view: str) -> str:
    """Write the table of a view."""
    rows = ["| column | type | v1 | v2 | meaning |", "|---|---|---|---|---|"]
    rows += [_row(column, view) for column in VIEWS[view].columns]
    if marks := VIEWS[view].missing_payloads:
        meaning = f'{marks.meaning} Only with `payloads="flag"`.'
        rows.append(f"| `{marks.name}` | {marks.type} | blob storage | blob storage | {meaning} |")
    return "\n".join(rows)


def table_of_sources() -> str:
    """Write what columns are made of, where that has another name."""
    made: dict[tuple[str, ...], dict[str, None]] = {}
    for view in VIEWS.values():
        for column in (*view.columns, *([view.missing_payloads] if view.missing_payloads else [])):
            if column.sources:
                made.setdefault(column.sources, {})[column.name] = None
    rows = ["| a rule for | holds for |", "|---|---|"]
    return "\n".join(rows + [f"| {_names(paths)} | {_names(columns)} |" for paths, columns in made.items()])


def table_of_what_is_left_alone() -> str:
    """Write the columns that ``"*"`` of redact does not act on."""
    rows = ["| view | columns |", "|---|---|"]
    for view in VIEWS.values():
        left = [column.name for column in view.columns if column.type not in TEXTS or column.sources == IDS]
        rows.append(f"| `{view.name}` | {_names(left)} |")
    return "\n".join(rows)


def table_of_bulk_columns() -> str:
    """Write what the columns of runs are made of in a bulk export, and how their values differ from the API's."""
    rows = ["| column | made of | difference |", "|---|---|---|"]
    for column in VIEWS["runs"].columns:
        names, absent = export_fields(column.fields)
        difference = "Null." if absent else BULK_DIFFERENCES.get(column.name, "")
        rows.append(f"| `{column.name}` | {'' if absent else _names(names) or 'the project'} | {difference} |")
    return "\n".join(rows)


def table_of_errors() -> str:
    """Write each class of error, and whether a retry may help."""
    rows = ["| class | a retry may help | meaning |", "|---|---|---|"]
    for error in dict.fromkeys(_with_subclasses(LangSmithError)):
        if error.__module__ == errors.__name__:
            meaning = (error.__doc__ or "").strip().splitlines()[0].replace("``", "`")
            rows.append(f"| `{error.__name__}` | {'yes' if error.retriable else 'no'} | {meaning} |")
    return "\n".join(rows)


def table_of_types() -> str:
    """Write the types that columns have in each kind of table."""
    kinds = {"Iceberg": iceberg, "Delta Lake": delta, "DuckDB": duckdb, "PostgreSQL": postgres}
    rows = [f"| type | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    rows += [f"| {name} | {' | '.join(f'`{kind.TYPES[name]}`' for kind in kinds.values())} |" for name in iceberg.TYPES]
    return "\n".join(rows)


def tables() -> dict[str, str]:
    """Return each table by the name in its mark."""
    return {f"columns of {view}": table(view) for view in VIEWS} | {
        "columns of bulk exports": table_of_bulk_columns(),
        "made of": table_of_sources(),
        "left alone": table_of_what_is_left_alone(),
        "errors": table_of_errors(),
        "types of tables": table_of_types(),
    }


def with_tables(text: str) -> str:
    """Return a page with its tables as they should be."""
    for name, written in tables().items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        if mark:
            _, end, after = rest.partition("<!-- end -->")
            text = f"{before}{mark}{written}\n{end}{after}"
    return text


def _with_subclasses(error: type[LangSmithError]) -> Iterator[type[LangSmithError]]:
    yield error
    for kind in error.__subclasses__():
        yield from _with_subclasses(kind)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _row(column: Column, view: str) -> str:
    made = {"feedback": "the feedback", "threads": "the turns"}.get(view, "the trace")
    source = [_source(dialect.select, column) or made for dialect in (V1, V2)]
    meaning = column.meaning if column.default else f"{column.meaning} Only when named in `columns`."
    return f"| `{column.name}` | {column.type} | {source[0]} | {source[1]} | {meaning} |"


def _source(select: dict[str, tuple[str, ...]], column: Column) -> str:
    """Name what is selected, but for the fields that beside another only tell where an offloaded payload is."""
    names = dict.fromkeys(name for field in column.fields for name in select[field])
    inline = [name for name in names if not name.endswith("s3_urls")]
    return ", ".join(f"`{name}`" for name in inline or names)


if __name__ == "__main__":
    for page in DOCS.rglob("*.md"):
        page.write_text(with_tables(page.read_text()))
