"""Which server a connection means, in every spelling, and what cannot be one."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_langsmith.api.hosts import address_from_fields, api_root, is_langsmith_cloud, ui_root, ui_root_of
from airflow_langsmith.api.settings import Settings
from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import MAX_LINE
from tests.wording import says


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
        ("https://smith.langchain.com/o/0f9f5a3e/projects/p/1/r/2?poll=true", "https://api.smith.langchain.com"),
        ("https://api.smith.langchain.com/v1", "https://api.smith.langchain.com"),
        ("https://api.smith.langchain.com/api/v1/runs/query", "https://api.smith.langchain.com"),
        ("https://europe-west4.p.api.smith.langchain.com", "https://europe-west4.p.api.smith.langchain.com"),
        ("https://langsmith.example.com/api/v1/sessions", "https://langsmith.example.com"),
        ("https://langsmith.example.com/api/v2/runs/query", "https://langsmith.example.com"),
        ("https://langsmith.example.com/o/0f9f5a3e/projects/p/1?tab=2#x", "https://langsmith.example.com"),
        ("https://example.com/apis/langsmith", "https://example.com/apis/langsmith"),
        ("http://langsmith-backend:1984/api", "http://langsmith-backend:1984"),
        ("localhost", "http://localhost"),
    ],
)
def test_every_spelling_of_a_host(host: str | None, root: str) -> None:
    """Regions, UI addresses and self-hosted ones in any spelling lead to the API's root."""
    assert api_root(host) == root


@pytest.mark.parametrize(
    "host",
    [
        "ftp://x",
        "https://",
        "https://a b",
        "https://x:port",
        "https://x?y=1",
        "//",
        "http://:80",
        "[oops",
        "http://[::1",
        "http://[v1.a]",
        "https:/x.example.com",
        "https://https://x.example.com",
        "https://x..example.com",
        "https://x.example.com:99999",
        "https://x.example.com\\@evil.example.com",
        "https://x%41.example.com",
        f"https://{'a' * 64}.example.com",
        "x.example.com\x00",
        "x.\u200bexample.com",
    ],
)
def test_hosts_that_are_none(host: str) -> None:
    """An address that cannot be one is refused with the ways to write it, in lines that fit."""
    with pytest.raises(ConfigurationError, match=says("name a region")) as caught:
        api_root(host)
    assert all(len(line) <= MAX_LINE for line in str(caught.value).splitlines())


@given(st.text() | st.text("[]:/@.%?#\\x1us \t") | st.builds("{}://{}:{}".format, *[st.text(max_size=5)] * 3))
def test_a_host_is_an_address_or_refused(host: str) -> None:
    """Whatever is written as a host, it is one that can be asked, or refused without the credentials in it."""
    for read in (api_root, ui_root):
        refusal, url = "", None
        try:
            url = urlsplit(read(host))
        except ConfigurationError as error:
            refusal = str(error)
        assert refusal.replace("\n", "").isprintable()
        if url is not None:
            assert url.scheme in ("http", "https")
            assert url.hostname
            assert "@" not in url.netloc
            assert url.geturl().isprintable()


@pytest.mark.parametrize("host", ["https://api.smith.langchain.com:8443", "eu.smith.langchain.com:80", "us:8443"])
def test_langsmiths_own_hosts_have_no_port(host: str) -> None:
    """A port that LangSmith's own servers have not is refused, not dropped."""
    with pytest.raises(ConfigurationError, match="Leave the port out"):
        api_root(host)
    assert api_root("https://api.smith.langchain.com:443") == api_root("us")


@pytest.mark.parametrize(
    ("word", "meant"),
    [("europe", "eu"), ("us-east-1", "us"), ("APAC1", "apac"), ("eu-west", "eu"), ("production", None)],
)
def test_a_word_that_is_no_region(word: str, meant: str | None) -> None:
    """One word that is no region is said to be none before anything is asked, with the region that may be meant."""
    with pytest.raises(ConfigurationError) as caught:
        api_root(word)
    first, second, *_ = str(caught.value).splitlines()
    assert first == f"The connection's host {word!r} is no region of LangSmith."
    assert second == (f"  Did you mean {meant!r}?" if meant else "  Regions are us, eu, apac, aws.")


