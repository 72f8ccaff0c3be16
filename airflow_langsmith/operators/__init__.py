"""What DAGs are made of."""

from airflow_langsmith.operators.export import LangSmithExportOperator
from airflow_langsmith.operators.runs import LangSmithListRunsOperator, LangSmithReadRunOperator

__all__ = ["LangSmithExportOperator", "LangSmithListRunsOperator", "LangSmithReadRunOperator"]
