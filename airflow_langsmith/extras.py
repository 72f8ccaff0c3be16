"""The package's extras: which one a file system needs, and how to install it."""

from __future__ import annotations

# By the scheme of a URI. Other providers' schemes work too, without an extra of ours.
STORES = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "abfs": "azure",
    "abfss": "azure",
    "adl": "azure",
}


def missing_package(error: ImportError, extra: str) -> str:
    """Return what to say about a package that is missing or too old: its name, and the extra that brings it."""
    if isinstance(error, ModuleNotFoundError):
        return f"The package {error.name} is not installed, which {extra} needs. Install it: {pip_install(extra)}"
    return f"A package has not the version that {extra} needs: {error}. Install it: {pip_install(extra)}"


def pip_install(extra: str) -> str:
    """
    Return the command that installs an extra.

    >>> pip_install("s3")
    "pip install 'airflow-provider-langsmith[s3]'"
    """
    return f"pip install 'airflow-provider-langsmith[{extra}]'"
