"""Airflow provider for LangSmith."""

__version__ = "0.1.0"
