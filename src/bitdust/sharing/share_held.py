"""A share on this node, open or not: its charter, and where its data is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from bitdust.clock import Clock, Random
from bitdust.config import make_private
from bitdust.crypto import PrivateKey, PublicKey
from bitdust.errors import (
    AccessDenied,
    BitdustError,
    DataUnavailable,
    IntegrityError,
    NotFound,
)
from bitdust.events import EventBus
from bitdust.identity import IdentityDocument, KeyRing
from bitdust.ids import IDURL, GlobalID, KeyID
from bitdust.pool import in_pool
from bitdust.sharing.share_files import ShareFiles
from bitdust.sharing.share_ledger import Happening, ShareLedger
from bitdust.sharing.share_space import ShareSpace
from bitdust.sharing.share_suppliers import ForeignSuppliers, OwnSuppliers, ShareSuppliers
from bitdust.storage import fragments_needed
from bitdust.supply import (
    Charter,
    CustomerService,
    Family,
    NetworkPort,
    ask_charter,
    ask_family,
    give_charter,
    verify_charter,
)

CHARTER_EVERY: Final = 60.0
"""Seconds between two looks for a newer charter, when nobody tells."""
ASK_TIMEOUT: Final = 10.0
WITHDRAWN: Final = "the admin of the share withdrew your access"

NodeID = bytes

log = structlog.get_logger(component="shares")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every share on a node stands on.

    Args:
        folder: where shares have their folders.
        network: sessions.
        ring: keys.
        identity: own identity key.
        person: own global id, as it is now.
        customer: own suppliers.
        find: the identity document behind an IDURL.
        events, clock, random, pool: of the node.
        restore_folder: where downloads go when no destination is named.
    """

    folder: Path
    network: NetworkPort
    ring: KeyRing
    identity: PrivateKey
    person: Callable[[], GlobalID]
    customer: CustomerService
    find: Callable[[str], Awaitable[IdentityDocument]]
    events: EventBus
    clock: Clock
    random: Random
    pool: Executor
    restore_folder: Callable[[], Path]

    @property
    def me(self) -> NodeID:
        """Own node id."""
        return self.identity.public.fingerprint


def share_id(key_id: KeyID) -> bytes:
    """The 16 bytes in a share's alias.

    Raises:
        NotFound: no share has such an alias.
    """
    text = key_id.alias.removeprefix("share_")
    with contextlib.suppress(ValueError):
        found = bytes.fromhex(text)
        if len(found) == 16 and key_id.alias == f"share_{found.hex()}":
            return found
    raise NotFound(f"{key_id} is no share", hint="list them with `bitdust share list`")


