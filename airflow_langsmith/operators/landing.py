"""What operators that land rows have in common: the arguments that say where, and in which format."""

from __future__ import annotations

from typing import Any

from airflow_langsmith import arguments
from airflow_langsmith.export.destination import check_uri
from airflow_langsmith.export.encoders import Format, format_of


def landing_format(operator: Any) -> Format:
    """Read the arguments ``format`` and ``compression``."""
    return format_of(arguments.needed(operator.format, "format"), arguments.text(operator.compression, "compression"))


def check_destination(operator: Any) -> None:
    """Refuse a ``destination`` that names no place. A blank one is left to ``execute``."""
    if operator.destination and str(operator.destination).strip():
        check_uri(str(operator.destination))
