"""
Patterns of personal data and secrets in texts.

The shipped ones rather match too much, and each takes time in proportion to the length of any text: every repetition
is bounded, possessive, or starts only where a run of its characters starts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from airflow_langsmith.errors import ConfigurationError
from airflow_langsmith.messages import suggest


@dataclass(frozen=True)
class Pattern:
    r"""
    A regular expression and its replacement, in which ``\1`` works if it is a user's.

    ``accepts`` returns whether a match counts; ``hint`` shows quickly that a text has no match, as most have none.
    """

    regex: re.Pattern[str]
    replacement: str
    accepts: Callable[[str], bool] | None = None
    hint: re.Pattern[str] | None = None

    def replace(self, text: str) -> str:
        """Replace every match that counts."""
        if self.hint and not self.hint.search(text):
            return text
        if self.accepts is None:
            return self.regex.sub(self.replacement, text)
        pieces, done, at = [], 0, 0
        while match := self.regex.search(text, at):
            if self.accepts(match[0]):
                pieces += [text[done : match.start()], match.expand(self.replacement)]
                done = at = match.end()
            else:
                at = match.start() + 1  # another match may begin inside it
        return "".join([*pieces, text[done:]])


def pattern(name: str, replacement: str | None = None) -> Pattern:
    """
    Return a shipped pattern by its name, or the pattern of a regular expression.

    >>> pattern("email").replace("Write to ada@example.com.")
    'Write to [email].'

    :raises ConfigurationError: for any other text.
    """
    if name in _SHIPPED:
        shipped = _SHIPPED[name]
        return shipped if replacement is None else replace(shipped, replacement=replacement.replace("\\", r"\\"))
    if not isinstance(name, str) or re.fullmatch(r"\w*", name):  # a misspelt name would redact nothing
        raise ConfigurationError(
            f"There is no pattern {name!r}. {suggest(name, _SHIPPED)} For a regular expression that is one word, write "
            f"it in a group: '(?:{name})'."
        )
    replacement = "[redacted]" if replacement is None else replacement
    try:
        regex = re.compile(name)
        regex.sub(replacement, "")
    except (re.error, IndexError) as error:
        raise ConfigurationError(f"Pattern {name!r} with {replacement!r} is no regular expression: {error}.") from error
    return Pattern(regex, replacement)


# Letters of scripts whose vowels are marks, which \w leaves out.
_MARKS = r"\u0300-\u036f\u0900-\u0eff"
_LOCAL = rf"\w{_MARKS}.+!#$&*~'-"
_LABEL = rf"[\w{_MARKS}-]"
_EMAIL = re.compile(
    rf"(?<![{_LOCAL}])[{_LOCAL}]++(?:[@\uff20]|%40|\\u0040)"  # also as in URLs, and as in JSON inside a text
    rf"{_LABEL}++(?:\.{_LABEL}++)*\.(?:xn--[\w-]{{2,59}}|[^\W\d_][\w{_MARKS}]{{1,62}})(?!{_LABEL})",
    re.IGNORECASE,
)

_CARD = re.compile(
    r"""
    (?<![0-9])(?<![0-9]\.)(?<![0-9a-f]{8})  # neither the end of a fraction nor within a digest
    (?:[0-9]{13,19}|(?:[0-9]{4}GAP){3}[0-9]{4}|[0-9]{4}GAP[0-9]{6}GAP[0-9]{4,5})
    (?![0-9])(?![0-9a-f]{8})
    """.replace("GAP", r"[ \u00a0\u2010-\u2013.-]{1,3}"),
    re.VERBOSE,
)
# Visa; Mastercard, JCB and Maestro; American Express; Diners; Discover, UnionPay and Maestro.
_NETWORK = re.compile(r"4\d{12}(?:\d{3}){0,2}|(?:5[0-8]|2[2-7]|35)\d{14}|3[47]\d{13}|3[0689]\d{12}|6\d{15,18}")


def _is_card(text: str) -> bool:
    digits = re.sub("[^0-9]", "", text)
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    luhn = sum(number - 9 * (number > 9) for number in doubled)  # noqa: PLR2004  # two digits, added up
    return bool(_NETWORK.fullmatch(digits)) and luhn % 10 == 0


_PHONE = re.compile(
    r"""
    (?<![0-9+])\+[1-9](?:GAP{0,3}[0-9]){6,14}(?![0-9])                           # +44 20 7946 0958
    |(?<=tel:)[0-9](?:GAP{0,3}[0-9]){5,14}                                       # tel:4155552671
    |(?<![\w.:,/+-])(?:\(0[0-9]{1,4}\)|0[0-9]{1,4})(?:GAP{1,2}[0-9]{2,8}){1,4}(?![\w:]|[./-][0-9])  # 020 7946 0958
    |(?<![\w.:,/+-])0[1-9][0-9]{8,9}(?![\w:]|[./-][0-9])                         # 02079460958
    |(?<![\w.-])(?:1[ .-])?(?:\([0-9]{3}\)[ ]?|[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4}(?!\w|[.-][0-9])  # 415-555-2671
    |(?<!\w)\([0-9]{2,4}\)[ ]?[0-9]{3,5}[ -][0-9]{4}(?!\w|-[0-9])                # (11) 91234-5678
    |(?<![\w.-])1[3-9][0-9][ -][0-9]{4}[ -][0-9]{4}(?!\w|[.-][0-9])              # 138 1234 5678
    |(?<![\w.-])[6-9][0-9]{4}[ -][0-9]{5}(?!\w|[.-][0-9])                        # 98765 43210
    """.replace("GAP", r"[ \u00a0\u2010-\u2013./()-]"),
    re.VERBOSE,
)
_DATE = re.compile(r"\b[0-9]{1,2}([ ./-])[0-9]{1,2}\1(?:19|20)[0-9]{2}\b")


def _is_phone(text: str) -> bool:
    local = text.lstrip("(").startswith("0")
    return not local or (9 <= sum(map(str.isdigit, text)) <= 15 and not _DATE.search(text))  # noqa: PLR2004  # E.164


_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_IP = re.compile(
    rf"(?<![0-9.vV]){_IPV4}(?![0-9]|\.[0-9])"  # neither a longer version number nor one with a v
    rf"|(?<![\w:.])(?:[0-9a-fA-F]{{0,4}}:){{2,7}}(?:{_IPV4}|[0-9a-fA-F]{{0,4}})(?![\w:]|\.[0-9])(?:%[\w.]{{1,32}})?"
)


def _is_ip(text: str) -> bool:
    if ":" not in text:
        return True
    try:
        ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return False
    groups = [group for group in text.split(":") if group]
    return len(groups) > 1 and any(map(str.isdigit, text))  # not ::, [::2] or add::face


_API_KEY = re.compile(
    r"""
    (?<![A-Za-z0-9])(?:
        sk-(?=[\w-]{0,48}?[A-Z0-9]|[\w-]{0,16}?[a-z]{16})[\w-]{16,}        # OpenAI, Anthropic and others; not words
        |lsv2_[a-z]{2}_\w{16,} | ls__\w{16,}                                # LangSmith
        |gh[oprsu]_\w{20,} | github_pat_\w{20,} | glpat-[\w-]{16,}          # GitHub, GitLab
        |A(?:KIA|SIA|IDA|ROA)[A-Z0-9]{16}                                   # AWS
        |xox[a-z](?:\.xox[a-z])?-[\w-]{10,} | xapp-[\w-]{10,}               # Slack
        |AIza[\w-]{30,} | ya29\.[\w-]{16,} | GOCSPX-[\w-]{16,}              # Google
        |[rsp]k_(?:live|test)_\w{10,} | whsec_\w{16,}                       # Stripe
        |(?:hf|npm|gsk|r8|fw|pul)_[A-Za-z0-9]{20,}                          # Hugging Face, npm, Groq, Replicate ...
        |(?:pplx|xai|tvly|nvapi|pypi|dapi)-[\w-]{20,} | dapi[0-9a-f]{32}    # Perplexity, xAI, Tavily, Nvidia, PyPI ...
        |SG\.[\w-]{16,64}\.[\w-]{16,} | dop_v1_[0-9a-f]{32,}                # SendGrid, DigitalOcean
        |eyJ[\w-]{8,1024}\.(?:eyJ[\w-]{4,}\.[\w-]*|[\w-]*(?:\.[\w-]*){3})   # JSON web tokens, signed or encrypted
    )
    |(?i:(?<![a-z0-9])bearer[ \t]{1,8})(?=[\w.~+/-]{0,48}?[0-9A-Z]|[\w.~+/-]{24})[\w.~+/-]{16,}=*
    |(?i:(?<![a-z0-9])authorization["']?SAYS["']?(?:basic|bearer|token)[ \t]{1,8})[\w.~+/=:-]+
    |(?i:(?<![a-z0-9])x-api-key["']?SAYS["']?)[\w.~+/=:-]{6,}
    |-----BEGIN[ ][A-Z ]{0,24}PRIVATE[ ]KEY-----[^-]*+(?:-----END[ ][A-Z ]{0,24}PRIVATE[ ]KEY-----)?
    """.replace("SAYS", r"[ \t]{0,4}[:=][ \t]{0,4}"),
    re.VERBOSE,
)

_SHIPPED = {
    "email": Pattern(_EMAIL, "[email]", hint=re.compile(r"[@\uff20]|%40|\\u0040")),
    "phone": Pattern(_PHONE, "[phone]", _is_phone, re.compile("[0-9]")),
    "card": Pattern(_CARD, "[card]", _is_card, re.compile("[0-9]{4}")),
    "ip": Pattern(_IP, "[ip]", _is_ip, re.compile(r"\.[0-9]|:[0-9a-fA-F:]")),
    "api_key": Pattern(_API_KEY, "[api_key]"),
}
