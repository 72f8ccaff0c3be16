"""The trigger of an asset watcher: its arguments, and its way to the triggerer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.sdk import DAG, Asset, AssetWatcher

from airflow_langsmith.api.run_filter import ARGUMENTS
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.filters import and_, eq, gt
from airflow_langsmith.sensors import LangSmithFeedbackSensor
from airflow_langsmith.triggers import LangSmithFeedbackEventTrigger
from tests.versions import AIRFLOW

SINCE_3_3 = pytest.mark.skipif(AIRFLOW < (3, 3), reason="it reads the serialised form of Airflow 3.3")

RUN = "0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b"

# Arguments in a DAG -> arguments as Airflow stores them.
SPELLINGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"window": timedelta(hours=6)}, {"window": "21600s"}),
    ({"window": "6h"}, {"window": "6h"}),
    ({"window": pendulum.duration(days=1)}, {"window": "86400s"}),
    ({"min_runs": "10"}, {"min_runs": 10}),
    ({"poke_interval": timedelta(minutes=1)}, {"poke_interval": 60.0}),
    ({"poke_interval": pendulum.duration(minutes=2)}, {"poke_interval": 120.0}),
    ({"poke_interval": "5m"}, {"poke_interval": 300.0}),
    ({"poke_interval": 1}, {"poke_interval": 1.0}),
    ({}, {"window": "1d", "min_runs": 1, "poke_interval": 300.0, "langsmith_conn_id": "langsmith_default"}),
    (
        dict.fromkeys(("window", "min_runs", "poke_interval", "langsmith_conn_id"), " "),
        {"window": "1d", "min_runs": 1, "poke_interval": 300.0, "langsmith_conn_id": "langsmith_default"},
    ),
    ({"is_root": "true", "error": "", "run_type": None}, {"is_root": True}),
    ({"run_ids": f"{RUN}, {RUN}"}, {"run_ids": [RUN, RUN]}),
    (
        {"filter": and_(eq("name", "a"), gt("latency", timedelta(seconds=5)))},
        {"filter": str(and_(eq("name", "a"), gt("latency", timedelta(seconds=5))))},
    ),
]
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"project": ""}, "project is empty"),
    ({"project": None}, "project is empty"),
    ({"project": "{{ var.value.project }}"}, "Airflow renders templates for tasks"),
    ({"condition": "coverage(x) > 1"}, "never"),
    ({"condition": None}, "condition is empty"),
    ({"condition": "{{ var.value.condition }}"}, "Airflow renders templates for tasks"),
    ({"window": "a while"}, "window"),
    ({"window": None}, "window is None"),
    ({"window": timedelta(0)}, "window"),
    ({"window": timedelta(seconds=90.5)}, "whole seconds"),
    ({"min_runs": "many"}, "min_runs"),
    ({"min_runs": -1}, "min_runs is -1; it has to be 0 or more"),
    ({"poke_interval": float("nan")}, "poke_interval is nan"),
    ({"poke_interval": float("inf")}, "poke_interval is inf"),
    ({"poke_interval": 1e300}, "poke_interval is 1e"),
    ({"poke_interval": 0}, "poke_interval"),
    ({"poke_interval": "often"}, "poke_interval"),
    ({"run_tpye": "llm"}, "Did you mean 'run_type'"),
    ({"run_type": "lllm"}, "lllm"),
    ({"is_root": "perhaps"}, "is_root"),
    ({"filter": "eq(name"}, "filter"),
    ({"filter": 'eq(name, "{{ ds }}")'}, "Airflow renders templates for tasks"),
    ({"filter": eq("name", "{{ ds }}")}, "Airflow renders templates for tasks"),
    ({"run_ids": ["{{ ds }}"]}, "Airflow renders templates for tasks"),
]


def trigger(**arguments: Any) -> LangSmithFeedbackEventTrigger:
    """Return a trigger, as a DAG makes it."""
    return LangSmithFeedbackEventTrigger(**{"project": "shop", "condition": "count(x) >= 1", **arguments})


@pytest.mark.parametrize(("options", "stored"), SPELLINGS, ids=str)
def test_it_reads_what_sensors_read(options: dict[str, Any], stored: dict[str, Any]) -> None:
    """Arguments become plain JSON, and the run filter equals that of a sensor."""
    arguments = trigger(**options).serialize()[1]
    assert json.loads(json.dumps(arguments)) == arguments
    assert {name: arguments[name] for name in stored} == stored
    narrowing = {name: value for name, value in options.items() if name in ARGUMENTS}
    sensor = LangSmithFeedbackSensor(task_id="wait", project="shop", condition="count(x) >= 1", **narrowing)
    assert sensor.run_filter().serialize().items() <= arguments.items()


@SINCE_3_3
@pytest.mark.parametrize(("options", "stored"), SPELLINGS, ids=str)
def test_it_comes_to_the_triggerer_as_it_is(options: dict[str, Any], stored: dict[str, Any]) -> None:
    """A trigger keeps its arguments and its hash through Airflow's serialisation and database."""
    from airflow.models.trigger import Trigger  # noqa: PLC0415  # earlier releases have them elsewhere
    from airflow.serialization.decoders import smart_decode_trigger_kwargs  # noqa: PLC0415
    from airflow.serialization.encoders import encode_trigger  # noqa: PLC0415
    from airflow.serialization.serialized_objects import DagSerialization  # noqa: PLC0415
    from airflow.triggers.base import BaseEventTrigger  # noqa: PLC0415

    made = trigger(**options)
    with DAG("watched", schedule=[Asset("judged", watchers=[AssetWatcher(name="people", trigger=made)])]) as dag:
        pass
    read: Any = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    ((_, asset),) = read.timetable.asset_condition.iter_assets()
    ((classpath, written),) = [(watcher.trigger["classpath"], watcher.trigger["kwargs"]) for watcher in asset.watchers]
    encoded = encode_trigger({"classpath": classpath, "kwargs": written})["kwargs"]
    row = Trigger(classpath=classpath, kwargs=encoded)
    module, _, name = classpath.rpartition(".")
    decode: Any = smart_decode_trigger_kwargs
    arguments = {name: decode(value) for name, value in row.kwargs.items()}
    rebuilt = getattr(import_module(module), name)(**arguments)
    assert rebuilt.serialize() == made.serialize()
    assert {name: rebuilt.serialize()[1][name] for name in stored} == stored
    again = encode_trigger(rebuilt)["kwargs"]
    assert BaseEventTrigger.hash(classpath, again) == BaseEventTrigger.hash(classpath, row.kwargs)


