"""The release of Airflow that the tests run on, and what needs a later one."""

from __future__ import annotations

import re
from importlib import metadata

import pytest

# Like (3, 0, 6); of a beta without its letters.
AIRFLOW = tuple(map(int, re.findall(r"\d+", metadata.version("apache-airflow"))[:3]))

needs_state_store = pytest.mark.skipif(AIRFLOW < (3, 3), reason="Airflow stores no state of tasks before 3.3")
