"""Mistakes in arguments that hold no template, found when the DAG is parsed: an import error, before anything waits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import MethodType
from typing import Any

from airflow_langsmith import arguments
from airflow_langsmith.airflow_errors import airflow_errors

Check = Callable[[Any], object]


class _TemplateError(Exception):
    """An argument is not final yet."""


class _Literals:
    """An operator whose arguments can be read as far as they are literals, by its own methods too."""

    def __init__(self, operator: Any) -> None:
        self._operator = operator

    def __getattr__(self, name: str) -> Any:
        """Read an attribute; an argument with a template is refused."""
        if name not in self._operator.template_fields:
            value = getattr(self._operator, name)
            return MethodType(value.__func__, self) if isinstance(value, MethodType) else value
        value = self._operator.given(name)
        if not arguments.is_literal(value):
            raise _TemplateError
        return value


def check_literals(operator: Any, *checks: Check) -> None:
    """
    Make of an operator's arguments what ``execute`` will make of them, as far as they are literals.

    Each check is given the operator and reads arguments of it. One that comes to an argument with a template ends
    there, unheard: ``execute`` reads that one. A check neither asks anybody nor looks up a connection.

    A mapped task is checked when it is executed: it is made on the worker, out of values that others returned.

    :raises AirflowFailException: for an argument that is wrong.
    """
    if getattr(operator, "_BaseOperator__from_mapped", False):
        return
    with airflow_errors():
        for check in checks:
            with suppress(_TemplateError):
                check(_Literals(operator))
