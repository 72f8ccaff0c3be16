"""The processes of a bench: the server, and the ways that are measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Self

from benchmarks.server import Scene

ROOT = Path(__file__).parent.parent


class Process:
    """A module of the bench in its own process. It reads a job from a line, and answers with a line."""

    def __init__(self, module: str, *arguments: str, core: int | None = None, python: str = sys.executable) -> None:
        self._process = subprocess.Popen(
            [python, "-m", f"benchmarks.{module}", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self._process.pid, {core % (os.cpu_count() or 1)})
        self.pid = self._process.pid
        self.first_line = self._read_line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """Run a job, and return its result."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        result: dict[str, Any] = json.loads(self._read_line())
        return result

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}")
        return line.strip()


class ServerProcess(Process):
    """The server in its own process."""

    def __init__(self) -> None:
        super().__init__("server", core=1)
        self.url = self.first_line

    def set(self, **scene: Any) -> None:
        """Change the scene."""
        request = urllib.request.Request(f"{self.url}/scene", json.dumps(scene).encode(), method="POST")
        urllib.request.urlopen(request).close()

    def scene(self) -> Scene:
        """Read the scene, with its counts."""
        with urllib.request.urlopen(f"{self.url}/scene") as answer:
            return Scene(**json.load(answer))
