"""Times, processor time and memory of processes, from ``/proc``; what the machine is."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

MIB = 1024 * 1024
TICKS = os.sysconf("SC_CLK_TCK")


def peak_memory(pid: int) -> int:
    """Most resident bytes of a process since it started or ``reset_peak``."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def reset_peak(pid: int) -> None:
    """Begin a new peak, where the system allows it."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")


def processor_time(pid: int) -> float:
    """Seconds of processor time a process has used, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@dataclass
class Phase:
    """One measured piece of work.

    Args:
        name: what was done.
        moved: plain bytes it was done for.
        items: files it was done for.
        seconds: wall-clock time.
        cpu: seconds of processor time, by group of processes.
        peak: most resident bytes of one process, by group of processes.
        extra: whatever else belongs to it.
    """

    name: str
    moved: int
    items: int
    seconds: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """MiB of plain data per second."""
        return self.moved / MIB / self.seconds


@contextmanager
def measured(name: str, moved: int, items: int, groups: Mapping[str, list[int]]) -> Iterator[Phase]:
    """Measure what happens inside.

    Args:
        name: what is done.
        moved: plain bytes.
        items: files.
        groups: process ids by group; the present process is not among them.
    """
    phase = Phase(name, moved, items)
    before = {pid: processor_time(pid) for pids in groups.values() for pid in pids}
    for pid in before:
        reset_peak(pid)
    began = time.perf_counter()
    yield phase
    phase.seconds = time.perf_counter() - began
    for group, pids in groups.items():
        phase.cpu[group] = sum(processor_time(pid) - before[pid] for pid in pids)
        phase.peak[group] = max((peak_memory(pid) for pid in pids), default=0)


def machine() -> dict[str, str]:
    """Processor, cores, memory, system and Python, for the record."""
    model = platform.processor() or platform.machine()
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory / 1024**3:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def spread(values: list[float]) -> str:
    """Median and range of times."""
    return f"{median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"


def as_text(table: list[list[str]]) -> str:
    """The table for a terminal."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )
