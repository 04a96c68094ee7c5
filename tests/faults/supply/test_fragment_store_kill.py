"""A supplier killed in the middle of writing serves nothing half-written afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from blake3 import blake3

from bitdust.supply import FragmentStore, ObjectState

ALICE = b"\xaa" * 32

WRITER = """
import asyncio, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from blake3 import blake3
from bitdust.supply import FragmentStore

def body(i):
    return blake3(str(i).encode()).digest(length=300_000 + i * 1000)

async def main():
    store = FragmentStore(Path(sys.argv[1]), ThreadPoolExecutor(4))
    await store.open()
    store.grant(b"\\xaa" * 32, 1 << 30)
    async def one(i):
        data = body(i)
        async def chunks():
            for at in range(0, len(data), 10_000):
                yield data[at:at + 10_000]
                await asyncio.sleep(0.001)
        await store.put(b"\\xaa" * 32, f"d/{i:04}", len(data), blake3(data).digest(), chunks())
        print(i, flush=True)
    async def lane(k):
        for i in range(k, 1000, 4):
            await one(i)
    await asyncio.gather(*(lane(k) for k in range(4)))

asyncio.run(main())
"""


def body(i: int) -> bytes:
    return blake3(str(i).encode()).digest(length=300_000 + i * 1000)


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("acknowledged", [2, 7])
async def test_killed_in_the_middle_of_writing(tmp_path: Path, acknowledged: int) -> None:
    root = tmp_path / "customers"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    stored = [int(process.stdout.readline()) for _ in range(acknowledged)]
    incoming = root / "incoming"
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 20
    # Kill at a moment when something is certainly half-written.
    while not any(map(size_of, incoming.iterdir())):
        assert loop.time() < deadline
    os.kill(process.pid, signal.SIGKILL)
    stored += [int(line) for line in process.stdout.read().split()]
    process.wait()
    process.stdout.close()
    assert any(incoming.iterdir())

    with ThreadPoolExecutor(2) as pool:
        store = FragmentStore(root, pool)
        report = await store.open()
        assert report.leftovers > 0
        assert report.lost_count == 0
        assert not any(incoming.iterdir())
        rows = await store.list(ALICE)
        assert {f"d/{i:04}" for i in stored} <= {row.name for row in rows}
        for row in rows:
            assert row.state is ObjectState.GOOD
            _, _, stream = await store.get(ALICE, row.name)
            assert b"".join([part async for part in stream]) == body(int(row.name[2:]))
        assert store.usage(ALICE).used == sum(row.size for row in rows)
        await store.close()
