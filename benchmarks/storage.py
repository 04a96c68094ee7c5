"""Upload and download through a network of separate processes, beside a plain reference.

Usage: python benchmarks/storage.py [--size 1024] [--files 10000] [--suppliers 4] [--rounds 3]
                                    [--json FILE] [--markdown FILE] [--dir DIR] [--peer tahoe]

One large random file up and down; many small files up, up again unchanged, and down; the most
memory of customer and suppliers in each phase; the bytes on the suppliers' disks. The core of the
work is done by ``reference.py`` in the same run, and by restic where it is installed.

Engine and reference take turns, with fresh data in every round, and the medians are compared with
the spread beside them: on a machine that does other things a single pair of times says nothing.
The reference is no lower bound; a ratio below 1 says that it overlaps its stages less well.

With ``--peer`` the engine is held beside another program instead, see ``peer.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import reference
from bitdust.cli.testnet import CUSTOMER, SUPPLIER, Plan, Testnet
from measure import MIB, Phase, as_text, machine, measured, spread
from samples import digest, make_large, make_small

UNCHANGED = "small unchanged"


def stored(network: Testnet) -> int:
    """Bytes in all suppliers' customer folders."""
    return sum(
        path.lstat().st_size
        for member in network.members
        if member.role == SUPPLIER
        for path in (member.home / "customers").rglob("*")
        if path.is_file()
    )


class Engine:
    """The engine under test: one customer of a test network.

    Args:
        network: a running network with one customer.
        work: an empty folder.
    """

    def __init__(self, network: Testnet, work: Path) -> None:
        self._network = network
        self._work = work
        self._api = network.api(f"{CUSTOMER}-1")
        self._groups = {
            "customer": [network.member(f"{CUSTOMER}-1").daemon.pid],
            "suppliers": [m.daemon.pid for m in network.members if m.role == SUPPLIER],
        }
        self.phases: list[Phase] = []

    def upload(self, name: str, path: Path, remote: str, moved: int, items: int) -> None:
        """Measure one upload until it is said to be stored."""
        before = stored(self._network)
        with measured(name, moved, items, self._groups) as phase:
            result = self._api.post(
                "/file/upload/start/v1",
                local_path=str(path),
                remote_path=remote,
                wait_result=True,
            )
        if result.get("state") != "stored":
            raise SystemExit(f"{name}: the upload ended as {result.get('state')}: {result}")
        phase.extra = {"result": result, "on_disks": stored(self._network) - before}
        self.phases.append(phase)

    def download(self, name: str, remote: str, moved: int, items: int) -> Path:
        """Measure one download until it is said to be complete."""
        target = self._work / name.replace(" ", "-")
        with measured(name, moved, items, self._groups) as phase:
            result = self._api.post(
                "/file/download/start/v1",
                remote_path=remote,
                destination_path=str(target),
                wait_result=True,
            )
        self.phases.append(phase)
        return Path(str(result["local_path"]))


def engine_round(
    network: Testnet, work: Path, number: int, large: Path, small: Path, paths: list[Path]
) -> list[Phase]:
    """All phases of the engine once; what comes back is compared."""
    engine = Engine(network, work)
    api = network.api(f"{CUSTOMER}-1")
    size, total = large.stat().st_size, sum(path.stat().st_size for path in paths)
    one, many = f"large-{number}", f"small-{number}"
    api.post("/file/create/v1", remote_path=one)
    engine.upload("large up", large, one, size, 1)
    back = engine.download("large down", one, size, 1)
    if digest(back) != digest(large):
        raise SystemExit("the large file came back changed")
    back.unlink()
    api.post("/file/create/v1", remote_path=many, as_folder=True)
    engine.upload("small up", small, many, total, len(paths))
    engine.upload("small unchanged", small, many, total, len(paths))
    back = engine.download("small down", many, total, len(paths))
    for path in paths:
        if (back / path.relative_to(small)).read_bytes() != path.read_bytes():
            raise SystemExit(f"{path} came back changed")
    shutil.rmtree(back)
    return engine.phases


