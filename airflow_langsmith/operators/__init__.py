"""What DAGs are made of."""

from airflow_langsmith.operators.export import LangSmithExportOperator

__all__ = ["LangSmithExportOperator"]
