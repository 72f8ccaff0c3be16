"""
Publish an export again and again, each time killed one file system call later, until one gets to its end.

Run as ``killed.py BEFORE NEXT OUT``: BEFORE is a published partition, NEXT holds what to publish over it, and OUT gets
a partition for every death.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from upath import UPath

from airflow_langsmith.export.parts import Part
from airflow_langsmith.export.publication import Publication
from airflow_langsmith.manifest import read_manifest


def die_before_call(number: int, partition: Path) -> None:
    """Have the kernel kill this process before its so many-th file system call in a partition."""
    left = number

    def watch(_: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if arguments and str(arguments[0]).startswith(str(partition)):
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.addaudithook(watch)


def publish(source: Path, partition: Path) -> None:
    """Publish the parts and the attachments of a directory."""
    manifest = read_manifest(UPath(source))
    with Publication(UPath(partition)) as publication:
        for file in manifest.files:
            publication.upload(Part(source / file.name, file))
        for attachment in manifest.attachments:
            publication.attach(source / attachment.name, attachment)
        publication.commit(manifest)


if __name__ == "__main__":
    before, after, out = map(Path, sys.argv[1:])
    for number in itertools.count():
        partition, source = out / f"{number:02d}", out.parent / "source"
        shutil.copytree(before, partition)
        shutil.copytree(after, source)
        child = os.fork()
        if child == 0:
            die_before_call(number, partition)
            publish(source, partition)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        shutil.rmtree(source)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))
