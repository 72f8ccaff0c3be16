"""The sensor that waits until feedback meets a condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from airflow_langsmith import arguments
from airflow_langsmith.arguments import Reader
from airflow_langsmith.sensors.runs import LangSmithRunsSensor
from airflow_langsmith.waiting import FeedbackWatch, parse


def _read_condition(value: object, name: str) -> str:
    return str(parse(value, name))


class LangSmithFeedbackSensor(LangSmithRunsSensor):
    """
    Wait until the feedback on the runs of a window, or on ``run_ids``, meets a condition.

    ::

        LangSmithFeedbackSensor(task_id="judged", project="shop", condition="coverage(user_score) >= 0.9", window="1d")
        # waiting: coverage(user_score) 0.84 (needs >= 0.9: 3 more of 50 runs)

    Returns ``figures`` (each measure of the conditions by its text), ``total``, ``feedback`` (per key the count, runs,
    coverage, avg, min, max), ``project``, ``window_start``, ``window_end`` and ``url``. It logs a line with each figure
    and its bound when a figure changes, and every ten minutes.

    A look takes one request for the number of runs (two if they are more than a page of 1000, on v1 100), one for each
    page of runs that have feedback under the condition's keys, and one for each 50 of these whose feedback is counted
    piece by piece: several pieces under one key, or any under a key of ``count`` or ``share``.

    :param condition: When to succeed: ``coverage(user_score) >= 0.9 and avg(user_score) >= 0.8``. The language is in
        ``docs/reference/conditions.md``. (templated)
    :param fail_when: When to fail at once, also before the window has ended: ``share(user_score, 0) > 0.33``.
        (templated)
    :param min_runs: With fewer runs the sensor neither succeeds nor fails. (templated)

    Which project, runs and window: the arguments of
    :class:`~airflow_langsmith.operators.base.LangSmithRunsOperator`. How to wait: those of
    :class:`~airflow_langsmith.sensors.base.LangSmithSensor`.
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        **LangSmithRunsSensor.readers,
        "condition": lambda value, name: _read_condition(arguments.required(value, name), name),
        "fail_when": arguments.optional(_read_condition),
        "min_runs": partial(arguments.whole_number, minimum=0),
    }
    template_fields: Sequence[str] = tuple(readers)
    watch_type = FeedbackWatch

    def __init__(self, *, condition: str, fail_when: str | None = None, min_runs: int | str = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.condition = condition
        self.fail_when = fail_when
        self.min_runs = min_runs
        self.check_arguments()
