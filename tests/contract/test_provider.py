"""The provider as Airflow discovers it, by Airflow's rules."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.triggers.base import BaseTrigger

import airflow_langsmith
from airflow_langsmith.airflow_sdk import BaseHook, BaseOperator, BaseSensorOperator
from airflow_langsmith.api import settings
from airflow_langsmith.hooks import LangSmithHook
from airflow_langsmith.provider_info import CONNECTION_TYPE, get_provider_info

ROOT = Path(airflow_langsmith.__file__).parent.parent
SCHEMAS = Path(airflow.__file__).parent


def schema(name: str) -> Any:
    """Read one of Airflow's own schemas."""
    return json.loads((SCHEMAS / name).read_text())


def test_the_provider_info_is_valid() -> None:
    """Airflow's runtime schema accepts the provider info; the strict one of its own providers accepts its parts."""
    info = get_provider_info()
    jsonschema.validate(info, schema("provider_info.schema.json"))
    strict = schema("provider.yaml.schema.json")
    for part in ("connection-types", "integrations", "hooks", "operators", "sensors", "triggers"):
        jsonschema.validate(info[part], {**strict["properties"][part], "definitions": strict["definitions"]})


def test_the_entry_point_has_the_name_of_the_package() -> None:
    """The entry point has the distribution's name, because Airflow refuses any other."""
    (entry_point,) = [
        point
        for point in metadata.entry_points(group="apache_airflow_provider")
        if point.value.startswith("airflow_langsmith")
    ]
    assert entry_point.load()()["package-name"] == "airflow-provider-langsmith"
    assert entry_point.dist is not None
    assert entry_point.dist.name == "airflow-provider-langsmith"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == entry_point.dist.name
    assert project["entry-points"]["apache_airflow_provider"]["provider_info"] == entry_point.value


def test_everything_named_exists() -> None:
    """Every module and class that the provider info names can be imported and is of its kind."""
    info = get_provider_info()
    bases = {"hooks": BaseHook, "operators": BaseOperator, "sensors": BaseSensorOperator, "triggers": BaseTrigger}
    for part, base in bases.items():
        for integration in info[part]:
            for name in integration["python-modules"]:
                module = import_module(name)
                assert [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, base)]
    module, _, name = CONNECTION_TYPE["hook-class-name"].rpartition(".")
    assert getattr(import_module(module), name) is LangSmithHook
    assert CONNECTION_TYPE["connection-type"] == LangSmithHook.conn_type
    assert CONNECTION_TYPE["hook-name"] == LangSmithHook.hook_name


def test_the_form_has_a_field_for_every_setting() -> None:
    """The connection form has exactly the extras that are read."""
    assert tuple(CONNECTION_TYPE["conn-fields"]) == settings.EXTRA_FIELDS


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("hooks", "langsmith_conn_id"),
        ("list", "airflow-provider-langsmith"),
        ("links", "airflow_langsmith.links.LangSmithRunLink"),
    ],
)
def test_airflow_lists_it(command: str, shown: str) -> None:
    """``airflow providers`` lists the provider, its connection type and its links."""
    arguments = [sys.executable, "-m", "airflow", "providers", command, "--output", "plain"]
    listed = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    assert shown in listed


def test_the_changelog_knows_the_version() -> None:
    """The newest version in the changelog is the package's."""
    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == airflow_langsmith.__version__