class HeldShare:
    """One share.

    Args:
        key_id: of the share.
        around: what it stands on.
        grown: called when the own journal reached the suppliers.
    """

    def __init__(
        self, key_id: KeyID, around: Surroundings, grown: Callable[[HeldShare], None]
    ) -> None:
        self.key_id = key_id
        self.share = share_id(key_id)
        self._around = around
        self._grown = grown
        self.folder = around.folder / self.share.hex()
        self.ledger: ShareLedger | None = None
        self.charter: Charter | None = None
        self.family: Family | None = None
        self.space: ShareSpace | None = None
        self.files: ShareFiles | None = None
        self.wanted = True
        """Whether it shall be open."""
        self.reason = ""
        """Why it is not connected."""
        self.denied_at: float | None = None
        """Monotonic second at which the suppliers said that this node is no member any more."""
        self._was_connected = False
        self._given: dict[NodeID, int] = {}
        self._charter_at = 0.0
        self._turn = asyncio.Lock()

    # --- state ----------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read what is known; damaged things are asked for again."""

        def read() -> tuple[ShareLedger, bytes, bytes, bytes]:
            make_private(self.folder)
            ledger = ShareLedger(self.folder / "ledger.db")
            return ledger, ledger.get("charter"), ledger.get("family"), ledger.get("closed")

        pool = self._around.pool
        self.ledger, charter, family, closed = await in_pool(pool, read)
        self.wanted = not closed
        try:
            if charter:
                found = Charter.decode(charter)
                await in_pool(pool, self._check, found)
                self.charter = found
            if family:
                self.family = Family.decode(family)
                self.family.verify(PublicKey.from_der(self.family.customer_key))
        except BitdustError as exc:
            log.warning("share known in part only", share=self.key_id.alias, reason=exc.message)

    def _check(self, charter: Charter) -> None:
        """Whether a charter is one of this share at all."""
        verify_charter(charter)
        key = self._around.ring.get(self.key_id).public
        if (charter.share, charter.key) != (self.share, key.fingerprint):
            raise IntegrityError("the charter is of another share")

    async def set_wanted(self, wanted: bool) -> None:
        """Remember whether the share shall be open, over restarts."""
        self.wanted = wanted
        await in_pool(self._around.pool, self._ledger.set, "closed", b"" if wanted else b"1")

    @property
    def _ledger(self) -> ShareLedger:
        assert self.ledger is not None
        return self.ledger

    async def log(self, what: str, detail: str = "", *, who: str = "", mark: str = "") -> None:
        """Enter something into the history."""
        now = self._around.clock.now()
        person = who or str(self._around.person())
        row = Happening(now, person, what, "", detail, mark or f"{what}/{now!r}/{detail}")
        await in_pool(self._around.pool, self._ledger.enter, [row])

    @property
    def is_admin(self) -> bool:
        """Whether this node rules the share."""
        return self.charter is not None and self.charter.admin == self._around.me

    @property
    def is_customer(self) -> bool:
        """Whether own suppliers keep the share."""
        return self.charter is not None and self.charter.customer == self._around.me

    @property
    def connected(self) -> bool:
        """Whether its files can be read now."""
        return self.space is not None and self.space.connected

    # --- charter --------------------------------------------------------------------------------

    async def take_charter(self, charter: Charter) -> bool:
        """Keep a charter if it is newer than the one that is known; whether it was.

        Raises:
            IntegrityError, FormatError: it is not of this share, or by somebody else.
        """
        held = self.charter
        await in_pool(self._around.pool, self._check, charter)
        if held is not None and not charter.replaces(held):
            return False
        await in_pool(self._around.pool, self._ledger.set, "charter", charter.encode())
        self.charter = charter
        if charter.is_member(self._around.me):
            self.denied_at = None
        await self._tell_changes(held, charter)
        space = self.space
        if space is not None and charter.is_member(self._around.me):
            await space.adopt(charter)
        return True

    async def _tell_changes(self, before: Charter | None, after: Charter) -> None:
        admin = str(IDURL.parse(after.admin_idurl).global_id)
        old = {one.node: one.idurl for one in before.members} if before else {}
        new = {one.node: one.idurl for one in after.members}
        rows: list[tuple[str, str]] = []
        if before is None and after.serial == 1:
            rows.append(("created", ""))
        came = new.keys() - old.keys() - {after.admin}
        rows += [("granted", str(IDURL.parse(new[node]).global_id)) for node in sorted(came)]
        left = old.keys() - new.keys()
        rows += [("revoked", str(IDURL.parse(old[node]).global_id)) for node in sorted(left)]
        happened = [
            Happening(
                float(after.timestamp), admin, what, "", detail, f"c/{what}/{after.serial}/{detail}"
            )
            for what, detail in rows
        ]
        await in_pool(self._around.pool, self._ledger.enter, happened)
        for what, detail in rows:
            if what != "created":
                self._around.events.publish(
                    f"share-{what}", key_id=str(self.key_id), global_id=detail, by=admin
                )

    def _suppliers(self) -> list[NodeID]:
        """Suppliers of the share that can be asked now."""
        suppliers = self.space.suppliers if self.space is not None else None
        if suppliers is None and self.is_customer:
            suppliers = OwnSuppliers(self._around.customer)
        if suppliers is None:
            return []
        return [
            node
            for position, node in enumerate(suppliers.positions())
            if node is not None and suppliers.online(position)
        ]

    async def give(self) -> int:
        """Bring the charter to the suppliers that lack it; how many have it now."""
        charter = self.charter
        if charter is None:
            return 0
        nodes = self._suppliers()
        lacking = [node for node in nodes if self._given.get(node, 0) < charter.serial]
        await asyncio.gather(*(self._give(node, charter) for node in lacking))
        return sum(self._given.get(node, 0) >= charter.serial for node in nodes)

    async def _give(self, node: NodeID, charter: Charter) -> None:
        try:
            serial = await give_charter(self._around.network, node, charter, ASK_TIMEOUT)
        except BitdustError as exc:
            log.info("charter not given", supplier=node.hex()[:16], reason=exc.message)
            return
        self._given[node] = serial

    async def sync_charter(self, *, now: bool = False) -> None:
        """Take a newer charter from the suppliers, and give them this one where it is newer."""
        clock = self._around.clock
        charter = self.charter
        if charter is None or not (now or clock.monotonic() >= self._charter_at):
            return
        nodes = self._suppliers()
        answers = await asyncio.gather(*(self._ask(node, charter) for node in nodes))
        if len(nodes) >= fragments_needed(self._n()):
            self._charter_at = clock.monotonic() + CHARTER_EVERY
        denied = sum(answer is AccessDenied for answer in answers)
        if denied and 2 * denied > len(nodes):
            self.reason = WITHDRAWN
            self.denied_at = clock.monotonic()
        elif nodes:
            self.reason = ""
            self.denied_at = None
        for answer in answers:
            if isinstance(answer, Charter):
                try:
                    await self.take_charter(answer)
                except BitdustError as exc:
                    log.warning("charter refused", share=self.key_id.alias, reason=exc.message)
        await self.give()

    async def _ask(self, node: NodeID, charter: Charter) -> Charter | type[AccessDenied] | None:
        try:
            serial, newer = await ask_charter(
                self._around.network,
                node,
                charter.customer,
                self.share,
                charter.serial,
                ASK_TIMEOUT,
            )
        except AccessDenied:
            return AccessDenied
        except NotFound:
            self._given.pop(node, None)
            return None
        except BitdustError as exc:
            log.info("charter not told", supplier=node.hex()[:16], reason=exc.message)
            return None
        self._given[node] = serial
        return newer

    def _n(self) -> int:
        if self.is_customer or self.family is None:
            return self._around.customer.n
        return self.family.n

    # --- finding it again -----------------------------------------------------------------------

    async def locate(self) -> None:
        """Find charter and suppliers again, with the key alone.

        Raises:
            NotFound: no supplier knows the share.
            BitdustError: its owner or their suppliers cannot be found now.
        """
        around = self._around
        if self.key_id.owner == around.person():
            customer = around.me
            nodes = [
                node
                for position, node in enumerate(around.customer.positions())
                if node is not None and around.customer.online(position)
            ]
        else:
            document = await around.find(str(self.key_id.owner.idurl))
            customer = document.node_id
            if self.family is None or self.family.customer != customer:
                await self._find_family(str(document.idurl), customer)
            assert self.family is not None
            nodes = [member.node for member in self.family.members]
        found: list[Charter] = []
        problem: BitdustError = DataUnavailable("no supplier of the share can be asked now")
        for node in nodes:
            try:
                _, charter = await ask_charter(
                    around.network, node, customer, self.share, 0, ASK_TIMEOUT
                )
            except BitdustError as exc:
                problem = exc
                continue
            if charter is not None and charter.customer == customer:
                found.append(charter)
        if not found:
            raise problem
        await self.take_charter(max(found, key=lambda charter: charter.serial))

    async def _find_family(self, idurl: str, customer: NodeID) -> None:
        """Whose suppliers they are, from the record that the owner published on the DHT."""
        around = self._around
        record = await around.customer.dht_lookup(idurl)
        if record is None:
            raise NotFound(f"the suppliers of {idurl} are not on the DHT")
        problem: BitdustError = DataUnavailable(f"no supplier of {idurl} can be reached now")
        for supplier in record["suppliers"]:
            if not supplier:
                continue
            try:
                document = await around.find(str(supplier))
                around.network.learn(document)
                family = await ask_family(around.network, document.node_id, customer, ASK_TIMEOUT)
            except BitdustError as exc:
                problem = exc
                continue
            await self.take_family(family)
            return
        raise problem

    async def take_family(self, family: Family) -> None:
        """Keep a newer list of suppliers; its signature is checked already."""
        if self.family is not None and family.revision <= self.family.revision:
            return
        self.family = family
        await in_pool(self._around.pool, self._ledger.set, "family", family.encode())

    # --- opening --------------------------------------------------------------------------------

    async def open(self, *, fresh: bool = False) -> None:
        """Open the share; what is at the suppliers is fetched in the background.

        Args:
            fresh: it was made just now.

        Raises:
            AccessDenied: this node is no member any more.
            NotFound, DataUnavailable: charter or suppliers are not found yet.
            KeyProblem: the key is not here.
        """
        async with self._turn:
            if self.space is not None:
                return
            around = self._around
            if self.charter is None:
                await self.locate()
            charter = self.charter
            assert charter is not None
            if not charter.is_member(around.me):
                self.reason = "the share was ended" if not charter.members else "no member of it"
                raise AccessDenied(
                    f"you have no access to {self.key_id}", hint="ask its owner to grant it again"
                )
            key = around.ring.private(self.key_id)
            space = ShareSpace(
                self.folder,
                self.key_id,
                key,
                around.identity,
                str(around.person()),
                charter,
                await self._make_suppliers(charter),
                self._ledger,
                around.network,
                around.events,
                around.clock,
                around.random,
                around.pool,
                lambda: self._grown(self),
                self._checked,
            )
            await space.start(fresh=fresh)
            self.space = space
            self.files = ShareFiles(space, around.events, around.restore_folder)
            self._keep_members(charter, True)

    async def _make_suppliers(self, charter: Charter) -> ShareSuppliers:
        around = self._around
        if charter.customer == around.me:
            return OwnSuppliers(around.customer)
        if self.family is None:
            document = await around.find(str(self.key_id.owner.idurl))
            await self._find_family(str(document.idurl), charter.customer)
        assert self.family is not None
        if self.family.customer != charter.customer:
            raise IntegrityError("the list of suppliers is another person's")
        return ForeignSuppliers(
            around.network, self.family, around.find, self.take_family, around.clock
        )

    def _keep_members(self, charter: Charter, keep: bool) -> None:
        """Stay in touch with the other members, so that changes are told at once."""
        for member in charter.members:
            if member.node == self._around.me:
                continue
            if keep:
                self._around.network.keep(member.node)
            else:
                self._around.network.release(member.node)

    def _checked(self) -> None:
        """After each look at the others: tell when the share came or went."""
        if self.connected == self._was_connected:
            return
        self._was_connected = self.connected
        self._around.events.publish(
            "share-connected" if self.connected else "share-disconnected", key_id=str(self.key_id)
        )

    async def close(self) -> None:
        """Close the share; nothing is forgotten."""
        async with self._turn:
            files, self.files = self.files, None
            space, self.space = self.space, None
            if files is not None:
                await files.close()
            if space is not None:
                await space.stop()
                self._keep_members(space.charter, False)
            if self._was_connected:
                self._was_connected = False
                self._around.events.publish("share-disconnected", key_id=str(self.key_id))

    async def unload(self) -> None:
        """Close everything."""
        await self.close()
        ledger, self.ledger = self.ledger, None
        if ledger is not None:
            await in_pool(self._around.pool, ledger.close)

    # --- views ----------------------------------------------------------------------------------

    def view(self, index: int = 0) -> dict[str, Any]:
        """The share in the shape of the API.

        Source: BitDust API, second and third generation, share/info.
        """
        charter = self.charter
        stored = self._around.ring.get(self.key_id)
        return {
            "active": self.connected,
            "key_id": str(self.key_id),
            "alias": self.key_id.alias,
            "label": stored.label,
            "creator": str(self.key_id.owner.idurl),
            "suppliers": self._supplier_idurls(),
            "ecc_map": f"ecc/{self._n()}x{self._n()}",
            "revision": charter.serial if charter else 0,
            "index": index,
            "id": str(self.key_id),
            "name": self.key_id.alias,
            "state": "CONNECTED" if self.connected else "DISCONNECTED",
            "opened": self.space is not None,
            "mine": self.key_id.owner == self._around.person(),
            "admin": str(IDURL.parse(charter.admin_idurl).global_id) if charter else "",
            "members": _people([one.idurl for one in charter.members]) if charter else [],
            "former": _people([one.idurl for one in charter.former]) if charter else [],
            "epoch": charter.epoch if charter else 0,
            "reason": "" if self.connected else self.reason,
            "problems": self.space.problems() if self.space is not None else [],
        }

    def _supplier_idurls(self) -> list[str]:
        if self.is_customer or (self.charter is None and self.family is None):
            return [str(row.get("idurl", "")) for row in self._around.customer.suppliers_list()]
        members = self.family.positions() if self.family is not None else {}
        return [members[i].idurl if i in members else "" for i in range(self._n())]


def _people(idurls: Sequence[str]) -> list[str]:
    return [str(IDURL.parse(idurl).global_id) for idurl in idurls]
