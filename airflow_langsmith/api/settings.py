"""The settings of a client: which server, which key, how many requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from airflow_langsmith.api.hosts import REGIONS, api_root, is_langsmith_cloud, ui_root, ui_root_of
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import shorten

ApiVersion = Literal["auto", "v1", "v2"]

# LangSmith names 60 s for its own SDK and pages with payloads are slow; a page that takes longer is halved.
DEFAULT_TIMEOUT = 120.0
MAX_TIMEOUT = 86_400  # seconds; no system waits for any time
DEFAULT_MAX_RETRIES = 6  # with the pauses of `flow.Backoff`: about a minute of trouble


@dataclass(frozen=True, kw_only=True)
class Settings:
    """
    The settings of a connection to a LangSmith workspace.

    ``api_url`` is the root before ``/api/v1``. ``timeout`` is in seconds, for a whole answer
    (:class:`~airflow_langsmith.api.transport.Deadline`). ``requests_per_10s`` replaces the documented budget of the run
    queries. ``verify`` is about TLS: true, false, or the path of a CA bundle. ``conn_id`` names the Airflow connection
    in messages.
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
    def description(self) -> str:
        """The connection and its server, for errors."""
        return f"Connection {self.conn_id}: {self.api_url}." if self.conn_id else f"LangSmith at {self.api_url}."

    @property
    def connection_name(self) -> str:
        """The connection, for advice."""
        return f"connection {self.conn_id}" if self.conn_id else "the connection"

    @property
    def is_saas(self) -> bool:
        """Whether this is one of LangSmith's own clouds."""
        return is_langsmith_cloud(self.api_url)

    def address(self, path: str) -> str:
        """
        Return the whole address of a path of the API, or of a link that LangSmith sent.

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
        Read the fields of a connection. A connection written as a URI has nothing but text.

        :raises ConfigurationError: naming all fields that are wrong, what each was, and what it may be.
        """
        values: dict[str, Any] = {}
        wrong: list[str] = []

        def read(name: str, parse: Callable[[str], Any], text: str | None) -> None:
            try:
                values[name] = parse(text or "")
            except ConfigurationError as error:
                wrong.append(error.message)

        read("api_url", api_root, host)
        read("api_key", _api_key, api_key)
        texts = {name: str(extra[name]).strip() for name in EXTRA_FIELDS if extra.get(name) is not None}
        for name, text in texts.items():
            if text and name != "ui_host":
                read(name, partial(_convert, name), text)
        read("ui_url", ui_root if texts.get("ui_host") else ui_root_of, texts.get("ui_host") or values.get("api_url"))
        if wrong:
            raise ConfigurationError("\n".join(wrong))
        return cls(**values, conn_id=conn_id)


_FLAGS = {"true": True, "1": True, "false": False, "0": False}

# Extra -> its type, and what a wrong one must be. The rest is text.
_TYPES: dict[str, tuple[Any, str]] = {
    "workspace_id": (UUID, "a UUID, from the workspace's settings in LangSmith"),
    "api_version": (ApiVersion, "auto, v1 or v2"),
    "requests_per_10s": (Annotated[int, Meta(ge=1)], "a whole number, 1 or more"),
    "timeout": (Annotated[float, Meta(gt=0, le=MAX_TIMEOUT)], f"a number of seconds above zero, {MAX_TIMEOUT} at most"),
    "max_retries": (Annotated[int, Meta(ge=0)], "a whole number, 0 or more"),
}
EXTRA_FIELDS = (*_TYPES, "verify", "ui_host")


def is_relative(link: str) -> bool:
    """Return whether a link names no host, and so leads to LangSmith's own."""
    return not link.startswith(("http://", "https://", "//"))


def _api_key(text: str) -> str:
    key = text.strip()
    if not key:
        raise ConfigurationError("The connection has no API key. Put it in the password field.")
    if not all("!" <= character <= "~" for character in key):
        raise ConfigurationError("The API key in the connection's password has blanks or characters that no key has.")
    return key


def _convert(name: str, text: str) -> Any:
    if name == "verify":
        return _FLAGS.get(text.lower(), text)
    type_, meaning = _TYPES[name]
    try:
        value = msgspec.convert(text.lower(), type_, strict=False)
    except msgspec.ValidationError:
        was = shorten(repr(text), 40)
        raise ConfigurationError(f"The connection's extra {name!r} is {was}. It must be {meaning}.") from None
    return str(value) if isinstance(value, UUID) else value
