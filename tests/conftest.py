"""The fixtures of all tests: their own Airflow, a stand-in for LangSmith, and nothing of the user's environment."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path

from tests.queries import run_query

ROOT = Path(__file__).parent.parent

# Before the first import of Airflow: each process has its own home, so that test processes run side by side.
_HOME = tempfile.mkdtemp(prefix="airflow-langsmith-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
for name in [name for name in os.environ if name.startswith(("AIRFLOW", "LANGSMITH_", "LANGCHAIN_", "AWS_"))]:
    del os.environ[name]
os.environ.update(
    AIRFLOW_HOME=_HOME,
    AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "example_dags"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="True",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME}/airflow.db?timeout=60",
    LANGSMITH_TRACING="false",
)

from collections.abc import Callable, Iterator  # noqa: E402  # after the environment is set
from contextlib import ExitStack  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from datetime import UTC, datetime, timedelta  # noqa: E402
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: E402
from itertools import repeat  # noqa: E402
from threading import Semaphore, Thread  # noqa: E402
from typing import Any  # noqa: E402
from uuid import uuid4  # noqa: E402

import hypothesis  # noqa: E402
import pytest  # noqa: E402
from structlog.testing import capture_logs  # noqa: E402

from airflow_langsmith.api.client import LangSmithClient  # noqa: E402
from airflow_langsmith.api.settings import Settings  # noqa: E402
from airflow_langsmith.export.encoders import format_of  # noqa: E402
from airflow_langsmith.export.export import Export, Exported, OutputOptions  # noqa: E402
from airflow_langsmith.export.pages import PageSource  # noqa: E402
from airflow_langsmith.export.row_transforms import RowTransforms  # noqa: E402
from airflow_langsmith.manifest import read_manifest  # noqa: E402
from airflow_langsmith.testing import LangSmithStandIn  # noqa: E402
from airflow_langsmith.views import View, view_of  # noqa: E402

# A busy machine is slow, and no property is about time.
hypothesis.settings.register_profile("patient", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("patient")

ClientOf = Callable[..., LangSmithClient]
RunExport = Callable[..., Exported]
ExportRows = Callable[..., list[dict[str, Any]]]
ReadRows = Callable[[str | Path], list[dict[str, Any]]]
TaskLog = Callable[[], list[tuple[str, str]]]


@pytest.fixture
def langsmith() -> Iterator[LangSmithStandIn]:
    """A LangSmith of the test."""
    with LangSmithStandIn() as server:
        yield server


@pytest.fixture
def task_log(caplog: pytest.LogCaptureFixture) -> Iterator[TaskLog]:
    """Return what tasks and hooks log, as (level, line): by structlog from Airflow 3.1, and by logging before."""
    caplog.set_level(logging.INFO)
    with capture_logs() as entries:
        yield lambda: [
            *((entry["log_level"], entry["event"] % entry.get("positional_args", ())) for entry in entries),
            *(
                (record.levelname.lower(), record.getMessage())
                for record in caplog.records
                if record.name.startswith("airflow.task")
            ),
        ]


@pytest.fixture
def parse_dags() -> Callable[[Path], Any]:
    """Parse the DAGs of a folder, as the DAG processor does."""
    try:
        from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415  # not every test needs it
    except ImportError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]  # noqa: PLC0415
    return DagBag


@dataclass
class Storage:
    """
    A blob storage on its own host.

    ``blobs`` maps paths to answers: a status, headers and a body. A body of None never ends. ``hung_up`` is released
    for each client that closes its connection before the end.
    """

    url: str
    blobs: dict[str, tuple[int, dict[str, str], bytes | None]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    hung_up: Semaphore = field(default_factory=lambda: Semaphore(0))
    sent: int = 0

    def put(self, path: str, body: bytes | None, status: int = 200, **headers: str) -> str:
        """Add a blob, and return a link to it."""
        self.blobs[path] = status, {name.replace("_", "-"): value for name, value in headers.items()}, body
        return f"{self.url}{path}?signed=secret"


@pytest.fixture
def storage() -> Iterator[Storage]:
    """A blob storage on another host than LangSmith."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base class names it so
            path = self.path.partition("?")[0]
            blob_storage.requests.append((path, {name.lower(): value for name, value in self.headers.items()}))
            status, headers, body = blob_storage.blobs[path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if body is not None:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                for piece in [body] if body is not None else repeat(b"0" * 65536):
                    self.wfile.write(piece)
                    blob_storage.sent += len(piece)
            except ConnectionError:
                blob_storage.hung_up.release()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    blob_storage = Storage(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield blob_storage
    server.shutdown()
    thread.join()
    server.server_close()  # waits for its answers


@pytest.fixture
def client_of() -> Iterator[ClientOf]:
    """Make clients of a stand-in, which are closed in the end. By default the request budget is no limit."""
    with ExitStack() as stack:

        def make(server: LangSmithStandIn, api_version: Any = "auto", **settings: Any) -> LangSmithClient:
            connection = {"api_url": server.url, "api_key": server.api_key, "requests_per_10s": 100_000, **settings}
            return stack.enter_context(LangSmithClient(Settings(api_version=api_version, **connection)))

        yield make


@pytest.fixture
def export_runs(tmp_path: Path) -> RunExport:
    """Export the runs of a window, or another view, by default as Parquet into the directory of the test."""

    def run(
        client: LangSmithClient,
        project: str,
        start: datetime,
        end: datetime,
        *,
        view: View | None = None,
        query: dict[str, Any] | None = None,
        columns: list[str] | None = None,
        transforms: RowTransforms | None = None,
        **output: Any,
    ) -> Exported:
        view = view or view_of("runs", columns)
        window = run_query(project=client.project(project), start=start, end=end, fields=view.fields, **(query or {}))
        format_ = format_of(output.pop("format", "parquet"), output.pop("compression", None))
        options = OutputOptions(**{"destination": f"file://{tmp_path}", **output}, format=format_)
        return Export(PageSource(client), window, view, options, transforms or RowTransforms()).run()

    return run


@pytest.fixture
def export_rows(client_of: ClientOf, export_runs: RunExport, read_rows: ReadRows, tmp_path: Path) -> ExportRows:
    """Export a window of a view, by default the first of March, into a new directory, and return its rows."""

    def run(
        server: LangSmithStandIn,
        api_version: str,
        view: str,
        start: datetime = datetime(2026, 3, 1, tzinfo=UTC),
        end: datetime | None = None,
        *,
        project: str = "shop",
        query: dict[str, Any] | None = None,
        **options: Any,
    ) -> list[dict[str, Any]]:
        window = client_of(server, api_version), project, start, end or start + timedelta(days=1)
        destination = f"file://{tmp_path}/{uuid4()}"
        return read_rows(export_runs(*window, view=view_of(view, **options), query=query, destination=destination).uri)

    return run


@pytest.fixture
def read_rows() -> ReadRows:
    """Read the rows of an export by its manifest."""

    def read(uri: str | Path) -> list[dict[str, Any]]:
        import pyarrow.parquet as pq  # noqa: PLC0415  # not every test needs it

        manifest = read_manifest(str(uri))
        directory = Path(str(uri).removeprefix("file://").removesuffix("/_manifest.json"))
        return [
            row
            for file in manifest.files
            for row in pq.read_table(directory / file.name, partitioning=None).to_pylist()
        ]

    return read
