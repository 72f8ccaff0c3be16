"""The results of exports and the names of mapped tasks, in a DAG on real Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith.testing import LangSmithStandIn
from tests.versions import AIRFLOW

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAG = Path(__file__).parent / "tested" / "outputs.py"


pytestmark = pytest.mark.skipif(AIRFLOW < (3, 1), reason="dag.test() of Airflow 3.0 passes no mapped outputs")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the DAG with ``dag.test()``, and return what it prints."""
    home = tmp_path_factory.mktemp("airflow")
    with LangSmithStandIn() as langsmith:
        for project in ("shop", "{{ bar }}"):
            langsmith.add_run(project=project, name="answer", start_time=START, end_time=START)
        environment = os.environ | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAG.parent),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "AIRFLOW_CONN_LANGSMITH_DEFAULT": langsmith.connection(max_retries=0),
        }
        migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
        subprocess.run(migrate, env=environment, check=True, capture_output=True)
        done = subprocess.run([sys.executable, str(DAG)], env=environment, capture_output=True, text=True, check=False)
    lines = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stdout[-5000:] + done.stderr[-5000:]
    result: dict[str, Any] = json.loads(lines[0])
    return result


def test_a_value_of_the_result_of_an_export(result: dict[str, Any]) -> None:
    """``output["manifest"]`` is the URI of the manifest, and ``output`` is the whole result."""
    both = result["both"]
    assert both["manifest"] == both["whole"]["manifest"]
    assert both["manifest"].endswith("/runs/project=shop/date=2026-03-01/_manifest.json")
    assert both["whole"]["rows"] == 1
    assert len(result["manifests"]) == 2  # of three mapped exports, one of which failed


def test_mapped_tasks_are_named_by_project_and_window(result: dict[str, Any]) -> None:
    """A mapped export is named by its project and window, also if it fails; the name of a user stays."""
    names, states = result["names"], result["states"]
    assert [names[f"mapped {index}"] for index in range(3)] == [
        "shop, 2026-03-01 to 2026-03-02 UTC",
        "{{ bar }}, 2026-03-01 to 2026-03-02 UTC",
        "missing, 2026-03-01 to 2026-03-02 UTC",
    ]
    assert [states[f"mapped {index}"] for index in range(3)] == ["success", "success", "failed"]
    assert names["user_named 0"] == "mine: shop"
    assert names["single -1"] in (None, "-1")


def test_mapped_reads_are_named_by_run(result: dict[str, Any]) -> None:
    """A mapped read is named by the name and the id of its run."""
    assert result["names"]["read 0"].startswith("answer (")
