"""
Which server a connection means, in all the ways people write it.

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
_OWN_API = re.compile(r"(?:[\w.-]+\.)?api\.smith\.langchain\.com")  # private links have names of their own below it
_OWN = re.compile(r"(?:[\w.-]+\.)?smith\.langchain\.com")
# Private links are named by Google's regions.
_UI_OF_PRIVATE = {"us": REGIONS["us"][1], "europe": REGIONS["eu"][1], "australia": REGIONS["apac"][1]}
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_SCHEMES = ("http", "https")
_PORTS = {"http": 80, "https": 443}
_ODD = re.compile(r"[\s\\]")  # browsers read some of these as something else
_NAME = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63})*\.?")
# What follows the API's root: the API itself, or a page of the UI, which self-hosted servers have on the same host.
_BELOW_ROOT = re.compile(r"/(?:api/v\d+(?:/.*)?|api/?|o/.*|public/.*)$")


def address_from_fields(host: str | None, port: int | None, schema: str | None) -> str:
    """
    Put the address together from a connection's fields: what its URI was taken apart into, or what a form was given.

    The schema is a path, or a scheme as other connections of Airflow have it. Port 0 is no port.

    >>> address_from_fields("http://127.0.0.1", 1984, "api/v1"), address_from_fields("ls.example.com", 0, "https")
    ('http://127.0.0.1:1984/api/v1', 'https://ls.example.com')
    >>> address_from_fields("::1", 1984, "http")
    'http://[::1]:1984'
    """
    spelled = (host or "").strip().strip("'\"")
    path = (schema or "").strip()
    scheme, mark, rest = spelled.rpartition("://")
    if path.lower().rstrip(":/") in _SCHEMES:
        if rest and not mark and rest.lower() not in REGIONS:
            scheme, mark = path.lower().rstrip(":/"), "://"
        path = ""
    place, slash, below = rest.partition("/")
    with suppress(ValueError):
        place = f"[{IPv6Address(place)}]"
    default = _PORTS.get(scheme.lower(), 443)
    known = f":{port}" if port and not (port == default and rest.lower() in {"", *REGIONS}) else ""
    return f"{scheme}{mark}{place}{known}{slash}{below}{f'/{path}' if path else ''}"


def api_root(host: str | None) -> str:
    """
    Turn any spelling of a LangSmith address into the root that ``/api/v1`` and ``/api/v2`` follow.

    >>> api_root("eu")
    'https://eu.api.smith.langchain.com'
    >>> api_root("https://langsmith.example.com/api/v1/")
    'https://langsmith.example.com'

    :raises ConfigurationError: for what is no address, or none that a key should be sent to.
    """
    spelled = (host or "").strip().strip("'\"")
    if not spelled:
        return REGIONS["us"][0]
    if spelled.lower() in REGIONS:
        return REGIONS[spelled.lower()][0]
    if re.fullmatch(r"[\w-]+", spelled) and spelled.lower() != "localhost":
        suggestion = did_you_mean(spelled, REGIONS)
        raise ConfigurationError(
            f"The connection's host {spelled!r} is no region of LangSmith. {suggestion} Regions are "
            f"{', '.join(REGIONS)}. A server of your own is written as a URL, like https://{spelled}."
        )
    url = _split(with_scheme(spelled))
    if url is None:
        raise _no_address(spelled)
    name = str(url.hostname)
    has_port = url.port is not None and url.port != _PORTS[url.scheme]
    if has_port and (name in REGIONS or _OWN.fullmatch(name.rstrip("."))):
        raise ConfigurationError(
            f"The connection's host {name} is asked at port {url.port}, which LangSmith's own servers have not. Leave "
            "the port out, of the host and of the connection."
        )
    if _OWN.fullmatch(own := name.rstrip(".")):
        _refuse_plain_http(url, "host")
        name = own
        return _UI_TO_API.get(f"https://{name}", f"https://{name}")  # which have no path of their own
    path = _BELOW_ROOT.sub("", url.path).rstrip("/")
    if (url.query or url.fragment) and path == url.path.rstrip("/"):
        raise _no_address(spelled)
    port = f":{url.port}" if has_port else ""
    return f"{url.scheme}://{f'[{name}]' if ':' in name else name}{port}{path}"


def ui_root(ui_host: str) -> str:
    """
    Read the address of a UI, to which links lead.

    >>> ui_root("langsmith.example.com/ui/")
    'https://langsmith.example.com/ui'

    :raises ConfigurationError: for what is no address.
    """
    address = with_scheme(ui_host)
    url = _split(address)
    if url is None:
        raise ConfigurationError(
            f"The connection's extra 'ui_host' is no address: {_shown(ui_host)}. Give a URL like "
            "https://langsmith.example.com, without user and password."
        )
    _refuse_plain_http(url, "extra 'ui_host'")
    return address.rstrip("/")


def _refuse_plain_http(url: SplitResult, field: str) -> None:
    """Refuse http:// to LangSmith's own clouds: everybody on the way could read along. Others may be asked so."""
    name = str(url.hostname).rstrip(".")
    if url.scheme == "http" and _OWN.fullmatch(name):
        raise ConfigurationError(
            f"The connection's {field} is asked by http://, which would send the API key for all to read. "
            f"Write https://{name}."
        )


def is_langsmith_cloud(api_url: str) -> bool:
    """
    Tell whether an API root is one of LangSmith's own clouds, by a private link or not.

    >>> is_langsmith_cloud("https://us-central1.p.api.smith.langchain.com"), is_langsmith_cloud("https://langsmith.example.com")
    (True, False)
    """
    return bool(_OWN_API.fullmatch(urlsplit(api_url).hostname or ""))


def ui_root_of(api_url: str) -> str:
    """
    Return where the UI of an API root is; a server of your own has it on the same host.

    >>> ui_root_of("https://europe-west4.p.api.smith.langchain.com")
    'https://eu.smith.langchain.com'
    """
    if not is_langsmith_cloud(api_url):
        return api_url
    link = str(urlsplit(api_url).hostname).partition("-")[0]
    return _API_TO_UI.get(api_url) or _UI_OF_PRIVATE.get(link, REGIONS["us"][1])


def with_scheme(host: str) -> str:
    """Write the scheme that an address without one has."""
    if "://" in host:
        return host
    scheme = "http" if host.lower().startswith(_LOOPBACK) else "https"
    return f"{scheme}://{host}"


def _split(address: str) -> SplitResult | None:
    """Take a URL apart; None for one that cannot be asked, or has credentials in it."""
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


def _shown(spelled: str) -> str:
    """Write an address as an error shows it: without credentials, and no longer than a line."""
    return repr(spelled.rpartition("@")[2][:60])


def _no_address(spelled: str) -> ConfigurationError:
    return ConfigurationError(
        f"The connection's host is no API address: {_shown(spelled)}. Leave it empty for LangSmith's US cloud, name a "
        f"region ({', '.join(REGIONS)}), or give a URL like https://langsmith.example.com, without user and password."
    )
