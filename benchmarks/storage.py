"""Upload and download through a network of separate processes, beside the unavoidable work alone.

Usage: python benchmarks/storage.py [--size 1024] [--files 10000] [--suppliers 4]
                                    [--json FILE] [--markdown FILE] [--dir DIR]

One large random file up and down; many small files up, up again unchanged, and down; the most
memory of customer and suppliers in each phase; the bytes on the suppliers' disks. The same work is
done by ``reference.py`` in the same run, and by restic where it is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import reference
from bitdust.cli.testnet import CUSTOMER, SUPPLIER, Plan, Testnet
from measure import MIB, Phase, machine, measured

CHUNK = 4 * MIB
FILES_PER_FOLDER = 100
HIRING_DEADLINE = 120.0


def make_large(path: Path, size: int) -> None:
    """One file of random bytes."""
    with path.open("wb") as file:
        for at in range(0, size, CHUNK):
            file.write(os.urandom(min(CHUNK, size - at)))


def make_small(root: Path, count: int, size: int) -> list[Path]:
    """Many files of random bytes, a hundred to a folder."""
    paths = []
    for number in range(count):
        folder = root / f"{number // FILES_PER_FOLDER:04d}"
        if number % FILES_PER_FOLDER == 0:
            folder.mkdir(parents=True)
        path = folder / f"{number % FILES_PER_FOLDER:02d}.bin"
        path.write_bytes(os.urandom(size))
        paths.append(path)
    return paths


def digest(path: Path) -> str:
    """Hash of one file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def run_engine(
    work: Path, large: Path, size: int, small: Path, count: int, each: int, suppliers: int
) -> list[Phase]:
    """All phases of the engine; what comes back is compared."""
    needed = f"{max(4096, 4 * (size + count * each) // MIB)} MB"
    plan = Plan(suppliers=suppliers, customers=1, needed_space=needed, donated_space="64 GB")
    with Testnet(work / "network", plan) as network:
        engine = Engine(network, work)
        api = network.api(f"{CUSTOMER}-1")
        api.post("/file/create/v1", remote_path="large")
        engine.upload("large up", large, "large", size, 1)
        back = engine.download("large down", "large", size, 1)
        if digest(back) != digest(large):
            raise SystemExit("the large file came back changed")
        back.unlink()
        api.post("/file/create/v1", remote_path="small", as_folder=True)
        total = count * each
        engine.upload("small up", small, "small", total, count)
        engine.upload("small unchanged", small, "small", total, count)
        back = engine.download("small down", "small", total, count)
        for path in small.rglob("*.bin"):
            if (back / path.relative_to(small)).read_bytes() != path.read_bytes():
                raise SystemExit(f"{path} came back changed")
        shutil.rmtree(back)
        return engine.phases


def run_reference(
    work: Path, large: Path, size: int, paths: list[Path], each: int, suppliers: int
) -> dict[str, float]:
    """Seconds of the unavoidable work, by the phase it stands beside."""
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


def rows(phases: list[Phase], plain: dict[str, float], restic: dict[str, float]) -> list[list[str]]:
    """The table: one row per phase, the titles first."""
    titles = ["phase", "time", "rate", "unavoidable", "ratio"]
    if restic:
        titles.append("restic, local")
    titles += ["customer CPU", "suppliers CPU", "customer peak", "supplier peak", "on disks"]
    table = [titles]
    for phase in phases:
        per_second = phase.items / phase.seconds
        row = [
            phase.name,
            f"{phase.seconds:.2f} s",
            f"{phase.rate:.0f} MiB/s" if phase.items == 1 else f"{per_second:,.0f} files/s",
        ]
        beside = plain.get(phase.name)
        row += [f"{beside:.2f} s", f"{phase.seconds / beside:.1f}"] if beside else ["", ""]
        if restic:
            row.append(f"{restic[phase.name]:.2f} s")
        row += [f"{phase.cpu[group]:.1f} s" for group in ("customer", "suppliers")]
        row += [f"{phase.peak[group] / MIB:.0f} MiB" for group in ("customer", "suppliers")]
        disks = phase.extra.get("on_disks")
        row.append("" if disks is None else f"{disks / MIB:.1f} MiB")
        table.append(row)
    return table


def as_text(table: list[list[str]]) -> str:
    """The table for a terminal."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def as_markdown(table: list[list[str]], command: str, size: int, count: int, each: int) -> str:
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
    parser.add_argument("--dir", type=Path, help="work there instead of in a temporary folder")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--markdown", type=Path, help="write the table there")
    options = parser.parse_args()
    size, count, each = options.size * MIB, options.files, options.file_size
    work = Path(tempfile.mkdtemp(prefix="bitdust-bench-", dir=options.dir))
    try:
        print("making the input ...", file=sys.stderr)
        large, small = work / "large.bin", work / "small"
        make_large(large, size)
        paths = make_small(small, count, each)
        for name in ("reference", "engine", "restic"):
            (work / name).mkdir()
        print("the unavoidable work ...", file=sys.stderr)
        plain = run_reference(work / "reference", large, size, paths, each, options.suppliers)
        shutil.rmtree(work / "reference")
        print("the engine ...", file=sys.stderr)
        phases = run_engine(work / "engine", large, size, small, count, each, options.suppliers)
        restic = run_restic(work / "restic", large, small)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    table = rows(phases, plain, restic)
    print(as_text(table))
    if options.json:
        options.json.write_text(json.dumps(figures(phases, plain, restic), indent=2) + "\n")
    if options.markdown:
        command = "python benchmarks/storage.py " + " ".join(
            f"--{name} {value}"
            for name, value in (("size", options.size), ("files", count), ("file-size", each))
            if value != parser.get_default(name.replace("-", "_"))
        )
        options.markdown.write_text(as_markdown(table, command.strip(), size, count, each))


def figures(
    phases: list[Phase], plain: dict[str, float], restic: dict[str, float]
) -> dict[str, Any]:
    """All figures, for programs."""
    return {
        "machine": machine(),
        "phases": [
            {
                "name": phase.name,
                "bytes": phase.moved,
                "files": phase.items,
                "seconds": phase.seconds,
                "reference_seconds": plain.get(phase.name),
                "ratio": phase.seconds / plain[phase.name] if plain.get(phase.name) else None,
                "restic_seconds": restic.get(phase.name),
                "cpu_seconds": phase.cpu,
                "peak_bytes": phase.peak,
                **phase.extra,
            }
            for phase in phases
        ],
    }


if __name__ == "__main__":
    main()