def run_reference(
    work: Path, large: Path, size: int, paths: list[Path], each: int, suppliers: int
) -> dict[str, float]:
    """Seconds of the reference, by the phase it stands beside."""
    seconds: dict[str, float] = {}

    def take(name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - began

    total = len(paths) * each
    with reference.Sinks(work, suppliers) as sinks:
        for _ in take("large up"):
            sinks.put(reference.read_file(large))
        target = work / "large"
        for _ in take("large down"):
            reference.write_file(target, sinks.get(reference.block_sizes(size)))
        if digest(target) != digest(large):
            raise SystemExit("the reference brought the large file back changed")
        target.unlink()
        for _ in take("small up"):
            sinks.put(reference.read_files(paths))
        for _ in take("small unchanged"):
            for path in paths:
                path.lstat()
        places = [work / "small" / path.parent.name / path.name for path in paths]
        for _ in take("small down"):
            for folder in sorted({place.parent for place in places}):
                folder.mkdir(parents=True)
            reference.write_files(places, each, sinks.get(reference.block_sizes(total)))
        if any(a.read_bytes() != b.read_bytes() for a, b in zip(places, paths, strict=True)):
            raise SystemExit("the reference brought the small files back changed")
    return seconds


def run_restic(work: Path, large: Path, small: Path) -> dict[str, float]:
    """Seconds restic takes with a local repository; empty where it is not installed."""
    program = shutil.which("restic")
    if program is None:
        return {}
    base = [program, "--quiet", "--no-cache", "--repo", str(work / "repository")]
    environment = {**os.environ, "RESTIC_PASSWORD": "benchmark"}
    subprocess.run([*base, "init"], env=environment, check=True)
    seconds: dict[str, float] = {}
    for name, arguments in (
        ("large up", ["backup", "--tag", "large", str(large)]),
        ("large down", ["restore", "latest", "--tag", "large", "--target", str(work / "large")]),
        ("small up", ["backup", "--tag", "small", str(small)]),
        ("small unchanged", ["backup", "--tag", "small", str(small)]),
        ("small down", ["restore", "latest", "--tag", "small", "--target", str(work / "small")]),
    ):
        began = time.perf_counter()
        subprocess.run([*base, *arguments], env=environment, check=True)
        seconds[name] = time.perf_counter() - began
    return seconds


@dataclass
class Result:
    """One phase over all rounds.

    Args:
        phases: the engine's, one per round.
        reference: seconds of the reference, one per round.
        restic: seconds of restic, if it is there.
    """

    phases: list[Phase]
    reference: list[float]
    restic: float | None

    @property
    def seconds(self) -> float:
        """The engine's median."""
        return median(phase.seconds for phase in self.phases)

    @property
    def ratio(self) -> float | None:
        """Engine by reference; nothing where the reference only looks at the files."""
        first = self.phases[0]
        if first.name == UNCHANGED or not self.reference:
            return None
        return self.seconds / median(self.reference)


def rows(results: list[Result]) -> list[list[str]]:
    """The table: one row per phase, the titles first."""
    titles = ["phase", "median time (range)", "rate", "reference (range)", "ratio"]
    with_restic = any(result.restic is not None for result in results)
    if with_restic:
        titles.append("restic, local")
    titles += ["customer CPU", "suppliers CPU", "customer peak", "supplier peak", "on disks"]
    table = [titles]
    for result in results:
        phase = result.phases[0]
        rate = (
            f"{phase.moved / MIB / result.seconds:.0f} MiB/s"
            if phase.items == 1
            else f"{phase.items / result.seconds:,.0f} files/s"
        )
        row = [
            phase.name,
            spread([each.seconds for each in result.phases]),
            rate,
            spread(result.reference),
            "" if result.ratio is None else f"{result.ratio:.1f}",
        ]
        if with_restic:
            row.append("" if result.restic is None else f"{result.restic:.2f} s")
        row += [
            f"{median(each.cpu[group] for each in result.phases):.1f} s"
            for group in ("customer", "suppliers")
        ]
        row += [
            f"{max(each.peak[group] for each in result.phases) / MIB:.0f} MiB"
            for group in ("customer", "suppliers")
        ]
        disks = [each.extra["on_disks"] for each in result.phases if "on_disks" in each.extra]
        row.append(f"{median(disks) / MIB:.1f} MiB" if disks else "")
        table.append(row)
    return table


def as_markdown(
    table: list[list[str]],
    command: str,
    size: int,
    count: int,
    each: int,
    load: tuple[float, float],
) -> str:
    """The table with what is needed to judge and repeat it."""
    head, *body = ["| " + " | ".join(row) + " |" for row in table]
    line = "|" + "---|" * len(table[0])
    facts = "; ".join(f"{name} {value}" for name, value in machine().items())
    return "\n".join(
        [
            f"`{command}`, {datetime.now(UTC):%Y-%m-%d}. {facts}.",
            "",
            f"Large: one random file of {size / MIB:,.0f} MiB.",
            f"Small: {count:,} random files of {each:,} bytes.",
            f"Load of the machine before and after: {load[0]:.1f} and {load[1]:.1f}.",
            "",
            head,
            line,
            *body,
            "",
        ]
    )


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, help="MiB of the large file")
    parser.add_argument("--files", type=int, default=10_000, help="number of small files")
    parser.add_argument("--file-size", type=int, default=4096, help="bytes of each small file")
    parser.add_argument("--suppliers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="work there instead of in a temporary folder")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--markdown", type=Path, help="write the table there")
    parser.add_argument("--peer", choices=("tahoe", "tahoe-foolscap"), help="compare with that")
    parser.add_argument("--peer-files", type=int, default=100, help="small files for the peer")
    if parser.parse_known_args()[0].peer:
        parser.set_defaults(size=128, files=2000)
    options = parser.parse_args()
    if options.peer:
        import peer  # what else it needs is only there when it is asked for

        peer.run(options, _command(parser, options))
        return
    size, count, each = options.size * MIB, options.files, options.file_size
    work = Path(tempfile.mkdtemp(prefix="bitdust-bench-", dir=options.dir))
    before = os.getloadavg()[0]
    try:
        results = measure(work, size, count, each, options.suppliers, options.rounds)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    load = before, os.getloadavg()[0]
    table = rows(results)
    print(as_text(table))
    print(f"load of the machine before and after: {load[0]:.1f} and {load[1]:.1f}")
    if options.json:
        options.json.write_text(json.dumps(figures(results, load), indent=2) + "\n")
    if options.markdown:
        command = _command(parser, options)
        options.markdown.write_text(as_markdown(table, command, size, count, each, load))


