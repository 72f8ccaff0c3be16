"""JSON that is almost JSON, as language models and Python programs write it."""

from __future__ import annotations

from hypothesis import strategies as st

# Documents as text, whose strings and numbers may be defective.
LETTERS = st.one_of(
    st.characters(codec="utf-8", exclude_characters='"\\', min_codepoint=32).map(str.encode),
    st.sampled_from([rb"\ud83d", rb"\uDE00", rb"\ud83d\ude00", rb"\\", rb"\"", rb"\u0000", rb"\n", rb"\x", rb"\ud8"]),
    st.sampled_from([b"\x00", b"\t", b"\n", b"\xff", b"\xed\xa0\xbd", b"\xef\xbb\xbf", b"[", b"}", b"NaN"]),
)
TEXTS = st.lists(LETTERS, max_size=4).map(lambda letters: b'"%b"' % b"".join(letters))
SCALARS = TEXTS | st.sampled_from([b"NaN", b"Infinity", b"-Infinity", b"null", b"true", b"-0.10", b"1e5"])
GAPS = st.sampled_from([b"", b"", b"", b" ", b"\n", b"\r\n", b"\x00", b"\xef\xbb\xbf"])


def nested(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Write lists and objects, with gaps between their values."""
    items = st.lists(st.tuples(GAPS, inner, GAPS).map(b"".join), max_size=3)
    pairs = st.lists(st.tuples(TEXTS, GAPS, inner).map(lambda pair: pair[0] + b":" + pair[1] + pair[2]), max_size=3)
    return st.one_of(
        items.map(lambda values: b"[%b]" % b",".join(values)),
        pairs.map(lambda members: b"{%b}" % b",".join(members)),
    )


DEEP = st.sampled_from([0] * 9 + [100_000])
DOCUMENTS = st.tuples(GAPS, DEEP, st.recursive(SCALARS, nested, max_leaves=6), GAPS).map(
    lambda drawn: drawn[0] + b"[" * drawn[1] + drawn[2] + b"]" * drawn[1] + drawn[3]
)
