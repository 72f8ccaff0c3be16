"""What a connection may say, and how what it may not say is told."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_langsmith.api.settings import EXTRA_FIELDS, Settings
from airflow_langsmith.api.transport import Transport
from airflow_langsmith.errors import ConfigurationError

KEY = "lsv2_pt_secret"


def parse(host: str | None = None, key: str | None = KEY, **extra: Any) -> Settings:
    """Read a connection."""
    return Settings.parse(host=host, api_key=key, extra=extra)


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
        ("timeout", 1e300),
        ("timeout", "x" * 5000),
        ("ui_host", "[oops"),
        ("ui_host", "https://me:hunter2@ui.example.com"),
        ("ui_host", "javascript:alert(1)"),
    ],
)
def test_extras_that_cannot_be_meant(extra: str, value: Any) -> None:
    """An extra out of its range is refused by name."""
    with pytest.raises(ConfigurationError, match=f"extra '{extra}'") as caught:
        parse(**{extra: value})
    assert len(str(caught.value)) < 400
    assert "hunter2" not in str(caught.value)


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["1e400", "nan", "-0", "\0"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


@given(host=st.none() | st.text(max_size=20), key=st.text(), extra=st.dictionaries(st.sampled_from(EXTRA_FIELDS), ODD))
def test_a_connection_is_read_or_refused(host: str | None, key: str, extra: dict[str, Any]) -> None:
    """Whatever a connection's fields hold, a client can be made of them, or the error names what is wrong."""
    refusal = "host"
    try:
        Transport(Settings.parse(host=host, api_key=key, extra=extra)).close()
    except ConfigurationError as error:
        refusal = str(error)
    assert re.search(r"host|API key|extra '", refusal)


@pytest.mark.parametrize("key", ["", "   ", "two words", "schlüssel", "line\nbreak", "k\x00y", "k\x7fy", "k\u200by"])
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
