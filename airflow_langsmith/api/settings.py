"""What a client has to know: where, with which key, how politely."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from urllib.parse import urlsplit
from uuid import UUID

from airflow_langsmith.api.errors import ConfigurationError

ApiVersion = Literal["auto", "v1", "v2"]

# LangSmith's own regions, as its documentation lists them: API root and UI.
REGIONS: dict[str, tuple[str, str]] = {
    "us": ("https://api.smith.langchain.com", "https://smith.langchain.com"),
    "eu": ("https://eu.api.smith.langchain.com", "https://eu.smith.langchain.com"),
    "apac": ("https://apac.api.smith.langchain.com", "https://apac.smith.langchain.com"),
    "aws": ("https://aws.api.smith.langchain.com", "https://aws.smith.langchain.com"),
}
_UI_TO_API = {ui: api for api, ui in REGIONS.values()}
_API_TO_UI = dict(REGIONS.values())
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

# LangSmith names 60 s for its own SDK and pages with payloads are slow; a page that takes longer is asked for smaller.
DEFAULT_TIMEOUT = 120.0
DEFAULT_MAX_RETRIES = 6  # with the pauses of `flow.Backoff`: about a minute of trouble


@dataclass(frozen=True, kw_only=True)
class Settings:
    """
    One way to one LangSmith workspace.

    ``api_url`` is the root before ``/api/v1``. ``timeout`` is in seconds, for a read. ``requests_per_10s`` replaces
    the documented budget of the run queries. ``verify`` is TLS: true, false, or the path of a CA bundle. ``name`` is
    what the user calls this connection, for messages.
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
    name: str = field(default="", compare=False)

    @property
    def about(self) -> str:
        """The connection, as an error names it."""
        return f"Connection {self.name}: {self.api_url}." if self.name else f"LangSmith at {self.api_url}."

    @property
    def is_saas(self) -> bool:
        """Whether this is one of LangSmith's own clouds."""
        return self.api_url in _API_TO_UI

    @classmethod
    def parse(cls, *, host: str | None, api_key: str | None, extra: dict[str, Any], name: str = "") -> Settings:
        """
        Read the fields of a connection, whose values may all be text.

        :raises ConfigurationError: naming the field, what it was, and what it may be.
        """
        key = (api_key or "").strip()
        if not key:
            raise ConfigurationError("The connection has no API key: put it in the password field.")
        if any(mark.isspace() for mark in key) or not key.isascii():
            raise ConfigurationError("The API key in the connection's password has blanks or marks no key has.")
        api_url = api_root(host)
        ui_host = _text(extra, "ui_host")
        return cls(
            api_url=api_url,
            api_key=key,
            workspace_id=_uuid(extra, "workspace_id"),
            api_version=_version(extra),
            requests_per_10s=_whole(extra, "requests_per_10s", least=1),
            timeout=_seconds(extra, "timeout") or DEFAULT_TIMEOUT,
            max_retries=_or(_whole(extra, "max_retries", least=0), DEFAULT_MAX_RETRIES),
            verify=_verify(extra),
            ui_url=_with_scheme(ui_host).rstrip("/") if ui_host else _API_TO_UI.get(api_url, api_url),
            name=name,
        )


FIELDS = ("workspace_id", "api_version", "requests_per_10s", "timeout", "max_retries", "verify", "ui_host")


def api_root(host: str | None) -> str:
    """
    Turn any spelling of a LangSmith address into the root that ``/api/v1`` and ``/api/v2`` follow.

    >>> api_root("eu")
    'https://eu.api.smith.langchain.com'
    >>> api_root("https://langsmith.example.com/api/v1/")
    'https://langsmith.example.com'
    """
    spelled = (host or "").strip().strip("'\"")
    if not spelled:
        return REGIONS["us"][0]
    if spelled.lower() in REGIONS:
        return REGIONS[spelled.lower()][0]
    url = urlsplit(_with_scheme(spelled))
    try:
        complete = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        complete = False
    pasted = f"{url.scheme}://{url.hostname}"  # from the browser, perhaps
    if complete and "@" not in url.netloc and pasted in _UI_TO_API:
        return _UI_TO_API[pasted]
    if not complete or "@" in url.netloc or url.query or url.fragment or any(map(str.isspace, spelled)):
        raise ConfigurationError(
            f"The connection's host is no API address: {spelled.rpartition('@')[2]!r}. Leave it empty for LangSmith's "
            f"US cloud, name a region ({', '.join(REGIONS)}), or give a URL like https://langsmith.example.com."
        )
    path = url.path.rstrip("/")
    for suffix in ("/api/v1", "/api/v2", "/api"):
        if path.endswith(suffix):
            path = path.removesuffix(suffix)
            break
    port = f":{url.port}" if url.port and (url.scheme, url.port) not in (("http", 80), ("https", 443)) else ""
    name = f"[{url.hostname}]" if ":" in str(url.hostname) else str(url.hostname)
    return f"{url.scheme}://{name}{port}{path}"


def _with_scheme(host: str) -> str:
    if "://" in host:
        return host
    scheme = "http" if host.lower().startswith(_LOOPBACK) else "https"
    return f"{scheme}://{host}"


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
    raise _wrong("api_version", text, "'auto', 'v1' or 'v2'")


def _whole(extra: dict[str, Any], name: str, *, least: int) -> int | None:
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
    if not 0 < seconds < float("inf"):
        raise _wrong(name, text, "a number of seconds above zero")
    return seconds


def _verify(extra: dict[str, Any]) -> bool | str:
    text = _text(extra, "verify")
    return {"true": True, "1": True, "false": False, "0": False}.get((text or "true").lower(), text or True)


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _wrong(name: str, value: str, wanted: str) -> ConfigurationError:
    return ConfigurationError(f"The connection's extra {name!r} is {value!r}; it must be {wanted}.")
