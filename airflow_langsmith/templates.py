"""Render templates: to the text, or to the object that they name. A text is never parsed as something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def render(text: str, context: Mapping[str, Any], jinja_env: Any) -> Any:
    """
    Render a text with Jinja.

    A text without templates stays as it is, line ends too. With ``render_template_as_native_obj=True`` a template that
    is one expression becomes its object. Airflow itself parses texts as Python literals there: ``"1.10"`` becomes 1.1
    and ``"None"`` None.

    >>> from jinja2.nativetypes import NativeEnvironment
    >>> render("1.10", {}, NativeEnvironment()), render("{{ x }}", {"x": "1.10"}, NativeEnvironment())
    ('1.10', '1.10')
    """
    marks = (
        jinja_env.variable_start_string,
        jinja_env.block_start_string,
        jinja_env.comment_start_string,
        jinja_env.line_statement_prefix,
        jinja_env.line_comment_prefix,
    )
    if not any(mark in text for mark in marks if mark):
        return text
    pieces = list(jinja_env.from_string(text).generate(context))
    printed = "".join(map(str, pieces))  # an undefined value raises here
    return pieces[0] if len(pieces) == 1 else printed
