"""The content of the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import airflow_langsmith

ROOT = Path(airflow_langsmith.__file__).parent.parent


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    """The wheel has only our package, typed and licensed, and no relative link on the page that PyPI shows."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    info = f"airflow_provider_langsmith-{airflow_langsmith.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        points = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert {name.split("/")[0] for name in names} == {"airflow_langsmith", info}
    assert {"airflow_langsmith/py.typed", f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE"} <= set(names)
    assert "provider_info = airflow_langsmith.provider_info:get_provider_info" in points
    page = str(metadata.get_payload())
    assert "`[start, end)` in UTC" in page
    targets = re.findall(r"\]\(([^)]+)\)", page)
    assert targets
    assert [target for target in targets if not target.startswith("https://")] == []


def test_the_map_has_each_room() -> None:
    """The docstring of the package names each module and folder in it, and nothing else."""
    folder = Path(airflow_langsmith.__file__).parent
    rooms = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    listed = re.findall(r"^    (\w+)  ", str(airflow_langsmith.__doc__), re.MULTILINE)
    assert sorted(listed) == sorted(rooms - {"__init__"})