@pytest.mark.parametrize(("options", "why"), WRONG, ids=str)
def test_what_is_wrong_is_said_at_once(options: dict[str, Any], why: str) -> None:
    """A wrong argument is an error when the DAG is parsed."""
    with pytest.raises(ConfigurationError, match=why):
        trigger(**options)


@SINCE_3_3
def test_a_triggerer_goes_on_without_what_is_wrong() -> None:
    """A stored trigger that this release refuses fails alone, and the triggerer starts the others."""
    from airflow.executors import workloads  # noqa: PLC0415  # earlier releases have them elsewhere
    from airflow.jobs.triggerer_job_runner import TriggerRunner  # noqa: PLC0415
    from airflow.models.trigger import Trigger  # noqa: PLC0415

    arguments = trigger().serialize()[1]
    make_runner: Any = TriggerRunner
    work: Any = workloads
    runner = make_runner()
    for number, window in enumerate(("a while", "1d")):
        stored = Trigger.encrypt_kwargs({**arguments, "window": window})
        classpath = "airflow_langsmith.triggers.LangSmithFeedbackEventTrigger"
        runner.to_create.append(work.RunTrigger(id=number, ti=None, classpath=classpath, encrypted_kwargs=stored))

    async def create() -> None:
        await runner.create_triggers()
        for begun in runner.triggers.values():
            begun["task"].cancel()

    asyncio.run(create())
    assert [number for number, _ in runner.failed_triggers] == [0]
    assert list(runner.triggers) == [1]


def test_what_is_wrong_is_an_import_error(tmp_path: Path, parse_dags: Callable[[Path], Any]) -> None:
    """A wrong argument of a trigger is an import error that names it."""
    (tmp_path / "watched.py").write_text(
        "from airflow.sdk import DAG, Asset, AssetWatcher\n"
        "from airflow_langsmith.triggers import LangSmithFeedbackEventTrigger\n"
        "people = LangSmithFeedbackEventTrigger(project='shop', condition='count(x) > 1', window='a while')\n"
        "DAG('watched', schedule=[Asset('judged', watchers=[AssetWatcher(name='people', trigger=people)])])\n"
    )
    (error,) = parse_dags(tmp_path).import_errors.values()
    assert "window is 'a while'" in error
