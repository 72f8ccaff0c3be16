"""What an export returns, as a DAG on real Airflow takes it, and what mapped tasks are called there."""

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


pytestmark = pytest.mark.skipif(AIRFLOW < (3, 1), reason="dag.test() of Airflow 3.0 hands over no mapped outputs")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the DAG by ``dag.test()``, and give what it tells."""
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
    lines = [line.removeprefix("TOLD ") for line in done.stdout.splitlines() if line.startswith("TOLD ")]
    assert lines, done.stdout[-5000:] + done.stderr[-5000:]
    found: dict[str, Any] = json.loads(lines[0])
    return found


def test_a_key_of_what_an_export_returns(told: dict[str, Any]) -> None:
    """``output["manifest"]`` is the manifest's URI, and ``output`` all that the export returned."""
    both = told["both"]
    assert both["manifest"] == both["whole"]["manifest"]
    assert both["manifest"].endswith("/runs/project=shop/date=2026-03-01/_manifest.json")
    assert both["whole"]["rows"] == 1
    assert len(told["manifests"]) == 2  # of three mapped ones, of which one failed


def test_mapped_tasks_are_named_by_project_and_window(told: dict[str, Any]) -> None:
    """A mapped export is called by its project and window, also one that fails; the user's own name stays."""
    names, states = told["names"], told["states"]
    assert [names[f"mapped {index}"] for index in range(3)] == [
        "shop, 2026-03-01 to 2026-03-02 UTC",
        "{{ bar }}, 2026-03-01 to 2026-03-02 UTC",
        "missing, 2026-03-01 to 2026-03-02 UTC",
    ]
    assert [states[f"mapped {index}"] for index in range(3)] == ["success", "success", "failed"]
    assert names["theirs 0"] == "mine: shop"
    assert names["one -1"] in (None, "-1")


def test_mapped_reads_are_named_by_run(told: dict[str, Any]) -> None:
    """A mapped read is called by the name and the id of its run."""
    assert told["names"]["read 0"].startswith("answer (")
