"""The imports that are allowed between rooms, and what a parsed DAG does not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import airflow_langsmith

PACKAGE = Path(airflow_langsmith.__file__).parent

# Room -> the rooms that it may import. Each room may import `__version__`.
MAY_IMPORT = {
    "airflow_errors": {"problems", "airflow_sdk", "errors"},
    "airflow_sdk": set(),
    "api": {"api", "arguments", "errors", "filters", "masking", "messages", "problems", "windows"},
    "arguments": {"errors", "messages"},
    "connections": {"airflow_sdk", "errors"},
    "errors": {"problems", "masking", "messages"},
    "export": {
        *("api", "connections", "errors", "export", "extras", "filters", "manifest", "messages"),
        *("problems", "transform", "views", "windows"),
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
        *("airflow_errors", "airflow_sdk", "api", "arguments", "connections", "errors", "export", "hooks"),
        *("links", "manifest", "messages", "operators", "tables", "templates", "transform", "triggers", "views"),
        *("waiting", "windows"),
    },
    "problems": set(),
    "provider_info": {"api.settings"},
    "sensors": {
        *("airflow_errors", "airflow_sdk", "api.negotiation", "api.query", "arguments", "errors", "hooks", "links"),
        *("messages", "operators.base", "operators.report", "sensors", "triggers", "waiting", "windows"),
    },
    "tables": {
        *("airflow_sdk", "api.query", "connections", "errors", "export.arrow", "export.destination", "export.storage"),
        *("export.workdir", "extras", "filters", "manifest", "messages", "problems", "tables", "views", "windows"),
    },
    "templates": set(),
    "testing": {"testing"},
    "transform": {"api.decoding", "errors", "messages", "problems", "transform", "views.columns"},
    "triggers": {"api", "arguments", "errors", "filters", "hooks", "waiting", "windows"},
    "views": {"api", "arguments", "errors", "filters", "messages", "views", "windows"},
    "waiting": {"api", "errors", "messages", "waiting", "windows"},
    "windows": {"errors", "messages", "windows"},
}

# Modules with a stricter rule than their room: they cannot send a request.
PURE = {
    "waiting.condition": {"waiting.figures"},
    "waiting.figures": set(),
    "waiting.parser": {"errors", "messages", "waiting.condition", "waiting.figures"},
    "waiting.verdict": {"waiting.condition", "waiting.figures"},
}

# Outside package -> the modules that may import it.
OUTSIDE = {
    "httpx": {"api.transport"},
    "pyarrow": {
        *("export.arrow", "export.parquet_read", "tables.data_files", "tables.parts", "tables.postgres"),
        *("tables.rewrite", "tables.rows", "testing.bulk.parquet"),
    },
    "airflow": {
        *("airflow_sdk", "links", "triggers", "operators.bulk_export", "operators.export", "operators.load"),
        *("export.destination", "tables.connections"),
    },
    "adbc_driver_postgresql": {"tables.postgres"},
    "deltalake": {"tables.delta"},
    "duckdb": {"tables.duckdb"},
    "pyiceberg": {"tables.connections", "tables.data_files", "tables.iceberg", "tables.rewrite"},
}


def room_of(name: str) -> str:
    """Return the room of a module."""
    return name.partition(".")[0]


def modules() -> Iterator[tuple[str, Path]]:
    """Yield each module of the package, by its name in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def imports(path: Path) -> Iterator[str]:
    """Yield all imports of a module, also those in functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_a_module_imports_what_its_room_may_import(name: str, path: Path) -> None:
    """A module imports only rooms and outside packages that its rule allows."""
    room = room_of(name)
    for imported in imports(path):
        top, _, inner = imported.partition(".")
        if top == "airflow_langsmith" and inner != "__version__":
            allowed = PURE.get(name, MAY_IMPORT.get(room, set()))
            assert any(inner == other or inner.startswith(f"{other}.") for other in allowed), f"{name}: {imported}"
        if top in OUTSIDE:
            assert name in OUTSIDE[top], f"{name} imports {imported}"


def test_v1_is_removed_with_one_file_and_its_registration() -> None:
    """Only the negotiator imports v1, so that v1 can be removed when LangSmith removes it."""
    users = {name for name, path in modules() if any("airflow_langsmith.api.v1" in used for used in imports(path))}
    assert users == {"api.negotiation"}


def test_each_room_has_a_rule() -> None:
    """A new room needs a line in the table."""
    rooms = {room_of(name) for name, _ in modules()} - {"__init__"}
    assert rooms == set(MAY_IMPORT)


def test_each_rule_is_used() -> None:
    """A rule allows only imports that exist: a module with another name would have no rule, and no test would fail."""
    rules = [(name, f"airflow_langsmith.{room}") for name, rooms in (MAY_IMPORT | PURE).items() for room in rooms]
    rules += [(name, package) for package, names in OUTSIDE.items() for name in names]
    used = {(module, imported) for module, path in modules() for imported in imports(path)}
    unused = [
        (name, allowed)
        for name, allowed in rules
        if not any(f"{module}.".startswith(f"{name}.") and f"{top}.".startswith(f"{allowed}.") for module, top in used)
    ]
    assert unused == []
    assert PURE.keys() <= {module for module, _ in modules()}


def test_no_file_is_too_long() -> None:
    """A file has at most 400 lines: a longer one has two jobs."""
    assert not [name for name, path in modules() if len(path.read_text().splitlines()) > 400]


def test_no_import_circle() -> None:
    """No module needs itself to be imported; what a function imports when it is called is no circle."""
    names = dict(modules())
    needs = {
        name: {other if other in names else other.rpartition(".")[0] for other in _needed_at_import(path)}
        for name, path in names.items()
    }
    TopologicalSorter(needs).prepare()


def _needed_at_import(path: Path) -> Iterator[str]:
    """Yield the modules of the package that a module imports outside of its functions."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("airflow_langsmith"):
            inner = node.module.removeprefix("airflow_langsmith").removeprefix(".")
            yield from (f"{inner}.{alias.name}".removeprefix(".") for alias in node.names)
        is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not is_for_types and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)


PARSE = """
import sys
import msgspec  # Airflow loads it, from 3.1
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
    """A DAG with our operators loads only our modules and the standard library, beside what Airflow has loaded."""
    done = subprocess.run([sys.executable, "-c", PARSE], check=True, capture_output=True, text=True)
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith(("LOADED", "THREADS")))
    loaded = lines["LOADED"].split()
    known = {"airflow_langsmith", *sys.stdlib_module_names}
    assert "airflow_langsmith.operators.export" in loaded
    assert not [name for name in loaded if room_of(name) not in known]
    assert not {"airflow_langsmith.export.arrow", "airflow_langsmith.testing"} & set(loaded)
    assert lines["THREADS"] == "1"
