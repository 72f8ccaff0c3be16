"""
Exports that are landed without LangSmith: runs of a day, written by the package's own encoder and publication.

A run has about a kilobyte of values, which zstd packs to a quarter: made of words that occur as words of a language
do, and of ids that pack badly.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from uuid import UUID

import msgspec
from msgspec import Raw

from airflow_langsmith import __version__
from airflow_langsmith.api.records import Project, Run
from airflow_langsmith.export.destination import path_at
from airflow_langsmith.export.encoders import format_of
from airflow_langsmith.export.export import MAX_BYTES_PER_FILE, MAX_ROWS_PER_FILE
from airflow_langsmith.export.layout import partition
from airflow_langsmith.export.parts import Parts
from airflow_langsmith.export.publication import Publication
from airflow_langsmith.export.workdir import working_directory
from airflow_langsmith.manifest import Manifest, ManifestColumn
from airflow_langsmith.views import View, view_of
from airflow_langsmith.windows import TimeWindow

PROJECT = Project(id=str(UUID(int=7)), name="shop")
DAY = TimeWindow(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
PAGE_RUNS = 1000
TEXTS = 20_000  # distinct payloads: 5 MB of them, far more than a page of Parquet
STEPS = (("answer", "chain"), ("search", "retriever"), ("gpt-5-mini", "llm"), ("book", "tool"))  # of each trace
_ODD = 0x9E3779B97F4A7C15F39CC0605CEDC835  # times this, different numbers stay different ids


@dataclass(frozen=True)
class Landing:
    """Exports below a folder, of a day that has this many runs."""

    folder: Path
    runs: int

    def land(self) -> str:
        """Land the runs of the day; return the URI of the manifest."""
        return self._land(view_of("runs"), range(self.runs))

    def land_again(self, uri: str) -> str:
        """
        Land the day again, and return the URI of the manifest.

        Its parts are the same and its manifest is another, so a load replaces every row by one that happens to be
        equal. That takes as long as any other replacement, and half of the disk.
        """
        path = path_at(uri)
        manifest = msgspec.json.decode(Path(path.path).read_bytes(), type=Manifest)
        Path(path.path).write_bytes(
            msgspec.json.encode(msgspec.structs.replace(manifest, pending=manifest.pending + 1))
        )
        return uri

    def land_refreshed(self, count: int) -> str:
        """Land this many runs, evenly from the day, whose feedback has changed; return the URI of the manifest."""
        return self._land(view_of("runs", refresh="feedback"), range(0, self.runs, self.runs // count))

    def _land(self, view: View, numbers: range) -> str:
        path = path_at(f"file://{self.folder}") / partition(view.partition_name, PROJECT.name, DAY)
        feedback = Raw(b'{"user_score":{"n":1,"avg":1.0}}') if view.refresh else None
        limits = MAX_ROWS_PER_FILE, MAX_BYTES_PER_FILE
        with working_directory() as directory, Publication(path) as publication:
            parts = Parts(format_of("parquet"), view, directory, *limits)
            for first in range(0, len(numbers), PAGE_RUNS):
                page = numbers[first : first + PAGE_RUNS]
                for part in parts.add(view.rows([self._run(number, feedback) for number in page])):
                    publication.upload(part)
            for part in parts.finish():
                publication.upload(part)
            return publication.commit(self._manifest(view, publication))

    def _manifest(self, view: View, publication: Publication) -> Manifest:
        return Manifest(
            package_version=__version__,
            view=view.name,
            project=PROJECT.name,
            project_id=PROJECT.id,
            window_start=DAY.start,
            window_end=DAY.end,
            query=view.narrowed_by,
            api_version="v2",
            format="parquet",
            compression="zstd",
            columns=tuple(ManifestColumn(name=column.name, type=column.type) for column in view.columns),
            files=tuple(publication.files),
            rows=sum(file.rows for file in publication.files),
            bytes=sum(file.bytes for file in publication.files),
            pending=0,
            min_start_time=DAY.start,
            max_start_time=DAY.start + (self.runs - 1) * self._pause,
        )

    @cached_property
    def _pause(self) -> timedelta:
        return (DAY.end - DAY.start) / self.runs

    @cached_property
    def _payloads(self) -> list[tuple[Raw, Raw]]:
        texts = _texts()
        return [(_payload("question", next(texts)), _payload("answer", next(texts))) for _ in range(TEXTS)]

    def _run(self, number: int, feedback: Raw | None) -> Run:
        root, step = number - number % len(STEPS), number % len(STEPS)
        name, run_type = STEPS[step]
        start, tokens = DAY.start + number * self._pause, 100 + number * 7919 % 900
        trace_id, run_id = _id(root), _id(number)
        order = f"{start:%Y%m%dT%H%M%S%fZ}"
        inputs, outputs = self._payloads[number * 7919 % TEXTS]
        is_model = run_type == "llm"
        return Run(
            id=run_id,
            trace_id=trace_id,
            parent_run_id=trace_id if step else None,
            project=PROJECT,
            thread_id=f"thread-{root // 20}",
            name=name,
            model=name if is_model else None,
            run_type=run_type,
            status="success",
            start_time=start,
            end_time=start + timedelta(microseconds=tokens * 7919),
            first_token_time=start + timedelta(microseconds=tokens * 100) if is_model else None,
            tags=["production", "eu"],
            prompt_tokens=tokens,
            completion_tokens=tokens // 3,
            total_tokens=tokens + tokens // 3,
            prompt_cost=tokens * 2.5e-7 if is_model else None,
            dotted_order=f"{order}{trace_id}.{order}{run_id}" if step else f"{order}{run_id}",
            inputs=inputs,
            outputs=outputs,
            metadata=Raw(
                b'{"ls_model_name":"gpt-5-mini","revision_id":"4c1f0e2","session_id":"thread-%d"}' % (root // 20)
            ),
            feedback_stats=feedback,
        )


def _id(number: int) -> str:
    digits = f"{(number + 1) * _ODD % 2**128:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _texts() -> Iterator[str]:
    """Yield texts of about 40 words, the n-th word of the language being 1/n as frequent as the first."""
    chance = random.Random(7)
    syllables = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]
    words = ["".join(chance.choices(syllables, k=chance.choice((1, 2, 2, 3, 4)))) for _ in range(5000)]
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    while True:
        yield " ".join(chance.choices(words, cum_weights=weights, k=chance.randint(25, 55)))


def _payload(name: str, text: str) -> Raw:
    return Raw(json.dumps({"messages": [{"role": "user", "type": name, "content": text}]}).encode())
