"""Measurements of several engines side by side, and their table."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from peers.engines import Engine
from peers.workload import Workload

# Of one engine in one row of the table: tokens a second of each repetition.
Samples = dict[tuple[str, int], list[float]]


# Where Linux counts how long some task that could run had no CPU.
_PRESSURE = Path("/proc/pressure/cpu")


class Contention:
    """How much of the time since its making something on the machine waited for a CPU."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._waited_us = self._read()

    @staticmethod
    def _read() -> int:
        if not _PRESSURE.exists():
            return 0
        return int(_PRESSURE.read_text().splitlines()[0].rpartition("total=")[2])

    def share(self) -> float:
        """From 0, an idle machine; near 1 no speed measured says anything."""
        seconds = time.monotonic() - self._start
        return (self._read() - self._waited_us) / 1e6 / seconds if seconds > 0 else 0.0


def spread(samples: Sequence[float]) -> str:
    """The median with [least, greatest]."""
    low, middle, high = min(samples), statistics.median(samples), max(samples)
    digits = 1 if middle < 100 else 0
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


class Comparison:
    """Runs every workload on every engine, again and again, and keeps the speeds."""

    def __init__(self, engines: Sequence[Engine], workloads: Sequence[Workload]) -> None:
        self._engines = engines
        self._workloads = workloads
        self._samples: Samples = defaultdict(list)
        self._contention: list[float] = []

    def measure(self, repetition: int, log: Callable[[str], None]) -> None:
        """One run of each workload on each engine; who goes first changes by turns."""
        numbers = list(range(len(self._engines)))
        if repetition % 2:
            numbers.reverse()
        for workload in self._workloads:
            for number in numbers:
                contention = Contention()
                speeds = self._engines[number].run(workload, seed=repetition + 1)
                self._contention.append(contention.share())
                for phase, speed in (("prefill", speeds.prefill), ("decode", speeds.decode)):
                    if speed is not None:
                        row = f"{workload.name}, {phase}"
                        self._samples[row, number].append(speed)
                        log(f"{repetition + 1}. {self._engines[number].title}: {row}:"
                            f" {speed:.2f} tokens/s, contention {self._contention[-1]:.0%}")

    def contention(self) -> str:
        """Least and greatest share of a run's time in which something waited for a CPU."""
        return f"{min(self._contention):.0%} to {max(self._contention):.0%}"

    def table(self) -> str:
        """Markdown: a row for each measured speed; with two engines, the first over the second."""
        titles = [f"{engine.title}, tokens/s" for engine in self._engines]
        with_ratio = len(self._engines) == 2
        cells = ["test", *titles, *(["ratio"] if with_ratio else [])]
        lines = ["| " + " | ".join(cells) + " |", "|" + "---|" * len(cells)]
        for row in dict.fromkeys(row for row, _ in self._samples):
            of_engines = [self._samples[row, number] for number in range(len(self._engines))]
            cells = [row, *(spread(samples) for samples in of_engines)]
            if with_ratio:
                first, second = (statistics.median(samples) for samples in of_engines)
                cells.append(f"{first / second:.2f}")
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)
