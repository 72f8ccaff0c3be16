"""
The server of a connection, from any spelling of its address.

::

    eu                                         https://eu.api.smith.langchain.com
    https://smith.langchain.com/o/...          https://api.smith.langchain.com
    https://langsmith.example.com/api/v1       https://langsmith.example.com
    langsmith.example.com, schema https        https://langsmith.example.com
"""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import IPv6Address
from urllib.parse import SplitResult, urlsplit

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import did_you_mean

# LangSmith's own regions, as its documentation lists them: API root and UI.
REGIONS: dict[str, tuple[str, str]] = {
    "us": ("https://api.smith.langchain.com", "https://smith.langchain.com"),
    "eu": ("https://eu.api.smith.langchain.com", "https://eu.smith.langchain.com"),
    "apac": ("https://apac.api.smith.langchain.com", "https://apac.smith.langchain.com"),
    "aws": ("https://aws.api.smith.langchain.com", "https://aws.smith.langchain.com"),
}
_UI_TO_API = {ui: api for api, ui in REGIONS.values()}
_API_TO_UI = dict(REGIONS.values())
_CLOUD_API = re.compile(r"(?:[\w.-]+\.)?api\.smith\.langchain\.com")  # private links have names of their own below it
_CLOUD = re.compile(r"(?:[\w.-]+\.)?smith\.langchain\.com")
# The hosts of private links begin with Google's regions.
_UI_OF_PRIVATE = {"us": REGIONS["us"][1], "europe": REGIONS["eu"][1], "australia": REGIONS["apac"][1]}
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_SCHEMES = ("http", "https")
_PORTS = {"http": 80, "https": 443}
_ODD = re.compile(r"[\s\\]")  # browsers take some of these for other characters
_NAME = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63})*\.?")
# What may follow the root: the API itself, or a page of the UI, which self-hosted servers have on the same host.
_BELOW_ROOT = re.compile(r"/(?:api/v\d+(?:/.*)?|api/?|o/.*|public/.*)$")


def address_from_fields(host: str | None, port: int | None, schema: str | None) -> str:
    """
    Return the address in the fields of a connection. The schema is a path, or a scheme as in other connections.

    >>> address_from_fields("http://127.0.0.1", 1984, "api/v1"), address_from_fields("ls.example.com", 0, "https")
    ('http://127.0.0.1:1984/api/v1', 'https://ls.example.com')
    """
    spelling = (host or "").strip().strip("'\"")
    path = (schema or "").strip()
    scheme, mark, rest = spelling.rpartition("://")
    if path.lower().rstrip(":/") in _SCHEMES:
        if rest and not mark and rest.lower() not in REGIONS:
            scheme, mark = path.lower().rstrip(":/"), "://"
        path = ""
    name, slash, below = rest.partition("/")
    with suppress(ValueError):
        name = f"[{IPv6Address(name)}]"
    default = _PORTS.get(scheme.lower(), 443)
    port_part = f":{port}" if port and not (port == default and rest.lower() in {"", *REGIONS}) else ""
    return f"{scheme}{mark}{name}{port_part}{slash}{below}{f'/{path}' if path else ''}"


def api_root(host: str | None) -> str:
    """
    Return the root before ``/api/v1`` and ``/api/v2``, from any spelling of a LangSmith address.

    :raises ConfigurationError: for a text that is no address, or not a safe one for a key.
    """
    spelling = (host or "").strip().strip("'\"")
    if not spelling:
        return REGIONS["us"][0]
    if spelling.lower() in REGIONS:
        return REGIONS[spelling.lower()][0]
    if re.fullmatch(r"[\w-]+", spelling) and spelling.lower() != "localhost":
        suggestion = did_you_mean(spelling, REGIONS)
        raise ConfigurationError(
            f"The connection's host {spelling!r} is no region of LangSmith. {suggestion} Regions are "
            f"{', '.join(REGIONS)}. A server of your own is written as a URL, like https://{spelling}."
        )
    url = _split(_with_scheme(spelling))
    if url is None:
        raise _not_an_address(spelling)
    name = str(url.hostname)
    cloud_name = name.rstrip(".")
    is_cloud = bool(_CLOUD.fullmatch(cloud_name))
    has_port = url.port is not None and url.port != _PORTS[url.scheme]
    if has_port and (is_cloud or name in REGIONS):
        raise ConfigurationError(
            f"The connection's host {name} has port {url.port}, which LangSmith's own servers do not have. Leave the "
            "port out, in the host and in the connection."
        )
    if is_cloud:  # the root has no path
        _refuse_plain_http(url, "host")
        return _UI_TO_API.get(f"https://{cloud_name}", f"https://{cloud_name}")
    path = _BELOW_ROOT.sub("", url.path).rstrip("/")
    if (url.query or url.fragment) and path == url.path.rstrip("/"):
        raise _not_an_address(spelling)
    port = f":{url.port}" if has_port else ""
    return f"{url.scheme}://{f'[{name}]' if ':' in name else name}{port}{path}"


def ui_root(ui_host: str) -> str:
    """Return the address of a UI, for links."""
    address = _with_scheme(ui_host)
    url = _split(address)
    if url is None:
        raise ConfigurationError(
            f"The connection's extra 'ui_host' is no address: {_printable(ui_host)}. Give a URL like "
            "https://langsmith.example.com, without user and password."
        )
    _refuse_plain_http(url, "extra 'ui_host'")
    return address.rstrip("/")


def _refuse_plain_http(url: SplitResult, field: str) -> None:
    """Refuse http:// to LangSmith's own clouds, because it would send the key unencrypted."""
    name = str(url.hostname).rstrip(".")
    if url.scheme == "http" and _CLOUD.fullmatch(name):
        raise ConfigurationError(
            f"The connection's {field} has http://, which would send the API key for all to read. Write https://{name}."
        )


def is_langsmith_cloud(api_url: str) -> bool:
    """Return whether an API root is one of LangSmith's own clouds, also by a private link."""
    return bool(_CLOUD_API.fullmatch(urlsplit(api_url).hostname or ""))


def ui_root_of(api_url: str) -> str:
    """Return the address of the UI of an API; a self-hosted server has both on the same host."""
    if not is_langsmith_cloud(api_url):
        return api_url
    link = str(urlsplit(api_url).hostname).partition("-")[0]
    return _API_TO_UI.get(api_url) or _UI_OF_PRIVATE.get(link, REGIONS["us"][1])


def _with_scheme(host: str) -> str:
    if "://" in host:
        return host
    scheme = "http" if host.lower().startswith(_LOOPBACK) else "https"
    return f"{scheme}://{host}"


def _split(address: str) -> SplitResult | None:
    """Parse a URL; None for one that cannot be requested, or has credentials in it."""
    try:
        url = urlsplit(address)
        name = url.hostname or ""
        is_known = url.scheme in _SCHEMES and url.port != 0 and "@" not in url.netloc
        if ":" in name:
            IPv6Address(name)
        elif not _NAME.fullmatch(name) or "[" in url.netloc or name in _SCHEMES:  # https:/host, https://https://host
            return None
    except ValueError:
        return None
    return url if is_known and address.isprintable() and not _ODD.search(address) else None


def _printable(spelling: str) -> str:
    return repr(spelling.rpartition("@")[2][:60])  # without credentials


def _not_an_address(spelling: str) -> ConfigurationError:
    return ConfigurationError(
        f"The connection's host is no API address: {_printable(spelling)}. Leave it empty for LangSmith's US cloud, or "
        f"name a region ({', '.join(REGIONS)}), or give a URL like https://langsmith.example.com, without user and "
        "password."
    )
