"""LangSmith's filter language, parsed and applied independently of ``airflow_langsmith.filters``."""

from __future__ import annotations

from airflow_langsmith.testing.filters.compiler import Dialect, Filter, compile_filter
from airflow_langsmith.testing.filters.syntax import FilterSyntaxError, parse

__all__ = ["Dialect", "Filter", "FilterSyntaxError", "compile_filter", "parse"]
