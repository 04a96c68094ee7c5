"""Mailboxes on a supplier: for customers only, bounded, each key given away once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bitdust.crypto import PrivateKey
from bitdust.errors import Busy, FormatError, IntegrityError, NoContract
from bitdust.messaging import Mailbox
from bitdust.messaging import mailbox as mailbox_module
from bitdust.messaging.cards import make_card
from bitdust.messaging.letters import (
    Bundle,
    Drop,
    Envelope,
    Fetch,
    Fetched,
    KeysFound,
    KeysOf,
    Offer,
    Offered,
    OneTimeKey,
    Put,
    PutDone,
    PutOutcome,
    encode,
    join,
    split,
)
from bitdust.messaging.ownkeys import OwnKeys
from bitdust.network import ContactState
from bitdust.testing import SeededRandom

BOB, EVE, STRANGER = (bytes([n]) * 32 for n in (1, 2, 3))
KEY = PrivateKey.generate(1024)


class Clock:
    """Stands still unless told."""

    time = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        import asyncio

        await asyncio.Event().wait()


class Status:
    state = ContactState.OFFLINE


class Network:
    """Calls handlers directly."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    def handle(self, method: str, handler: Any) -> None:
        self.handlers[method] = handler

    def status(self, node: bytes) -> Status:
        return Status()

    async def call(self, peer: bytes, method: str, args: msgspec.Struct, body: bytes = b"") -> Any:
        return await self.handlers[method](Call(peer, args, body))


class Call:
    def __init__(self, peer: bytes, args: msgspec.Struct, body: bytes) -> None:
        self.peer = peer
        self._args = msgspec.msgpack.encode(args)
        self._body = body

    def decode(self, kind: Any) -> Any:
        try:
            return msgspec.msgpack.decode(self._args, type=kind)
        except ValueError as exc:
            raise FormatError("not of that form") from exc

    async def read(self, most: int) -> bytes:
        if len(self._body) > most:
            raise FormatError("too long")
        return self._body


class Bench:
    """A mailbox with the customers BOB and the owner of KEY."""

    def __init__(self, path: Path, pool: ThreadPoolExecutor) -> None:
        self.network = Network()
        self.clock = Clock()
        self.customers = {BOB, KEY.public.fingerprint}
        self.mailbox = Mailbox(
            self.network,  # type: ignore[arg-type]
            path,
            pool,
            lambda node: node in self.customers,
            self.clock,
        )

    async def put(self, sender: bytes, *numbers: int, to: bytes = BOB, size: int = 10) -> Any:
        body = join([encode(letter(sender, number, to, size)) for number in numbers])
        reply = await self.network.call(sender, "mailbox.put", Put(to), body)
        assert isinstance(reply.args, PutDone)
        return reply.args.outcomes

    async def fetch(self, who: bytes, after: int = 0) -> tuple[list[int], Fetched]:
        reply = await self.network.call(who, "mailbox.fetch", Fetch(after))
        found = [msgspec.msgpack.decode(raw, type=Envelope) for raw in split(reply.body)]
        return [int.from_bytes(e.message_id, "big") for e in found], reply.args


def letter(sender: bytes, number: int, to: bytes = BOB, size: int = 10) -> Envelope:
    return Envelope(
        1, number.to_bytes(16, "big"), sender, to, bytes(15) + b"\1", bytes(32), 0, 0, None,
        bytes(size),
    )  # fmt: skip


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    with ThreadPoolExecutor(1) as pool:
        bench = Bench(tmp_path / "mailbox.db", pool)
        await bench.mailbox.start()
        yield bench
        await bench.mailbox.stop()


async def test_letters_are_kept_until_they_are_dropped(bench: Bench) -> None:
    assert await bench.put(EVE, 1, 2) == [PutOutcome.KEPT, PutOutcome.KEPT]
    assert await bench.put(EVE, 2, 3) == [PutOutcome.THERE, PutOutcome.KEPT]
    assert (await bench.fetch(BOB))[0] == [1, 2, 3]
    assert (await bench.fetch(EVE))[0] == []
    await bench.network.call(EVE, "mailbox.drop", Drop([(EVE, (1).to_bytes(16, "big"))]))
    assert (await bench.fetch(BOB))[0] == [1, 2, 3]
    gone = [(EVE, number.to_bytes(16, "big")) for number in (1, 3, 9)]
    await bench.network.call(BOB, "mailbox.drop", Drop(gone))
    assert (await bench.fetch(BOB))[0] == [2]
    assert (await bench.mailbox.stored())["letters"] == 1


async def test_a_long_list_comes_in_parts(bench: Bench) -> None:
    for start in range(0, 150, 50):
        await bench.put(EVE, *range(start, start + 50))
    numbers, head = await bench.fetch(BOB)
    assert head.more
    more, head = await bench.fetch(BOB, head.last)
    last, head = await bench.fetch(BOB, head.last)
    assert not head.more
    assert numbers + more + last == list(range(150))


