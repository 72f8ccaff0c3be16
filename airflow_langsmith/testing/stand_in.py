"""``LangSmithStandIn``: the server, its data and its faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Self

from airflow_langsmith.testing.application import Application
from airflow_langsmith.testing.blob_storage import offload
from airflow_langsmith.testing.bulk.behaviour import BulkExportBehaviour
from airflow_langsmith.testing.bulk.controls import BulkControls
from airflow_langsmith.testing.bulk.exports import BulkExports
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.faults import Fault, FaultKind, FaultScript
from airflow_langsmith.testing.feedback_ingest import change_feedback, create_feedback
from airflow_langsmith.testing.http_messages import RecordedRequest
from airflow_langsmith.testing.run_ingest import change_run, create_run, read_id
from airflow_langsmith.testing.sample import PROJECT, sample_feedback, sample_runs
from airflow_langsmith.testing.server import Server
from airflow_langsmith.testing.settings import Backend, CostForm, Edges, FeedbackOrder, Settings, V1EndTime
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["LangSmithStandIn"]

_FEEDBACK_DELAY = timedelta(minutes=5)  # from the end of a sample run to the feedback on it


class LangSmithStandIn(BulkControls):
    """
    A LangSmith server in a box, with the API versions 1 and 2, on a loopback port.

    .. code-block:: python

        with LangSmithStandIn() as langsmith:
            langsmith.add_run(project="shop", start_time="2026-03-01T12:00:00Z", outputs={"answer": 42})
            monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection())

    It answers any HTTP client over a real socket; the ``langsmith`` SDK can also log runs to it. It refuses what
    LangSmith refuses, records each request in ``requests``, and ``misbehave`` makes it fail. Data can be added and
    changed at any time, also before ``start`` and after ``stop``.

    :param api_key: The key that each request needs.
    :param version: The release: 0.16 adds v2, 0.18 removes the v1 run methods.
    :param backend: The store of the runs. With ``smithdb`` alone, v1 queries are 501.
    :param workspace_id: UUID of the workspace, by default from the seed.
    :param require_workspace: Whether the key belongs to an organisation: then 403 without ``X-Tenant-Id``.
    :param edges: Whether bounds on the start time include a run exactly on a bound: the lower bound does
        (``half_open``), both do (``inclusive``), or none (``exclusive``). LangSmith does not document it.
    :param last_cursor: Whether a full last page has a cursor, to an empty page. LangSmith does not document it.
    :param v1_end_time: What ``end_time`` of a v1 query bounds: the ``end`` of a run, or its ``start``.
    :param v1_costs: How v1 writes dollars: as a ``number``, which it does, or as a ``string``, which it documents.
    :param rate_limits: End of a path -> (requests, seconds): more requests in a fixed window are 429.
    :param retry_after: Whether such a 429 says how long to wait.
    :param feedback_order: The order of feedback, which LangSmith does not document: by creation (``newest`` or
        ``oldest`` first), by change (``modified``), by ``id``, or another order for each request (``none``).
    :param largest_list: The most feedback or projects on a page, also if a request asks for more.
    :param retention_days: How many days the workspace keeps traces of ``longlived`` projects. It deletes nothing.
    :param self_hosted: Whether it is a server behind nginx: the API is below ``/api``, and each other path answers 200
        with the page of the UI.
    :param bulk: How Bulk Export behaves. It may change at any time, as the attribute ``bulk``.
    :param port: Port on 127.0.0.1; 0 takes a free port.
    :param seed: The seed of all ids.
    :param now: A clock; by default the real one.
    """

    def __init__(
        self,
        *,
        api_key: str = "lsv2_pt_stand_in_key",
        version: str = "0.16.3",
        backend: Backend = "dual",
        workspace_id: str | None = None,
        require_workspace: bool = False,
        edges: Edges = "half_open",
        last_cursor: bool = True,
        v1_end_time: V1EndTime = "end",
        v1_costs: CostForm = "number",
        rate_limits: Mapping[str, tuple[int, float]] | None = None,
        retry_after: bool = True,
        feedback_order: FeedbackOrder = "newest",
        largest_list: int = 100,
        retention_days: int | None = None,
        self_hosted: bool = False,
        bulk: BulkExportBehaviour | None = None,
        port: int = 0,
        seed: int = 0,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._settings = Settings(
            api_key=api_key,
            version=version,
            backend=backend,
            require_workspace=require_workspace,
            edges=edges,
            last_cursor=last_cursor,
            v1_end_time=v1_end_time,
            v1_costs=v1_costs,
            rate_limits=dict(rate_limits or {}),
            retry_after=retry_after,
            feedback_order=feedback_order,
            largest_list=largest_list,
            retention_days=retention_days,
            self_hosted=self_hosted,
        )
        self._workspace = Workspace(workspace_id=workspace_id, seed=seed, now=now)
        self._faults = FaultScript()
        self._bulk = BulkExports(self._workspace, bulk or BulkExportBehaviour())
        self._context = Context(self._settings, self._workspace, self._faults, self._bulk)
        self._port = port
        self._seed = seed
        self._server: Server | None = None
        self._application: Application | None = None
        self.requests: list[RecordedRequest] = []
        """All requests, in the order of their answers."""

    def start(self) -> Self:
        """Open the port and begin to answer."""
        if self._server is None:
            self._application = Application(self._context)
            self._server = Server(self._port, self._application.respond, self.requests.append)
            self._port = self._server.server_port  # a second start has the same address
            self._server.start()
        return self

    def stop(self) -> None:
        """Close the port and all connections, if they are open."""
        if self._server is not None and self._application is not None:
            self._application.closing.set()
            self._server.stop()
            self._server = self._application = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "not started" if self._server is None else self.url
        return f"<{type(self).__name__} {state}, {len(self._workspace.runs)} runs>"

    @property
    def url(self) -> str:
        """The ``api_url`` of the SDK and the host of a connection. That of a self-hosted server ends in ``/api``."""
        if self._server is None:
            raise RuntimeError("The stand-in has no address: start it, or use it in a 'with' block.")
        return f"{self._server.url}/api" if self._settings.self_hosted else self._server.url

    @property
    def api_key(self) -> str:
        """The key that each request needs."""
        return self._settings.api_key

    @property
    def workspace_id(self) -> str:
        """The id of the workspace, which the API calls tenant."""
        return self._workspace.id

    def connection(self, **extra: Any) -> str:
        """Return an Airflow connection to this server, as JSON for ``AIRFLOW_CONN_LANGSMITH_DEFAULT``."""
        return json.dumps({"conn_type": "langsmith", "host": self.url, "password": self.api_key, "extra": extra})

    def requests_to(self, path: str) -> list[RecordedRequest]:
        """Return the requests whose path ends with ``path``."""
        return [request for request in self.requests if request.path.endswith(path)]

    # Data

    def add_run(self, *, project: str = "default", start_time: datetime | str | None = None, **fields: Any) -> str:
        """
        Add a run with the fields of the SDK's ``create_run``, and return its id.

        By default it is a chain with the name ``run``, the root of a trace, started now and pending. With a
        ``parent_run_id`` it belongs to the trace of its parent.
        """
        with self._bulk.changes():
            defaults = {"id": self._workspace.new_id(), "name": "run", "run_type": "chain"}
            run = {**defaults, **fields, "project_name": project, "start_time": start_time}
            return create_run(self._workspace, run).id

    def update_run(self, run_id: str, **fields: Any) -> None:
        """Change a run, as the SDK's ``update_run`` does. None leaves a field as it is."""
        with self._bulk.changes():
            if run_id not in self._workspace.runs:
                raise KeyError(run_id)
            change_run(self._workspace, run_id, fields)

    def offload(self, run_id: str, *payloads: str) -> None:
        """
        Move payloads (``inputs``, ``outputs``, ``extra``, ``events``, ``error``, ``serialized``) into blob storage.

        v1 then answers null for them, and a URL in a selected ``*_s3_urls``. v2 answers the payloads themselves.
        """
        with self._bulk.changes():
            self._workspace.add_run(offload(self._workspace.runs[run_id], payloads))

    def add_feedback(self, run_id: str | None = None, *, key: str = "user_score", **fields: Any) -> str:
        """Add feedback with the fields and times of the SDK's ``create_feedback``, and return its id."""
        with self._bulk.changes():
            return create_feedback(self._workspace, {**fields, "run_id": run_id, "key": key}).id

    def update_feedback(self, feedback_id: str, **fields: Any) -> None:
        """Change feedback, as the SDK's ``update_feedback`` does."""
        with self._bulk.changes():
            change_feedback(self._workspace, self._workspace.feedback[feedback_id], fields)

    def withdraw_feedback(self, feedback_id: str) -> None:
        """Delete feedback."""
        with self._bulk.changes():
            self._workspace.remove_feedback(self._workspace.feedback[feedback_id])

    def load(self, runs: Iterable[Mapping[str, Any]], feedback: Iterable[Mapping[str, Any]] = ()) -> None:
        """Add many runs and feedback, in the form of the SDK's ``create_run`` and ``create_feedback``."""
        with self._bulk.changes():
            for run in runs:
                create_run(self._workspace, run)
            for item in feedback:
                create_feedback(self._workspace, item)

    def load_sample(
        self,
        *,
        start: datetime,
        days: int = 7,
        traces_per_day: int = 20,
        seed: int | None = None,
        project: str = PROJECT,
    ) -> None:
        """Add the traces of a shop's assistant over some days, by default with the seed of the stand-in."""
        sample: dict[str, Any] = {"start": start, "days": days, "traces_per_day": traces_per_day, "project": project}
        sample["seed"] = self._seed if seed is None else seed
        with self._bulk.changes():
            self.load(sample_runs(**sample))
            for item in sample_feedback(**sample):
                run = self._workspace.runs[read_id(item["run_id"])]
                created = (run.end_time or run.start_time) + _FEEDBACK_DELAY
                create_feedback(self._workspace, {**item, "created_at": created})

    def add_project(self, name: str, **fields: Any) -> str:
        """Create or change a project, and return its id. ``fields`` are those of the API's session."""
        with self._bulk.changes():
            project = self._workspace.ensure_project(name)
            for field, value in fields.items():
                setattr(project, field, value)
            return project.id

    def project_id(self, name: str) -> str:
        """
        Return the id of a project.

        :raises KeyError: If the project does not exist.
        """
        with self._workspace.lock:
            project = self._workspace.project_named(name)
            if project is None:
                raise KeyError(name)
            return project.id

    # Faults

    def misbehave(
        self,
        kind: FaultKind,
        *,
        path: str = "/runs/query",
        method: str | None = None,
        after: int = 0,
        times: int | None = 1,
        status: int | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        seconds: float = 0.0,
        largest_page: int = 0,
        clean: bool = False,
        action: Callable[[], object] | None = None,
    ) -> None:
        """
        Add a fault to the script. Faults happen in the order of the script; faults without an end come last.

        ==================  ======================================================================================
        ``status``          answers ``status`` (503) with ``body``: text, bytes, or anything that JSON can write
        ``rate_limit``      answers 429, with a ``Retry-After`` of ``retry_after`` seconds if there is one
        ``html``            answers ``status`` (502) with a page in HTML, as a proxy does
        ``reset``           resets the connection without an answer
        ``truncate``        breaks the connection after half of the answer; ``clean`` cuts its JSON instead
        ``lose_answer``     carries out the request, and resets the connection without an answer
        ``delay``           answers correctly, ``seconds`` late
        ``drip``            answers correctly, with ``seconds`` between two bytes
        ``repeat_cursor``   answers with the cursor of the request again; a first page has its real cursor
        ``lose_cursor``     answers without a cursor although there are more runs
        ``empty_page``      answers without runs, and with a new cursor to the same page
        ``old_page``        answers with the runs of the first page, and with a new cursor to the same page
        ``circle``          answers with new cursors; that of the last page leads to the first page
        ``too_large``       answers ``status`` (413) to each request for more than ``largest_page`` runs
        ``meanwhile``       calls ``action``, which may change the data, and then answers correctly
        ==================  ======================================================================================

        :param path: End of the path: ``/runs/query`` for both versions, ``/v1/runs/query`` for one.
        :param method: The HTTP method; None is each.
        :param after: How many requests to that path pass before the fault.
        :param times: How often it happens; None is for ever.
        """
        self._faults.add(
            Fault(
                kind,
                path=path,
                method=method,
                after=after,
                times=times,
                status=status,
                body=body,
                headers=dict(headers or {}),
                retry_after=retry_after,
                seconds=seconds,
                largest_page=largest_page,
                clean=clean,
                action=action,
            )
        )

    def behave(self) -> None:
        """Delete the faults that have not happened."""
        self._faults.clear()
        self._bulk.faults.clear()

    @property
    def unspent_faults(self) -> list[Fault]:
        """The faults that have not happened as often as the script says."""
        return self._faults.unspent
