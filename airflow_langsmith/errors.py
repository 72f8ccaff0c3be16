"""
All errors, by what cures them.

::

    LangSmithError
    ├── ConfigurationError (ValueError)   a connection or an argument is wrong       only you can
    │   ├── WindowError                   no window, or one that cannot be meant     only you can
    │   ├── StorageAccessError            the destination refuses its user           only you can
    │   ├── DestinationConflictError      the partition holds another export         only you can
    │   ├── SchemaChangeError             the columns differ from those before       only you can
    │   ├── TableError                    the table cannot take the rows             only you can
    │   └── ManifestError                 there is none that this version can read   only you can
    │       └── BrokenManifestError       the file there is no manifest              only you can
    ├── ApiError                          LangSmith answered, but not with data      only you can
    │   ├── RedirectError                 3xx: host is not the API itself            only you can
    │   ├── AuthenticationError           401, 403: key, workspace or region         only you can
    │   ├── NotFoundError                 404: no such project or address            only you can
    │   │   └── RunNotFoundError          404: no such run                           only you can
    │   ├── InvalidQueryError             400, 422: the query or its filter          only you can
    │   ├── UnsupportedError              405, 410, 501: not on this server           only you can
    │   ├── ProxyError                    401, 403 that is not LangSmith's JSON      a retry may
    │   ├── PageTooLargeError             413: the page has to shrink                a retry may
    │   ├── RateLimitError                429                                        a retry may
    │   └── ServerError                   408, 409, 421, 423, 425, 499, 5xx          a retry may
    ├── TransportError                    no answer: refused, reset, cut short       a retry may
    │   └── ReadTimeoutError              no answer in time                          a retry may
    ├── LocalDiskError                    the worker's own disk takes no more        a retry may
    ├── PayloadError                      an answer outside the documented shape     only you can
    │   ├── CursorLoopError               the same page twice                        a retry may
    │   ├── ListChangedError              a list that changed whenever it was read   a retry may
    │   ├── MissingPayloadError           a payload is not where its link leads      a retry may
    │   └── LargePayloadError             a body over the size limit                 only you can
    ├── WindowNotClosedError              the window ends too late to be complete    a retry may
    ├── ExportError                       between rows and published files           a retry may
    │   ├── StorageError                  the destination, or the worker's disk      a retry may
    │   ├── BulkExportError               the files of a bulk export are not whole   a retry may
    │   ├── ConcurrentExportError         another export of the same partition       a retry may
    │   └── EmptyWindowError              no rows, and some are expected             a retry may
    └── LoadError                         between files and a table                  a retry may
        ├── ConcurrentLoadError           another load of the same rows              a retry may
        └── PartMissingError              a file that the manifest lists is gone     a retry may

``StorageAccessError`` is a ``StorageError``, too. ``api.statuses`` has the kind of every HTTP status. ``retriable``
alone decides: the retry loop reads it, and so do the operators when Airflow may retry.

Every error takes positional arguments only, so that it pickles. None carries a header, a secret or data
(:mod:`airflow_langsmith.masking`).
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from airflow_langsmith.masking import mask_secrets
from airflow_langsmith.messages import format_message
from airflow_langsmith.problems import Problem

__all__ = [
    "ApiError",
    "AuthenticationError",
    "BrokenManifestError",
    "BulkExportError",
    "ConcurrentExportError",
    "ConcurrentLoadError",
    "ConfigurationError",
    "CursorLoopError",
    "DestinationConflictError",
    "EmptyWindowError",
    "ExportError",
    "InvalidQueryError",
    "LangSmithError",
    "LargePayloadError",
    "ListChangedError",
    "LoadError",
    "LocalDiskError",
    "ManifestError",
    "MissingPayloadError",
    "NotFoundError",
    "PageTooLargeError",
    "PartMissingError",
    "PayloadError",
    "ProxyError",
    "RateLimitError",
    "ReadTimeoutError",
    "RedirectError",
    "RunNotFoundError",
    "SchemaChangeError",
    "ServerError",
    "StorageAccessError",
    "StorageError",
    "TableError",
    "TransportError",
    "UnsupportedError",
    "WindowError",
    "WindowNotClosedError",
]

NO_RETRY = "A retry will not help."


class LangSmithError(Exception):
    """
    Root of the tree.

    ``where`` is the connection; the client sets it. ``advice_on_arguments`` is set by operators, by ``problem``.
    ``str`` formats it for Airflow's log view: what happened, what to do, where, and if so that a retry will not help.
    """

    retriable: ClassVar[bool] = False
    problem: Problem | None = None
    advice_on_arguments: str = ""
    where: str = ""

    def __init__(self, *args: Any) -> None:
        super().__init__(*(mask_secrets(arg) if isinstance(arg, str) else arg for arg in args))

    @property
    def message(self) -> str:
        """What happened and what to do, in sentences."""
        return super().__str__()

    @property
    def cause(self) -> str:
        """What happened, in one sentence, for a log line."""
        return self.message.partition(". ")[0]

    def of(self, problem: Problem) -> Self:
        """Return the error, with its problem."""
        self.problem = problem
        return self

    def __str__(self) -> str:
        return format_message(self.message, self.advice_on_arguments, self.where, "" if self.retriable else NO_RETRY)


class ConfigurationError(LangSmithError, ValueError):
    """A field of the connection or an argument is wrong."""


class ApiError(LangSmithError):
    """
    LangSmith, or something in front of it, answered with an error.

    ``detail`` is the server's own message (500 characters at most), ``purpose`` the request's, ``retry_after`` seconds.
    """

    summary: ClassVar[str] = "The request was refused"
    advice: ClassVar[str] = (
        "Check that host is LangSmith's API, and what stands between it and the worker: proxies and firewalls refuse "
        "requests, too."
    )
    hint: str = ""  # a better explanation than the server's, if there is one
    status: int
    method: str
    path: str
    detail: str
    purpose: str
    retry_after: float | None

    def __init__(
        self, status: int, method: str, path: str, detail: str, purpose: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(status, method, path, detail, purpose, retry_after)
        # As they were masked above.
        self.status, self.method, self.path, self.detail, self.purpose, self.retry_after = self.args
        self.is_deprecated = False  # whether the answer says that this address will be removed
        self.specific_advice = ""  # in place of the kind's own

    @property
    def message(self) -> str:
        """What happened, in the server's words, what to do, and the request."""
        purpose = f" [{self.purpose}]" if self.purpose else ""
        detail = self.detail.rstrip(". ")
        reason = self.hint or (f"{detail}." if detail else "")
        problem = f"{self.summary}: {reason}" if reason else f"{self.summary}."
        quoted = f": {detail}." if self.hint and detail else "."
        advice = self.specific_advice or self.advice
        return f"{problem} {advice}\nStatus {self.status} to {self.method} {self.path}{purpose}{quoted}"

    @property
    def cause(self) -> str:
        """The status and the request."""
        return f"{self.status} to {self.method} {self.path}"


