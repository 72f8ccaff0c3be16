"""``LangSmithStandIn``: the server, its data, and the controls a test has over both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from airflow_langsmith.testing.application import Application
from airflow_langsmith.testing.context import Context
from airflow_langsmith.testing.exchange import RecordedRequest
from airflow_langsmith.testing.faults import Fault, FaultKind, FaultScript
from airflow_langsmith.testing.feedback_intake import change_feedback, take_feedback
from airflow_langsmith.testing.intake import change_run, identifier, take_run
from airflow_langsmith.testing.sample import PROJECT, sample_feedback, sample_runs
from airflow_langsmith.testing.server import Server
from airflow_langsmith.testing.settings import CostForm, Edges, FeedbackOrder, Settings, V1EndTime, VersionNegotiator
from airflow_langsmith.testing.storage import offloaded
from airflow_langsmith.testing.workspace import Workspace

__all__ = ["LangSmithStandIn"]

_FEEDBACK_DELAY = timedelta(minutes=5)  # a customer says what they think some minutes after the answer


class LangSmithStandIn:
    """
    A LangSmith server in a box, with the API versions 1 and 2, on a loopback port.

    .. code-block:: python

        with LangSmithStandIn() as langsmith:
            langsmith.add_run(project="shop", start_time="2026-03-01T12:00:00Z", outputs={"answer": 42})
            monkeypatch.setenv("AIRFLOW_CONN_LANGSMITH_DEFAULT", langsmith.connection())

    It answers over real sockets whatever speaks HTTP, the ``langsmith`` SDK included, which may also log to it. It
    refuses what LangSmith refuses, keeps every request in ``requests``, and misbehaves when told to. Data is put in
    and taken out at any time, before ``start`` and after ``stop`` too.

    :param api_key: The key every request has to bring.
    :param version: Release to impersonate: v2 came with 0.16, the v1 run methods went with 0.18.
    :param backend: What stores the runs. ``smithdb`` alone answers 501 to v1 queries.
    :param workspace_id: UUID of the workspace; by default drawn from the seed.
    :param require_workspace: Whether the key is one of an organisation: then 403 without ``X-Tenant-Id``.
    :param edges: Whether a bound on the start time holds a run exactly on it: only the lower one does
        (``half_open``), both do, or neither does. LangSmith leaves it open.
    :param last_cursor: Whether a full last page has a cursor, which leads to an empty page. LangSmith leaves it open.
    :param v1_end_time: What ``end_time`` of a v1 query bounds: a run's ``end``, or its ``start``.
    :param v1_costs: How v1 writes dollars: as a ``number``, as it does, or as a ``string``, as it documents.
    :param rate_limits: End of a path -> (requests, seconds): 429 for more requests than that in a fixed window.
    :param retry_after: Whether such a 429 says how long to wait.
    :param feedback_order: How feedback is sorted, which LangSmith leaves open: by when it was given (``newest`` or
        ``oldest`` first), by when it was ``modified``, by ``id``, or in another order for each request (``none``).
    :param largest_list: How many pieces of feedback, or projects, one page has at most, even if more are asked for.
    :param retention_days: How many days the workspace says that it keeps traces of projects that are ``longlived``; it
        says so, and deletes nothing.
    :param self_hosted: Whether it is a server of your own behind nginx: the API is below ``/api``, and every other
        address answers 200 with the page of the UI.
    :param port: Port on 127.0.0.1; 0 takes a free one.
    :param seed: From which all ids are drawn.
    :param now: A clock; by default the real one.
    """

    def __init__(
        self,
        *,
        api_key: str = "lsv2_pt_stand_in_key",
        version: str = "0.16.3",
        backend: VersionNegotiator = "dual",
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
        port: int = 0,
        seed: int = 0,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._settings = Settings(
            api_key=api_key,
            version=version,
            backend=backend,
            workspace_id=workspace_id,
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
        self._context = Context(self._settings, self._workspace, self._faults)
        self._port = port
        self._seed = seed
        self._server: Server | None = None
        self._application: Application | None = None
        self.requests: list[RecordedRequest] = []
        """Every request so far, in the order of their answers."""

    def start(self) -> Self:
        """Open the port and begin to answer."""
        if self._server is None:
            self._application = Application(self._context)
            self._server = Server(self._port, self._application.answer, self.requests.append)
            self._port = self._server.server_port  # a second start comes back under the same address
            self._server.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection. Does nothing if it is closed already."""
        if self._server is not None and self._application is not None:
            self._application.closing.set()
            self._server.stop()
            self._server = self._application = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "not started" if self._server is None else self.url
        return f"<{type(self).__name__} {state}, {len(self._workspace.runs)} runs>"

    @property
    def url(self) -> str:
        """What the SDK takes as ``api_url`` and a connection as host; of a self-hosted server it ends in ``/api``."""
        if self._server is None:
            raise RuntimeError("The stand-in has no address: start it, or use it in a 'with' block.")
        return f"{self._server.url}/api" if self._settings.self_hosted else self._server.url

    @property
    def api_key(self) -> str:
        """The key it accepts."""
        return self._settings.api_key

    @property
    def workspace_id(self) -> str:
        """The id of its one workspace: the tenant, in the words of the API."""
        return self._workspace.id

    def connection(self, **extra: Any) -> str:
        """Write an Airflow connection to this server, as JSON for ``AIRFLOW_CONN_LANGSMITH_DEFAULT``."""
        return json.dumps({"conn_type": "langsmith", "host": self.url, "password": self.api_key, "extra": extra})

    def requests_to(self, path: str) -> list[RecordedRequest]:
        """List the requests whose path ends so."""
        return [request for request in self.requests if request.path.endswith(path)]

    # What it holds

    def add_run(self, *, project: str = "default", start_time: datetime | str | None = None, **fields: Any) -> str:
        """
        Put in one run, of the fields the SDK's ``create_run`` takes, and give its id.

        Everything has a default: it is a chain named ``run``, the root of a trace of its own, started now and
        pending. With a ``parent_run_id`` it takes its trace and its place in it from the parent.
        """
        with self._workspace.lock:
            given = {"id": self._workspace.new_id(), "name": "run", "run_type": "chain", **fields}
            return take_run(self._workspace, {**given, "project_name": project, "start_time": start_time}).id

    def update_run(self, run_id: str, **fields: Any) -> None:
        """Change a run, as the SDK's ``update_run`` does: None leaves a field as it is."""
        with self._workspace.lock:
            if run_id not in self._workspace.runs:
                raise KeyError(run_id)
            change_run(self._workspace, run_id, fields)

    def offload(self, run_id: str, *payloads: str) -> None:
        """
        Move payloads (``inputs``, ``outputs``, ``extra``, ``events``, ``error``, ``serialized``) into blob storage.

        v1 then answers null for them, and a URL where its ``*_s3_urls`` are selected; v2 sends them whole.
        """
        with self._workspace.lock:
            self._workspace.add_run(offloaded(self._workspace.runs[run_id], payloads))

    def add_feedback(self, run_id: str | None = None, *, key: str = "user_score", **fields: Any) -> str:
        """Put in one feedback, of the fields the SDK's ``create_feedback`` takes and times, and give its id."""
        with self._workspace.lock:
            return take_feedback(self._workspace, {**fields, "run_id": run_id, "key": key}).id

    def update_feedback(self, feedback_id: str, **fields: Any) -> None:
        """Change feedback, as the SDK's ``update_feedback`` does."""
        with self._workspace.lock:
            change_feedback(self._workspace, self._workspace.feedback[feedback_id], fields)

    def withdraw_feedback(self, feedback_id: str) -> None:
        """Delete feedback."""
        with self._workspace.lock:
            self._workspace.remove_feedback(self._workspace.feedback[feedback_id])

    def load(self, runs: Iterable[Mapping[str, Any]], feedback: Iterable[Mapping[str, Any]] = ()) -> None:
        """Put in many runs and feedback, in the form of the SDK's ``create_run`` and ``create_feedback``."""
        with self._workspace.lock:
            for run in runs:
                take_run(self._workspace, run)
            for item in feedback:
                take_feedback(self._workspace, item)

    def load_sample(
        self,
        *,
        start: datetime,
        days: int = 7,
        traces_per_day: int = 20,
        seed: int | None = None,
        project: str = PROJECT,
    ) -> None:
        """Put in the made-up workspace of the module ``sample``; by default with the seed of the stand-in."""
        chosen = self._seed if seed is None else seed
        with self._workspace.lock:
            self.load(sample_runs(start=start, days=days, traces_per_day=traces_per_day, seed=chosen, project=project))
            for item in sample_feedback(
                start=start, days=days, traces_per_day=traces_per_day, seed=chosen, project=project
            ):
                run = self._workspace.runs[identifier(item["run_id"])]
                said = (run.end_time or run.start_time) + _FEEDBACK_DELAY
                take_feedback(self._workspace, {**item, "created_at": said})

    def add_project(self, name: str, **fields: Any) -> str:
        """Open a project, if it is not there yet, and give its id; ``fields`` are those of the API's session."""
        with self._workspace.lock:
            project = self._workspace.ensure_project(name)
            for field, value in fields.items():
                setattr(project, field, value)
            return project.id

    def project_id(self, name: str) -> str:
        """
        Find a project's id.

        :raises KeyError: If there is no such project.
        """
        with self._workspace.lock:
            project = self._workspace.project_named(name)
            if project is None:
                raise KeyError(name)
            return project.id

    # How it misbehaves

    def misbehave(
        self,
        kind: FaultKind,
        *,
        path: str = "/runs/query",
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
        Add a fault to the script; faults are used up in the order they were added, those without end last.

        ==================  ======================================================================================
        ``status``          answers ``status`` (503) with ``body``: text, bytes, or anything JSON can say
        ``rate_limit``      answers 429, with a ``Retry-After`` of ``retry_after`` seconds if given
        ``html``            answers ``status`` (502) with a page in HTML, as a proxy does
        ``reset``           resets the connection without an answer
        ``truncate``        breaks the connection halfway through the answer; ``clean`` cuts its JSON instead
        ``delay``           answers properly, ``seconds`` late
        ``drip``            answers properly, but each byte ``seconds`` after the one before
        ``repeat_cursor``   gives the cursor of this page for the next one; a first page gets a second of itself
        ``lose_cursor``     gives no cursor although there are more runs
        ``empty_page``      gives no runs, and a new cursor for the same page
        ``old_page``        gives the runs of the first page again, and a new cursor for the page that was asked for
        ``circle``          gives new cursors, and the last page one for the first page
        ``too_large``       answers ``status`` (413) for every page of more than ``largest_page`` runs
        ``meanwhile``       calls ``action`` first, which may change what is there, and then answers properly
        ==================  ======================================================================================

        :param path: End of the path it happens to: ``/runs/query`` of both versions, ``/v1/runs/query`` of one.
        :param after: How many requests to that path still pass before.
        :param times: How often it happens; None means for ever.
        """
        self._faults.add(
            Fault(
                kind,
                path=path,
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
        """Forget the faults that are left."""
        self._faults.clear()

    @property
    def unspent_faults(self) -> list[Fault]:
        """The faults that have not happened as often as they should have."""
        return self._faults.unspent
