"""The shipped patterns find what they are for, leave what only looks like it, and take no longer than the text is."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.transform.patterns import pattern

NAMES = ["email", "phone", "card", "ip", "api_key"]

FINDS = {
    "email": [
        "ada@example.com",
        "ADA@EXAMPLE.COM",
        "ada.lovelace+news@mail.example.co.uk",
        "o'brien@example.ie",
        "a_b-c@x-y.io",
        "jörg@müller.example",
        "用户@例子.广告",
        "अजय@डाटा.भारत",
        "ada@xn--mller-kva.example",
        "ada%40example.com",
        "x" * 300 + "@example.com",
    ],
    "phone": [
        "+1 415 555 2671",
        "+14155552671",
        "+1 (415) 555-2671",
        "(415) 555-2671",
        "415-555-2671",
        "415.555.2671",
        "1-800-555-0199",
        "+44 (0)20 7946 0958",
        "0044 20 7946 0958",
        "020 7946 0958",
        "02079460958",
        "07911 123456",
        "+49 30 123456",
        "(030) 1234567",
        "0151/23456789",
        "+33 1 23 45 67 89",
        "01 23 45 67 89",
        "01.23.45.67.89",
        "0412 345 678",
        "03-1234-5678",
        "(11) 91234-5678",
        "138 1234 5678",
        "+91 98765 43210",
        "98765 43210",
    ],
    "card": [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111.1111.1111.1111",
        "4111\u00a01111\u00a01111\u00a01111",
        "4111 - 1111 - 1111 - 1111",
        "4222222222222",
        "5555 5555 5555 4444",
        "2223003122003222",
        "378282246310005",
        "3782 822463 10005",
        "30569309025904",
        "6011111111111117",
        "3530111333300000",
    ],
    "ip": [
        "10.0.0.1",
        "192.168.1.254",
        "255.255.255.255",
        "2001:db8:85a3:0:0:8a2e:370:7334",
        "2001:DB8::",
        "fe80::1%eth0",
        "::ffff:10.0.0.1",
    ],
    "api_key": [
        "sk-proj-abcDEF0123456789abcdef",
        "sk-ant-api03-AbCdEfGhIjKlMnOp",
        "sk-abcdefghijklmnopqrstuvwx",
        "lsv2_pt_0123456789abcdef0123456789abcdef_0123456789",
        "lsv2_sk_0123456789abcdef0123456789abcdef_0123456789",
        "ls__0123456789abcdef0123456789abcdef",
        "ghp_" + "aB3" * 12,
        "github_pat_" + "a1_" * 20,
        "glpat-abcdefGHIJ0123456789",
        "AKIAIOSFODNN7EXAMPLE",
        "xoxb-123456789012-abcdefABCDEF",
        "AIza" + "Sy0" * 12,
        "hf_" + "aB" * 15,
        "sk_live_0123456789abcdef",
        "Bearer abcdef0123456789abcdef",
        "bearer AbCdEfGhIjKlMnOpQr==",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "Authorization: Basic dXNlcjpwYXNz",
        "x-api-key: secret-value",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQ\n-----END RSA PRIVATE KEY-----",
    ],
}

LOOKALIKES = {
    "email": ["react@18.2.0", "@decorator", "a @ b.com", "user@localhost", "git@", "1@2.3", "foo@bar..com", "x@y.1a"],
    "phone": [
        "2025-03-01T09:30:00.123456+00:00",
        "2025-03-01 09:30:00",
        "01/03/2025",
        "01-03-2025 12:30",
        "01.03.2025 09:30",
        "1740787200",
        "1740787200000",
        "12345678901",
        "0123-4567-8901-2345",
        "00000000-0000-4000-8000-000000000012",
        "7b0f2f6e-0c35-4a4e-9d0a-1f6f0c7c1a11",
        "20250301T093000000000Z7b0f2f6e",
        "192.168.100.200",
        "0.123456789012",
        "1,234,567,890",
        "1e+10",
        "+0100",
    ],
    "card": [
        "4111111111111112",
        "4111 1111 1111 111",
        "1740787200000",
        "1740787200000000",
        "1740787200000000000",
        "12345678901234567890",
        "0.4111111111111111",
        "-0.4111111111111111",
        "00000000-0000-4000-8000-000000000012",
        "20250301T093000000000Z",
    ],
    "ip": [
        "1.2.3",
        "1.2.3.4.5",
        "v1.2.3.4",
        "256.1.1.1",
        "09:30:00",
        "2025-03-01T09:30:00+00:00",
        "00:1a:2b:3c:4d:5e",
        "std::vector",
        "add::face",
        "a[::2]",
        "::",
    ],
    "api_key": [
        "sk-learn",
        "sk-learn-contrib-packages",
        "task-abcdefghijkl0123456789",
        "risk-0123456789abcdef0123",
        "bearer of good news",
        "Bearer responsibilities",
        "eyJhbGciOiJIUzI1NiJ9",
        "lsv2_pt_",
        "AKIA",
        "7b0f2f6e-0c35-4a4e-9d0a-1f6f0c7c1a11",
    ],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in FINDS.items() for text in texts])
def test_a_pattern_finds_all_of_what_it_is_for(name: str, text: str) -> None:
    """Alone, within a sentence, in brackets and in quotes, nothing of it stays."""
    for around in ("{}", "Write {}, please.", "({})", '"{}"', "<{}>", "a: {}\nb"):
        assert pattern(name).replace(around.format(text)) == around.format(f"[{name}]")


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in LOOKALIKES.items() for text in texts])
def test_a_pattern_leaves_what_only_looks_like_it(name: str, text: str) -> None:
    """Times, ids, versions, fractions and code stay."""
    assert pattern(name).replace(text) == text
    assert pattern(name).replace(f"It was {text}, then") == f"It was {text}, then"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("email", "mailto:ada@example.com?cc=bob@example.com", "mailto:[email]?cc=[email]"),
        ("email", "ada@example.com.2024", "[email].2024"),
        ("email", '{"to":"ada\\u0040example.com"}', '{"to":"[email]"}'),
        ("card", "1234 4111 1111 1111 1111", "1234 [card]"),
        ("card", "4242 4111 1111 1111 1111 12/27 123", "4242 [card] 12/27 123"),
        ("card", "card4111111111111111.", "card[card]."),
        ("ip", "10.0.0.1:80, [2001:db8::1]:443, 10.0.0.0/8", "[ip]:80, [[ip]]:443, [ip]/8"),
        ("phone", "tel:4155552671", "tel:[phone]"),
        ("api_key", "key=sk-proj-abcDEF0123456789abcdef&x", "key=[api_key]&x"),
    ],
)
def test_a_find_ends_where_it_ends(name: str, text: str, expected: str) -> None:
    """What is around it stays, and one that begins inside what was none is found, too."""
    assert pattern(name).replace(text) == expected


@pytest.mark.parametrize("name", NAMES)
def test_ids_times_and_numbers_are_left(name: str) -> None:
    """Of thousands of UUIDs, digests, fractions and times in milliseconds, none is taken for something else."""
    source = random.Random(7)
    for _ in range(3000):
        number = source.getrandbits(128)
        for text in (
            str(uuid.UUID(int=number)),
            hashlib.sha256(str(number).encode()).hexdigest(),
            repr(source.random()),
            repr(source.gauss(0, 1) * 10.0 ** source.randrange(-8, 9)),
            str(1_700_000_000_000 + source.randrange(10**11)),
        ):
            assert pattern(name).replace(text) == text


@pytest.mark.parametrize("name", NAMES)
def test_no_text_makes_a_pattern_slow(name: str) -> None:
    """Texts of 200,000 characters made to send it back and forth take it no time worth noting."""
    fragments = (
        *("a", "1", "a@", "@a.", "a@1.", "a@a.xn--", "a%40b.", "4111 ", "+1 ", "01 ", "(0", "415-", "tel:1", "1."),
        *("::", "f:", "1:", "sk-", "sk-a-", "eyJ", "eyJaaaaaaaa-", "eyJaaaaaaaa.", "bearer ", "SG.a", "xoxb.xoxb-"),
        *("-----BEGIN PRIVATE KEY-----", "authorization:", "x-api-key:", "ls__", "A"),
    )
    for fragment in fragments:
        text = (fragment * 200_000)[:200_000]
        begun = time.process_time()  # of ours alone, whatever else runs
        pattern(name).replace(text)
        assert time.process_time() - begun < 2, fragment


def test_a_replacement_may_be_chosen() -> None:
    """Of a shipped pattern it is taken literally; of your own, groups may be kept."""
    assert pattern("email", r"<\1>").replace("ada@example.com") == r"<\1>"
    assert pattern("email", "").replace("to ada@example.com") == "to "
    assert pattern(r"(\d{4})-\d{4}", r"\1-****").replace("id 1234-5678") == "id 1234-****"
    assert pattern(r"EMP-\d+").replace("EMP-7") == "[redacted]"
    assert pattern(r"x*", "-").replace("axb") == "-a--b-"


@pytest.mark.parametrize("name", ["emial", "", "(", "[a-z"])
def test_what_is_no_pattern_is_refused(name: str) -> None:
    """A misspelt name would be a regular expression that finds nothing."""
    with pytest.raises(ConfigurationError, match=r"no pattern|no regular expression"):
        pattern(name)


def test_a_replacement_with_a_group_that_is_not_there_is_refused() -> None:
    """When the rule is read, not at the first find."""
    with pytest.raises(ConfigurationError, match="group"):
        pattern("a+b", r"\1")


@pytest.mark.parametrize(
    ("encoding", "encoded", "is_seen"),
    [
        ("decoded text", lambda text: text, True),
        ("%40", lambda text: text.replace("@", "%40"), True),
        ("\\u0040", lambda text: text.replace("@", "\\u0040"), True),
        ("JSON strings", lambda text: json.dumps(json.dumps({"to": text})), True),
        ("base64", lambda text: base64.b64encode(text.encode()).decode(), False),
        ("hex", lambda text: text.encode().hex(), False),
        ("other percent-encoded text", lambda text: "".join(f"%{ord(letter):02X}" for letter in text), False),
        ("HTML entities", lambda text: "".join(f"&#{ord(letter)};" for letter in text), False),
        ("quoted-printable", lambda text: "".join(f"={ord(letter):02X}" for letter in text), False),
        ("full-width letters", lambda text: "".join(chr(ord(letter) + 0xFEE0) for letter in text), False),
        ("invisible characters", "\u200b".join, False),
        ("split over lines", "\n".join, False),
    ],
)
def test_the_page_says_which_encodings_are_seen(encoding: str, encoded: Callable[[str], str], is_seen: Any) -> None:
    """The page names the encodings in which patterns see an address, a key and a card, and those in which not."""
    assert encoding in " ".join(REDACT.read_text().split())
    changes = {name: pattern(name).replace(encoded(text)) != encoded(text) for name, text in ENCODED.items()}
    assert changes == dict.fromkeys(ENCODED, is_seen)


REDACT = Path(__file__).parents[2] / "docs" / "how-to" / "redact.md"
ENCODED = {
    "email": "ada@example.com",
    "card": "4111111111111111",
    "api_key": "lsv2_pt_0123456789abcdef0123456789abcdef",
}
