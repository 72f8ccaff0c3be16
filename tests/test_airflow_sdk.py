"""Airflow's names, with each release of common-compat that the supported versions have."""

from __future__ import annotations

import subprocess
import sys

BOTH_WAYS = """
import sys, warnings
from airflow_langsmith import airflow_sdk
first = {name: getattr(airflow_sdk, name) for name in airflow_sdk.__all__}
sys.modules["airflow.providers.common.compat.sdk"] = None  # as before common-compat 1.8
del sys.modules["airflow_langsmith.airflow_sdk"], sys.modules["airflow_langsmith"].airflow_sdk
warnings.simplefilter("ignore")  # a release that has moved a name warns
from airflow_langsmith import airflow_sdk
second = {name: getattr(airflow_sdk, name) for name in airflow_sdk.__all__}
print("DIFFERENT", *sorted(name for name in first if first[name] is not second[name]))
"""


def test_an_old_common_compat_gives_the_same_names() -> None:
    """Without ``common.compat.sdk``, which Airflow 3.0's constraints do not have, each name is the same object."""
    done = subprocess.run([sys.executable, "-c", BOTH_WAYS], check=True, capture_output=True, text=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("DIFFERENT")]
    # From Airflow 3.2 on there are two settings objects: a worker's, which common-compat gives, and the server's.
    assert set(line.split()[1:]) <= {"conf"}
