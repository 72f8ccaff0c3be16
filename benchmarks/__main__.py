"""
The cost of an export, beside the least possible and the recipe in LangSmith's documentation: ``make bench``.

It prints a table of figures and a table of limits, and writes both into docs/explanation/performance.md, with a plot.
Each way runs in its own process, on one core, in turns with the others. Figures are medians, and ratios are those of a
turn. It takes ten minutes on two idle cores. ``--quick`` measures a tenth in one turn and writes nothing: it shows
that the bench works, not whether the limits hold.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

from benchmarks import memory, plot, simulation
from benchmarks.workers import ROOT, Process, ServerProcess

RUNS = {1000: 10_000, 5000: 4_000, 50_000: 1_000}  # bytes a run -> runs
WAYS = (
    "floor",
    "Parquet",
    "JSONL zstd",
    "JSONL gzip",
    "recipe",
    "floor, v2",
    "Parquet, v2",
    "JSONL zstd, v2",
    "recipe, v2",
)
WINDOWS = (10_000, 50_000, 200_000, 1_000_000)  # runs
MAX_RECIPE_RUNS = 200_000  # they take three gigabytes
BUDGETS = {"10 per 10 s": (10, 3_000, ("Parquet", "recipe")), "300 per 10 s": (300, 400_000, ("Parquet, v2",))}
LATENCY_SECONDS = 0.3

# Bytes of a run, way, the way that it is compared with, and the largest ratio.
COSTS = (
    *((size, "Parquet", "recipe", limit) for size, limit in zip(RUNS, (1 / 6, 1 / 4, 1 / 2.5), strict=True)),
    *((size, "Parquet", "floor", limit) for size, limit in zip(RUNS, (2.5, 1.5, 1.2), strict=True)),
    *((size, "JSONL zstd", "floor", limit) for size, limit in zip(RUNS, (1.8, 1.6, 1.2), strict=True)),
)
MAX_MB = {"Parquet, v2": 64.0, "JSONL zstd, v2": 24.0}  # for the third window
MAX_MB_GROWTH = 5.0  # from the second window to the last


@dataclass
class Row:
    """A row of the table. None was not measured."""

    case: str
    way: str
    runs: int = 0
    cpu: float | None = None  # microseconds for a run
    to_floor: float | None = None  # ratio to the floor
    of_recipe: float | None = None  # ratio of the recipe to it
    wall: float | None = None  # seconds
    memory: float | None = None  # MB over the imports
    requests: int | None = None
    refused: int | None = None


@dataclass
class Bar:
    """A limit, and the measured figure."""

    name: str
    measured: float
    limit: float

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of its row."""
        holds = "yes" if self.measured <= self.limit else "no"
        return (self.name, f"{self.measured:.2f}", f"{self.limit:.2f}", holds)


