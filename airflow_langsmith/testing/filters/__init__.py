"""LangSmith's filter language, read and judged independently of the package that writes it."""

from __future__ import annotations

from airflow_langsmith.testing.filters.meaning import Dialect, Filter, compile_filter
from airflow_langsmith.testing.filters.syntax import FilterSyntaxError, parse

__all__ = ["Dialect", "Filter", "FilterSyntaxError", "compile_filter", "parse"]
