"""Write README's tables of columns from the column contract: ``python scripts/readme.py``."""

from __future__ import annotations

from pathlib import Path

from airflow_langsmith.api import v1, v2
from airflow_langsmith.views import VIEWS, Column

README = Path(__file__).resolve().parent.parent / "README.md"


def table(view: str) -> str:
    """Write the table of a view."""
    rows = ["| column | type | v1 | v2 | meaning |", "|---|---|---|---|---|"]
    rows += [_row(column, VIEWS[view].source) for column in VIEWS[view].columns]
    if marks := VIEWS[view].marks:
        meaning = f'{marks.meaning} Only with `payloads="flag"`.'
        rows.append(f"| `{marks.name}` | {marks.type} | blob storage | blob storage | {meaning} |")
    return "\n".join(rows)


def with_tables(text: str) -> str:
    """Put the tables in their places."""
    for view in VIEWS:
        before, begin, rest = text.partition(f"<!-- columns of {view} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}{begin}{table(view)}\n{end}{after}"
    return text


def _row(column: Column, of: str) -> str:
    made = {"feedback": "the feedback", "threads": "the turns"}.get(of, "the trace")
    source = [_source(dialect.SELECT, column) or made for dialect in (v1, v2)]
    meaning = column.meaning if column.default else f"{column.meaning} Only when named in `columns`."
    return f"| `{column.name}` | {column.type} | {source[0]} | {source[1]} | {meaning} |"


def _source(select: dict[str, tuple[str, ...]], column: Column) -> str:
    """Name what is selected, but for the fields that beside another only tell where an offloaded payload is."""
    names = dict.fromkeys(name for field in column.fields for name in select[field])
    inline = [name for name in names if not name.endswith("s3_urls")]
    return ", ".join(f"`{name}`" for name in inline or names)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
