"""Addresses of tables: each kind has one form, and what is none is refused with the form to write."""

from __future__ import annotations

import pytest

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.tables.uri import TableUri

DUCKDB = "Write it like duckdb:///<file>?table=<schema>.<table>."
DELTA = "Write it like delta:///<path> or delta+s3://<conn_id>@<bucket>/<path>"
ICEBERG = "Write it like iceberg://<conn_id>/<namespace>.<table>."
POSTGRES = "Write it like postgres://<conn_id>/<schema>.<table>."

REFUSED = {
    "lake.runs": ICEBERG,
    "duckdb:lake.duckdb": DUCKDB,
    "icebrg://lake/langsmith.runs": "Did you mean 'iceberg'?",
    "postgresql://lake/langsmith.runs": "Did you mean 'postgres'?",
    "delta+s4://lake/runs": "Did you mean 'delta+s3'?",
    "iceberg+s3://lake/langsmith.runs": "There is no kind of table 'iceberg+s3'.",
    "s3://lake/runs": "A table of Delta Lake there is delta+s3://lake/runs.",
    "iceberg://lake/runs": ICEBERG,
    "iceberg:///langsmith.runs": ICEBERG,
    "iceberg://lake/langsmith..runs": ICEBERG,
    "postgres://lake/runs": POSTGRES,
    "postgres://lake/a.b.runs": POSTGRES,
    "postgres://lake/langsmith.": POSTGRES,
    "postgres://lake/langsmith.runs?x=y": POSTGRES,
    "duckdb:///lake.duckdb": DUCKDB,
    "duckdb:///lake.duckdb?tabel=runs": DUCKDB,
    "duckdb:///lake.duckdb?table=a.b.runs": DUCKDB,
    "duckdb://lake.duckdb?table=runs": DUCKDB,
    "delta://lake/runs": DELTA,
    "delta://": DELTA,
    "delta+s3://lake": DELTA,
    "delta+s3://lake@/runs": DELTA,
    "iceberg://None/langsmith.runs": "a template gave None. Correct the template.",
    "postgres://lake/None.runs": "a template gave None. Correct the template.",
    "duckdb:///lake/None?table=runs": "a template gave None. Correct the template.",
    "duckdb:///lake.duckdb?table=None": "a template gave None. Correct the template.",
    "delta+s3://None@lake/runs": "a template gave None. Correct the template.",
}


@pytest.mark.parametrize(("uri", "text"), REFUSED.items())
def test_what_is_no_address_is_refused_with_the_form_to_write(uri: str, text: str) -> None:
    """A misspelt kind, a relative path, a missing name and the None of a template are refused, each with its cure."""
    with pytest.raises(ConfigurationError) as caught:
        TableUri.parse(uri)
    assert text in " ".join(str(caught.value).split())
    assert not caught.value.retriable


def test_a_password_in_an_address_is_not_shown() -> None:
    """An address with a user and a password in place of a connection is refused without showing them."""
    with pytest.raises(ConfigurationError, match="names no") as caught:
        TableUri.parse("postgres://loader:geheim@warehouse/langsmith.runs")
    assert "geheim" not in str(caught.value)


def test_an_address_may_have_blanks_around_it() -> None:
    """Blanks around an address, as a template leaves them, are no part of it."""
    assert TableUri.parse(" duckdb:///lake.duckdb?table=runs\n").uri == "duckdb:///lake.duckdb?table=runs"
