"""The pages of the documentation and the Markdown files beside README: their snippets, links and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import airflow_langsmith

ROOT = Path(airflow_langsmith.__file__).parent.parent

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Snippet:
    """A fenced block of a page: its language, its text, and the number of its first line."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Page:
    """A page of Markdown, by its path below the repository."""

    path: str
    text: str

    def snippets(self, language: str | None = None) -> list[Snippet]:
        """Return the fenced blocks of a language, or all."""
        blocks = (
            Snippet(block[1], block[2], self.text.count("\n", 0, block.start(2)) + 1)
            for block in _FENCED.finditer(self.text)
        )
        return [block for block in blocks if language in (None, block.language)]

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _FENCED.sub("", self.text)

    def links(self) -> Iterator[tuple[str, str]]:
        """
        Yield each link to a file of the repository, as its path and its anchor.

        >>> list(Page("docs/how-to/flatten.md", "[Columns](../reference/columns.md#runs)").links())
        [('docs/reference/columns.md', 'runs')]
        """
        for target in _LINK.findall(self.prose):
            if not re.match(r"\w+:", target):
                path, _, anchor = target.partition("#")
                place = (ROOT / self.path).parent / path if path else ROOT / self.path
                yield place.resolve().relative_to(ROOT.resolve()).as_posix(), anchor

    def anchors(self) -> set[str]:
        """Return the anchors of the headings, as GitHub derives them."""
        headings = _HEADING.findall(self.prose)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


PAGES = {
    path.relative_to(ROOT).as_posix(): Page(path.relative_to(ROOT).as_posix(), path.read_text())
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
}
