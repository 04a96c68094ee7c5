"""Rates of the storage formats, stage by stage, on one core and in memory.

Usage: python benchmarks/formats.py [--size MiB] [--rounds N] [--suppliers 4,13,64] [--json FILE]

Every rate is in MiB of user data per second, the best of the rounds: what the stage can do when the
machine does nothing else.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from blake3 import blake3

from bitdust.storage import (
    Block,
    BlockSpace,
    Chunker,
    Codec,
    Compressor,
    Fragment,
    Layout,
    Packer,
    StripeCipher,
    build_fragments,
    chunk_id,
    fragments_needed,
    make_challenges,
    read_block,
    rebuild_fragment,
    wrap_key,
)

MIB = 1024 * 1024
KEY = bytes(range(32))
BLOCK_ID = bytes(range(16))
WORDS = b"the quick brown fox jumps over a lazy dog while 12345 bytes of text go by\n"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    stage: str
    mib_per_second: float


def measure(stage: str, size: int, rounds: int, work: Callable[[], object]) -> Row:
    """Run ``work`` on ``size`` bytes, once to warm up, and keep the best rate."""
    work()
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return Row(stage, size / MIB / best)


def readinto_of(data: bytes) -> Callable[[memoryview], int]:
    stream = io.BytesIO(data)
    return stream.readinto


def text_like(size: int) -> bytes:
    lines = [b"%d %b" % (number * number, WORDS) for number in range(size // len(WORDS) + 1)]
    return b"".join(lines)[:size]


def front_rows(data: bytes, rounds: int) -> list[Row]:
    """Stages before a block is built."""
    size = len(data)
    chunker, compressor, space = Chunker(), Compressor(), BlockSpace()
    text = text_like(size)

    def cut() -> None:
        for _ in chunker.chunks(readinto_of(data)):
            pass

    def cut_and_name() -> None:
        for chunk in chunker.chunks(readinto_of(data)):
            chunk_id(KEY, chunk)

    def squeeze(source: bytes) -> Callable[[], None]:
        def work() -> None:
            for at in range(0, size, MIB):
                compressor.compress(memoryview(source)[at : at + MIB])

        return work

    def pack() -> None:
        packer = Packer(lambda: space)
        for chunk in chunker.chunks(readinto_of(data)):
            whole = blake3()
            whole.update(chunk)
            name = chunk_id(KEY, chunk)
            compressed, stored = compressor.compress(chunk)
            packer.add(name, stored, size=len(chunk), compressed=compressed)
        packer.flush()

    return [
        measure("chunk", size, rounds, cut),
        measure("chunk + id", size, rounds, cut_and_name),
        measure("compress random", size, rounds, squeeze(data)),
        measure("compress text", size, rounds, squeeze(text)),
        measure("chunk + id + file hash + compress + pack", size, rounds, pack),
    ]


def block_rows(data: bytes, n: int, rounds: int) -> list[Row]:
    """Stages on one block of 16 MiB."""
    payload = memoryview(data)[: 16 * MIB]
    size = len(payload)
    layout = Layout(n, size)
    space = BlockSpace()
    cipher = StripeCipher(BLOCK_ID, KEY, size)
    codec = Codec.shared(n)
    wrapped = wrap_key(KEY, KEY)

    def seal() -> None:
        for at in range(layout.stripes):
            start, end = layout.plain_range(at)
            cipher.seal_into(at, payload[start:end], space.stripe[: layout.sealed_size(at)])

    def encode() -> None:
        for at in range(layout.stripes):
            piece = layout.piece_size(at)
            codec.encode_into(
                space.stripe[: n * piece],
                [space.fragments[i * piece : (i + 1) * piece] for i in range(n)],
            )

    def build() -> list[Fragment]:
        return build_fragments(BLOCK_ID, KEY, wrapped, n, [payload], space=space)

    fragments = build()
    stored = {fragment.index: fragment.to_bytes() for fragment in fragments}
    digests = {fragment.index: fragment.digest for fragment in fragments}
    half = {i: stored[i] for i in range(n - fragments_needed(n), n)}
    out = memoryview(bytearray(size))

    def challenge() -> None:
        for fragment in fragments:
            make_challenges(fragment.buffers, 4, os.urandom)

    def read(source: dict[int, bytes]) -> Callable[[], object]:
        return lambda: read_block(source, KEY, digests=digests, out=out)

    return [
        measure("seal", size, rounds, seal),
        measure(f"encode {n}x{n}", size, rounds, encode),
        measure(f"build_fragments {n}x{n}", size, rounds, build),
        measure(f"4 challenges {n}x{n}", size, rounds, challenge),
        measure(f"read_block {n}x{n}, all fragments", size, rounds, read(stored)),
        measure(f"read_block {n}x{n}, last half", size, rounds, read(half)),
        measure(
            f"rebuild_fragment {n}x{n}", size, rounds, lambda: rebuild_fragment(half, 0, digests[0])
        ),
    ]


def whole_row(data: bytes, n: int, rounds: int) -> Row:
    """The whole way from a file's bytes to hashed fragments, as an upload does it."""
    chunker, compressor, space = Chunker(), Compressor(), BlockSpace()
    wrapped = wrap_key(KEY, KEY)

    def build(block: Block | None) -> None:
        if block is not None:
            fragments = build_fragments(
                BLOCK_ID, KEY, wrapped, n, [block.payload], space=block.space
            )
            for fragment in fragments:
                make_challenges(fragment.buffers, 4, os.urandom)

    def work() -> None:
        whole = blake3()
        packer = Packer(lambda: space)
        for chunk in chunker.chunks(readinto_of(data)):
            whole.update(chunk)
            name = chunk_id(KEY, chunk)
            compressed, stored = compressor.compress(chunk)
            if packer.used + len(stored) > space.limit:
                build(packer.flush())
            build(packer.add(name, stored, size=len(chunk), compressed=compressed))
        build(packer.flush())

    return measure(f"file to fragments {n}x{n}, one thread", len(data), rounds, work)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=64, help="MiB of test data, at least 16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--suppliers", default="4,13,64", help="numbers of suppliers")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    data = os.urandom(max(16, options.size) * MIB)
    rows = front_rows(data, options.rounds)
    for n in map(int, options.suppliers.split(",")):
        rows += block_rows(data, n, options.rounds)
        rows.append(whole_row(data, n, options.rounds))
    for row in rows:
        print(f"{row.stage:45}{row.mib_per_second:10.0f} MiB/s")
    report = {
        "engine": Codec.shared(4).engine.name,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "size_mib": len(data) // MIB,
        "rows": [asdict(row) for row in rows],
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