def _command(parser: argparse.ArgumentParser, options: argparse.Namespace) -> str:
    """What was run, for the record: only what is not as usual."""
    names = ("peer", "size", "files", "file-size", "peer-files", "suppliers", "rounds")
    given = {name: getattr(options, name.replace("-", "_")) for name in names}
    words = [
        f"--{name} {value}"
        for name, value in given.items()
        if value != parser.get_default(name.replace("-", "_"))
    ]
    return " ".join(["python benchmarks/storage.py", *words])


def measure(
    work: Path, size: int, count: int, each: int, suppliers: int, rounds: int
) -> list[Result]:
    """Run all rounds; engine and reference change places from round to round."""
    needed = f"{max(4096, 4 * rounds * (size + count * each) // MIB)} MB"
    plan = Plan(suppliers=suppliers, customers=1, needed_space=needed, donated_space="256 GB")
    engine: list[list[Phase]] = []
    plain: list[dict[str, float]] = []
    restic: dict[str, float] = {}
    with Testnet(work / "network", plan) as network:
        for number in range(rounds):
            place = work / f"round-{number}"
            large, small = place / "large.bin", place / "small"
            for folder in (place, place / "reference", place / "engine", place / "restic"):
                folder.mkdir()
            make_large(large, size)
            paths = make_small(small, count, each)

            def reference_turn(
                place: Path = place, large: Path = large, paths: list[Path] = paths
            ) -> None:
                plain.append(
                    run_reference(place / "reference", large, size, paths, each, suppliers)
                )

            def engine_turn(
                place: Path = place,
                number: int = number,
                large: Path = large,
                small: Path = small,
                paths: list[Path] = paths,
            ) -> None:
                engine.append(engine_round(network, place / "engine", number, large, small, paths))

            turns = [reference_turn, engine_turn]
            for turn in turns if number % 2 == 0 else reversed(turns):
                print(f"round {number + 1}: {turn.__name__} ...", file=sys.stderr)
                turn()
            if number == rounds - 1:
                restic = run_restic(place / "restic", large, small)
            shutil.rmtree(place)
    return [
        Result(
            [phases[index] for phases in engine],
            [seconds[phase.name] for seconds in plain],
            restic.get(phase.name),
        )
        for index, phase in enumerate(engine[0])
    ]


def figures(results: list[Result], load: tuple[float, float]) -> dict[str, Any]:
    """All figures, for programs."""
    return {
        "machine": machine(),
        "load": load,
        "phases": [
            {
                "name": result.phases[0].name,
                "bytes": result.phases[0].moved,
                "files": result.phases[0].items,
                "median_seconds": result.seconds,
                "seconds": [phase.seconds for phase in result.phases],
                "reference_seconds": result.reference,
                "ratio": result.ratio,
                "restic_seconds": result.restic,
                "cpu_seconds": [phase.cpu for phase in result.phases],
                "peak_bytes": [phase.peak for phase in result.phases],
                "rounds": [phase.extra for phase in result.phases],
            }
            for result in results
        ],
    }


if __name__ == "__main__":
    main()
