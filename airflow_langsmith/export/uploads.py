"""
Uploads of large files in chunks: a few are in memory, however large the file is, and none shows before all are there.

An upload that fails or is interrupted is aborted, so that its chunks do not cost anything::

    S3      a multipart upload: parts side by side, then one request that makes an object of them
    Azure   blocks side by side, then one request that makes a blob of them; Azure drops what is in no blob after a week
    GCS     a resumable upload: one chunk after the other, and the last makes the object
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

CHUNK_BYTES = 8 * 1024 * 1024  # S3 takes no chunks below 5 MiB
_PARALLEL_CHUNKS = 4
_GCS_CHUNK_BYTES = 16 * 1024 * 1024  # multiples of 256 KiB; one at a time, because its client holds up to three copies
_MAX_CHUNKS = 10_000  # S3 takes no more of a file; Azure takes 50,000
_ABORT_SECONDS = 30


def upload(fs: Any, local: Path, path: str) -> None:
    """
    Upload a file to a place in a fsspec file system, whole or not at all.

    What is raised in this thread meanwhile, also by a signal, aborts the upload. A file of one chunk is uploaded in one
    request, and one for another store than those above as its file system does it.
    """
    size = local.stat().st_size
    chunked = next((kind for name, kind in _UPLOADS.items() if name in fs.protocol), None)
    if chunked is None or size <= CHUNK_BYTES:
        options = {"overwrite": True} if "abfs" in fs.protocol else {}  # without it, adlfs 2023.10 refuses to replace
        fs.put_file(str(local), path, **options)
    else:
        _complete(fs.loop, _send(chunked(fs, path, size), local, size))


class _Upload:
    """One file on its way to a store."""

    chunk_bytes, parallel_chunks = CHUNK_BYTES, _PARALLEL_CHUNKS

    async def begin(self) -> None: ...
    async def send(self, number: int, start: int, chunk: bytes) -> None: ...
    async def finish(self) -> None: ...
    async def abort(self) -> None: ...


class _S3Upload(_Upload):
    def __init__(self, fs: Any, path: str, _: int) -> None:
        self._call: Callable[..., Coroutine[Any, Any, Any]] = fs._call_s3  # noqa: SLF001  # call_s3 blocks
        bucket, key, *_version = fs.split_path(path)
        self._object = {"Bucket": bucket, "Key": key}
        self._parts: dict[int, dict[str, Any]] = {}

    async def begin(self) -> None:
        created = await self._call("create_multipart_upload", **self._object)
        self._object["UploadId"] = created["UploadId"]

    async def send(self, number: int, start: int, chunk: bytes) -> None:  # noqa: ARG002
        part = await self._call("upload_part", **self._object, PartNumber=number + 1, Body=chunk)
        # The checksums that newer clients send with each part, S3 wants to have again in the end.
        sums = {name: value for name, value in part.items() if name == "ETag" or name.startswith("Checksum")}
        self._parts[number] = {"PartNumber": number + 1, **sums}

    async def finish(self) -> None:
        parts = {"Parts": [self._parts[number] for number in sorted(self._parts)]}
        await self._call("complete_multipart_upload", **self._object, MultipartUpload=parts)

    async def abort(self) -> None:
        await self._call("abort_multipart_upload", **self._object)


class _AzureUpload(_Upload):
    def __init__(self, fs: Any, path: str, _: int) -> None:
        container, blob, *_version = fs.split_path(path)
        self._blob = fs.service_client.get_blob_client(container, blob)
        self._blocks: set[str] = set()

    async def send(self, number: int, start: int, chunk: bytes) -> None:  # noqa: ARG002
        block = f"{number:05}"  # all of one length
        await self._blob.stage_block(block, chunk)
        self._blocks.add(block)

    async def finish(self) -> None:
        await self._blob.commit_block_list(sorted(self._blocks), metadata={"is_directory": "false"})  # as adlfs has it


class _GcsUpload(_Upload):
    chunk_bytes, parallel_chunks = _GCS_CHUNK_BYTES, 1

    def __init__(self, fs: Any, path: str, size: int) -> None:
        self._fs = fs
        self._bucket, self._key, *_generation = fs.split_path(path)
        self._size = size
        self._session = ""

    async def begin(self) -> None:
        from gcsfs.core import initiate_upload  # type: ignore[import-not-found]  # noqa: PLC0415  # an extra

        key = getattr(self._fs, "kms_key_name", None)  # newer clients have one
        options = {"kms_key_name": key} if key else {}
        self._session = await initiate_upload(self._fs, self._bucket, self._key, **options)

    async def send(self, number: int, start: int, chunk: bytes) -> None:  # noqa: ARG002
        from gcsfs.core import upload_chunk  # noqa: PLC0415  # as above

        await upload_chunk(self._fs, self._session, chunk, start, self._size, "application/octet-stream")

    async def abort(self) -> None:
        await self._fs._call("DELETE", self._session)  # noqa: SLF001  # there is no other way


_UPLOADS: dict[str, Callable[[Any, str, int], _Upload]] = {"s3": _S3Upload, "abfs": _AzureUpload, "gs": _GcsUpload}


async def _send(upload: _Upload, local: Path, size: int) -> None:
    beginning = asyncio.ensure_future(upload.begin())
    try:
        await asyncio.shield(beginning)  # without its answer nothing can be aborted
        await _send_chunks(upload, local, size)
        await upload.finish()
    except BaseException:
        with suppress(Exception):  # the error that ended the upload matters more
            await beginning
            await upload.abort()
        raise


async def _send_chunks(upload: _Upload, local: Path, size: int) -> None:
    chunk_bytes = max(upload.chunk_bytes, -(-size // _MAX_CHUNKS))
    chunks = enumerate(range(0, size, chunk_bytes))
    failure: BaseException | None = None
    with local.open("rb") as file:

        async def send_chunks() -> None:
            for number, start in chunks:
                await upload.send(number, start, os.pread(file.fileno(), chunk_bytes, start))

        try:
            async with asyncio.TaskGroup() as senders:
                for _ in range(upload.parallel_chunks):
                    senders.create_task(send_chunks())
        except BaseExceptionGroup as failures:
            failure = failures.exceptions[0]
    if failure:
        raise failure  # outside of the handler, so that its own cause stays, which says why


def _complete(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine in a file system's own thread; what is raised in this one cancels it, and waits for its end."""
    ended = Event()

    async def until_it_ends() -> None:
        try:
            await work
        finally:
            ended.set()

    future = asyncio.run_coroutine_threadsafe(until_it_ends(), loop)
    try:
        future.result()
    except BaseException:
        if future.cancel():
            ended.wait(_ABORT_SECONDS)
        raise
