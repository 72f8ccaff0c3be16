"""The public names: what DAGs may import. Everything else may change in any release."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith import errors, operators, sensors
from airflow_langsmith.api.run_filter import ARGUMENTS
from airflow_langsmith.operators import LangSmithExportOperator
from airflow_langsmith.triggers import LangSmithFeedbackEventTrigger

TYPED_API = ast.parse((Path(__file__).parents[1] / "typing" / "api.py").read_text())

NAMES = {
    "hooks": "LangSmithHook",
    "operators": "LangSmithExportOperator LangSmithListRunsOperator LangSmithLoadOperator LangSmithReadRunOperator",
    "sensors": "LangSmithFeedbackSensor LangSmithSettledSensor",
    "triggers": "LangSmithFeedbackEventTrigger",
    "windows": "TimeWindow resolve split trailing",
    "filters": (
        "Expression Filter Value and_ eq failed feedback gt gte has in_ inputs like lt lte metadata neq or_ outputs "
        "search tag thread"
    ),
    "manifest": "Manifest ManifestAttachment ManifestColumn ManifestFile read_manifest",
    "errors": (
        "ApiError AuthenticationError BrokenManifestError BulkExportError ConcurrentExportError ConcurrentLoadError "
        "ConfigurationError CursorLoopError DestinationConflictError EmptyWindowError ExportError InvalidQueryError "
        "LangSmithError LargePayloadError ListChangedError LoadError LocalDiskError ManifestError MissingPayloadError "
        "NotFoundError PageTooLargeError PartMissingError PayloadError ProxyError RateLimitError ReadTimeoutError "
        "RedirectError RunNotFoundError SchemaChangeError ServerError StorageAccessError StorageError TableError "
        "TransportError UnsupportedError WindowError WindowNotClosedError"
    ),
    "testing": "Fault LangSmithStandIn RecordedRequest sample_feedback sample_runs",
}


@pytest.mark.parametrize("module", NAMES)
def test_the_public_names(module: str) -> None:
    """Each public module exports these names, in this order, and has them."""
    public = import_module(f"airflow_langsmith.{module}")
    assert public.__all__ == NAMES[module].split()
    assert all(hasattr(public, name) for name in public.__all__)


def test_every_error_is_public() -> None:
    """Users may catch each error of the tree."""
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    assert {kind.__name__ for kind in kinds if issubclass(kind, errors.LangSmithError)} == set(errors.__all__)


def test_the_typed_api_uses_every_name() -> None:
    """``tests/typing/api.py`` uses each public name beside the errors, so mypy checks it."""
    words = {node.id for node in ast.walk(TYPED_API) if isinstance(node, ast.Name)}
    words |= {node.attr for node in ast.walk(TYPED_API) if isinstance(node, ast.Attribute)}
    unused = {name for module, names in NAMES.items() if module != "errors" for name in names.split()} - words
    assert not unused


@pytest.mark.parametrize(
    "kind",
    [getattr(room, name) for room in (operators, sensors) for name in room.__all__] + [LangSmithFeedbackEventTrigger],
)
def test_the_typed_api_uses_every_argument(kind: Any) -> None:
    """``tests/typing/api.py`` uses each argument that a class declares itself."""
    calls = [node for node in ast.walk(TYPED_API) if isinstance(node, ast.Call)]
    passed = {word.arg for call in calls if getattr(call.func, "id", "") == kind.__name__ for word in call.keywords}
    arguments = set(inspect.signature(kind).parameters) - {"kwargs", "run_filter"}
    if kind in (LangSmithExportOperator, LangSmithFeedbackEventTrigger):
        arguments |= set(ARGUMENTS)
    assert arguments <= passed
