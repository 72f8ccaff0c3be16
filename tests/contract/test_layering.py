"""The walls of the house: who may import whom, and what must not be loaded when a DAG is parsed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_langsmith

PACKAGE = Path(airflow_langsmith.__file__).parent

# Room -> the rooms of the house it may import. `__version__` is everybody's.
MAY_IMPORT = {
    "airflow_errors": {"airflow_sdk", "errors"},
    "airflow_sdk": set(),
    "api": {"api", "arguments", "errors", "filters", "masking", "messages", "windows"},
    "arguments": {"errors", "messages"},
    "connections": {"airflow_sdk", "errors"},
    "errors": {"masking", "messages"},
    "export": {
        *("api", "connections", "errors", "export", "extras", "filters", "manifest", "messages"),
        *("transform", "views", "windows"),
    },
    "extras": set(),
    "filters": {"errors", "templates"},
    "hooks": {
        *("airflow_sdk", "api", "arguments", "connections", "errors", "filters", "messages", "provider_info"),
        *("views", "windows"),
    },
    "links": {"airflow_sdk"},
    "manifest": {"errors", "export.destination", "export.layout", "export.storage"},
    "masking": {"messages"},
    "messages": set(),
    "operators": {
        *("airflow_errors", "airflow_sdk", "api", "arguments", "connections", "errors", "export", "filters", "hooks"),
        *("links", "manifest", "messages", "operators", "templates", "transform", "views", "windows"),
    },
    "provider_info": {"api.settings"},
    "sensors": {
        *("airflow_errors", "airflow_sdk", "api.negotiation", "api.query", "arguments", "errors", "hooks", "links"),
        *("messages", "operators.base", "operators.report", "triggers", "waiting", "windows"),
    },
    "templates": set(),
    "testing": {"testing"},
    "transform": {"api.decoding", "errors", "messages", "transform", "views.columns"},
    "triggers": {"api", "arguments", "errors", "filters", "hooks", "messages", "waiting", "windows"},
    "views": {"api", "arguments", "errors", "filters", "messages", "views", "windows"},
    "waiting": {"api", "errors", "messages", "waiting", "windows"},
    "windows": {"errors", "messages", "windows"},
}

# Modules with stricter walls than their room: nothing that asks LangSmith.
PURE = {f"waiting.{name}": {"waiting", "errors", "messages"} for name in ("condition", "figures", "parser", "verdict")}

# Outside package -> the modules that may import it.
OUTSIDE = {
    "httpx": {"api.transport"},
    "pyarrow": {"export.arrow"},
    "airflow": {"airflow_sdk", "links", "triggers", "operators.export", "operators.runs", "export.destination"},
}


def room_of(name: str) -> str:
    """Tell which room a module, or what is in one, belongs to."""
    return name.partition(".")[0]


def modules() -> Iterator[tuple[str, Path]]:
    """Give every module of the package by its name within it."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def imports(path: Path) -> Iterator[str]:
    """Give everything a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_nobody_reaches_through_a_wall(name: str, path: Path) -> None:
    """A module imports the rooms its own room may import, and outside packages only where they are at home."""
    room = room_of(name)
    for imported in imports(path):
        top, _, inner = imported.partition(".")
        if top == "airflow_langsmith" and inner != "__version__":
            allowed = PURE.get(name, MAY_IMPORT.get(room, set()))
            assert any(inner == other or inner.startswith(f"{other}.") for other in allowed), f"{name}: {imported}"
        if top in OUTSIDE:
            assert name in OUTSIDE[top], f"{name} imports {imported}"


def test_v1_is_removed_with_one_file_and_its_registration() -> None:
    """Nothing but the negotiator knows V1, so that v1 can be removed when LangSmith has."""
    users = {name for name, path in modules() if any("airflow_langsmith.api.v1" in used for used in imports(path))}
    assert users == {"api.negotiation"}


def test_every_room_has_its_rule() -> None:
    """A new room says whom it may import."""
    rooms = {room_of(name) for name, _ in modules()} - {"__init__"}
    assert rooms == set(MAY_IMPORT)


def test_no_file_grows_without_end() -> None:
    """A file has one job; at 400 lines it has two."""
    assert not [name for name, path in modules() if len(path.read_text().splitlines()) > 400]


PARSE = """
import sys
import msgspec  # Airflow loads it, from 3.1 on
import airflow_langsmith.airflow_sdk
from airflow.sdk import BaseOperator, DAG
with DAG("without"):
    BaseOperator(task_id="export")
before = set(sys.modules)
with DAG("with"):
    from airflow_langsmith.operators import LangSmithExportOperator
    from airflow_langsmith.sensors import LangSmithSettledSensor
    LangSmithSettledSensor(task_id="settled", project="shop")
    LangSmithExportOperator(task_id="export", project="shop", destination="s3://conn@bucket/key")
import threading
print("LOADED", *sorted(set(sys.modules) - before))
print("THREADS", threading.active_count())
"""


def test_parsing_a_dag_loads_nothing_else() -> None:
    """A DAG that uses the operators loads our own modules and the standard library, beyond what Airflow has loaded."""
    done = subprocess.run([sys.executable, "-c", PARSE], check=True, capture_output=True, text=True)
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith(("LOADED", "THREADS")))
    loaded = lines["LOADED"].split()
    known = {"airflow_langsmith", *sys.stdlib_module_names}
    assert "airflow_langsmith.operators.export" in loaded
    assert not [name for name in loaded if room_of(name) not in known]
    assert not {"airflow_langsmith.export.arrow", "airflow_langsmith.testing"} & set(loaded)
    assert lines["THREADS"] == "1"