@dataclass
class Bench:
    """The measurements, with their server."""

    server: ServerProcess
    turns: int
    divisor: int = 1  # of the number of runs
    bars: list[Bar] = field(default_factory=list)

    def processor(self) -> Iterator[Row]:
        """Measure processor time by the size of runs, the ways in turns."""
        ways = {way: Process("paths", way, core=0) for way in WAYS}
        for size, count in RUNS.items():
            runs = count // self.divisor
            results: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
            self.server.set(size=size, runs=runs)
            for turn in range(self.turns + 1):
                for way in WAYS if turn % 2 else reversed(WAYS):
                    results[way].append(ways[way].run({"url": self.server.url, "runs": runs, "concurrency": 1}))
            cpu = {way: [result["cpu"] for result in results[way][1:]] for way in ways}  # the first turn warms up
            for way in WAYS:
                version = ", v2" if way.endswith("v2") else ""
                yield Row(
                    f"{size // 1000} KB a run",
                    way,
                    cpu=median(cpu[way]) / runs * 1e6,
                    to_floor=_ratio(cpu[way], cpu[f"floor{version}"]),
                    of_recipe=_ratio(cpu[f"recipe{version}"], cpu[way]),
                )
            self.bars += [
                Bar(f"{way} of {size // 1000} KB, CPU in times the {other}'s", _ratio(cpu[way], cpu[other]), limit)
                for cost_size, way, other, limit in COSTS
                if cost_size == size
            ]
        for process in ways.values():
            process.close()

    def encodings(self) -> Iterator[Row]:
        """Measure processor time by the encoding of the pages, which decides what the client accepts."""
        runs = RUNS[5000] // self.divisor
        with Process("paths", "JSONL zstd", core=0) as way:
            for encodings in (("gzip",), ("zstd",), ()):
                self.server.set(size=5000, runs=runs, encodings=encodings)
                job = {"url": self.server.url, "runs": runs, "concurrency": 1}
                cpu = [way.run(job)["cpu"] for _ in range(self.turns + 1)][1:]
                yield Row(
                    f"5 KB, {encodings[0] if encodings else 'not'} packed", "JSONL zstd", cpu=median(cpu) / runs * 1e6
                )

    def windows(self) -> Iterator[Row]:
        """Measure time and memory by the size of the window, for runs of 1 KB, with v2, the recipe with v1."""
        rows_of: dict[str, list[Row]] = {way: [] for way in (*MAX_MB, "recipe")}
        for count in WINDOWS:
            runs = count // self.divisor // 1000 * 1000
            for way, rows in rows_of.items():
                if way != "recipe" or count <= MAX_RECIPE_RUNS:
                    rows.append(self._measure(f"{runs:,} runs", way, runs, concurrency=1, gzip_level=1))
                    yield rows[-1]
        for way, max_mb in MAX_MB.items():
            _, small, medium, large = (row.memory or 0.0 for row in rows_of[way])
            self.bars.append(Bar(f"{way}, {rows_of[way][2].runs:,} runs, MB over the imports", medium, max_mb))
            self.bars.append(
                Bar(
                    f"{way}, MB more for {rows_of[way][3].runs:,} than {rows_of[way][1].runs:,}",
                    large - small,
                    MAX_MB_GROWTH,
                )
            )

    def waiting(self) -> Iterator[Row]:
        """Measure time if answers are slow or the budget is small, by the real clock."""
        for way in ("Parquet", "Parquet, v2", "recipe"):
            yield self._measure("300 ms a page, 10,000 runs", way, 10_000 // self.divisor, latency=LATENCY_SECONDS)
        for name, (budget, count, ways) in BUDGETS.items() if self.divisor == 1 else ():
            for way in ways:
                case = f"{name}, {count:,} runs"
                yield self._measure(
                    case, way, count, requests_per_10s=budget, budget=budget, latency=LATENCY_SECONDS, gzip_level=1
                )

    def _measure(
        self,
        case: str,
        way: str,
        runs: int,
        *,
        requests_per_10s: int | None = None,
        concurrency: int | None = None,
        **scene: Any,
    ) -> Row:
        self.server.set(size=1000, runs=100)
        with Process("paths", way) as process:
            process.run({"url": self.server.url, "runs": 100})  # loads what the first export loads
            self.server.set(size=1000, runs=runs, **scene)
            job = {
                "url": self.server.url,
                "runs": runs,
                "requests_per_10s": requests_per_10s,
                "concurrency": concurrency,
            }
            result = process.run(job)
            assert result["pandas"] == (way == "recipe"), way
        scene_after = self.server.scene()
        return Row(
            case,
            way,
            runs,
            cpu=result["cpu"] / runs * 1e6,
            wall=result["wall"],
            memory=result["memory"],
            requests=scene_after.requests,
            refused=scene_after.refused,
        )


def simulated() -> Iterator[Row]:
    """Simulate how long a million runs take within the budgets."""
    for version, pages, limit in (("v1", 10_000, 10), ("v2", 1_000, 300)):
        efficiency, refused = simulation.paced("fixed", pages, limit, LATENCY_SECONDS, retry_after=True)
        seconds = simulation.fastest("fixed", pages, limit, LATENCY_SECONDS, simulation.CURSORS) / efficiency
        case = f"{limit} per 10 s, 1,000,000 runs, simulated"
        yield Row(case, f"Parquet, {version}", wall=seconds, requests=pages, refused=refused)


def views() -> Iterator[Row]:
    """Measure the memory of the views of traces, by the number of runs."""
    for view, format_, count, seconds, megabytes in memory.measure():
        yield Row(f"{count:,} runs", f"{view} as {format_}", wall=seconds, memory=megabytes)


HEAD = (
    ("", "way", "CPU µs a run", "times the floor", "times less than the recipe", "seconds", "MB", "requests", "429s"),
    ("---", "---", *("--:",) * 7),
)
BARS_HEAD = (("bar", "measured", "at most", "holds"), ("---", "--:", "--:", "---"))


def cells_of(row: Row) -> tuple[str, ...]:
    """Return the cells of a row."""
    figures = (
        (row.cpu, ",.1f"),
        (row.to_floor, ".2f"),
        (row.of_recipe, ".1f"),
        (row.wall, ",.1f"),
        (row.memory, ",.0f"),
        (row.requests, ","),
        (row.refused, ","),
    )
    return (row.case, row.way, *("" if figure is None else format(figure, form) for figure, form in figures))


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _ratio(figures: list[float], others: list[float]) -> float:
    return median(figure / other for figure, other in zip(figures, others, strict=True))


def _print_rows(rows: Iterator[Row]) -> list[Row]:
    """Print each row when it is measured, and return all."""
    measured = []
    for row in rows:
        print(_line(cells_of(row)), flush=True)
        measured.append(row)
    return measured


def _replace_table(table: str, marks: re.Match[str]) -> str:
    return marks[1] + table + marks[2]


def main() -> None:
    """Measure everything, print it, and write it into the page."""
    quick = "--quick" in sys.argv
    print(*map(_line, HEAD), sep="\n", flush=True)
    with ServerProcess() as server:
        bench = Bench(server, turns=1, divisor=10) if quick else Bench(server, turns=5)
        rows = [*_print_rows(bench.processor()), *_print_rows(bench.encodings())]
        windows = _print_rows(bench.windows())
        rows += [*windows, *_print_rows(bench.waiting()), *_print_rows(simulated())]
    bars = "\n".join(map(_line, [*BARS_HEAD, *(bar.cells for bar in bench.bars)]))
    print(f"\n{bars}\n", flush=True)
    if quick:
        return
    rows += _print_rows(views())
    page = ROOT / "docs" / "explanation" / "performance.md"
    text = page.read_text()
    for name, table in (("bars", bars), ("bench", "\n".join(map(_line, [*HEAD, *map(cells_of, rows)])))):
        block = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        text = block.sub(partial(_replace_table, table), text)
    page.write_text(text)
    (page.parent / "speed.svg").write_text(
        plot.draw(
            plot.Panel("seconds", [(row.way, row.runs, row.wall or 0.0) for row in windows]),
            plot.Panel("MB of memory", [(row.way, row.runs, row.memory or 0.0) for row in windows]),
        )
    )


if __name__ == "__main__":
    main()
