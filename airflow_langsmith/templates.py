"""What a template gives: the text that it says, or the object that it names; a text is never read as anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def render(text: str, context: Mapping[str, Any], jinja_env: Any) -> Any:
    """
    Render a text with Jinja.

    A text without templates stays as it is, line ends too. Jinja's native environment, which a DAG asks for by
    ``render_template_as_native_obj=True``, gives the object of a template that is one expression. Airflow's own way
    reads texts as Python literals there: ``"1.10"`` becomes 1.1 and ``"None"`` nothing.

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
