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
    "airflow_langsmith",
    "tests",
)
NAMES = {"asked", "found", "fresh", "given", "held", "kept", "told", "wanted"}  # whole, or as a part: rows_wanted
WHOLE_NAMES = {"one", "some", "those"}  # as a part they are fine: one_line
PHRASES = re.compile(
    r"\b(at a time at most|be it|for want of|in vain|lest|nobody knows|so too|whatever it is|whoever)\b", re.IGNORECASE
)
DOCSTRING = re.compile(r"\A(Tell|Give|Take in)\b")  # say "Return", "Yield", "Add"


def main() -> None:
    """Print each word that has to go, and fail if there is one."""
    paths = {room: sorted(Path().glob(room)) for room in sys.argv[1:] or ROOMS}
    if missing := [room for room in paths if not paths[room]]:
        sys.exit(f"There is no {', '.join(missing)}. Correct ROOMS.")
    files = [file for room in paths.values() for path in room for file in (path, *sorted(path.rglob("*.*")))]
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
        name = name_of(node).strip("_").replace("given_up", "")  # of runs that are given up
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
