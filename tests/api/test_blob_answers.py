"""Of all that a blob storage may answer, only a whole 200 is a payload or a file; what lands is UTF-8."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any, BinaryIO

import pytest

from airflow_langsmith.api.client import LangSmithClient
from airflow_langsmith.api.payloads import download_attachments
from airflow_langsmith.errors import LangSmithError
from airflow_langsmith.testing import LangSmithStandIn
from tests.conftest import ClientOf
from tests.queries import read_pages, run_query

START = datetime(2026, 3, 1, tzinfo=UTC)
FIELDS = ("id", "inputs", "error", "attachments")


@dataclass(frozen=True)
class Answer:
    """The bytes of an answer, and whether they are a whole 200."""

    sent: bytes
    is_whole: bool


def answer(
    content: bytes,
    status: int = 200,
    header: bytes = b"X-Plain: yes",
    *,
    packed: bool = False,
    cut_packed: int | None = None,
    framing: str = "length",
    announced: int | None = None,
    cut: int | None = None,
) -> Answer:
    """
    Write an answer.

    :param cut_packed: How many bytes of a packed body there are; to HTTP it is whole.
    :param framing: What tells where the body ends: its ``length``, its ``chunks``, or the ``close`` of the connection.
    :param announced: Another length than the body has.
    :param cut: After how many bytes of the body the connection ends.
    """
    whole = gzip.compress(content, 1, mtime=0) if packed else content
    body = whole[:cut_packed] if packed else whole
    length = len(body) if announced is None else announced
    half = len(body) // 2
    chunks = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (body[:half], body[half:]) if chunk]
    end, encoded = {
        "length": (b"Content-Length: %d" % length, body),
        "chunks": (b"Transfer-Encoding: chunked", b"".join(chunks) + b"0\r\n\r\n"),
        "close": (b"X-Length: unknown", body),
    }[framing]
    lines = [
        b"HTTP/1.1 %d Any" % status,
        b"Connection: close",
        header,
        end,
        *([b"Content-Encoding: gzip"] if packed else []),
    ]
    is_whole = status == 200 and framing != "close" and not header.lower().startswith(b"content-range")
    is_whole &= body == whole and len(encoded[:cut]) == len(encoded) and (framing != "length" or length == len(body))
    return Answer(b"\r\n".join(lines) + b"\r\n\r\n" + encoded[:cut], is_whole)


PARTS = (b"Content-Range: bytes 0-9/20", b"content-range: bytes */0", b"Content-Range: ")
STATUSES = (201, 202, 203, 204, 205, 206, 207, 226, 299, 300, 301, 304, 400, 403, 404, 410, 416, 429, 500, 503)
BODY = b'{"q":"a whole payload"}'
NAMED: dict[str, Answer] = {
    "whole": answer(BODY),
    "whole, in chunks": answer(BODY, framing="chunks"),
    "whole, packed": answer(BODY, packed=True),
    "whole, packed, in chunks": answer(BODY, packed=True, framing="chunks"),
    **{f"status {status}": answer(BODY, status) for status in STATUSES},
    **{str(header): answer(BODY, header=header) for header in PARTS},
    "a part that says so": answer(BODY, 206, PARTS[0]),
    "cut": answer(BODY, cut=10),
    "cut at once": answer(BODY, cut=0),
    "shorter than it says": answer(BODY, announced=1000),
    "empty, and says otherwise": answer(b"", announced=23),
    "a chunk is cut": answer(BODY, framing="chunks", cut=10),
    "no last chunk": answer(BODY, framing="chunks", cut=-5),
    "no end is told": answer(BODY, framing="close"),
    "no end is told, and it is cut": answer(BODY, framing="close", cut=12),
    "packed, and nothing came": answer(BODY, packed=True, cut_packed=0),
    "packed, and nothing came in chunks": answer(BODY, packed=True, cut_packed=0, framing="chunks"),
    "no gzip at all": Answer(answer(BODY, header=b"Content-Encoding: gzip").sent, is_whole=False),
    "a stream of gzip is cut": answer(BODY, packed=True, cut_packed=-9),
    "a stream of gzip has no sum": answer(BODY, packed=True, cut_packed=-4, framing="chunks"),
    "half a gzip header": answer(BODY, packed=True, cut_packed=5),
    "packed as nobody asked": Answer(answer(BODY, header=b"Content-Encoding: br").sent, is_whole=False),
}


@contextmanager
def serving(answers: list[Answer]) -> Iterator[str]:
    """Serve answers, each at its place in the list."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            place = int(self.rfile.readline().split()[1].rpartition(b"/")[2])
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answers[place].sent)

    class Server(ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 100

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def read(langsmith: LangSmithStandIn, client: LangSmithClient, url: str, count: int, **query: Any) -> Any:
    """Read a page whose runs have a payload, an error and a file each, all of it at the same address."""
    runs = []
    for number in range(count):
        link = {"presigned_url": f"{url}/{number}"}
        start = (START + timedelta(seconds=count - number)).isoformat().replace("+00:00", "Z")
        links = {"inputs_s3_urls": {"ROOT": link}, "s3_urls": {"error": link, "attachment.file": link}}
        runs.append({"id": f"run {number}", "start_time": start, **links})
    langsmith.add_project("shop")
    langsmith.misbehave("status", status=200, body={"runs": runs})
    day = run_query(project=client.project("shop"), start=START, end=START + timedelta(days=1), fields=FIELDS, **query)
    return next(read_pages(client, day))


def landed(client: LangSmithClient, page: Any, directory: Path) -> dict[str, bytes]:
    """Download the files of a page, by run."""
    files: dict[str, bytes] = {}

    def open_file(number: int) -> BinaryIO:
        return (directory / str(number)).open("wb")

    def receive(number: int, _: Any) -> None:
        path = directory / str(number)
        files[page.attachments[number].run.id] = path.read_bytes()
        path.unlink()

    client.drive(download_attachments(page.attachments, open_file, receive, client.negotiator.backoff, flag=True))
    assert not [file for file in directory.iterdir() if file.stat().st_size]
    return files


def check(
    langsmith: LangSmithStandIn, client: LangSmithClient, directory: Path, answers: list[Answer], bodies: list[bytes]
) -> tuple[int, int]:
    """See that whole answers land as they are, and the others as marks; count both."""
    with serving(answers) as url:
        page = read(langsmith, client, url, len(answers), payloads="flag")
        files = landed(client, page, directory)
    for run, reply, body in zip(page.runs, answers, bodies, strict=True):
        if reply.is_whole:
            text = body.decode("utf-8", "replace")
            assert run.missing_payloads == [], reply
            assert json.loads(bytes(run.inputs).decode()) == json.loads(text), reply
            assert (run.error, files[run.id]) == (text, body), reply
        else:
            assert (run.inputs, run.error, files.get(run.id)) == (None, None, None), reply
            assert sorted(run.missing_payloads) == ["attachments.file", "error", "inputs"], reply
    return sum(reply.is_whole for reply in answers), sum(not reply.is_whole for reply in answers)


@pytest.mark.parametrize("name", NAMED)
def test_only_a_whole_200_counts(langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path, name: str) -> None:
    """A part, a body that was cut, and any success but 200 are marked; a whole body lands to the byte."""
    check(langsmith, client_of(langsmith, "v1", max_retries=0), tmp_path, [NAMED[name]], [BODY])


@pytest.mark.parametrize("name", [name for name, reply in NAMED.items() if not reply.is_whole])
def test_anything_else_fails_by_default(langsmith: LangSmithStandIn, client_of: ClientOf, name: str) -> None:
    """Without ``payloads="flag"`` it is an error of this package, which names the payload and not its address."""
    with serving([NAMED[name]]) as url, pytest.raises(LangSmithError, match="of run run 0") as caught:
        read(langsmith, client_of(langsmith, "v1", max_retries=0), url, 1)
    assert url not in str(caught.value)


def test_a_part_may_come_whole_the_next_time(langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path) -> None:
    """What did not come whole is asked for again."""
    answers = [NAMED["a part that says so"]]

    class Mending(list[Answer]):
        def __getitem__(self, place: Any) -> Any:
            reply = super().__getitem__(place)
            self[place] = NAMED["whole"]
            return reply

    with serving(Mending(answers)) as url:
        page = read(langsmith, client_of(langsmith, "v1", max_retries=1), url, 1)
    assert bytes(page.runs[0].inputs) == BODY


def document(random: Random) -> bytes:
    """Draw JSON as a storage may have it, with bytes that may be no UTF-8."""
    text = "".join(random.choices("aé€😀 \\n", k=random.randint(0, 60)))
    drawn = json.dumps({"t": text, "n": random.random()}, ensure_ascii=random.random() < 0.5).encode()
    if random.random() < 0.3:
        drawn = drawn.replace(b'{"t": "', b'{"t": "' + bytes(random.choices((0xFF, 0xC3, 0xED, 0xA0, 0x80), k=3)))
    return drawn


def hostile(random: Random, content: bytes) -> Answer:
    """Draw an answer: some are whole, most have one thing wrong with them, and some have several."""
    wrong: dict[str, Any] = {
        "status": random.choice(STATUSES),
        "header": random.choice((*PARTS, b"Content-Type: \xff\xfe", b"X-Odd: ")),
        "framing": "close",
        "announced": len(content) * 2 + random.randint(30, 1000),
        "cut": random.randint(0, len(content)),
        "cut_packed": random.randint(0, len(content)),
    }
    chosen = random.sample(sorted(wrong), random.choice((0, 0, 1, 1, 1, 1, 2, 3)))
    fine = {"packed": random.random() < 0.5, "framing": random.choice(("length", "chunks"))}
    return answer(content, **{**fine, **{name: wrong[name] for name in chosen}})


@pytest.mark.parametrize("seed", range(2))
def test_any_answer_lands_whole_or_is_marked(
    langsmith: LangSmithStandIn, client_of: ClientOf, tmp_path: Path, seed: int
) -> None:
    """Whatever is wrong with answers, alone or together, none of them lands as what it is not."""
    random = Random(seed)
    bodies = [document(random) for _ in range(100)]
    answers = [hostile(random, body) for body in bodies]
    client = client_of(langsmith, "v1", max_retries=0)
    assert min(check(langsmith, client, tmp_path, answers, bodies)) > 10