@pytest.mark.parametrize(
    "name", ["api.smith.langchain.com", "eu.smith.langchain.com", "us-central1.p.api.smith.langchain.com"]
)
@pytest.mark.parametrize("spelled", ["http://{}", "http://{}/api/v1", "HTTP://{}", "http://{}./api/v1"])
def test_a_key_does_not_travel_in_the_open(name: str, spelled: str) -> None:
    """LangSmith's own hosts are asked by https only, and links lead to https only."""
    with pytest.raises(ConfigurationError, match=f"Write https://{name}"):
        api_root(spelled.format(name))
    with pytest.raises(ConfigurationError, match=says(f"'ui_host' has http://.* Write https://{name}")):
        Settings.parse(host="", api_key="k", extra={"ui_host": spelled.format(name)})


@pytest.mark.parametrize("address", ["http://langsmith.internal", "http://smith.langchain.com.example.com"])
def test_a_server_of_your_own_may_be_asked_in_the_open(address: str) -> None:
    """A self-hosted server within a network is asked as its address says."""
    settings = Settings.parse(host=address, api_key="k", extra={"ui_host": address})
    assert (settings.api_url, settings.ui_url) == (address, address)


@pytest.mark.parametrize(
    ("api_url", "ui_url"),
    [
        ("https://aws.api.smith.langchain.com", "https://aws.smith.langchain.com"),
        ("https://us-central1.p.api.smith.langchain.com", "https://smith.langchain.com"),
        ("https://europe-west4.p.api.smith.langchain.com", "https://eu.smith.langchain.com"),
        ("https://australia-southeast1.p.api.smith.langchain.com", "https://apac.smith.langchain.com"),
    ],
)
def test_private_links_are_the_cloud(api_url: str, ui_url: str) -> None:
    """LangSmith's clouds are known by their hosts, private links too, and so is the UI of each."""
    assert is_langsmith_cloud(api_url)
    assert ui_root_of(api_url) == ui_url
    assert not is_langsmith_cloud("https://api.smith.langchain.com.example.com")
    assert not is_langsmith_cloud("https://myapi.smith.langchain.community")


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ((None, None, None), ""),
        (("eu", None, "https"), "eu"),
        (("eu", 443, "https"), "eu"),
        (("eu", 0, ""), "eu"),
        (("", 0, "https"), ""),
        (("langsmith.example.com", None, "https"), "https://langsmith.example.com"),
        (("langsmith.example.com", 8443, "HTTPS"), "https://langsmith.example.com:8443"),
        (("langsmith.internal", 80, "http"), "http://langsmith.internal:80"),
        (("https://langsmith.example.com", None, "https"), "https://langsmith.example.com"),
        (("langsmith.example.com/ls", 8443, "https"), "https://langsmith.example.com:8443/ls"),
        (("langsmith.example.com", None, "api/v1"), "langsmith.example.com/api/v1"),
        (("::1", 1984, None), "[::1]:1984"),
        (("http://::1", 1984, "api"), "http://[::1]:1984/api"),
        (("[::1]", 1984, "http"), "http://[::1]:1984"),
        (("2001:db8::7", None, "https"), "https://[2001:db8::7]"),
    ],
)
def test_fields_of_a_connection(fields: tuple[str | None, int | None, str | None], address: str) -> None:
    """Host, port and schema make one address: a schema is a scheme or a path, port 0 is none, IPv6 has brackets."""
    assert address_from_fields(*fields) == address
    api_root(address)


def test_a_password_in_the_host_is_not_repeated() -> None:
    """A host with credentials in it is refused without repeating them."""
    with pytest.raises(ConfigurationError) as caught:
        api_root("https://me:hunter2@langsmith.example.com")
    assert "hunter2" not in str(caught.value)
