"""What goes wrong between rows and files, sorted by what cures it."""

from __future__ import annotations

import pickle

import pytest

from airflow_langsmith.api.errors import ConfigurationError, LangSmithError
from airflow_langsmith.export import errors

RETRIABLE = {
    errors.ExportError: True,
    errors.StorageError: True,
    errors.StorageAccessError: False,
    errors.ConcurrentExportError: True,
    errors.EmptyWindowError: True,
    errors.DestinationConflictError: False,
    errors.SchemaChangeError: False,
    errors.ManifestError: False,
    errors.BrokenManifestError: False,
}


def test_the_table_names_every_error() -> None:
    """No error of the module is left out below."""
    defined = {kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__}
    assert defined == set(RETRIABLE)


@pytest.mark.parametrize("kind", RETRIABLE)
def test_each_pickles(kind: type[LangSmithError]) -> None:
    """An error crosses from the task's process to the supervisor's."""
    again = pickle.loads(pickle.dumps(kind("what, where, what to do")))
    assert type(again) is kind
    assert again.message == "what, where, what to do"
    assert str(again) == str(kind("what, where, what to do"))


@pytest.mark.parametrize("kind", RETRIABLE)
def test_each_says_what_cures_it(kind: type[LangSmithError]) -> None:
    """What a retry can cure is retriable; what only the user can is a configuration error."""
    assert kind.retriable is RETRIABLE[kind]
    assert issubclass(kind, ConfigurationError) is not RETRIABLE[kind]
