"""
Airflow's names, from the module in which the installed release has them.

Airflow 3.0, 3.1 and 3.2 each moved some. ``common-compat`` finds them from version 1.12 on, but the constraints of
Airflow 3.0 and of the first 3.1 releases have an older version.
"""

from __future__ import annotations

from typing import Any

try:
    from airflow.providers.common.compat.sdk import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
        BaseHook,
        BaseOperator,
        BaseOperatorLink,
        BaseSensorOperator,
        Connection,
        Context,
        PokeReturnValue,
        TaskDeferred,
        conf,
    )
except ImportError:
    from airflow.configuration import conf
    from airflow.exceptions import (  # type: ignore[attr-defined, no-redef]  # where they were
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowSensorTimeout,
        AirflowSkipException,
        TaskDeferred,
    )
    from airflow.sdk import BaseOperator, BaseOperatorLink, BaseSensorOperator, Connection, Context, PokeReturnValue

    try:
        from airflow.sdk import BaseHook
    except ImportError:  # Airflow 3.0
        from airflow.hooks.base import BaseHook  # type: ignore[attr-defined, no-redef]

try:
    from airflow.sdk.exceptions import AirflowTaskTimeout, TaskDeferralError, TaskDeferralTimeout
except ImportError:  # Airflow 3.0 and 3.1
    from airflow.exceptions import AirflowTaskTimeout, TaskDeferralError, TaskDeferralTimeout  # type: ignore[no-redef]

try:
    from airflow.sdk.log import mask_secret
except ImportError:  # Airflow 3.0
    from airflow.sdk.execution_time.secrets_masker import mask_secret  # type: ignore[no-redef]

try:
    from airflow.sdk import ResumableJobMixin
except ImportError:  # before Airflow 3.3, which stores the state of tasks

    class ResumableJobMixin:  # type: ignore[no-redef]  # its beginning, without the store
        """A job in another system, which each try of the task submits anew."""

        def __init__(self, *, durable: bool = True, **kwargs: Any) -> None:  # noqa: ARG002  # of later releases
            super().__init__(**kwargs)
            self.durable = False

        def execute_resumable(self, context: Context) -> Any:
            """Submit the job, wait, and return its result."""
            job: Any = self
            external_id = job.submit_job(context)
            job.poll_until_complete(external_id, context)
            return job.get_job_result(external_id, context)


__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSensorTimeout",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "BaseHook",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseSensorOperator",
    "Connection",
    "Context",
    "PokeReturnValue",
    "ResumableJobMixin",
    "TaskDeferralError",
    "TaskDeferralTimeout",
    "TaskDeferred",
    "conf",
    "mask_secret",
]
