"""What every view promises, whichever its rows are."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.views import VIEWS, options, view_of


@pytest.mark.parametrize("name", VIEWS)
def test_the_key_and_the_time_of_a_view_are_columns(name: str) -> None:
    """Loads go by these columns, so each view has them by default: the key as text, the time as a time."""
    columns = {column.name: column.type for column in view_of(name).columns}
    assert (columns[VIEWS[name].key], columns[VIEWS[name].time]) == ("string", "timestamp")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("only_with_tools", "True"),
        ("with_feedback", "user_score"),
        ("include_modified", True),
        ("refresh", "feedback"),
        ("attachments", "download"),
    ],
)
def test_an_option_is_refused_by_views_that_do_not_have_it(option: str, value: Any) -> None:
    """What would leave nothing out of a view, or add nothing to it, is not passed over."""
    for name, view in VIEWS.items():
        if options()[option] in view.options:
            assert getattr(view_of(name, **{option: value}), option)
        else:
            with pytest.raises(ConfigurationError, match=option):
                view_of(name, **{option: value})
