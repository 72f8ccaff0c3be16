"""
Addresses of tables.

::

    iceberg://<conn_id>/<namespace>.<table>
    delta:///<path>, delta+s3://<conn_id>@<bucket>/<path>, delta+gs://..., delta+abfs://...
    duckdb:///<file>?table=<schema>.<table>
    postgres://<conn_id>/<schema>.<table>
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.export.destination import check_uri
from airflow_langsmith.extras import STORES
from airflow_langsmith.messages import suggest

_FORMS = {
    "iceberg": "iceberg://<conn_id>/<namespace>.<table>",
    "delta": "delta:///<path> or delta+s3://<conn_id>@<bucket>/<path> (also delta+gs, delta+abfs)",
    "duckdb": "duckdb:///<file>?table=<schema>.<table>",
    "postgres": "postgres://<conn_id>/<schema>.<table>",
}
_SCHEMES = ("iceberg", "delta", *(f"delta+{store}" for store in STORES), "duckdb", "postgres")
_CONN_ID = re.compile(r"[\w#!()\-.:/\\]+")  # as Airflow has it; so no user:password@host


@dataclass(frozen=True)
class TableUri:
    """
    The address of a table.

    ``name`` has the steps of the table's name, ``place`` the file of a DuckDB database or the URI of a Delta table.

    >>> TableUri.parse("postgres://warehouse/langsmith.runs").name
    ('langsmith', 'runs')
    >>> TableUri.parse("duckdb:///lake/langsmith.duckdb?table=runs").place
    '/lake/langsmith.duckdb'
    >>> TableUri.parse("delta+s3://aws@lake/tables/runs").place
    's3://aws@lake/tables/runs'
    """

    uri: str
    kind: str
    conn_id: str = ""
    name: tuple[str, ...] = ()
    place: str = ""

    @classmethod
    def parse(cls, uri: str) -> Self:
        """
        Parse the address of a table.

        :raises ConfigurationError: if it is none.
        """
        uri = uri.strip()
        scheme, separator, rest = uri.partition("://")
        kind, _, store = scheme.partition("+")
        if not separator:
            guess = uri.partition(":")[0]
            form = _FORMS[guess if guess in _FORMS else "iceberg"]
            raise ConfigurationError(f"{uri!r} is no URI of a table. Write it like {form}.")
        if scheme in STORES:
            raise ConfigurationError(
                f"There is no kind of table {scheme!r}. A table of Delta Lake there is delta+{uri}."
            )
        if scheme not in _SCHEMES:
            raise ConfigurationError(f"There is no kind of table {scheme!r}. {suggest(scheme, _SCHEMES)}")
        if "None" in re.split(r"[/@.=?]", rest):
            raise ConfigurationError(f"The table is {uri!r}: a template gave None. Correct the template.")
        if kind == "delta":
            return cls._delta(uri, f"{store or 'file'}://{rest}")
        parts = urlsplit(uri)
        if kind == "duckdb":
            names = [value for key, value in parse_qsl(parts.query) if key == "table"]
            name = _steps(names[0]) if len(names) == 1 else ()
            if parts.netloc or len(parts.path) <= 1 or not name or len(name) > 2:  # noqa: PLR2004  # schema and table
                raise _misspelt(uri, kind)
            return cls(uri, kind, name=name, place=unquote(parts.path))
        name = _steps(unquote(parts.path.removeprefix("/")))
        is_complete = len(name) == 2 if kind == "postgres" else len(name) > 1  # noqa: PLR2004  # schema and table
        if not _CONN_ID.fullmatch(unquote(parts.netloc)) or not is_complete or parts.query:
            raise _misspelt(uri, kind)
        return cls(uri, kind, conn_id=unquote(parts.netloc), name=name)

    @classmethod
    def _delta(cls, uri: str, place: str) -> Self:
        try:
            check_uri(place)
        except ConfigurationError as error:
            raise _misspelt(uri, "delta") from error
        if not place.partition("://")[2].partition("/")[2].strip("/"):
            raise _misspelt(uri, "delta")
        return cls(uri, "delta", place=place)


def _steps(name: str) -> tuple[str, ...]:
    steps = tuple(name.split("."))
    return steps if all(steps) and all(step == step.strip() and step.isprintable() for step in steps) else ()


def _misspelt(uri: str, kind: str) -> ConfigurationError:
    return ConfigurationError(f"{uri!r} names no table. Write it like {_FORMS[kind]}.")
