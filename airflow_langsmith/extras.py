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


def pip_install(extra: str) -> str:
    """
    Return the command that installs an extra.

    >>> pip_install("s3")
    "pip install 'airflow-provider-langsmith[s3]'"
    """
    return f"pip install 'airflow-provider-langsmith[{extra}]'"
