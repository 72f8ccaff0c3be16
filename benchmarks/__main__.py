"""
What an export costs, beside the least there is and what LangSmith's documentation does: ``make bench``.

It prints a table, and another one that tells which bars hold, and writes both into docs/explanation/performance.md,
with a plot. Every way runs in a process of its own, on one core, turn by turn with the others; figures are medians, and
ratios are those of one turn. That takes some ten minutes on two cores that have nothing else to do. ``--quick`` does a
tenth of it in one turn and writes nothing; its figures tell whether the bench works, not whether bars hold.
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
MOST_OF_RECIPE = 200_000  # runs; three gigabytes
BUDGETS = {"10 per 10 s": (10, 3_000, ("Parquet", "recipe")), "300 per 10 s": (300, 400_000, ("Parquet, v2",))}
LATENCY = 0.3  # seconds

# Size, way, what it is compared with, how many times that it may cost.
COSTS = (
    *((size, "Parquet", "recipe", most) for size, most in zip(RUNS, (1 / 6, 1 / 4, 1 / 2.5), strict=True)),
    *((size, "Parquet", "floor", most) for size, most in zip(RUNS, (2.5, 1.5, 1.2), strict=True)),
    *((size, "JSONL zstd", "floor", most) for size, most in zip(RUNS, (1.8, 1.6, 1.2), strict=True)),
)
MEMORY = {"Parquet, v2": 64.0, "JSONL zstd, v2": 24.0}  # MB at most, for the third of the windows
SLOPE = 5.0  # MB at most, from the second window to the last


@dataclass
class Row:
    """A line of the table; what was not measured is left out."""

    case: str
    way: str
    runs: int = 0
    cpu: float | None = None  # microseconds a run
    floors: float | None = None  # times the floor
    recipes: float | None = None  # times less than the recipe
    wall: float | None = None  # seconds
    memory: float | None = None  # MB over the imports
    requests: int | None = None
    refused: int | None = None


@dataclass
class Bar:
    """What was promised, and what was measured."""

    what: str
    measured: float
    most: float

    @property
    def cells(self) -> tuple[str, ...]:
        """Print it."""
        holds = "yes" if self.measured <= self.most else "no"
        return (self.what, f"{self.measured:.2f}", f"{self.most:.2f}", holds)


@dataclass
class Bench:
    """The server and the ways, and how often they are measured."""

    server: ServerProcess
    turns: int
    share: int = 1  # of the runs, one in so many
    bars: list[Bar] = field(default_factory=list)

    def processor(self) -> Iterator[Row]:
        """Measure the processor's time for each size of runs, the ways turn by turn."""
        ways = {way: Process("paths", way, core=0) for way in WAYS}
        for size, count in RUNS.items():
            runs = count // self.share
            taken: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
            self.server.set(size=size, runs=runs)
            for turn in range(self.turns + 1):
                for way in WAYS if turn % 2 else reversed(WAYS):
                    taken[way].append(ways[way].ask({"url": self.server.url, "runs": runs, "concurrency": 1}))
            cpu = {way: [one["cpu"] for one in found[1:]] for way, found in taken.items()}  # the first one warms up
            for way in WAYS:
                version = ", v2" if way.endswith("v2") else ""
                yield Row(
                    f"{size // 1000} KB a run",
                    way,
                    cpu=median(cpu[way]) / runs * 1e6,
                    floors=_ratio(cpu[way], cpu[f"floor{version}"]),
                    recipes=_ratio(cpu[f"recipe{version}"], cpu[way]),
                )
            self.bars += [
                Bar(f"{way} of {size // 1000} KB, CPU in times the {other}'s", _ratio(cpu[way], cpu[other]), most)
                for measured, way, other, most in COSTS
                if measured == size
            ]
        for process in ways.values():
            process.close()

    def packed(self) -> Iterator[Row]:
        """Measure what it costs how the server packs pages, which decides what is asked for."""
        runs = RUNS[5000] // self.share
        with Process("paths", "JSONL zstd", core=0) as way:
            for encodings in (("gzip",), ("zstd",), ()):
                self.server.set(size=5000, runs=runs, encodings=encodings)
                job = {"url": self.server.url, "runs": runs, "concurrency": 1}
                cpu = [way.ask(job)["cpu"] for _ in range(self.turns + 1)][1:]
                yield Row(
                    f"5 KB, {encodings[0] if encodings else 'not'} packed", "JSONL zstd", cpu=median(cpu) / runs * 1e6
                )

    def windows(self) -> Iterator[Row]:
        """Measure time and memory by the size of the window, of runs of 1 KB on v2; the recipe's on v1."""
        took: dict[str, list[Row]] = {way: [] for way in (*MEMORY, "recipe")}
        for count in WINDOWS:
            runs = count // self.share // 1000 * 1000
            for way, rows in took.items():
                if way != "recipe" or count <= MOST_OF_RECIPE:
                    rows.append(self._one(f"{runs:,} runs", way, runs, concurrency=1, gzip_level=1))
                    yield rows[-1]
        for way, most in MEMORY.items():
            _, few, some, many = (row.memory or 0.0 for row in took[way])
            self.bars.append(Bar(f"{way}, {took[way][2].runs:,} runs, MB over the imports", some, most))
            self.bars.append(
                Bar(f"{way}, MB more for {took[way][3].runs:,} than {took[way][1].runs:,}", many - few, SLOPE)
            )

    def waiting(self) -> Iterator[Row]:
        """Measure what the time goes to when answers are slow, or the budget is small; the clock is the real one."""
        for way in ("Parquet", "Parquet, v2", "recipe"):
            yield self._one("300 ms a page, 10,000 runs", way, 10_000 // self.share, latency=LATENCY)
        for name, (budget, count, ways) in BUDGETS.items() if self.share == 1 else ():
            for way in ways:
                case = f"{name}, {count:,} runs"
                yield self._one(case, way, count, asked=budget, budget=budget, latency=LATENCY, gzip_level=1)

    def _one(
        self, case: str, way: str, runs: int, *, asked: int | None = None, concurrency: int | None = None, **scene: Any
    ) -> Row:
        self.server.set(size=1000, runs=100)
        with Process("paths", way) as process:
            process.ask({"url": self.server.url, "runs": 100})  # what is loaded for the first export is no part of it
            self.server.set(size=1000, runs=runs, **scene)
            job = {"url": self.server.url, "runs": runs, "requests_per_10s": asked, "concurrency": concurrency}
            taken = process.ask(job)
            assert taken["pandas"] == (way == "recipe"), way
        told = self.server.scene()
        return Row(
            case,
            way,
            runs,
            cpu=taken["cpu"] / runs * 1e6,
            wall=taken["wall"],
            memory=taken["memory"],
            requests=told.requests,
            refused=told.refused,
        )


def simulated() -> Iterator[Row]:
    """Tell how long a million runs take within the budgets, by a clock that costs nothing."""
    for version, pages, limit in (("v1", 10_000, 10), ("v2", 1_000, 300)):
        share, refused = simulation.paced("fixed", pages, limit, LATENCY, tells=True)
        seconds = simulation.fastest("fixed", pages, limit, LATENCY, simulation.CURSORS) / share
        case = f"{limit} per 10 s, 1,000,000 runs, simulated"
        yield Row(case, f"Parquet, {version}", wall=seconds, requests=pages, refused=refused)


def views() -> Iterator[Row]:
    """Measure the memory of the views of traces, by the number of runs."""
    for view, format_, count, seconds, over in memory.measured():
        yield Row(f"{count:,} runs", f"{view} as {format_}", wall=seconds, memory=over)


HEAD = (
    ("", "way", "CPU µs a run", "times the floor", "times less than the recipe", "seconds", "MB", "requests", "429s"),
    ("---", "---", *("--:",) * 7),
)
BARS_HEAD = (("bar", "measured", "at most", "holds"), ("---", "--:", "--:", "---"))


def printed(row: Row) -> tuple[str, ...]:
    """Print a line's figures."""
    figures = (
        (row.cpu, ",.1f"),
        (row.floors, ".2f"),
        (row.recipes, ".1f"),
        (row.wall, ",.1f"),
        (row.memory, ",.0f"),
        (row.requests, ","),
        (row.refused, ","),
    )
    return (row.case, row.way, *("" if figure is None else format(figure, form) for figure, form in figures))


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _ratio(ones: list[float], others: list[float]) -> float:
    return median(one / other for one, other in zip(ones, others, strict=True))


def _shown(rows: Iterator[Row]) -> list[Row]:
    """Print lines as they come."""
    found = []
    for row in rows:
        print(_line(printed(row)), flush=True)
        found.append(row)
    return found


def _between(table: str, found: re.Match[str]) -> str:
    return found[1] + table + found[2]


def main() -> None:
    """Measure everything, and print each line as it comes."""
    quick = "--quick" in sys.argv
    print(*map(_line, HEAD), sep="\n", flush=True)
    with ServerProcess() as server:
        bench = Bench(server, turns=1, share=10) if quick else Bench(server, turns=5)
        rows = [*_shown(bench.processor()), *_shown(bench.packed())]
        windows = _shown(bench.windows())
        rows += [*windows, *_shown(bench.waiting()), *_shown(simulated())]
    bars = "\n".join(map(_line, [*BARS_HEAD, *(bar.cells for bar in bench.bars)]))
    print(f"\n{bars}\n", flush=True)
    if quick:
        return
    rows += _shown(views())
    page = ROOT / "docs" / "explanation" / "performance.md"
    text = page.read_text()
    for name, table in (("bars", bars), ("bench", "\n".join(map(_line, [*HEAD, *map(printed, rows)])))):
        block = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        text = block.sub(partial(_between, table), text)
    page.write_text(text)
    (page.parent / "speed.svg").write_text(
        plot.drawn(
            plot.Panel("seconds", [(row.way, row.runs, row.wall or 0.0) for row in windows]),
            plot.Panel("MB of memory", [(row.way, row.runs, row.memory or 0.0) for row in windows]),
        )
    )


if __name__ == "__main__":
    main()
