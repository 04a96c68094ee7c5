"""The charters a supplier knows: who may use which share of its customers, and how much.

Each charter is a small file in the folder of its customer; it proves itself, so there is nothing
else to keep. The charter of a share that was ended stays, so that no older one comes back.
"""

from __future__ import annotations

import asyncio
import re

import structlog

from bitdust.clock import Clock
from bitdust.crypto import PublicKey
from bitdust.errors import (
    AccessDenied,
    AlreadyExists,
    BitdustError,
    Busy,
    InvalidInput,
    NoContract,
    NotFound,
    QuotaExceeded,
    ServiceOff,
)
from bitdust.network import Call, Reply
from bitdust.supply import messages as m
from bitdust.supply.charter import (
    MAX_CHARTER,
    Charter,
    share_prefix,
    writer_prefix,
)
from bitdust.supply.customers import CustomerBook
from bitdust.supply.disk import disk_errors, write_durably
from bitdust.supply.ports import NetworkPort
from bitdust.supply.rules import Rates
from bitdust.supply.store import FragmentStore
from bitdust.supply.wire import NodeID

MAX_SHARES = 1000
"""Most charters kept for one customer, those of ended shares included."""
PUT_RATE = 0.5
"""Charters per second that one node may give in the long run; each costs a signature check."""
PUT_BURST = 50.0
GET_RATE = 5.0
"""Charters per second that one node may ask for in the long run."""
GET_BURST = 100.0

_FILE = re.compile(r"charter-([0-9a-f]{32})")
_NAME = re.compile(r"s/([0-9a-f]{32})/.*")

log = structlog.get_logger(component="supplier")


def verify_charter(charter: Charter) -> None:
    """Check all signatures of a charter; it carries the keys itself.

    Raises:
        FormatError, IntegrityError: it proves nothing.
    """
    permit = charter.permit_of()
    customer = PublicKey.from_der(permit.customer_key) if permit else None
    charter.verify(PublicKey.from_der(charter.admin_key), customer)


