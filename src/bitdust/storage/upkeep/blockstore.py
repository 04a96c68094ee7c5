"""Blocks as the rest of storage asks for them: where their fragments are, and what is amiss."""

from __future__ import annotations

from collections.abc import Callable

from bitdust.errors import BitdustError, NotFound
from bitdust.events import EventBus
from bitdust.storage.catalog.catalog import Catalog
from bitdust.storage.catalog.types import BlockRow, FragmentMark, FragmentState
from bitdust.storage.formats.seal import BlockKind
from bitdust.storage.transfer.blockwriter import data_name
from bitdust.storage.transfer.fetch import Place, StoredBlock
from bitdust.storage.transfer.spread import NodeID, SupplierSet
from bitdust.storage.upkeep.journalsync import journal_name

MAX_AMISS = 10_000
"""Damaged fragments remembered until they are written down; further ones are found again."""


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
        self._amiss: dict[tuple[int, int], tuple[NodeID, FragmentState]] = {}

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
            known_bad = (number, fragment.position) in self._amiss
            if fragment.state == FragmentState.STORED and node is not None and not known_bad:
                places.append(Place(fragment.position, node, fragment.hash))
        return StoredBlock(
            number, row.id, self.name(row), row.suppliers, row.payload, places, row.kind
        )

    def amiss(self, block: StoredBlock, position: int, node: NodeID, error: BitdustError) -> None:
        """Note that a fragment turned out damaged or gone, and have it replaced.

        Called in the loop, so it only remembers; ``settle`` writes it down.
        """
        place = block.number, position
        if place in self._amiss or len(self._amiss) >= MAX_AMISS:
            return
        state = FragmentState.LOST if isinstance(error, NotFound) else FragmentState.BAD
        self._amiss[place] = node, state
        self._events.publish(
            "fragment-damaged",
            block=block.name,
            position=position,
            supplier=node.hex(),
            reason=error.message,
        )
        self._on_amiss()

    def tell_missing(self, node: NodeID, count: int) -> None:
        """Tell that a supplier does not have fragments that it acknowledged, and have them made."""
        self._events.publish(
            "fragment-damaged",
            block="",
            position=-1,
            supplier=node.hex(),
            reason=f"the supplier does not have {count} fragments that it acknowledged",
            count=count,
        )
        self._on_amiss()

    def settle(self) -> int:
        """Write down what turned out to be amiss; on disk at return.

        Returns:
            How many fragments were marked.
        """
        found = list(self._amiss.items())
        marks = []
        with self._catalog.transaction() as tx:
            for (number, position), (node, state) in found:
                # brought back, moved or deleted since: then nothing is amiss any more
                marks += [
                    FragmentMark(number, position, state)
                    for row in tx.fragments(number)
                    if row.position == position
                    and row.state == FragmentState.STORED
                    and row.supplier in (node, None)
                ]
            tx.mark_fragments(marks)
        for place, _ in found:
            self._amiss.pop(place, None)
        return len(marks)
