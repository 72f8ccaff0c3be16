"""What all tests share: an Airflow of their own, a LangSmith in a box, and nothing of the user's environment."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Before the first import of Airflow: a home of this process's own, so that tests run beside other checkouts.
_HOME = tempfile.mkdtemp(prefix="airflow-langsmith-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
for name in [name for name in os.environ if name.startswith(("AIRFLOW", "LANGSMITH_", "LANGCHAIN_", "AWS_"))]:
    del os.environ[name]
os.environ.update(
    AIRFLOW_HOME=_HOME,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="True",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME}/airflow.db?timeout=60",
    LANGSMITH_TRACING="false",
)
