"""The fragment store against a real disk."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from blake3 import blake3

from bitdust.errors import (
    AlreadyExists,
    Busy,
    DiskFull,
    IntegrityError,
    InvalidInput,
    InvalidName,
    NotFound,
    QuotaExceeded,
)
from bitdust.proofs import answer
from bitdust.supply import FragmentStore, ObjectState
from bitdust.supply import store as store_module

ALICE = b"\xaa" * 32
BOB = b"\xbb" * 32
MIB = 1 << 20


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.fixture
async def store(tmp_path: Path, pool: ThreadPoolExecutor) -> AsyncIterator[FragmentStore]:
    store = FragmentStore(tmp_path / "customers", pool)
    await store.open()
    store.grant(ALICE, 100 * MIB)
    yield store
    await store.close()


async def chunks(data: bytes, step: int = 65536) -> AsyncIterator[bytes]:
    for at in range(0, len(data), step):
        yield data[at : at + step]
        await asyncio.sleep(0)


async def put(store: FragmentStore, name: str, data: bytes, who: bytes = ALICE) -> bool:
    return await store.put(who, name, len(data), blake3(data).digest(), chunks(data))


async def get(store: FragmentStore, name: str, *span: int, who: bytes = ALICE) -> bytes:
    _, _, stream = await store.get(who, name, *span)
    return b"".join([part async for part in stream])


async def get_into(store: FragmentStore, name: str, into: bytearray) -> None:
    _, _, stream = await store.get(ALICE, name)
    async for part in stream:
        into += part


def files(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*~*") if p.is_file())


@pytest.mark.parametrize("size", [0, 1, 65535, MIB, MIB + 1, 5 * MIB + 17])
async def test_what_was_put_comes_back(store: FragmentStore, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    assert await put(store, "d/0a1b", data) is True
    assert await get(store, "d/0a1b") == data
    got_size, digest, stream = await store.get(ALICE, "d/0a1b")
    assert (got_size, digest) == (size, blake3(data).digest())
    await stream.aclose()  # type: ignore[attr-defined]
    [path] = files(tmp_path)
    assert path.read_bytes() == data
    assert store.usage(ALICE).used == size
    assert store.usage(ALICE).reserved == 0
    assert not list((tmp_path / "customers" / "incoming").iterdir())


async def test_parts_of_an_object(store: FragmentStore) -> None:
    data = os.urandom(3 * MIB)
    await put(store, "d/x", data)
    assert await get(store, "d/x", 10, 100) == data[10:110]
    assert await get(store, "d/x", MIB - 5) == data[MIB - 5 :]
    assert await get(store, "d/x", len(data), 0) == b""
    for span in ((-1, 5), (0, len(data) + 1), (len(data) + 1, 0)):
        with pytest.raises(InvalidInput):
            await get(store, "d/x", *span)


async def test_an_object_never_changes(store: FragmentStore) -> None:
    assert await put(store, "d/x", b"one") is True
    assert await put(store, "d/x", b"one") is False
    with pytest.raises(AlreadyExists):
        await put(store, "d/x", b"two")
    assert await get(store, "d/x") == b"one"
    assert store.usage(ALICE).used == 3


async def test_two_writers_of_one_name_end_with_one_object(
    store: FragmentStore, tmp_path: Path
) -> None:
    data = [os.urandom(2 * MIB) for _ in range(2)]
    results = await asyncio.gather(
        put(store, "d/x", data[0]),
        put(store, "d/x", data[1]),
        put(store, "d/x", data[0]),
        return_exceptions=True,
    )
    kept = await get(store, "d/x")
    assert kept in data
    assert results.count(True) == 1
    assert all(r is True or r is False or isinstance(r, AlreadyExists) for r in results)
    assert len(files(tmp_path)) == 1
    assert store.usage(ALICE).used == 2 * MIB
    assert store.usage(ALICE).reserved == 0


@pytest.mark.parametrize("name", ["", "../x", "d/../x", "/d", "d/", "D", "d x", "a" * 161, "d\x00"])
async def test_bad_names_are_refused(store: FragmentStore, name: str) -> None:
    with pytest.raises(InvalidName):
        await put(store, name, b"x")
    with pytest.raises(InvalidName):
        await store.get(ALICE, name)
    with pytest.raises(InvalidName):
        await store.delete(ALICE, ["d/fine", name])


@pytest.mark.parametrize("body", [b"short", b"much longer than announced", b"same_size!", b""])
async def test_another_body_than_announced_is_refused(
    store: FragmentStore, tmp_path: Path, body: bytes
) -> None:
    with pytest.raises(IntegrityError):
        await store.put(ALICE, "d/x", 10, blake3(b"0123456789").digest(), chunks(body))
    with pytest.raises(NotFound):
        await store.get(ALICE, "d/x")
    assert not files(tmp_path)
    assert not list((tmp_path / "customers" / "incoming").iterdir())
    usage = store.usage(ALICE)
    assert (usage.used, usage.reserved, usage.count) == (0, 0, 0)


async def test_quota_holds_against_parallel_writers(store: FragmentStore) -> None:
    store.grant(ALICE, 3 * MIB)
    data = [os.urandom(MIB) for _ in range(12)]
    results = await asyncio.gather(
        *(put(store, f"d/{i}", body) for i, body in enumerate(data)), return_exceptions=True
    )
    assert results.count(True) == 3
    assert sum(isinstance(r, QuotaExceeded) for r in results) == 9
    usage = store.usage(ALICE)
    assert (usage.used, usage.reserved, usage.free) == (3 * MIB, 0, 0)
    for i, result in enumerate(results):
        if result is True:
            assert await get(store, f"d/{i}") == data[i]
    with pytest.raises(QuotaExceeded):
        await put(store, "d/more", b"x", BOB)


async def test_less_quota_removes_nothing(store: FragmentStore) -> None:
    await put(store, "d/x", bytes(MIB))
    store.grant(ALICE, 10)
    with pytest.raises(QuotaExceeded):
        await put(store, "d/y", b"y")
    assert await get(store, "d/x") == bytes(MIB)


async def test_full_disk_is_told_before_and_while_writing(
    tmp_path: Path, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = store_module.DISK_RESERVE + MIB
    store = FragmentStore(tmp_path / "c", pool, free_space=lambda _: room)
    await store.open()
    store.grant(ALICE, 100 * MIB)
    with pytest.raises(DiskFull):
        await put(store, "d/big", bytes(MIB + 1))
    await put(store, "d/fits", bytes(MIB))

    written = 0

    def full(fd: int, data: memoryview) -> int:
        nonlocal written
        written += len(data)
        if written > 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(data)

    with monkeypatch.context() as patch:
        patch.setattr("bitdust.supply.disk.os.write", full)
        with pytest.raises(DiskFull):
            await put(store, "d/second", bytes(5000))
    assert store.usage(ALICE).used == MIB
    assert store.usage(ALICE).reserved == 0
    assert not list((tmp_path / "c" / "incoming").iterdir())
    assert await put(store, "d/second", bytes(5000))
    await store.close()


async def test_a_damaged_object_is_found_refused_and_healed(
    store: FragmentStore, tmp_path: Path
) -> None:
    told: list[tuple[bytes, str, str]] = []
    store.on_damaged = lambda *what: told.append(what)
    for size in (100, 3 * MIB):
        data = os.urandom(size)
        await put(store, "d/x", data)
        [path] = files(tmp_path)
        with path.open("r+b") as file:
            file.seek(size // 2)
            file.write(bytes([data[size // 2] ^ 1]))
        got = bytearray()
        with pytest.raises(IntegrityError):
            await get_into(store, "d/x", got)
        assert len(got) < size
        assert told == [(ALICE, "d/x", "damaged")]
        with pytest.raises(IntegrityError):
            await store.get(ALICE, "d/x")
        with pytest.raises(IntegrityError):
            await store.prove(ALICE, "d/x", b"k" * 32)
        [row] = await store.list(ALICE)
        assert row.state is ObjectState.BAD
        assert await put(store, "d/x", data) is True
        assert await get(store, "d/x") == data
        assert store.usage(ALICE).used == size
        await store.delete(ALICE, ["d/x"])
        told.clear()


@pytest.mark.parametrize("size", [50, 3 * MIB])
async def test_a_lost_or_cut_file_is_reported(
    store: FragmentStore, tmp_path: Path, size: int
) -> None:
    told: list[tuple[bytes, str, str]] = []
    store.on_damaged = lambda *what: told.append(what)
    await put(store, "d/lost", os.urandom(size))
    files(tmp_path)[0].unlink()
    await put(store, "d/short", os.urandom(size))
    os.truncate(files(tmp_path)[0], size - 1)
    for name in ("d/lost", "d/short"):
        with pytest.raises(IntegrityError):
            await get(store, name)
    assert told == [(ALICE, "d/lost", "lost"), (ALICE, "d/short", "damaged")]
    assert store.usage(ALICE).used == size
    assert await store.delete(ALICE, ["d/lost", "d/short"]) == 2
    assert store.usage(ALICE).used == 0


@pytest.mark.parametrize("size", [0, 7, 32 * 1024, 2 * MIB + 3])
async def test_an_audit_is_answered_from_the_file(
    store: FragmentStore, tmp_path: Path, size: int
) -> None:
    data = os.urandom(size)
    await put(store, "d/x", data)
    wanted = answer(b"k" * 32, size, lambda at, length: data[at : at + length])
    assert await store.prove(ALICE, "d/x", b"k" * 32) == wanted
    with pytest.raises(NotFound):
        await store.prove(ALICE, "d/y", b"k" * 32)
    with pytest.raises(InvalidInput):
        await store.prove(ALICE, "d/x", b"k")
    [path] = files(tmp_path)
    path.unlink()
    with pytest.raises(IntegrityError):
        await store.prove(ALICE, "d/x", b"k" * 32)


async def test_list_in_pages(store: FragmentStore) -> None:
    names = [f"d/{i:03}" for i in range(25)] + ["j/a/1-1", "j/b/1-1"]
    for name in names:
        await put(store, name, name.encode())
    store.grant(BOB, 1000)
    await put(store, "d/bob", b"bob", BOB)
    got: list[str] = []
    while page := await store.list(ALICE, "d/", got[-1] if got else "", 10):
        got += [row.name for row in page]
    assert got == names[:25]
    assert [row.name for row in await store.list(ALICE, "j/")] == names[25:]
    assert len(await store.list(ALICE)) == 27
    assert [row.name for row in await store.list(BOB)] == ["d/bob"]
    with pytest.raises(InvalidName):
        await store.list(ALICE, "%")


async def test_delete_and_remove_customer(store: FragmentStore, tmp_path: Path) -> None:
    store.grant(BOB, 1000)
    await put(store, "d/x", b"of bob", BOB)
    for i in range(5):
        await put(store, f"d/{i}", bytes(100))
    assert await store.delete(ALICE, ["d/0", "d/1", "d/none", "d/0"]) == 2
    assert store.usage(ALICE).used == 300
    with pytest.raises(InvalidInput):
        await store.delete(ALICE, ["d/x"] * 1001)
    assert await store.remove_customer(ALICE) == 300
    assert ALICE not in store.customers()
    assert not (tmp_path / "customers" / ALICE.hex()).exists()
    assert await get(store, "d/x", who=BOB) == b"of bob"


async def test_a_write_of_a_removed_customer_is_not_kept(
    store: FragmentStore, tmp_path: Path
) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        started.set()
        await go.wait()
        yield b"x"

    task = asyncio.create_task(store.put(ALICE, "d/x", 1, blake3(b"x").digest(), body()))
    await started.wait()
    await store.remove_customer(ALICE)
    go.set()
    with pytest.raises(NotFound):
        await task
    assert not files(tmp_path)


async def test_a_cancelled_write_leaves_nothing(store: FragmentStore, tmp_path: Path) -> None:
    for step in range(12):
        started = asyncio.Event()

        async def body(started: asyncio.Event = started) -> AsyncIterator[bytes]:
            yield bytes(2 * MIB)
            started.set()
            yield bytes(MIB)

        digest = blake3(bytes(3 * MIB)).digest()
        task = asyncio.create_task(store.put(ALICE, "d/x", 3 * MIB, digest, body()))
        await started.wait()
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        stored = False
        with contextlib.suppress(asyncio.CancelledError):
            stored = await task
        # Cancelled while the disk was at work: it may have been stored, but then as a whole.
        usage = store.usage(ALICE)
        assert usage.reserved == 0
        assert usage.used in ((3 * MIB,) if stored else (0, 3 * MIB))
        assert not list((tmp_path / "customers" / "incoming").iterdir())
        assert len(files(tmp_path)) == usage.count == len(await store.list(ALICE))
        await store.delete(ALICE, ["d/x"])


async def test_stalled_bodies_end_and_waiting_ones_are_bounded(
    store: FragmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "IDLE_SECONDS", 0.2)

    async def never() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    limit = store_module.MAX_WAITING_EACH + store_module.MAX_WRITES_EACH
    tasks = [
        asyncio.create_task(store.put(ALICE, f"d/{i}", 2, blake3(b"xx").digest(), never()))
        for i in range(limit)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await put(store, "d/one-more", b"x")
    for task in tasks[4:]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(r, IntegrityError) for r in results[:4])
    assert store.usage(ALICE).reserved == 0
    assert await put(store, "d/one-more", b"x")


# --- reopening ----------------------------------------------------------------------------------


async def test_everything_is_there_after_reopening(
    store: FragmentStore, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    await put(store, "d/x", b"hello")
    await store.close()
    again = FragmentStore(tmp_path / "customers", pool)
    report = await again.open()
    assert (report.adopted, report.lost_count, report.leftovers) == (0, 0, 0)
    assert again.usage(ALICE).used == 5
    assert await get(again, "d/x") == b"hello"
    await again.close()


@pytest.mark.parametrize("how", ["deleted", "garbage", "cut"])
async def test_the_index_is_made_again_from_the_directory(
    store: FragmentStore, tmp_path: Path, pool: ThreadPoolExecutor, how: str
) -> None:
    bodies = {f"d/{i:02}": os.urandom(1000 + i) for i in range(20)}
    for name, body in bodies.items():
        await put(store, name, body)
    await put(store, "j/x/1-2", os.urandom(2 * MIB))
    await store.close()
    index = tmp_path / "customers" / "index.db"
    if how == "deleted":
        index.unlink()
    elif how == "garbage":
        index.write_bytes(os.urandom(20000))
    else:
        os.truncate(index, index.stat().st_size // 2)
    [victim] = [p for p in files(tmp_path) if "%1-2~" in p.name]
    with victim.open("r+b") as file:
        file.write(b"damage")
    again = FragmentStore(tmp_path / "customers", pool)
    report = await again.open()
    assert report.adopted == 21
    assert report.index_damaged == (how != "deleted")
    assert again.usage(ALICE).used == sum(map(len, bodies.values())) + 2 * MIB
    for name, body in bodies.items():
        assert await get(again, name) == body
    with pytest.raises(IntegrityError):
        await get(again, "j/x/1-2")
    await again.close()


async def test_reopening_reports_lost_and_cut_and_takes_back_returned(
    store: FragmentStore, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    for name in ("d/gone", "d/kept", "d/cut"):
        await put(store, name, name.encode())
    paths = {p.name.split("~")[0]: p for p in files(tmp_path)}
    await store.close()
    gone = paths["d%gone"].read_bytes()
    paths["d%gone"].unlink()
    os.truncate(paths["d%cut"], 2)
    stray = paths["d%kept"].with_name("d%kept~" + "0" * 64)
    stray.write_bytes(b"never acknowledged")
    (tmp_path / "customers" / "incoming" / "left").write_bytes(b"half")
    told: list[tuple[bytes, str, str]] = []
    again = FragmentStore(tmp_path / "customers", pool, on_damaged=lambda *a: told.append(a))
    report = await again.open()
    assert told == [(ALICE, "d/gone", "lost"), (ALICE, "d/cut", "damaged")]
    assert report.leftovers == 2
    assert not stray.exists()
    assert await get(again, "d/kept") == b"d/kept"
    with pytest.raises(IntegrityError):
        await again.get(ALICE, "d/gone")
    await again.close()
    paths["d%gone"].write_bytes(gone)
    third = FragmentStore(tmp_path / "customers", pool)
    await third.open()
    assert await get(third, "d/gone") == b"d/gone"
    await third.close()


async def test_scrub_finds_what_nobody_reads(store: FragmentStore, tmp_path: Path) -> None:
    class Pauses:
        slept = 0.0

        def now(self) -> float:
            return 0.0

        def monotonic(self) -> float:
            return 0.0

        async def sleep(self, seconds: float) -> None:
            self.slept += seconds

    for name in ("d/good", "d/flipped", "d/lost"):
        await put(store, name, os.urandom(2 * MIB))
    told: list[tuple[bytes, str, str]] = []
    store.on_damaged = lambda *what: told.append(what)
    paths = {p.name.split("~")[0]: p for p in files(tmp_path)}
    paths["d%lost"].unlink()
    with paths["d%flipped"].open("r+b") as file:
        file.seek(MIB)
        file.write(b"x")
    pauses = Pauses()
    assert await store.scrub(pauses, rate=MIB) == 2
    assert told == [(ALICE, "d/flipped", "damaged"), (ALICE, "d/lost", "lost")]
    # Two buffers of the good one, one of the flipped one: its last is never given out.
    assert pauses.slept == pytest.approx(3.0)
    told.clear()
    assert await store.scrub(pauses, rate=MIB) == 0
    assert told == []
