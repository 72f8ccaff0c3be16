"""Refuse words that must not come back, in ``ROOMS`` or in other paths: ``python scripts/words.py tests/api``."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOMS = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs",
    "example_dags",
    "scripts",
    "benchmarks",
    "airflow_langsmith/api",
    "airflow_langsmith/export",
    "airflow_langsmith/filters.py",
    "airflow_langsmith/manifest.py",
    "airflow_langsmith/masking.py",
    "airflow_langsmith/messages.py",
    "airflow_langsmith/templates.py",
    "airflow_langsmith/testing",
    "airflow_langsmith/transform",
    "airflow_langsmith/views",
    "tests/api",
    "tests/conftest.py",
    "tests/contract/conftest.py",
    "tests/contract/test_attacks.py",
    "tests/contract/test_completeness.py",
    "tests/contract/test_cost.py",
    "tests/contract/test_documented_conditions.py",
    "tests/contract/test_documented_queries.py",
    "tests/contract/test_layering.py",
    "tests/contract/test_loading.py",
    "tests/contract/test_one_schema.py",
    "tests/contract/test_recipes.py",
    "tests/contract/test_secrets.py",
    "tests/contract/test_versions.py",
    "tests/documentation.py",
    "tests/e2e",
    "tests/export",
    "tests/test_filters.py",
    "tests/test_messages.py",
    "tests/testing",
    "tests/transform",
    "tests/views",
)
NAMES = {"asked", "found", "fresh", "given", "held", "kept", "told", "wanted"}  # whole, or as a part: rows_wanted
WHOLE_NAMES = {"one", "some", "those"}  # as a part they are fine: one_line
PHRASES = re.compile(
    r"\b(at a time at most|be it|for want of|in vain|lest|nobody knows|so too|whatever it is|whoever)\b", re.IGNORECASE
)
DOCSTRING = re.compile(r"\A(Tell|Give|Take in)\b")  # say "Return", "Yield", "Add"


def main() -> None:
    """Print each word that has to go, and fail if there is one."""
    paths = [Path(room) for room in sys.argv[1:] or ROOMS]
    if missing := [str(path) for path in paths if not path.exists()]:
        sys.exit(f"There is no {', '.join(missing)}. Correct ROOMS.")
    files = [file for path in paths for file in (path, *sorted(path.rglob("*.*")))]
    hits = [
        f"{file}:{line}: {word!r}"
        for file in files
        if file.suffix in {".md", ".py"} and file.resolve() != Path(__file__).resolve()
        for line, word in words(file)
    ]
    sys.exit("\n".join(hits) or 0)


def words(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each word in a file that has to go."""
    text = file.read_text()
    yield from ((text.count("\n", 0, match.start()) + 1, match[0]) for match in PHRASES.finditer(text))
    for node in ast.walk(ast.parse(text)) if file.suffix == ".py" else ():
        name = name_of(node).strip("_")
        if name in WHOLE_NAMES or (NAMES & set(name.split("_")) and not name.startswith("test_")):
            yield getattr(node, "lineno", 0), name
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from ((node.lineno, match[0]) for match in DOCSTRING.finditer(ast.get_docstring(node) or ""))


def name_of(node: ast.AST) -> str:
    """Return the name that a node gives to a value, function or class, or nothing."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.Attribute(attr=name, ctx=ast.Store()):
            return name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
    return ""


if __name__ == "__main__":
    main()
