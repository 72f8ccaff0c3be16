"""What a connection may say, and how what it may not say is told."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_langsmith.api.errors import ConfigurationError
from airflow_langsmith.api.settings import Settings, api_root

KEY = "lsv2_pt_secret"


def parse(host: str | None = None, key: str | None = KEY, **extra: Any) -> Settings:
    """Read a connection."""
    return Settings.parse(host=host, api_key=key, extra=extra)


@pytest.mark.parametrize(
    ("host", "root"),
    [
        (None, "https://api.smith.langchain.com"),
        ("", "https://api.smith.langchain.com"),
        ("us", "https://api.smith.langchain.com"),
        ("EU", "https://eu.api.smith.langchain.com"),
        ("apac", "https://apac.api.smith.langchain.com"),
        ("aws", "https://aws.api.smith.langchain.com"),
        ("https://smith.langchain.com", "https://api.smith.langchain.com"),
        ("https://eu.smith.langchain.com/", "https://eu.api.smith.langchain.com"),
        ("eu.api.smith.langchain.com", "https://eu.api.smith.langchain.com"),
        ("https://langsmith.example.com", "https://langsmith.example.com"),
        ("https://langsmith.example.com/", "https://langsmith.example.com"),
        ("https://langsmith.example.com/api", "https://langsmith.example.com"),
        ("https://langsmith.example.com/api/v1", "https://langsmith.example.com"),
        ("https://langsmith.example.com/api/v1/", "https://langsmith.example.com"),
        ("https://langsmith.example.com/api/v2", "https://langsmith.example.com"),
        ("https://example.com/langsmith/api/v1", "https://example.com/langsmith"),
        ("HTTPS://LangSmith.Example.com:8443/api", "https://langsmith.example.com:8443"),
        ("langsmith.example.com", "https://langsmith.example.com"),
        (" 'https://langsmith.example.com' ", "https://langsmith.example.com"),
        ("localhost:1984", "http://localhost:1984"),
        ("127.0.0.1:1984/api/v1", "http://127.0.0.1:1984"),
        ("http://langsmith.internal", "http://langsmith.internal"),
        ("http://[::1]:1984/api", "http://[::1]:1984"),
        ("https://api.smith.langchain.com:443", "https://api.smith.langchain.com"),
        ("https://eu.smith.langchain.com/o/0f9f5a3e/projects?x=1", "https://eu.api.smith.langchain.com"),
    ],
)
def test_every_spelling_of_a_host(host: str | None, root: str) -> None:
    """Regions, UI addresses and self-hosted ones in any spelling lead to the API's root."""
    assert api_root(host) == root


@pytest.mark.parametrize(
    ("host", "link", "address"),
    [
        ("us", "/public/download?jwt=x", "https://api.smith.langchain.com/public/download?jwt=x"),
        ("https://ls.example.com", "/public/download?jwt=x", "https://ls.example.com/api/public/download?jwt=x"),
        ("https://ls.example.com/api/v1", "public/download", "https://ls.example.com/api/public/download"),
        ("https://ls.example.com/x/api", "/public/download", "https://ls.example.com/x/api/public/download"),
        ("https://ls.example.com/api", "/api/v1/public/download", "https://ls.example.com/api/v1/public/download"),
        ("https://ls.example.com", "https://s3.example.com/key?x=/api/", "https://s3.example.com/key?x=/api/"),
        ("us", "/api/v1/info", "https://api.smith.langchain.com/api/v1/info"),
    ],
)
def test_a_link_without_a_host_belongs_to_the_api(host: str, link: str, address: str) -> None:
    """A relative link is below the API's own path, which only LangSmith's clouds have at the root of the host."""
    assert parse(host).address(link) == address


@pytest.mark.parametrize(
    "host", ["ftp://x", "https://", "https://a b", "https://x:port", "https://x?y=1", "//", "http://:80"]
)
def test_hosts_that_are_none(host: str) -> None:
    """An address that cannot be one is refused with the ways to write it."""
    with pytest.raises(ConfigurationError, match="name a region"):
        api_root(host)


def test_a_password_in_the_host_is_not_repeated() -> None:
    """A host with credentials in it is refused without repeating them."""
    with pytest.raises(ConfigurationError) as caught:
        api_root("https://me:hunter2@langsmith.example.com")
    assert "hunter2" not in str(caught.value)


def test_what_is_left_out_has_defaults() -> None:
    """A connection with only a key is the US cloud, with everything left to the documentation."""
    settings = parse()
    assert settings == Settings(api_key=KEY)
    assert settings.is_saas
    assert settings.ui_url == "https://smith.langchain.com"


def test_extras_may_all_be_text() -> None:
    """A connection's URI makes text of every extra; they are read like the form's numbers and switches."""
    workspace = "0f9f5a3e-0c9b-4b0e-8f2b-6c6f3f0f1a2b"
    written = {
        "workspace_id": f" {workspace.upper()} ",
        "api_version": "V2",
        "requests_per_10s": "20",
        "timeout": "30.5",
    }
    settings = parse("https://x.example.com/api", **written, max_retries="0", verify="false", ui_host="ui.example.com/")
    assert settings == Settings(
        api_url="https://x.example.com",
        api_key=KEY,
        workspace_id=workspace,
        api_version="v2",
        requests_per_10s=20,
        timeout=30.5,
        max_retries=0,
        verify=False,
        ui_url="https://ui.example.com",
    )
    assert parse(verify="/etc/ca.pem").verify == "/etc/ca.pem"
    assert parse(timeout=None, verify=None, api_version="").timeout == Settings(api_key=KEY).timeout


@pytest.mark.parametrize(
    ("extra", "value"),
    [
        ("workspace_id", "my workspace"),
        ("api_version", "v3"),
        ("requests_per_10s", 0),
        ("requests_per_10s", "many"),
        ("requests_per_10s", 1.5),
        ("requests_per_10s", "nan"),
        ("max_retries", "inf"),
        ("timeout", "0"),
        ("timeout", "nan"),
        ("max_retries", -1),
    ],
)
def test_extras_that_cannot_be_meant(extra: str, value: Any) -> None:
    """An extra out of its range is refused by name."""
    with pytest.raises(ConfigurationError, match=f"extra '{extra}'"):
        parse(**{extra: value})


@pytest.mark.parametrize("key", ["", "   ", "two words", "schlüssel", "line\nbreak"])
def test_keys_that_are_none(key: str) -> None:
    """A key that is missing, or cannot be sent in a header, is refused before any request, and not repeated."""
    with pytest.raises(ConfigurationError) as caught:
        parse(key=key)
    assert not key.strip() or key not in str(caught.value)
    with pytest.raises(ConfigurationError, match="no API key"):
        parse(key=None)


def test_the_key_is_in_no_repr() -> None:
    """Settings can be printed without their key."""
    assert KEY not in repr(parse())
    assert parse(key=f" {KEY}\n").api_key == KEY
