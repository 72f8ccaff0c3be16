"""Files go up to stores in chunks, whole or not at all."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import fsspec.asyn  # type: ignore[import-untyped]
import pytest
from s3fs import S3FileSystem  # type: ignore[import-untyped]

from airflow_langsmith.export.destination import path_at
from airflow_langsmith.export.storage import Store
from airflow_langsmith.export.uploads import CHUNK_BYTES, upload

CHUNKS = 12  # and a byte


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of some chunks, all different."""
    path = tmp_path_factory.mktemp("large") / "part"
    with path.open("wb") as file:
        file.writelines(bytes([number]) * CHUNK_BYTES for number in range(CHUNKS))
        file.write(b"!")
    return path


def unfinished(place: Any) -> list[Any]:
    """List the uploads to S3 that are neither complete nor aborted."""
    uploads: list[Any] = place.fs.call_s3("list_multipart_uploads", Bucket="traces").get("Uploads", [])
    return uploads


def test_a_large_file_reaches_s3_whole(lake: str, large: Path) -> None:
    """A file of several chunks goes up in several requests and is one object, with no upload left open."""
    place = path_at(lake) / "large"
    Store(place).put(large, "part")
    assert Store(place).read("part") == large.read_bytes()
    assert place.fs.info(f"{place.path}/part")["ETag"].strip('"').endswith(f"-{CHUNKS + 1}")
    assert not unfinished(place)


class Interrupted(BaseException):
    """What a signal raises, as Airflow does by SIGTERM."""


@pytest.fixture
def interrupted_by_signal() -> Iterator[None]:
    """Raise in the main thread when SIGUSR1 comes."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("interrupted_by_signal")
def test_an_upload_that_is_interrupted_is_aborted(lake: str, large: Path) -> None:
    """When Airflow kills a task in the middle of an upload, nothing of it is left in the bucket, and nothing comes."""
    place = path_at(lake) / "interrupted"
    over = Event()

    def interrupt() -> None:
        while not unfinished(place) and not over.is_set():
            pass
        os.kill(os.getpid(), signal.SIGUSR1)

    watching = Thread(target=interrupt)
    watching.start()
    try:
        with pytest.raises(Interrupted):
            Store(place).put(large, "part")
    finally:
        over.set()
        watching.join()
    assert not unfinished(place)
    assert Store(place).sizes() == {}


class Refusing(S3FileSystem):  # type: ignore[misc]  # it has no types
    """An S3 that refuses one request of an upload."""

    cachable = False
    refused = ""

    async def _call_s3(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if method == self.refused and kwargs.get("PartNumber", 3) == 3:
            raise PermissionError(f"no {method} for you") from ValueError("what S3 said")
        return await super()._call_s3(method, *args, **kwargs)


@pytest.mark.parametrize("refused", ["create_multipart_upload", "upload_part", "complete_multipart_upload"])
def test_an_upload_that_fails_is_aborted(lake: str, large: Path, refused: str) -> None:
    """Whichever request fails, its error comes out as it is, and nothing is left in the bucket."""
    place = path_at(lake) / refused
    fs = Refusing(**place.fs.storage_options)
    fs.refused = refused
    with pytest.raises(PermissionError, match=f"no {refused} for you") as caught:
        upload(fs, large, f"{place.path}/part")
    assert str(caught.value.__cause__) == "what S3 said"
    assert not unfinished(place)
    assert Store(place).sizes() == {}


class Azure:
    """Azure's blocks: invisible until a list of them is committed, which takes the last block of each name."""

    protocol = ("abfs", "az", "abfss")
    service_client: Any

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = fsspec.asyn.get_loop()
        self.service_client = self
        self.blocks: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.under_way = self.most_under_way = 0
        self.fails = False

    def split_path(self, path: str) -> tuple[str, str, None]:
        """Split a path as adlfs does."""
        container, _, blob = path.partition("/")
        return container, blob, None

    def get_blob_client(self, container: str, blob: str) -> Azure:
        """Return the blob's own client."""
        self.name = f"{container}/{blob}"
        return self

    async def stage_block(self, block_id: str, data: bytes) -> None:
        """Take a block."""
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if self.fails and block_id == "00003":
            raise OSError("no more blocks")
        assert len({len(block_id), *map(len, self.blocks)}) == 1
        self.blocks[block_id] = data

    async def commit_block_list(self, block_list: list[str], metadata: dict[str, str]) -> None:
        """Make a blob, that is no directory."""
        assert metadata == {"is_directory": "false"}
        self.blobs[self.name] = b"".join(self.blocks.pop(block_id) for block_id in block_list)


def test_a_large_file_reaches_azure_whole(large: Path) -> None:
    """Blocks go up a few at a time, and one request makes a blob of them, in their order."""
    azure = Azure()
    upload(azure, large, "traces/runs/part")
    assert azure.blobs == {"traces/runs/part": large.read_bytes()}
    assert azure.most_under_way == 4
    azure = Azure()
    azure.fails = True
    with pytest.raises(OSError, match="no more blocks"):
        upload(azure, large, "traces/runs/part")
    assert not azure.blobs


PUT = """
import sys
from pathlib import Path
from airflow_langsmith.export.destination import path_at
from airflow_langsmith.export.storage import Store

def peak():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))) / 1024

place, small, large = sys.argv[1:]
store = Store(path_at(place) / "memory")
store.put(Path(small), "small")
before = peak()
store.put(Path(large), "large")
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize("where", ["file", "s3"])
def test_an_upload_takes_memory_for_a_few_chunks(lake: str, large: Path, tmp_path: Path, where: str) -> None:
    """However large a part is, four chunks of it are in memory, each twice at most: as it is read and as it is sent."""
    small = tmp_path / "small"
    small.write_bytes(b"rows")
    place = f"file://{tmp_path}" if where == "file" else lake
    command = [sys.executable, "-c", PUT, place, str(small), str(large)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    took = float(output.split()[-1])
    assert took < 2 * 4 * CHUNK_BYTES / 2**20 + 16
