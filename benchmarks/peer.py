"""The engine beside Tahoe-LAFS in one run: ``python benchmarks/storage.py --peer tahoe``.

Both run as processes on loopback and store each byte twice over: the engine with four suppliers
(``ecc/4x4``), Tahoe-LAFS with eight storage nodes, of which any four bring a file back. They take
turns with the same data, fresh in every round, and change places from round to round. All that
comes back is compared. ``--peer tahoe-foolscap`` makes Tahoe speak its older protocol, which is
faster on loopback than its default.

What is compared is not quite the same. Tahoe's nodes never fsync, ours do before anything is
"stored". Tahoe's files get no name in a folder, ours are a tree with a catalog. A range is 64 KiB
out of the large file, at the same odd places on both sides, over HTTP into memory: a Range request
to Tahoe, ``file_read`` of ours, whose answer is JSON with base64 and is decoded within the time.
Small files go to Tahoe over four connections and in a smaller number, and to us as one upload of a
tree, once with as many files as Tahoe's and once with more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from base64 import b64decode
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import tahoe
from bitdust.cli.testnet import CUSTOMER, SUPPLIER, Plan, Testnet
from measure import MIB, Phase, as_text, machine, measured, spread
from samples import digest, make_large, make_small

RANGE = 64 * 1024
RANGES = 3
"""Ranges read in one round; the first of them with nothing known of the file yet."""
FIRST, AGAIN = "range, first", "range, again"
GOALS = {"large up": 2.5, "large down": 3.0, FIRST: 10.0, AGAIN: 10.0}
GOAL_SMALL = 100.0


@dataclass
class Sample:
    """The data of one round.

    Args:
        large: one file.
        few: small files, as many as both sides store.
        many: small files that only the engine stores.
    """

    large: Path
    few: list[Path]
    many: list[Path]

    def range(self, number: int) -> tuple[int, bytes]:
        """An odd place of the large file, and what ``RANGE`` bytes are there."""
        at = self.large.stat().st_size // (RANGES + 1) * (number + 1) + 12_345
        with self.large.open("rb") as file:
            file.seek(at)
            return at, file.read(RANGE)


def make(place: Path, size: int, few: int, many: int, each: int) -> Sample:
    """Fresh random data."""
    place.mkdir(parents=True)
    sample = Sample(
        place / "large.bin",
        make_small(place / "few", few, each),
        make_small(place / "many", many, each),
    )
    make_large(sample.large, size)
    return sample


def _same(back: Path, original: Path) -> None:
    if digest(back) != digest(original):
        raise SystemExit(f"{original} came back changed")


def _title(number: int) -> str:
    return f"{number:,} small files"


def engine_turn(network: Testnet, work: Path, number: int, sample: Sample) -> list[Phase]:
    """The engine's side of one round."""
    api = network.api(f"{CUSTOMER}-1")
    groups = {
        "customer": [network.member(f"{CUSTOMER}-1").daemon.pid],
        "suppliers": [each.daemon.pid for each in network.members if each.role == SUPPLIER],
    }
    phases: list[Phase] = []

    def up(name: str, path: Path, remote: str, moved: int, items: int) -> None:
        api.post("/file/create/v1", remote_path=remote, as_folder=path.is_dir())
        with measured(name, moved, items, groups) as phase:
            result = api.post(
                "/file/upload/start/v1", local_path=str(path), remote_path=remote, wait_result=True
            )
        if result.get("state") != "stored":
            raise SystemExit(f"{name}: the upload ended as {result.get('state')}: {result}")
        phases.append(phase)

    def down(name: str, remote: str, moved: int, items: int) -> Path:
        target = work / f"back-{len(phases)}"
        with measured(name, moved, items, groups) as phase:
            result = api.post(
                "/file/download/start/v1",
                remote_path=remote,
                destination_path=str(target),
                wait_result=True,
            )
        phases.append(phase)
        return Path(str(result["local_path"]))

    size = sample.large.stat().st_size
    up("large up", sample.large, f"large-{number}", size, 1)
    for turn in range(RANGES):
        at, expected = sample.range(turn)
        with measured(AGAIN if turn else FIRST, RANGE, 1, groups) as phase:
            answer = api.get("/file/read/v1", remote_path=f"large-{number}", offset=at, size=RANGE)
            part = b64decode(answer["data"])
        phases.append(phase)
        if part != expected:
            raise SystemExit("the engine brought another range back")
    _same(down("large down", f"large-{number}", size, 1), sample.large)
    for paths in (sample.few, sample.many):
        root, title = paths[0].parent.parent, _title(len(paths))
        moved = sum(path.stat().st_size for path in paths)
        remote = f"{root.name}-{number}"
        up(f"{title} up", root, remote, moved, len(paths))
        back = down(f"{title} down", remote, moved, len(paths))
        for path in paths:
            _same(back / path.relative_to(root), path)
    return phases


