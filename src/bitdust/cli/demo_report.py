"""What the demo shows: steps with their times, a progress bar, tables; plain text outside a tty."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Table

Advance = Callable[[int, int], None]
"""Tells the progress bar (done, total), in bytes."""

MIB = 1024 * 1024


def size(number: float) -> str:
    """A number of bytes for people: ``4.2 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 1024 or unit == "GiB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
        number /= 1024
    raise AssertionError


@dataclass
class Step:
    """One row of the final table.

    Args:
        name: what was done.
        note: the outcome in a few words.
        moved: bytes it worked on, 0 when that says nothing.
        seconds: how long it took.
    """

    name: str
    note: str = ""
    moved: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Bytes per second, 0 when there is nothing to tell."""
        return self.moved / self.seconds if self.moved and self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """The row for programs."""
        return {
            "step": self.name,
            "note": self.note,
            "seconds": round(self.seconds, 3),
            "bytes": self.moved,
            "bytes_per_second": round(self.rate),
        }


@dataclass
class Screen:
    """Where the demo tells what it does.

    Args:
        console: standard output, or standard error when the result goes there as JSON.
        steps: what was done so far.
    """

    console: Console
    steps: list[Step] = field(default_factory=list)

    @classmethod
    def make(cls, *, as_json: bool) -> Screen:
        """The screen of this process."""
        return cls(Console(file=sys.stderr if as_json else sys.stdout, highlight=False))

    def title(self, text: str) -> None:
        """Print the name of what follows."""
        self.console.print(f"\n[bold]{escape(text)}[/bold]", soft_wrap=True)

    def line(self, text: str) -> None:
        """Print one line below the present step."""
        self.console.print(f"  {escape(text)}", soft_wrap=True)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Do one step: its time is taken and shown, with its note, when it is done."""
        step = Step(name)
        began = time.monotonic()
        try:
            yield step
        except BaseException:
            self.console.print(f"[red]✗[/red] {escape(name)}")
            raise
        step.seconds = time.monotonic() - began
        self.steps.append(step)
        note = f": {escape(step.note)}" if step.note else ""
        took = f"[dim]{step.seconds:.1f} s[/dim]"
        self.console.print(f"[green]✓[/green] {escape(name)}{note} {took}", soft_wrap=True)

    @contextmanager
    def progress(self, name: str) -> Iterator[Advance]:
        """Show a bar while something long runs; nothing where no bar can be drawn."""
        if not self.console.is_terminal:
            yield lambda done, total: None
            return
        with Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        ) as progress:
            task = progress.add_task(name, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total or None)

    @staticmethod
    def _new_table(title: str) -> Table:
        return Table(
            title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False
        )

    def facts(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a small table; the first column is text, the others are numbers."""
        table = self._new_table(title)
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if number else "left")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self.console.print()
        self.console.print(table)

    def table(self) -> None:
        """Print all steps with their times and rates."""
        table = self._new_table("What was done")
        table.add_column("step")
        table.add_column("outcome")
        table.add_column("time", justify="right")
        table.add_column("rate", justify="right")
        for step in self.steps:
            rate = f"{step.rate / MIB:,.1f} MiB/s" if step.rate else ""
            table.add_row(escape(step.name), escape(step.note), f"{step.seconds:.1f} s", rate)
        total = sum(step.seconds for step in self.steps)
        table.add_section()
        table.add_row("all of it", "", f"{total:.1f} s", "")
        self.console.print()
        self.console.print(table)
