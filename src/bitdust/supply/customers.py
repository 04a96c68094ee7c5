"""The customers a supplier has: their contracts and families, in memory, index and folder."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import structlog

from bitdust.errors import BitdustError, FormatError
from bitdust.identity import IdentityDocument
from bitdust.supply.contracts import MAX_CONTRACT, Contract
from bitdust.supply.disk import disk_errors, make_dir, write_durably
from bitdust.supply.family import MAX_FAMILY, Family
from bitdust.supply.index import CustomerRow
from bitdust.supply.store import FragmentStore
from bitdust.supply.wire import NodeID, Signer

_log = structlog.get_logger(component="supplier")


@dataclass(slots=True)
class Customer:
    """One customer.

    Args:
        contract: signed by both.
        family: the newest one it gave, None before the first.
        document: its identity document, None when only its contract was found on the disk.
        since: wall clock of the first contract, seconds.
        lapsed_at: monotonic second at which its time was first seen to be over, None while it
            is not.
    """

    contract: Contract
    family: Family | None
    document: IdentityDocument | None
    since: int
    lapsed_at: float | None = None

    @property
    def idurl(self) -> str:
        """Its address, as last known."""
        return str(self.document.idurl) if self.document else self.contract.customer_idurl


class CustomerBook:
    """Customers by node id; every change is on the disk before the call returns.

    Args:
        store: where their objects are.
        key: this node's master key.
    """

    def __init__(self, store: FragmentStore, key: Signer) -> None:
        self._store = store
        self._key = key
        self._customers: dict[NodeID, Customer] = {}
        self._rejected: set[NodeID] = set()
        self._saving: dict[NodeID, asyncio.Lock] = {}

    async def load(self) -> None:
        """Read what is known, and grant every customer its bytes.

        Raises:
            DiskFull, LocalFileError: the disk failed.
        """
        rows = await self._store.run(self._store.index.customers)
        for row in rows:
            customer = self._restore(row)
            if customer is not None:
                self._customers[row.customer] = customer
        for row in await self._store.run(self._read_folders):
            adopted = self._restore(row)
            if adopted is not None:
                self._customers[row.customer] = adopted
                await self._store.run(self._store.index.save_customer, row)
                _log.info("customer found in its folder", customer=row.customer.hex()[:16])
        self._rejected = set(await self._store.run(self._store.index.rejected))
        for node, customer in self._customers.items():
            self._store.grant(node, customer.contract.granted)
        for node in self._rejected.intersection(self.without_contract()):
            await self._store.remove_customer(node)

    def _restore(self, row: CustomerRow) -> Customer | None:
        try:
            contract = Contract.decode(row.contract)
            # What this node granted it knows by its own signature.
            contract.verify_grant(self._key.public)
            family = Family.decode(row.family) if row.family else None
            document = IdentityDocument.parse(row.document) if row.document else None
        except BitdustError as exc:
            _log.warning("customer with a damaged contract", problem=exc.code)
            return None
        if contract.customer != row.customer:
            return None
        return Customer(contract, family, document, row.since)

    def _read_folders(self) -> list[CustomerRow]:
        """Customers whose folder holds a contract and who are not in the index."""
        layout = self._store.layout
        found = []
        for customer in layout.customers():
            if customer in self._customers:
                continue
            folder = layout.customer(customer)
            contract = _read_small(folder / "contract", MAX_CONTRACT)
            family = _read_small(folder / "family", MAX_FAMILY)
            try:
                issued = Contract.decode(contract).issued
                if family:
                    Family.decode(family)
            except FormatError:
                continue
            found.append(CustomerRow(customer, contract, family, b"", issued))
        return found

    # --- looking --------------------------------------------------------------------------------

    def get(self, node: NodeID) -> Customer | None:
        """A customer, None for strangers."""
        return self._customers.get(node)

    def all(self) -> dict[NodeID, Customer]:
        """All customers, a copy."""
        return dict(self._customers)

    def is_rejected(self, node: NodeID) -> bool:
        """Whether the owner of this node does not want that customer."""
        return node in self._rejected

    def without_contract(self) -> list[NodeID]:
        """Nodes that have objects here but no contract any more."""
        return [node for node in self._store.customers() if node not in self._customers]

    def promised(self, leave_out: NodeID | None = None) -> int:
        """Bytes spoken for: granted by contracts, or used by those who have none."""
        granted = sum(
            customer.contract.granted
            for node, customer in self._customers.items()
            if node != leave_out
        )
        # Space of a customer who holds more than its contract is not free either.
        over = sum(
            max(0, self._store.usage(node).used - customer.contract.granted)
            for node, customer in self._customers.items()
            if node != leave_out
        )
        left = sum(
            self._store.usage(node).used for node in self.without_contract() if node != leave_out
        )
        return granted + over + left

    # --- changing -------------------------------------------------------------------------------

    async def save(self, node: NodeID, customer: Customer) -> None:
        """Enter or replace a customer.

        Raises:
            DiskFull, LocalFileError: the disk failed; nothing changed.
        """
        row = CustomerRow(
            node,
            customer.contract.encode(),
            customer.family.encode() if customer.family else b"",
            customer.document.to_xml() if customer.document else b"",
            customer.since,
        )
        async with self._saving.setdefault(node, asyncio.Lock()):
            await self._store.run(self._write, row)
            self._customers[node] = customer
            self._rejected.discard(node)
            self._store.grant(node, customer.contract.granted)

    def _write(self, row: CustomerRow) -> None:
        folder = self._store.layout.customer(row.customer)
        with disk_errors("a contract"):
            make_dir(folder)
        write_durably(folder / "contract", row.contract)
        if row.family:
            write_durably(folder / "family", row.family)
        self._store.index.save_customer(row)

    async def remove(self, node: NodeID, *, reject: int | None = None) -> int:
        """Forget a customer and remove its objects.

        Args:
            node: who.
            reject: wall clock second, when it shall not be taken again.

        Returns:
            Bytes freed.
        """
        async with self._saving.setdefault(node, asyncio.Lock()):
            customer = self._customers.pop(node, None)
            if reject is not None:
                self._rejected.add(node)
            idurl = customer.idurl if customer else ""
            rejected = None if reject is None else (idurl, reject)
            # First what a start would take for a customer: a crash may come between.
            contract_file = self._store.layout.customer(node) / "contract"
            await self._store.run(contract_file.unlink, missing_ok=True)
            await self._store.run(self._store.index.drop_customer, node, rejected)
            return await self._store.remove_customer(node)

    async def forgive(self, node: NodeID) -> None:
        """Let a rejected customer offer again."""
        await self._store.run(self._store.index.forgive, node)
        self._rejected.discard(node)


def _read_small(path: Path, limit: int) -> bytes:
    """A file of at most ``limit`` bytes; empty when there is none that can be read."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return b""
    except OSError as exc:
        _log.warning("a file of a customer cannot be read", name=path.name, problem=exc.errno)
        return b""
    return data if len(data) <= limit else b""
