"""What a client has to know: where, with which key, how politely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args
from uuid import UUID

from airflow_langsmith.api.hosts import REGIONS, api_root, is_langsmith_cloud, ui_root, ui_root_of
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import shorten, suggest

T = TypeVar("T")

ApiVersion = Literal["auto", "v1", "v2"]

# LangSmith names 60 s for its own SDK and pages with payloads are slow; a page that takes longer is asked for smaller.
DEFAULT_TIMEOUT = 120.0
LONGEST_TIMEOUT = 86_400  # seconds; no system waits for any time
DEFAULT_MAX_RETRIES = 6  # with the pauses of `flow.Backoff`: about a minute of trouble


@dataclass(frozen=True, kw_only=True)
class Settings:
    """
    One way to one LangSmith workspace.

    ``api_url`` is the root before ``/api/v1``. ``timeout`` is in seconds, for a whole answer
    (:class:`~airflow_langsmith.api.deadlines.Deadline`). ``requests_per_10s`` replaces the documented budget of the run
    queries. ``verify`` is TLS: true, false, or the path of a CA bundle. ``conn_id`` is the Airflow connection that says
    so, for messages.
    """

    api_url: str = REGIONS["us"][0]
    api_key: str = field(default="", repr=False)
    workspace_id: str | None = None
    api_version: ApiVersion = "auto"
    requests_per_10s: int | None = None
    timeout: float = DEFAULT_TIMEOUT
    max_retries: int = DEFAULT_MAX_RETRIES
    verify: bool | str = True
    ui_url: str = REGIONS["us"][1]
    conn_id: str = field(default="", compare=False)

    @property
    def about(self) -> str:
        """The connection and its server, as an error names them."""
        return f"Connection {self.conn_id}: {self.api_url}." if self.conn_id else f"LangSmith at {self.api_url}."

    @property
    def connection_name(self) -> str:
        """The connection, as advice names it."""
        return f"connection {self.conn_id}" if self.conn_id else "the connection"

    @property
    def is_saas(self) -> bool:
        """Whether this is one of LangSmith's own clouds."""
        return is_langsmith_cloud(self.api_url)

    def address(self, path: str) -> str:
        """
        Write the whole address of a path of the API, or of a link that LangSmith gave.

        A link without a host is relative to the API: the root of the host on LangSmith's clouds, ``/api`` on other
        servers, whose root is the UI.

        >>> Settings(api_url="https://langsmith.example.com").address("/public/download?jwt=x")
        'https://langsmith.example.com/api/public/download?jwt=x'
        """
        if not is_relative(path):
            return path
        step = path.removeprefix("/")
        return f"{self.api_url}/{step}" if self.is_saas or step.startswith("api/") else f"{self.api_url}/api/{step}"

    @classmethod
    def parse(cls, *, host: str | None, api_key: str | None, extra: dict[str, Any], conn_id: str = "") -> Settings:
        """
        Read the fields of a connection, whose values may all be text.

        :raises ConfigurationError: naming all fields that are wrong, what each was, and what it may be.
        """
        wrong: list[str] = []

        def read(reader: Callable[..., T], *args: Any) -> T | None:
            try:
                return reader(*args)
            except ConfigurationError as error:
                wrong.append(error.message)
                return None

        api_url = read(api_root, host) or ""
        key = read(_key, api_key) or ""
        ui_host = _text(extra, "ui_host")
        ui_url = read(ui_root, ui_host) if ui_host else ui_root_of(api_url)
        workspace_id, api_version = read(_uuid, extra, "workspace_id"), read(_version, extra)
        requests_per_10s, timeout = read(_whole, extra, "requests_per_10s", 1), read(_seconds, extra, "timeout")
        max_retries = read(_whole, extra, "max_retries", 0)
        if wrong:
            raise ConfigurationError("\n".join(wrong))
        return cls(
            api_url=api_url,
            api_key=key,
            workspace_id=workspace_id,
            api_version=api_version or "auto",
            requests_per_10s=requests_per_10s,
            timeout=timeout or DEFAULT_TIMEOUT,
            max_retries=DEFAULT_MAX_RETRIES if max_retries is None else max_retries,
            verify=_verify(extra),
            conn_id=conn_id,
            ui_url=ui_url or "",
        )


EXTRA_FIELDS = ("workspace_id", "api_version", "requests_per_10s", "timeout", "max_retries", "verify", "ui_host")


def is_relative(link: str) -> bool:
    """Tell whether a link names no host, and so leads to LangSmith's own."""
    return not link.startswith(("http://", "https://", "//"))


def _key(api_key: str | None) -> str:
    key = (api_key or "").strip()
    if not key:
        raise ConfigurationError("The connection has no API key. Put it in the password field.")
    if not all("!" <= mark <= "~" for mark in key):
        raise ConfigurationError("The API key in the connection's password has blanks or marks no key has.")
    return key


def _text(extra: dict[str, Any], name: str) -> str | None:
    value = extra.get(name)
    return str(value).strip() or None if value is not None else None


def _uuid(extra: dict[str, Any], name: str) -> str | None:
    text = _text(extra, name)
    if text is None:
        return None
    try:
        return str(UUID(text))
    except ValueError:
        raise _wrong(name, text, "a UUID, from the workspace's settings in LangSmith") from None


def _version(extra: dict[str, Any]) -> ApiVersion:
    text = (_text(extra, "api_version") or "auto").lower()
    for version in get_args(ApiVersion):
        if text == version:
            return version  # type: ignore[no-any-return]
    raise ConfigurationError(
        f"The connection's extra 'api_version' is {shorten(repr(text), 40)}. {suggest(text, get_args(ApiVersion))}"
    )


def _whole(extra: dict[str, Any], name: str, least: int) -> int | None:
    text = _text(extra, name)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not least <= number < float("inf") or number != int(number):
        raise _wrong(name, text, f"a whole number, {least} or more")
    return int(number)


def _seconds(extra: dict[str, Any], name: str) -> float | None:
    text = _text(extra, name)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_TIMEOUT:
        raise _wrong(name, text, f"a number of seconds above zero, {LONGEST_TIMEOUT} at most")
    return seconds


def _verify(extra: dict[str, Any]) -> bool | str:
    text = _text(extra, "verify")
    return {"true": True, "1": True, "false": False, "0": False}.get((text or "true").lower(), text or True)


def _wrong(name: str, value: str, wanted: str) -> ConfigurationError:
    return ConfigurationError(f"The connection's extra {name!r} is {shorten(repr(value), 40)}. It must be {wanted}.")
