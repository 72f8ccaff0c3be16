"""The operators. All arguments are by keyword, and templated."""

from airflow_langsmith.operators.bulk_export import LangSmithBulkExportOperator
from airflow_langsmith.operators.export import LangSmithExportOperator
from airflow_langsmith.operators.load import LangSmithLoadOperator
from airflow_langsmith.operators.runs import LangSmithListRunsOperator, LangSmithReadRunOperator

__all__ = [
    "LangSmithBulkExportOperator",
    "LangSmithExportOperator",
    "LangSmithListRunsOperator",
    "LangSmithLoadOperator",
    "LangSmithReadRunOperator",
]
