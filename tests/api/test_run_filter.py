"""Which runs are meant: one value for operators, hook, sensors, triggers, manifests and checkpoints."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import airflow_langsmith
from airflow_langsmith.api.run_filter import ARGUMENTS, RUN_TYPES, RunFilter, RunFilterArguments
from airflow_langsmith.api.sampling import Sample
from airflow_langsmith.errors import ConfigurationError

PACKAGE = Path(airflow_langsmith.__file__).parent
TEXT = st.none() | st.text(min_size=1)
FILTERS = st.builds(
    RunFilter,
    run_type=st.none() | st.sampled_from(RUN_TYPES),
    is_root=st.none() | st.booleans(),
    error=st.none() | st.booleans(),
    filter=st.sampled_from([None, 'has(tags, "a")']),
    trace_id=TEXT,
    run_ids=st.none() | st.lists(st.text()).map(tuple),
    sample=st.none() | st.builds(Sample, rate=st.floats(0.01, 1), key=st.sampled_from(["trace_id", "thread_id"])),
    with_feedback=st.sampled_from([None, True]),
)


@given(FILTERS)
def test_it_survives_as_json(run_filter: RunFilter) -> None:
    """What a trigger, a manifest or a checkpoint holds of a filter is the whole filter."""
    assert RunFilter.deserialize(json.loads(json.dumps(run_filter.serialize()))) == run_filter


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"run_tpye": "llm"}, "Did you mean 'run_type'?"),
        ({"run_type": "lllm"}, "Did you mean 'llm'?"),
        ({"is_root": "perhaps"}, "is_root is 'perhaps'"),
        ({"tree_filter": "eq(name"}, "tree_filter"),
        ({"trace_id": "None"}, "trace_id is 'None'"),
    ],
)
def test_what_cannot_be_meant_is_refused(values: dict[str, Any], what: str) -> None:
    """An argument that does not exist, and a value that cannot be read, are named before anything is asked."""
    with pytest.raises(ConfigurationError, match=what.replace("?", r"\?")):
        RunFilter.parse(values)


def test_its_arguments_are_typed() -> None:
    """What type checkers know of the arguments is what is read."""
    assert set(RunFilterArguments.__annotations__) == set(ARGUMENTS)


# A new argument: only runs of a name. Each line is put after another one of the module.
NEW_ARGUMENT = {
    '    "reference_example_id": arguments.text,': '    "name": arguments.text,',
    "    run_ids: Iterable[str] | None": "    name: str | None",
    "    subtree_of: str | None = None": "    name: str | None = None",
    "        return () if self.filter is None else (self.filter,)": "",
}
CONDITIONS = """
        named = () if self.name is None else (f'eq(name, {self.name!r})'.replace("'", '"'),)
        return (*named, *(() if self.filter is None else (self.filter,)))"""
USE = """
import sys
from datetime import UTC, datetime
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.manifest import read_manifest
from airflow_langsmith.operators import LangSmithExportOperator
from airflow_langsmith.sensors import LangSmithSettledSensor
from airflow_langsmith.testing import LangSmithStandIn
from airflow_langsmith.triggers import LangSmithFeedbackEventTrigger

window = {"start_time": datetime(2026, 3, 1, tzinfo=UTC), "end_time": datetime(2026, 3, 2, tzinfo=UTC)}
with LangSmithStandIn() as langsmith:
    import os
    os.environ["AIRFLOW_CONN_LANGSMITH_DEFAULT"] = langsmith.connection()
    for name in ("pay", "pay", "ship"):
        langsmith.add_run(project="shop", name=name, start_time=window["start_time"])
    with LangSmithHook() as hook:
        assert len(list(hook.query_runs(project="shop", name="pay"))) == 2
    export = LangSmithExportOperator(task_id="x", project="shop", name="pay", destination=sys.argv[1], **window)
    exported = export.execute({})
    assert exported["rows"] == 2
    assert read_manifest(exported).query == {"name": "pay"}
sensor = LangSmithSettledSensor(task_id="wait", project="shop", name="pay", **window)
assert sensor._selection({}).serialize()["name"] == "pay"
assert "name" in sensor.template_fields
trigger = LangSmithFeedbackEventTrigger(project="shop", condition="total() > 1", name="pay")
assert trigger.serialize()[1]["name"] == "pay"
print("EVERYWHERE")
"""


def test_a_new_argument_changes_one_file(tmp_path: Path) -> None:
    """Written into the filter alone, an argument works in operators, hook, sensors, triggers and manifests."""
    shutil.copytree(PACKAGE, tmp_path / "new" / "airflow_langsmith", ignore=shutil.ignore_patterns("__pycache__"))
    module = tmp_path / "new" / "airflow_langsmith" / "api" / "run_filter.py"
    text = module.read_text()
    for line, new in NEW_ARGUMENT.items():
        assert text.count(f"{line}\n") == 1, line
        text = text.replace(f"{line}\n", f"{line}\n{new}\n" if new else f"{CONDITIONS[1:]}\n")
    module.write_text(text)
    command = [sys.executable, "-c", USE, f"file://{tmp_path}/lake"]
    done = subprocess.run(command, cwd=tmp_path / "new", check=False, capture_output=True, text=True)
    assert "EVERYWHERE" in done.stdout, done.stderr
