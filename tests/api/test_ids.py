"""A set of ids: exact for any ids, and small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_langsmith.api.ids import IdLog, IdSet

MANY = """
from uuid import UUID
import random
from airflow_langsmith.api.ids import IdLog, IdSet

def peak():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))) / 1024

ids, log, chance = IdSet(), IdLog(), random.Random(1)
before = peak()
for _ in range(300):
    page = [str(UUID(int=chance.getrandbits(128))) for _ in range(1000)]
    assert len(ids.add(page)) == 1000
    log.add(page)
assert list(ids.add([page[7], "another", page[8]])) == [1]
assert log.known([page[7], "another"]) == {page[7]}
print(peak() - before)
"""


@given(st.lists(st.lists(st.text(max_size=3), max_size=20), max_size=10))
def test_it_tells_what_is_new(batches: list[list[str]]) -> None:
    """Whatever texts come, in whatever batches, each is new in its first place, and nowhere else."""
    ids, known = IdSet(), set[str]()
    for batch in batches:
        expected = []
        for place, text in enumerate(batch):
            if text not in known:
                expected.append(place)
            known.add(text)
        assert list(ids.add(batch)) == expected


@given(st.lists(st.lists(st.text(max_size=3), max_size=20), max_size=10), st.integers(0, 9))
def test_a_log_knows_what_was_added(batches: list[list[str]], first: int) -> None:
    """Whenever it is asked first, a log knows the ids that were added until then, and no others."""
    log, known = IdLog(), set[str]()
    for number, batch in enumerate(batches):
        if number >= first:
            assert log.known(batch) == known.intersection(batch)
        log.add(batch)
        known.update(batch)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_it_takes_little_memory() -> None:
    """300,000 ids, which a set of Python holds in 40 MB, take less than 5, twice."""
    process = subprocess.run([sys.executable, "-c", MANY], check=True, capture_output=True, text=True, timeout=120)
    assert float(process.stdout) < 5
