"""Shares at suppliers: who is let in by a charter, and to what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from blake3 import blake3

from bitdust.errors import (
    AccessDenied,
    AlreadyExists,
    FormatError,
    IntegrityError,
    InvalidInput,
    NetworkError,
    NoContract,
    NotFound,
    QuotaExceeded,
)
from bitdust.node import Node
from bitdust.supply import (
    Charter,
    FormerMember,
    Permit,
    ShareMember,
    SupplierClient,
    ask_charter,
    ask_family,
    give_charter,
    share_prefix,
    writer_prefix,
)
from bitdust.testing import Grid, run_virtual
from bitdust.testing.memory_world import NAME_SERVER

SHARE = bytes(range(16))
Scenario = Callable[[Grid, Node, Node, Node, bytes], Awaitable[None]]


def play(tmp_path: Path, scenario: Scenario) -> None:
    """Alice, who has suppliers; Bob and Mallory, who have none; one of the suppliers."""

    async def run() -> None:
        async with Grid(tmp_path / "grid") as grid:
            for number in range(2):
                await grid.supplier(f"supplier-{number}")
            alice = await grid.customer("alice", suppliers=2)
            others: list[Node] = []
            for name in ("bob", "mallory"):
                node = await grid.start(
                    name, services__supplier__enabled=False, services__customer__enabled=False
                )
                await node.create_identity(name, [NAME_SERVER])
                others.append(node)
            supplier = alice.require_customer().positions()[0]
            assert supplier is not None
            await scenario(grid, alice, others[0], others[1], supplier)

    run_virtual(run())


def me(node: Node) -> bytes:
    return node.require_identity().node_id


def draft(admin: Node, *members: Node, serial: int = 1, **changes: object) -> Charter:
    identity = admin.require_identity()
    everybody = (admin, *members)
    charter = Charter(
        share=SHARE,
        key=b"k" * 32,
        customer=me(admin),
        admin=me(admin),
        admin_key=identity.key.public.der,
        admin_idurl=str(identity.document.idurl),
        members=tuple(
            ShareMember(me(one), str(one.require_identity().document.idurl)) for one in everybody
        ),
        serial=serial,
        timestamp=1,
    )
    return msgspec.structs.replace(charter, **changes)


def signed(admin: Node, *members: Node, serial: int = 1, **changes: object) -> Charter:
    return draft(admin, *members, serial=serial, **changes).signed(admin.require_identity().key)


def client(node: Node, customer: Node, writer: Node | None = None) -> SupplierClient:
    prefix = writer_prefix(SHARE, me(writer or node))
    return SupplierClient(node.require_network(), account=me(customer), prefix=prefix)


async def put(one: SupplierClient, supplier: bytes, name: str, data: bytes = b"data") -> bool:
    return await one.put(supplier, name, [memoryview(data)], len(data), blake3(data).digest())


def test_members_read_all_and_write_their_own(tmp_path: Path) -> None:
    async def scenario(grid: Grid, alice: Node, bob: Node, mallory: Node, supplier: bytes) -> None:
        network = alice.require_network()
        assert await give_charter(network, supplier, signed(alice, bob)) == 1
        own = client(bob, alice)
        assert await put(own, supplier, "d/one")
        assert not await put(own, supplier, "d/one"), "it was there"
        with pytest.raises(AlreadyExists):
            await put(own, supplier, "d/one", b"other")
        assert await own.get(supplier, "d/one") == b"data"
        assert [entry.name async for entry in own.list(supplier)] == ["d/one"]
        assert await own.audit(supplier, "d/one", b"c" * 32)
        # the customer sees it under its own account, and it counts there
        keeper = next(node for node in grid.nodes.values() if me(node) == supplier)
        usage = keeper.require_supplier().customers_list()
        assert usage[0]["files_count"] >= 1
        everything = SupplierClient(network)
        assert [e.name async for e in everything.list(supplier, share_prefix(SHARE))] == [
            f"{writer_prefix(SHARE, me(bob))}d/one"
        ]
        assert await client(alice, alice, bob).get(supplier, "d/one") == b"data"
        # another's objects are read, and not written or deleted
        await put(client(alice, alice), supplier, "d/two")
        of_alice = client(bob, alice, alice)
        assert await of_alice.get(supplier, "d/two") == b"data"
        with pytest.raises(AccessDenied):
            await put(of_alice, supplier, "d/three")
        with pytest.raises(AccessDenied):
            await of_alice.delete(supplier, ["d/two"])
        # what is outside of the share is nobody's business
        outside = SupplierClient(bob.require_network(), account=me(alice))
        for name in ("j/x", "s/zz/x", f"{share_prefix(b'o' * 16)}x"):
            with pytest.raises((InvalidInput, AccessDenied)):
                await outside.get(supplier, name)
        with pytest.raises((InvalidInput, AccessDenied)):
            await put(outside, supplier, "d/one")
        with pytest.raises(InvalidInput):
            assert not [e async for e in outside.list(supplier, "")]
        with pytest.raises(NoContract):
            await put(SupplierClient(bob.require_network()), supplier, "d/one")
        # strangers see nothing, and learn nothing
        for work in (
            client(mallory, alice, bob).get(supplier, "d/one"),
            put(client(mallory, alice), supplier, "d/one"),
            client(mallory, alice, bob).audit(supplier, "d/one", b"c" * 32),
            client(mallory, alice, bob).delete(supplier, ["d/one"]),
            ask_charter(mallory.require_network(), supplier, me(alice), SHARE),
        ):
            with pytest.raises(AccessDenied):
                await work
        assert await own.delete(supplier, ["d/one"]) == 1
        with pytest.raises(NotFound):
            await own.get(supplier, "d/one")
        family = await ask_family(bob.require_network(), supplier, me(alice))
        assert supplier in [member.node for member in family.members]

    play(tmp_path, scenario)


def test_charters_only_go_forward(tmp_path: Path) -> None:
    """Put out means out: old charters, forged ones and other admins change nothing."""

    async def scenario(grid: Grid, alice: Node, bob: Node, mallory: Node, supplier: bytes) -> None:
        network = mallory.require_network()
        first = signed(alice, bob, mallory)
        await give_charter(alice.require_network(), supplier, first)
        await put(client(mallory, alice), supplier, "d/one")
        # anybody may bring the newest one: it proves itself
        second = signed(alice, bob, serial=2)
        assert await give_charter(bob.require_network(), supplier, second) == 2
        assert await give_charter(network, supplier, first) == 2
        with pytest.raises(AccessDenied):
            await client(mallory, alice).get(supplier, "d/one")
        assert await client(bob, alice, mallory).get(supplier, "d/one") == b"data"
        serial, charter = await ask_charter(bob.require_network(), supplier, me(alice), SHARE)
        assert (serial, charter) == (2, second)
        assert await ask_charter(bob.require_network(), supplier, me(alice), SHARE, 2) == (2, None)
        forged: list[Charter] = [
            msgspec.structs.replace(second, serial=3),
            msgspec.structs.replace(first, serial=9, signature=first.signature),
            # an admin of her own making, without and with a permit she signed herself
            signed(mallory, serial=3, customer=me(alice)),
            signed(mallory, serial=3, customer=me(alice), permit=permit(mallory, alice)),
            signed(alice, mallory, serial=2),
        ]
        for charter in forged:
            with pytest.raises((IntegrityError, FormatError, AlreadyExists)):
                await give_charter(network, supplier, charter)
        with pytest.raises(NoContract):
            await give_charter(network, supplier, signed(mallory))
        with pytest.raises(NetworkError):
            await network.request(
                supplier, "supplier.charter.put", None, body=b"\xff" * 999, timeout=9.0
            )
        with pytest.raises(NetworkError):
            await network.request(
                supplier, "fragment.get", {"name": "x", "account": b"short"}, timeout=9.0
            )
        # the supplier is started again: it knows
        name = next(name for name, node in grid.nodes.items() if me(node) == supplier)
        await grid.stop(name)
        await grid.start(name, services__customer__enabled=False)
        await grid.until(lambda: alice.require_customer().ready() == 2)
        with pytest.raises(AccessDenied):
            await client(mallory, alice).get(supplier, "d/one")
        assert await client(bob, alice, mallory).get(supplier, "d/one") == b"data"

    play(tmp_path, scenario)


def permit(signer: Node, customer: Node, admin: Node | None = None, quota: int = 0) -> bytes:
    key = signer.require_identity().key
    made = Permit(
        share=SHARE,
        customer=me(signer),
        customer_key=key.public.der,
        admin=me(admin or signer),
        quota=quota,
    ).signed(key)
    return msgspec.structs.replace(made, customer=me(customer)).encode()


def test_time_and_room_have_ends(tmp_path: Path) -> None:
    async def scenario(grid: Grid, alice: Node, bob: Node, mallory: Node, supplier: bytes) -> None:
        network = alice.require_network()
        now = int(grid.clock.now())
        await give_charter(network, supplier, signed(alice, bob, quota=1000, expires=now + 3600))
        own = client(bob, alice)
        await put(own, supplier, "d/one", b"x" * 600)
        with pytest.raises(QuotaExceeded):
            await put(own, supplier, "d/two", b"x" * 600)
        await put(client(alice, alice), supplier, "d/mine", b"x" * 5000)
        await own.delete(supplier, ["d/one"])
        await put(own, supplier, "d/two", b"x" * 600)
        with pytest.raises(QuotaExceeded):
            await put(own, supplier, "d/more", b"x" * (1 << 32 >> 5))
        await grid.clock.sleep(3601)
        with pytest.raises(AccessDenied):
            await own.get(supplier, "d/two")
        assert await client(alice, alice, bob).get(supplier, "d/two") == b"x" * 600
        # a share on lent suppliers: the permit bounds it, and its giver may end it
        await give_charter(network, supplier, signed(alice, serial=2, members=()))
        with pytest.raises(AccessDenied):
            await own.get(supplier, "d/two")
        lent = msgspec.structs.replace(
            draft(bob, mallory, serial=1, customer=me(alice)),
            share=b"l" * 16,
            permit=msgspec.structs.replace(
                Permit.decode(permit(alice, alice, bob, quota=100)), share=b"l" * 16
            )
            .signed(alice.require_identity().key)
            .encode(),
        ).signed(bob.require_identity().key)
        assert await give_charter(bob.require_network(), supplier, lent) == 1
        writer = SupplierClient(
            mallory.require_network(),
            account=me(alice),
            prefix=writer_prefix(b"l" * 16, me(mallory)),
        )
        await put(writer, supplier, "d/one", b"x" * 60)
        with pytest.raises(QuotaExceeded):
            await put(writer, supplier, "d/two", b"x" * 60)
        closing = signed(alice, serial=2, members=(), share=b"l" * 16)
        assert await give_charter(network, supplier, closing) == 2
        with pytest.raises(AccessDenied):
            await writer.get(supplier, "d/one")
        again = msgspec.structs.replace(lent, serial=3).signed(bob.require_identity().key)
        with pytest.raises(AccessDenied):
            await give_charter(bob.require_network(), supplier, again)

    play(tmp_path, scenario)


def test_what_makes_no_sense_is_refused_before_it_is_signed(tmp_path: Path) -> None:
    async def scenario(grid: Grid, alice: Node, bob: Node, mallory: Node, supplier: bytes) -> None:
        member = draft(alice, bob).members[1]
        idurl = member.idurl
        for bad in (
            draft(alice, bob, bob),
            draft(alice, bob, members=(member,)),
            draft(alice, bob, former=(FormerMember(me(bob), idurl, 0, 1),)),
            draft(alice, bob, epoch=3),
            draft(alice, bob, chain=(b"w" * 40,)),
            draft(alice, bob, members=(*draft(alice).members, ShareMember(me(bob), "bob"))),
        ):
            with pytest.raises(FormatError):
                bad.signed(alice.require_identity().key)
            with pytest.raises(FormatError):
                Charter.decode(bad.encode())
        with pytest.raises(IntegrityError):
            draft(alice, bob).signed(bob.require_identity().key)

    play(tmp_path, scenario)