class RedirectError(ApiError):
    """The server redirects; no redirect is followed, because the API key would go along."""

    summary = "The server redirects the request"
    advice = (
        "Set the connection's host to LangSmith's API itself, not to its UI, a login page or http:// in place of "
        "https://. No redirect is followed, because the API key would go along."
    )


class AuthenticationError(ApiError):
    """The key is refused, or it needs a workspace."""

    summary = "LangSmith refused the API key"
    advice = (
        "Check the connection: the API key in its password, 'workspace_id' in its extra (a key for several workspaces "
        "needs one), and that host is the region the key was made in (us, eu, apac, aws or your own server)."
    )


class NotFoundError(ApiError):
    """There is no such project, run or address."""

    summary = "LangSmith does not find what was asked for"
    advice = (
        "Check that host is LangSmith's API (not another server or a wrong path) and that what was asked for is in "
        "this workspace and not yet past its retention."
    )


class RunNotFoundError(NotFoundError):
    """There is no such run."""

    summary = "LangSmith has no such run"


class InvalidQueryError(ApiError):
    """The query is refused."""

    summary = "LangSmith refused the query"
    advice = "Correct the query or its filter."


class UnsupportedError(ApiError):
    """This server does not offer the address."""

    summary = "This server does not offer that address"
    advice = (
        "Set 'api_version' in the connection's extra to 'auto' (or 'v2' for servers on SmithDB, 'v1' for self-hosted "
        "ones before 0.16)."
    )


