"""Changes of blocks: entering, storing, marking, giving up and reclaiming them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bitdust.errors import AlreadyExists, IntegrityError, InvalidInput, NotInCatalog
from bitdust.storage.catalog.blocks import UNUSED, BlockReads, block_record
from bitdust.storage.catalog.items import require_hash
from bitdust.storage.catalog.journal import (
    MAX_CHALLENGES,
    MAX_CHUNKS,
    MAX_ROWS,
    MAX_SUPPLIERS,
    BlockRecoded,
    BlocksDropped,
    BlockStored,
    FragmentsMarked,
    StoredFragment,
    SupplierLost,
)
from bitdust.storage.catalog.runs import decode_runs, encode_numbers
from bitdust.storage.catalog.source import Sink
from bitdust.storage.catalog.types import (
    AddedBlock,
    BlockRow,
    BlockState,
    FragmentMark,
    FragmentState,
)
from bitdust.storage.formats.packer import BlockEntry
from bitdust.storage.formats.seal import BLOCK_ID_SIZE, BlockKind


class BlockWrites(Sink, BlockReads):
    """Changes of blocks, chunks and fragments."""

    def add_block(
        self,
        block_id: bytes,
        key: int,
        entries: Sequence[BlockEntry],
        hashes: Sequence[bytes],
        *,
        payload: int,
        fragment_size: int,
        created: float,
        challenges: Sequence[bytes] = (),
        suppliers: Sequence[bytes | None] = (),
        kind: BlockKind = BlockKind.DATA,
        name: str = "",
        job: int | None = None,
    ) -> AddedBlock:
        """Enter a block before its fragments are sent; it is open until ``block_stored``.

        A chunk that the key has elsewhere already keeps its number and place.

        Args:
            block_id: 16 bytes. key: reference of the key.
            entries: the chunks in the payload. hashes: BLAKE3 of each fragment, by position.
            payload, fragment_size: bytes. created: wall clock, seconds.
            challenges, suppliers: by position, or empty.
            kind, name: a journal segment is a block with a name and no chunks.
            job: the upload that makes it.

        Returns:
            The block's number, and the numbers of the chunks in the order of ``entries``.

        Raises:
            InvalidInput: sizes or counts that cannot be.
            AlreadyExists: a block has that id or name.
        """
        n = len(hashes)
        require_hash(block_id, "a block id", BLOCK_ID_SIZE)
        if not 0 < n <= MAX_SUPPLIERS or len(entries) > MAX_CHUNKS:
            raise InvalidInput("a block has 1 to 64 fragments and at most 65536 chunks")
        if len(challenges) not in (0, n) or len(suppliers) not in (0, n):
            raise InvalidInput("challenges and suppliers must match the fragments")
        if any(len(challenge) > MAX_CHALLENGES for challenge in challenges):
            raise InvalidInput(
                f"the challenges of a fragment take more than {MAX_CHALLENGES} bytes"
            )
        if kind != BlockKind.DATA and entries:
            raise InvalidInput("only data blocks have chunks")
        if self.db.execute(
            "SELECT 1 FROM blocks WHERE id = ?1 UNION ALL"
            " SELECT 1 FROM blocks WHERE name = ?2 AND name != '' LIMIT 1",
            (block_id, name),
        ).get:
            raise AlreadyExists("the catalog has a block of that id or name")
        number = self._allocate("next_block", 1)
        known = self._kept_chunks(key, entries)
        new = list({e.chunk_id: e for e in entries if e.chunk_id not in known}.values())
        first = self._allocate("next_chunk", len(new))
        self.db.execute(
            "INSERT INTO blocks VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                block_id,
                key,
                kind,
                name,
                n,
                payload,
                fragment_size,
                created,
                job,
                first,
                len(new),
            ),
        )
        self.db.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (
                (
                    chunk,
                    key,
                    require_hash(entry.chunk_id, "a chunk id"),
                    number,
                    entry.offset,
                    entry.stored,
                    entry.size,
                    entry.compressed,
                )
                for chunk, entry in enumerate(new, first)
            ),
        )
        self._add_fragments(
            number,
            [
                StoredFragment(
                    require_hash(digest, "a fragment's hash"),
                    FragmentState.MISSING,
                    suppliers[position] if suppliers else None,
                    challenges[position] if challenges else b"",
                )
                for position, digest in enumerate(hashes)
            ],
        )
        known.update((entry.chunk_id, chunk) for chunk, entry in enumerate(new, first))
        return AddedBlock(number, tuple(known[entry.chunk_id] for entry in entries))

    def _kept_chunks(self, key: int, entries: Sequence[BlockEntry]) -> dict[bytes, int]:
        """Chunks the key has; unused ones of a dying block, or of one left open, are given up."""
        known: dict[bytes, int] = {}
        given_up: list[tuple[int]] = []
        for chunk_id, number, kept in self.db.executemany(
            "SELECT c.id, c.number, b.state = 1 OR c.refs > 0 OR (b.state = 0 AND EXISTS"
            "  (SELECT 1 FROM jobs j WHERE j.id = b.job AND j.state = 'running'))"
            " FROM chunks c JOIN blocks b ON b.number = c.block WHERE c.key = ? AND c.id = ?",
            ((key, chunk_id) for chunk_id in {entry.chunk_id for entry in entries}),
        ):
            if kept:
                known[chunk_id] = number
            else:
                given_up.append((number,))
        self.db.executemany("DELETE FROM chunks WHERE number = ?", given_up)
        return known

    def _add_fragments(self, block: int, fragments: Sequence[StoredFragment]) -> None:
        self.db.executemany(
            "INSERT INTO fragments VALUES (?, ?, ?, ?, ?, ?)",
            [
                (block, position, one.hash, one.state, self._node(one.supplier), one.challenges)
                for position, one in enumerate(fragments)
            ],
        )

    def _node(self, node_id: bytes | None) -> int | None:
        if node_id is None:
            return None
        require_hash(node_id, "a node id")
        ref: int | None = self.db.execute("SELECT ref FROM nodes WHERE node_id = ?", (node_id,)).get
        if ref is None:
            self.db.execute("INSERT INTO nodes(node_id) VALUES (?)", (node_id,))
            ref = self.db.last_insert_rowid()
        return ref

    def block_stored(self, number: int) -> None:
        """Note that enough suppliers acknowledged a block: its chunks count as stored from now on.

        Raises:
            NotInCatalog: no such block. InvalidInput: the block is dying.
        """
        block = self.block(number)
        if block.state == BlockState.STORED:
            return
        if block.state == BlockState.DYING:
            raise InvalidInput("a block whose fragments are being deleted cannot be stored")
        self.db.execute("UPDATE blocks SET state = 1 WHERE number = ?", (number,))
        if block.kind == BlockKind.DATA:
            self._journal(block_record(self.db, number))

    def mark_fragments(self, marks: Iterable[FragmentMark]) -> None:
        """Note news about fragments.

        Raises:
            NotInCatalog: no such fragment.
        """
        done: list[FragmentMark] = []
        for mark in marks:
            self._mark_fragment(mark)
            told = self.db.execute(
                "SELECT 1 FROM blocks WHERE number = ? AND kind = 1 AND state = 1", (mark.block,)
            ).get
            if told:
                done.append(mark)
        for start in range(0, len(done), MAX_ROWS):
            self._journal(FragmentsMarked(done[start : start + MAX_ROWS]))

    def _mark_fragment(self, mark: FragmentMark) -> None:
        self.db.execute(
            "UPDATE fragments SET state = ?, supplier = coalesce(?, supplier),"
            " challenges = coalesce(?, challenges) WHERE block = ? AND position = ?",
            (
                FragmentState(mark.state),
                self._node(mark.supplier),
                mark.challenges,
                mark.block,
                mark.position,
            ),
        )
        if self.db.changes() != 1:
            raise NotInCatalog(f"the catalog has no fragment {mark.position} of block {mark.block}")

    def keep_challenges(self, block: int, position: int, challenges: bytes) -> None:
        """Note which challenges of a fragment are left, on this machine alone.

        Raises:
            InvalidInput: too many of them.
        """
        if len(challenges) > MAX_CHALLENGES:
            raise InvalidInput(
                f"the challenges of a fragment take more than {MAX_CHALLENGES} bytes"
            )
        self.db.execute(
            "UPDATE fragments SET challenges = ? WHERE block = ? AND position = ?",
            (challenges, block, position),
        )

    def supplier_lost(self, supplier: bytes) -> int:
        """Note that all fragments a supplier kept are lost.

        Returns:
            How many they are.
        """
        count = self._supplier_lost(supplier)
        if count:
            self._journal(SupplierLost(supplier))
        return count

    def _supplier_lost(self, supplier: bytes) -> int:
        self.db.execute(
            "UPDATE fragments SET state = 2 WHERE state != 2"
            " AND supplier = (SELECT ref FROM nodes WHERE node_id = ?)",
            (require_hash(supplier, "a node id"),),
        )
        return self.db.changes()

    def claim_reclaimable(
        self, limit: int = 100, *, among: Sequence[int] | None = None
    ) -> list[BlockRow]:
        """Blocks that nothing refers to, now dying: send the journal, delete their fragments from
        the suppliers, then call ``remove_blocks``.

        Blocks of a key under which an upload runs are left alone.

        Args:
            limit: at most so many.
            among: look at these only, as ``reclaimable`` found them without holding up writers.

        Returns:
            All that are dying, ``limit`` at the most; those claimed before are named again.
        """
        if among is None:
            found = self.reclaimable(limit)
        else:
            query = f"SELECT b.number FROM blocks b WHERE b.number = ? AND {UNUSED}"  # noqa: S608
            found = [row[0] for row in self.db.executemany(query, ((one,) for one in among))]
        if found:
            self.db.executemany(
                "UPDATE blocks SET state = 2 WHERE number = ?", ((number,) for number in found)
            )
            self._journal(BlocksDropped(encode_numbers(found)))
        return self.unsettled_blocks(BlockState.DYING, limit=limit)

    def recode_block(self, number: int, draft: int) -> None:
        """Let a block be the one that was made of the same payload and has been sent.

        Args:
            number: a stored block of data; it keeps its number and its chunks.
            draft: an open block without chunks; it becomes the former one, and is dying.

        Raises:
            NotInCatalog: no such block.
            InvalidInput: they cannot stand for each other.
        """
        old, new = self.block(number), self.block(draft)
        if (
            (old.state, new.state) != (BlockState.STORED, BlockState.OPEN)
            or old.kind != BlockKind.DATA
            or (new.kind, new.key, new.payload) != (old.kind, old.key, old.payload)
        ):
            raise InvalidInput("that block cannot take the place of the other one")
        former, made = self._fragments_of(number), self._fragments_of(draft)
        # ids are unique, so the former one steps aside first
        self.db.execute("UPDATE blocks SET id = zeroblob(16) WHERE number = ?", (draft,))
        self._recode(BlockRecoded(number, new.id, new.fragment_size, made))
        self.db.execute(
            "UPDATE blocks SET id = ?, suppliers = ?, fragment_size = ?, state = 2"
            " WHERE number = ?",
            (old.id, old.suppliers, old.fragment_size, draft),
        )
        self.db.execute("DELETE FROM fragments WHERE block = ?", (draft,))
        self._add_fragments(draft, former)
        self._journal(BlockRecoded(number, new.id, new.fragment_size, made))

    def _fragments_of(self, number: int) -> list[StoredFragment]:
        return [
            StoredFragment(row.hash, row.state, row.supplier, row.challenges)
            for row in self.fragments(number)
        ]

    def _recode(self, record: BlockRecoded) -> None:
        """A block spread anew, from a journal record."""
        self.db.execute(
            "UPDATE blocks SET id = ?, suppliers = ?, fragment_size = ?"
            " WHERE number = ? AND kind = 1",
            (record.id, len(record.fragments), record.fragment_size, record.number),
        )
        if self.db.changes() != 1:
            raise NotInCatalog(f"the catalog has no block {record.number}")
        self.db.execute("DELETE FROM fragments WHERE block = ?", (record.number,))
        self._add_fragments(record.number, record.fragments)

    def abandon_blocks(self, job: int) -> list[int]:
        """Give up the blocks a job has open: they are dying from now on.

        Rows that jobs not running have staged and that need them go too; such a job reads those
        files again. A block that a running job needs stays open.

        Returns:
            The numbers of the blocks given up.
        """
        given_up: list[int] = []
        blocks: Any = self.db.execute(
            "SELECT number, first, first + chunks FROM blocks"
            " WHERE job = ? AND state = 0 AND state != 1",
            (job,),
        ).fetchall()
        for number, first, end in blocks:
            self._unstage_range(first, end)
            if not self._is_used(first, end):
                self.db.execute("UPDATE blocks SET state = 2 WHERE number = ?", (number,))
                given_up.append(number)
        return given_up

    def _unstage_range(self, first: int, end: int) -> None:
        if not self._is_used(first, end):
            return
        staged: Any = self.db.execute(
            "SELECT s.job, s.item, s.content FROM stage s JOIN jobs j ON j.id = s.job"
            " WHERE s.content != x'' AND j.state != 'running'"
        )
        rows = [
            row
            for row in staged
            if any(run.start < end and run.end > first for run in decode_runs(row[2]))
        ]
        self._reference((row[2] for row in rows), -1)
        self.db.executemany(
            "DELETE FROM stage WHERE job = ? AND item = ?", ((row[0], row[1]) for row in rows)
        )

    def _is_used(self, first: int, end: int) -> bool:
        used = self.db.execute(
            "SELECT 1 FROM chunks WHERE number >= ? AND number < ? AND refs > 0 LIMIT 1",
            (first, end),
        ).get
        return used is not None

    def remove_blocks(self, numbers: Iterable[int]) -> None:
        """Forget blocks that are dying, or open and not wanted any more.

        Raises:
            NotInCatalog: no such block.
            InvalidInput: a block is stored, or a staged file needs it.
        """
        for number in numbers:
            if self.block(number).state == BlockState.STORED:
                raise InvalidInput("a stored block cannot be removed")
            self._remove_block(number)

    def _remove_block(self, number: int) -> None:
        db = self.db
        first, count = db.execute(
            "SELECT first, chunks FROM blocks WHERE number = ?", (number,)
        ).fetchone() or (0, 0)
        inside = "number >= ? AND number < ?"
        if self._is_used(first, first + count):
            raise InvalidInput("a staged file needs that block")
        db.execute(f"DELETE FROM chunks WHERE {inside}", (first, first + count))  # noqa: S608
        db.execute("DELETE FROM fragments WHERE block = ?", (number,))
        db.execute("DELETE FROM blocks WHERE number = ?", (number,))

    def _drop_blocks(self, record: BlocksDropped) -> None:
        """Blocks another run of this program has given up, from a journal record."""
        for run in decode_runs(record.blocks):
            numbers: Any = self.db.execute(
                "SELECT number FROM blocks WHERE kind = 1 AND number >= ? AND number < ?",
                (run.start, run.end),
            ).fetchall()
            for (number,) in numbers:
                self._remove_block(number)

    def _add_stored_block(self, record: BlockStored) -> None:
        """A stored block, from a journal record."""
        if any(not 0 <= c.number - record.first < record.count for c in record.chunks):
            raise IntegrityError("a journal record holds a chunk of another block")
        self.db.execute(
            "INSERT INTO blocks VALUES (?, ?, ?, 1, 1, '', ?, ?, ?, ?, NULL, ?, ?)",
            (
                record.number,
                record.id,
                record.key,
                len(record.fragments),
                record.payload,
                record.fragment_size,
                record.created,
                record.first,
                record.count,
            ),
        )
        self.db.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (
                (
                    c.number,
                    record.key,
                    c.id,
                    record.number,
                    c.offset,
                    c.stored,
                    c.plain,
                    c.compressed,
                )
                for c in record.chunks
            ),
        )
        self._add_fragments(record.number, record.fragments)
