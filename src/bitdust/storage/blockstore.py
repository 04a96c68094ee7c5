"""Blocks as the rest of storage asks for them: where their fragments are, and what is amiss."""

from __future__ import annotations

from collections.abc import Callable

from bitdust.errors import BitdustError, NotFound
from bitdust.events import EventBus
from bitdust.storage.blockwriter import data_name
from bitdust.storage.catalog import Catalog
from bitdust.storage.catalog_types import BlockRow, FragmentMark, FragmentState
from bitdust.storage.fetch import Place, StoredBlock
from bitdust.storage.journalsync import journal_name
from bitdust.storage.seal import BlockKind
from bitdust.storage.spread import NodeID, SupplierSet


class BlockIndex:
    """The catalog's blocks with the suppliers of today.

    Args:
        catalog: what is known.
        suppliers: who holds which position now.
        journal_id: 16 bytes, for the names of journal segments.
        events: ``fragment-damaged`` is told there.
        on_amiss: called when a block needs repair.
    """

    def __init__(
        self,
        catalog: Catalog,
        suppliers: SupplierSet,
        journal_id: bytes,
        events: EventBus,
        on_amiss: Callable[[], None],
    ) -> None:
        self._catalog = catalog
        self._suppliers = suppliers
        self._journal_id = journal_id
        self._events = events
        self._on_amiss = on_amiss

    def name(self, row: BlockRow) -> str:
        """Name of a block's fragments on the suppliers."""
        if row.kind is BlockKind.JOURNAL:
            return journal_name(self._journal_id, row.name)
        return data_name(row.id)

    def stored(self, number: int) -> StoredBlock:
        """A block with the places of those fragments that are there; asks the catalog."""
        row = self._catalog.block(number)
        positions = self._suppliers.positions()
        places = []
        for fragment in self._catalog.fragments(number):
            node = fragment.supplier
            if node is None and fragment.position < len(positions):
                node = positions[fragment.position]
            if fragment.state == FragmentState.STORED and node is not None:
                places.append(Place(fragment.position, node, fragment.hash))
        return StoredBlock(
            number, row.id, self.name(row), row.suppliers, row.payload, places, row.kind
        )

    def amiss(self, block: StoredBlock, position: int, node: NodeID, error: BitdustError) -> None:
        """Note that a fragment turned out damaged or gone, and have it replaced."""
        state = FragmentState.LOST if isinstance(error, NotFound) else FragmentState.BAD
        with self._catalog.transaction() as tx:
            tx.mark_fragments([FragmentMark(block.number, position, state)])
        self._events.publish(
            "fragment-damaged",
            block=block.name,
            position=position,
            supplier=node.hex(),
            reason=error.message,
        )
        self._on_amiss()