def tahoe_turn(grid: tahoe.Grid, work: Path, sample: Sample) -> list[Phase]:
    """Tahoe's side of one round; its network runs only meanwhile."""
    grid.start()
    try:
        return _tahoe_phases(grid, work, sample)
    finally:
        grid.stop()


def _tahoe_phases(grid: tahoe.Grid, work: Path, sample: Sample) -> list[Phase]:
    groups = grid.groups()
    phases: list[Phase] = []
    size = sample.large.stat().st_size
    with measured("large up", size, 1, groups) as phase:
        capability = grid.put(sample.large)
    phases.append(phase)
    for number in range(RANGES):
        at, expected = sample.range(number)
        with measured(AGAIN if number else FIRST, RANGE, 1, groups) as phase:
            part = grid.get_range(capability, at, RANGE)
        phases.append(phase)
        if part != expected:
            raise SystemExit("Tahoe-LAFS brought another range back")
    target = work / "large"
    with measured("large down", size, 1, groups) as phase:
        grid.get(capability, target)
    phases.append(phase)
    _same(target, sample.large)
    paths, title = sample.few, _title(len(sample.few))
    moved = sum(path.stat().st_size for path in paths)
    with measured(f"{title} up", moved, len(paths), groups) as phase:
        capabilities = grid.put_many(paths)
    phases.append(phase)
    targets = [work / f"small-{number}" for number in range(len(paths))]
    with measured(f"{title} down", moved, len(paths), groups) as phase:
        grid.get_many(capabilities, targets)
    phases.append(phase)
    for back, path in zip(targets, paths, strict=True):
        _same(back, path)
    return phases


@dataclass
class Line:
    """One comparison.

    Args:
        name: what was done.
        ours: the engine's measurements, all rounds.
        theirs: Tahoe's; of fewer files where the numbers differ.
        goal: how many times faster the engine is meant to be.
    """

    name: str
    ours: list[Phase]
    theirs: list[Phase]
    goal: float

    @property
    def times(self) -> float:
        """Our rate by theirs, in work done per second, medians of all rounds."""
        return _rate(self.ours) / _rate(self.theirs)


def _rate(phases: list[Phase]) -> float:
    """Files per second."""
    return phases[0].items / median(phase.seconds for phase in phases)


def lines(ours: list[Phase], theirs: list[Phase], few: int, many: int) -> list[Line]:
    """All comparisons, from the measurements of all rounds."""
    pairs = [(name, name, GOALS[name]) for name in ("large up", "large down", FIRST, AGAIN)]
    for way in ("up", "down"):
        beside = f"{_title(few)} {way}"
        numbers = dict.fromkeys((few, many))
        pairs += [(f"{_title(number)} {way}", beside, GOAL_SMALL) for number in numbers]
    return [
        Line(
            name,
            [phase for phase in ours if phase.name == name],
            [phase for phase in theirs if phase.name == beside],
            goal,
        )
        for name, beside, goal in pairs
    ]


def _speed(phases: list[Phase]) -> str:
    first, rate = phases[0], _rate(phases)
    if first.items > 1:
        return f"{rate:,.0f} files/s"
    return f"{rate * first.moved / MIB:.0f} MiB/s" if first.moved > RANGE else ""


def _cpu(phases: list[Phase]) -> str:
    return f"{median(sum(phase.cpu.values()) for phase in phases):.2f} s"


def _peak(phases: list[Phase]) -> str:
    return " / ".join(
        f"{max(phase.peak[group] for phase in phases) / MIB:.0f}"
        for group in ("customer", "suppliers")
    )