async def test_only_customers_have_a_mailbox(bench: Bench) -> None:
    with pytest.raises(NoContract):
        await bench.put(EVE, 1, to=STRANGER)
    with pytest.raises(NoContract):
        await bench.network.call(EVE, "mailbox.keys", KeysOf(STRANGER))


async def test_nobody_writes_in_anothers_name(bench: Bench) -> None:
    body = join([encode(letter(EVE, 1))])
    with pytest.raises(FormatError):
        await bench.network.call(STRANGER, "mailbox.put", Put(BOB), body)
    body = join([encode(letter(EVE, 1, STRANGER))])
    with pytest.raises(FormatError):
        await bench.network.call(EVE, "mailbox.put", Put(BOB), body)
    for raw in (b"\0\0\0\5abc", b"\0\0\0\3abc", b"\xff" * 9):
        with pytest.raises(FormatError):
            await bench.network.call(EVE, "mailbox.put", Put(BOB), raw)
    assert (await bench.mailbox.stored())["letters"] == 0


async def test_space_is_bounded_per_sender_and_per_customer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox_module, "SENDER_BYTES", 3000)
    monkeypatch.setattr(mailbox_module, "CUSTOMER_BYTES", 5000)
    outcomes = await bench.put(EVE, 1, 2, 3, size=1000)
    assert outcomes == [PutOutcome.KEPT, PutOutcome.KEPT, PutOutcome.FULL]
    outcomes = await bench.put(STRANGER, 1, 2, 3, size=1000)
    assert outcomes == [PutOutcome.KEPT, PutOutcome.KEPT, PutOutcome.FULL]
    await bench.network.call(BOB, "mailbox.drop", Drop([(EVE, (1).to_bytes(16, "big"))]))
    assert await bench.put(EVE, 4, size=1000) == [PutOutcome.KEPT]


async def test_senders_are_slowed_down(bench: Bench) -> None:
    for start in range(0, 500, 50):
        await bench.put(EVE, *range(start, start + 50))
    with pytest.raises(Busy):
        await bench.put(EVE, 500)
    assert (await bench.mailbox.stored())["letters"] == mailbox_module.PUT_BURST
    bench.clock.time += 10
    assert await bench.put(EVE, 5000) == [PutOutcome.KEPT]


async def test_old_letters_and_those_of_former_customers_go(bench: Bench) -> None:
    await bench.put(EVE, 1)
    bench.clock.time += mailbox_module.LIFETIME / 2
    await bench.put(EVE, 2)
    bench.clock.time += mailbox_module.LIFETIME / 2 + 1
    assert await bench.mailbox.sweep() == 1
    assert (await bench.fetch(BOB))[0] == [2]
    bench.customers.remove(BOB)
    assert await bench.mailbox.sweep() == 1
    assert await bench.mailbox.stored() == {"letters": 0, "bytes": 0, "customers": 0}


async def test_each_one_time_key_is_given_once(bench: Bench) -> None:
    own = OwnKeys(KEY.derive(b"identity"))
    me = KEY.public.fingerprint
    random = SeededRandom(1)
    card = make_card(
        KEY, own, own.make_prekey(random.token(32)), "http://h.test/x.xml", bench.clock.time
    )
    keys = []
    for _ in range(3):
        made = own.make_prekey(random.token(32))
        key = OneTimeKey(made.public, bytes(64))
        keys.append(OneTimeKey(made.public, own.sign(key.to_sign())))
    reply = await bench.network.call(EVE, "mailbox.keys", KeysOf(me))
    assert reply.args == KeysFound(None)
    reply = await bench.network.call(me, "mailbox.offer", Offer(card, keys))
    assert reply.args == Offered(3)
    given: list[Any] = []
    for _ in range(4):
        reply = await bench.network.call(EVE, "mailbox.keys", KeysOf(me))
        assert isinstance(reply.args.bundle, Bundle)
        assert reply.args.bundle.card == card
        given.append(reply.args.bundle.one_time)
    assert sorted(key.key for key in given[:3]) == sorted(key.key for key in keys)
    assert given[3] is None
    with pytest.raises(IntegrityError):
        await bench.network.call(BOB, "mailbox.offer", Offer(card, []))
    forged = OneTimeKey(keys[0].key, bytes(64))
    with pytest.raises(IntegrityError):
        await bench.network.call(me, "mailbox.offer", Offer(card, [forged]))


async def test_letters_outlive_a_restart(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        for turn in range(2):
            bench = Bench(tmp_path / "mailbox.db", pool)
            await bench.mailbox.start()
            if turn == 0:
                await bench.put(EVE, 1)
            assert (await bench.fetch(BOB))[0] == [1]
            await bench.mailbox.stop()
