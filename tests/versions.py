"""The release of Airflow that the tests run on."""

from __future__ import annotations

import re
from importlib import metadata

# Like (3, 0, 6); of a beta without its letters.
AIRFLOW = tuple(map(int, re.findall(r"\d+", metadata.version("apache-airflow"))[:3]))