def table_of(compared: list[Line]) -> list[list[str]]:
    """The table, the titles first."""
    titles = ["", "BitDust (range)", "rate", "Tahoe-LAFS (range)", "rate", "times faster", "goal"]
    titles += ["CPU, all", "Tahoe's", "peak MiB", "Tahoe's"]
    return [titles] + [
        [
            line.name,
            _time(line.ours),
            _speed(line.ours),
            _time(line.theirs),
            _speed(line.theirs),
            f"{line.times:.1f}",
            f"{line.goal:g}",
            _cpu(line.ours),
            _cpu(line.theirs),
            _peak(line.ours),
            _peak(line.theirs),
        ]
        for line in compared
    ]


def _time(phases: list[Phase]) -> str:
    seconds = [phase.seconds for phase in phases]
    if max(seconds) >= 1:
        return spread(seconds)
    low, middle, high = (1000 * value for value in (min(seconds), median(seconds), max(seconds)))
    return f"{middle:.0f} ms ({low:.0f} to {high:.0f})"


def run(options: argparse.Namespace, command: str) -> None:
    """Measure, print, and write what was asked for.

    Args:
        options: of ``storage.py``.
        command: how to repeat it, for the record.
    """
    if min(options.size, options.files, options.peer_files, options.rounds) < 1:
        raise SystemExit("--size, --files, --peer-files and --rounds must be at least 1")
    program = tahoe.install()
    work = Path(tempfile.mkdtemp(prefix="tahoe-bench-", dir=options.dir))
    loads = [os.getloadavg()[0]]
    try:
        ours, theirs = _rounds(work, program, options, loads)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    compared = lines(ours, theirs, options.peer_files, options.files)
    table = table_of(compared)
    facts = {**machine(), "peer": f"{tahoe.version(program)}, {options.peer}"}
    load = ", ".join(f"{value:.1f}" for value in loads)
    print(as_text(table))
    print(f"load of the machine before, and after every turn: {load}")
    if options.json:
        options.json.write_text(json.dumps(figures(compared, facts, loads), indent=2) + "\n")
    if options.markdown:
        head, *body = ["| " + " | ".join(row) + " |" for row in table]
        about = "; ".join(f"{name} {value}" for name, value in facts.items())
        sizes = f"Large: one random file of {options.size} MiB. Small: {options.file_size:,} bytes."
        text = [
            f"`{command}`, {datetime.now(UTC):%Y-%m-%d}. {about}.",
            "",
            f"{sizes} Rounds: {options.rounds}. Load before, and after every turn: {load}.",
            "",
            head,
            "|" + "---|" * len(table[0]),
            *body,
        ]
        options.markdown.write_text("\n".join(text) + "\n")


def _rounds(
    work: Path, program: Path, options: argparse.Namespace, loads: list[float]
) -> tuple[list[Phase], list[Phase]]:
    size = options.size * MIB
    ours: list[Phase] = []
    theirs: list[Phase] = []
    small = (options.peer_files + options.files) * options.file_size
    needed = f"{max(4096, 4 * options.rounds * (2 * size + small) // MIB)} MB"
    plan = Plan(
        suppliers=options.suppliers, customers=1, needed_space=needed, donated_space="256 GB"
    )
    grid = tahoe.Grid(work / "grid", program, foolscap=options.peer == "tahoe-foolscap")
    try:
        with Testnet(work / "network", plan) as network:
            for number in range(options.rounds):
                place = work / f"round-{number}"
                sample = make(
                    place / "data", size, options.peer_files, options.files, options.file_size
                )
                sides = ["BitDust", "Tahoe-LAFS"]
                for side in sides if number % 2 == 0 else sides[::-1]:
                    print(f"round {number + 1}: {side} ...", file=sys.stderr)
                    turn = place / side
                    turn.mkdir()
                    # what was written before must not be paid for in the turn of the other
                    os.sync()
                    time.sleep(1)
                    if side == "BitDust":
                        ours += engine_turn(network, turn, number, sample)
                    else:
                        theirs += tahoe_turn(grid, turn, sample)
                    loads.append(os.getloadavg()[0])
                shutil.rmtree(place)
    finally:
        grid.close()
    return ours, theirs


def figures(compared: list[Line], facts: dict[str, str], loads: list[float]) -> dict[str, Any]:
    """All figures, for programs."""
    return {
        "machine": facts,
        "load": loads,
        "comparisons": [
            {
                "name": line.name,
                "times_faster": line.times,
                "goal": line.goal,
                "bitdust": [asdict(phase) for phase in line.ours],
                "tahoe": [asdict(phase) for phase in line.theirs],
            }
            for line in compared
        ],
    }