class ProxyError(ApiError):
    """A 401 or 403 that is not LangSmith's, because LangSmith answers JSON; proxies and firewalls answer pages."""

    retriable = True
    summary = "A proxy or firewall refused the request"
    advice = "This answer is not LangSmith's own JSON. A retry may help; if it does not, let the worker reach the host."


class PageTooLargeError(ApiError):
    """The answer or the request is too large for something on the way."""

    retriable = True
    summary = "Not even a page of one run passed"
    advice = "Ask for fewer columns (leave out inputs and outputs)."


class RateLimitError(ApiError):
    """The budget is used up, by this process or by another one with the same key."""

    retriable = True
    summary = "LangSmith's rate limit is used up"
    advice = (
        "A retry will help once the budget is free. Lower 'requests_per_10s' in the connection's extra, or share an "
        "Airflow pool among the tasks that use this key."
    )


class ServerError(ApiError):
    """LangSmith could not answer this time."""

    retriable = True
    summary = "LangSmith could not answer"
    advice = "A retry may help."


class TransportError(LangSmithError):
    """There is no whole answer."""

    retriable = True


class ReadTimeoutError(TransportError):
    """The answer does not come in time; a smaller page may."""


class LocalDiskError(LangSmithError):
    """The local disk is full."""

    retriable = True


class PayloadError(LangSmithError):
    """The body of a success does not have the documented shape."""


class CursorLoopError(PayloadError):
    """A page points to a page already read; going on would never end."""

    retriable = True


class ListChangedError(PayloadError):
    """A list changes each time it is read, or has no order."""

    retriable = True


class MissingPayloadError(PayloadError):
    """A payload is missing in blob storage; a retry gets new links."""

    retriable = True


class LargePayloadError(PayloadError):
    """A body is over the size limit; it was not read to its end."""


class WindowError(ConfigurationError):
    """There is no window, or none that the DAG can mean; the DAG has to change."""


class WindowNotClosedError(LangSmithError):
    """The window ends too late to be complete yet; a later attempt finds it closed."""

    retriable: ClassVar[bool] = True


class ExportError(LangSmithError):
    """Something went wrong on the way to the destination; the export published before stands."""

    retriable: ClassVar[bool] = True


class StorageError(ExportError):
    """The destination could not be read or written."""


class StorageAccessError(StorageError, ConfigurationError):
    """The destination refuses access: a permission or the bucket is missing, or the disk is read-only."""

    retriable: ClassVar[bool] = False


class BulkExportError(ExportError):
    """What a bulk export wrote is not what it reports: a file is gone or broken, or the rows do not add up."""


class ConcurrentExportError(ExportError):
    """Another export of the same partition was published or cleaned up at the same time."""


class EmptyWindowError(ExportError):
    """The window has no rows, and an empty export is refused."""

    problem = Problem.WINDOW_EMPTY


class LoadError(LangSmithError):
    """Something went wrong on the way to the table, which has its old rows."""

    retriable: ClassVar[bool] = True


class ConcurrentLoadError(LoadError):
    """Another load changed the same rows of the table at the same time."""


class PartMissingError(LoadError):
    """A part that the manifest lists is gone; a retry reads the manifest again."""


class TableError(ConfigurationError):
    """The table cannot take the rows: a wrong name, other columns, a missing permission."""


class DestinationConflictError(ConfigurationError):
    """The partition holds the export of another window; to go on would lose it."""

    problem = Problem.PARTITION_TAKEN


class SchemaChangeError(ConfigurationError):
    """The columns differ from those published before, and changes are refused."""

    problem = Problem.COLUMNS_CHANGED


class ManifestError(ConfigurationError):
    """There is no manifest, or none that this version can read."""


class BrokenManifestError(ManifestError):
    """The file in the manifest's place is no manifest; the next export replaces it."""