class CharterBook:
    """Charters by customer and share.

    Args:
        store: where the objects are; its pool does the work.
        book: the customers.
        clock: for the ends of charters and for rates.
    """

    def __init__(self, store: FragmentStore, book: CustomerBook, clock: Clock) -> None:
        self._store = store
        self._book = book
        self._clock = clock
        self._charters: dict[NodeID, dict[bytes, Charter]] = {}
        self._used: dict[tuple[NodeID, bytes], int] = {}
        self._puts = Rates(PUT_RATE, PUT_BURST)
        self._gets = Rates(GET_RATE, GET_BURST)
        self._saving = asyncio.Lock()
        self.running = False

    def register(self, network: NetworkPort) -> None:
        """Answer on a network."""
        network.handle(m.CHARTER_PUT, self._on_put)
        network.handle(m.CHARTER_GET, self._on_get)

    async def load(self) -> None:
        """Read what is on the disk; what proves nothing is passed over."""
        self._charters = await self._store.run(self._read)
        self._used.clear()

    def _read(self) -> dict[NodeID, dict[bytes, Charter]]:
        found: dict[NodeID, dict[bytes, Charter]] = {}
        layout = self._store.layout
        for customer in list(layout.customers()):
            for path in sorted(layout.customer(customer).iterdir()):
                match = _FILE.fullmatch(path.name)
                if match is None:
                    continue
                try:
                    with disk_errors("a charter"):
                        charter = Charter.decode(path.read_bytes()[: MAX_CHARTER + 1])
                    verify_charter(charter)
                except BitdustError as exc:
                    log.warning("a damaged charter", problem=exc.code, name=path.name)
                    continue
                if (charter.customer, charter.share.hex()) == (customer, match[1]):
                    found.setdefault(customer, {})[charter.share] = charter
        return found

    async def forget(self, customer: NodeID) -> None:
        """A customer is gone: so are its shares."""
        gone = self._charters.pop(customer, {})

        def remove() -> None:
            folder = self._store.layout.customer(customer)
            for share in gone:
                (folder / f"charter-{share.hex()}").unlink(missing_ok=True)

        await self._store.run(remove)
        for share in gone:
            self._used.pop((customer, share), None)

    # --- giving and asking ----------------------------------------------------------------------

    async def _on_put(self, call: Call) -> Reply:
        self._check(call, self._puts)
        charter = Charter.decode(await call.read(MAX_CHARTER))
        await self._store.run(verify_charter, charter)
        if self._book.get(charter.customer) is None:
            raise NoContract("that customer has no contract with this node")
        async with self._saving:
            held = self._charters.get(charter.customer, {}).get(charter.share)
            if held is None or charter.replaces(held):
                await self._keep(charter)
            elif charter.serial > held.serial:
                raise AccessDenied("that share was taken over or ended by its customer")
            elif held.encode() != charter.encode() and held.serial == charter.serial:
                raise AlreadyExists("another charter with that serial is in force")
            current = self._charters[charter.customer][charter.share]
        return Reply(m.CharterHeld(current.serial))

    async def _keep(self, charter: Charter) -> None:
        kept = self._charters.setdefault(charter.customer, {})
        if charter.share not in kept and len(kept) >= MAX_SHARES:
            raise QuotaExceeded(f"this customer has {MAX_SHARES} shares here already")
        folder = self._store.layout.customer(charter.customer)
        path = folder / f"charter-{charter.share.hex()}"
        await self._store.run(write_durably, path, charter.encode())
        kept[charter.share] = charter

    async def _on_get(self, call: Call) -> Reply:
        self._check(call, self._gets)
        args = call.decode(m.CharterAsk)
        charter = self._charters.get(args.customer, {}).get(args.share)
        if charter is None:
            raise NotFound("no charter of that share is kept here")
        # whoever was put out may learn that, and nothing else
        known = call.peer == charter.customer or charter.is_member(call.peer)
        if not known and charter.members:
            raise AccessDenied("that share is not open to this node")
        news = charter.serial > args.serial
        return Reply(m.CharterHeld(charter.serial), charter.encode() if news else b"")

    def _check(self, call: Call, rates: Rates) -> None:
        if not self.running:
            raise ServiceOff("this node is no supplier now")
        if not rates.allow(call.peer, self._clock.monotonic()):
            raise Busy("too many requests about shares")

    # --- access ---------------------------------------------------------------------------------

    def _charter(self, customer: NodeID, peer: NodeID, name: str) -> Charter:
        match = _NAME.fullmatch(name)
        if match is None:
            raise InvalidInput("a member of a share names objects of that share only")
        charter = self._charters.get(customer, {}).get(bytes.fromhex(match[1]))
        if charter is None or not charter.is_member(peer):
            raise AccessDenied("that share is not open to this node")
        ends = charter.ends()
        if ends and self._clock.now() >= ends:
            raise AccessDenied("the time of that share is over")
        return charter

    def check_read(self, customer: NodeID, peer: NodeID, name: str) -> None:
        """See that a member may read what ``name`` names, or is a prefix of.

        Raises:
            AccessDenied: it may not.
            InvalidInput: the name is outside of any share.
        """
        self._charter(customer, peer, name)

    async def check_write(self, customer: NodeID, peer: NodeID, name: str, size: int) -> None:
        """See that a member may put or delete an object.

        Args:
            size: bytes of a new object, 0 when one is deleted.

        Raises:
            AccessDenied: it may not, or the object is somebody else's.
            InvalidInput: the name is outside of any share.
            QuotaExceeded: the share has no room left.
        """
        charter = self._charter(customer, peer, name)
        own = writer_prefix(charter.share, peer)
        if not name.startswith(own) and not (peer == charter.admin and not size):
            raise AccessDenied("a member of a share writes below its own name only")
        limit = charter.limit()
        if size and limit and await self._members_use(charter) + size > limit:
            raise QuotaExceeded(f"the members of this share may keep {limit} bytes here")

    async def _members_use(self, charter: Charter) -> int:
        """Bytes of the members besides the customer."""
        key = charter.customer, charter.share
        used = self._used.get(key)
        if used is None:
            index = self._store.index
            everything = await self._store.run(
                index.prefix_size, charter.customer, share_prefix(charter.share)
            )
            own = await self._store.run(
                index.prefix_size,
                charter.customer,
                writer_prefix(charter.share, charter.customer),
            )
            used = self._used[key] = everything - own
        return used

    def changed(self, customer: NodeID, names: list[str], size: int) -> None:
        """Objects of members came (``size`` bytes) or went (0): keep the sums right."""
        for name in names:
            match = _NAME.fullmatch(name)
            if match is None:
                continue
            key = customer, bytes.fromhex(match[1])
            if size and key in self._used:
                self._used[key] += size
            elif not size:
                self._used.pop(key, None)
