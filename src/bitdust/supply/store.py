"""The fragment store: other people's objects on this node's disk.

An object is taken as a whole or not at all: it is written beside the others, hashed while it is
written, made durable, given its name, and only then acknowledged. It never changes afterwards and
is never removed to make room. The quota is settled before the first byte.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import ParamSpec, TypeVar

from blake3 import blake3

from bitdust.clock import Clock
from bitdust.errors import (
    AlreadyExists,
    DiskFull,
    IntegrityError,
    InvalidInput,
    LocalFileError,
    NotFound,
)
from bitdust.pool import in_pool
from bitdust.proofs import CHALLENGE_KEY_SIZE, answer
from bitdust.supply.disk import (
    Layout,
    append,
    check_size,
    discard,
    disk_errors,
    free_bytes,
    make_dir,
    open_read,
    read_at,
    read_whole,
    remove_folder,
    sync_and_forget,
    sync_dir,
)
from bitdust.supply.index import Index, ObjectRow, ObjectState, Total
from bitdust.supply.intake import Intake
from bitdust.supply.names import check_object_name, check_prefix
from bitdust.supply.quota import Quotas, Reservation, Usage
from bitdust.supply.reconcile import Reconciled, reconcile
from bitdust.supply.turns import Turns

MAX_OBJECT = 256 * 1024 * 1024
"""Largest object, bytes."""
WRITE_BUFFER = 2 * 1024 * 1024
"""Bytes collected before the disk is touched."""
KEPT_BUFFERS = 4
"""Write buffers kept for the next objects; each further write at the same time takes a new one."""
READ_BUFFER = 1024 * 1024
"""Bytes of one buffer given to a reader."""
MAX_WRITES = 32
"""Writes running at once, over all customers."""
MAX_WRITES_EACH = 4
"""Writes of one customer running at once."""
MAX_WAITING_EACH = 64
"""Writes of one customer waiting for their turn; further ones are refused as busy."""
IDLE_SECONDS = 60.0
"""Longest wait for the next bytes of a body."""
DISK_RESERVE = 64 * 1024 * 1024
"""Bytes of the disk never given to customers."""
MAX_LIST = 1000
"""Most objects of one answer to ``list``."""
MAX_DELETE = 1000
"""Most names of one ``delete``."""
_STRIPES = 16

P = ParamSpec("P")
T = TypeVar("T")
Damaged = Callable[[bytes, str, str], None]
"""Told of an object that is broken: customer, name, ``damaged`` or ``lost``."""


Rows = list[ObjectRow]
Totals = list[Total]
NodeIDs = list[bytes]


def _ignore(customer: bytes, name: str, what: str) -> None:
    """Default of ``on_damaged``."""


class FragmentStore:
    """Objects of customers under one folder.

    Args:
        root: the folder, made when missing.
        pool: threads for everything that touches the disk.
        on_damaged: told of every object found damaged or lost, in the loop's thread.
        free_space: how many bytes the disk still has; given by tests.
    """

    def __init__(
        self,
        root: Path,
        pool: Executor,
        *,
        on_damaged: Damaged = _ignore,
        free_space: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._layout = Layout(root)
        self._pool = pool
        self.on_damaged = on_damaged
        self._free_space = free_space
        self._index: Index | None = None
        self._quotas = Quotas()
        self._turns = Turns(MAX_WRITES, MAX_WRITES_EACH, MAX_WAITING_EACH)
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]
        self._serial = 0
        self._buffers: list[bytearray] = []

    # --- opening --------------------------------------------------------------------------------

    async def open(self) -> Reconciled:
        """Open the index and bring it and the directory to one state.

        Raises:
            DiskFull, LocalFileError: the folder cannot be used.
        """
        index, report = await self.run(self._open)
        self._index = index
        for customer, name in report.lost:
            self.on_damaged(customer, name, "lost")
        for customer, name in report.damaged:
            self.on_damaged(customer, name, "damaged")
        return report

    def _open(self) -> tuple[Index, Reconciled]:
        self._layout.prepare()
        index = Index(self._layout.index)
        try:
            report = reconcile(self._layout, index)
            for total in index.totals():
                self._quotas.load(total.customer, total.used, total.count)
        except BaseException:
            index.close()
            raise
        return index, report

    async def close(self) -> None:
        """Close the index; running transfers must have ended."""
        index, self._index = self._index, None
        if index is not None:
            await self.run(index.close)

    @property
    def index(self) -> Index:
        """The open index; its calls block."""
        if self._index is None:
            raise LocalFileError("the fragment store is not open")
        return self._index

    @property
    def layout(self) -> Layout:
        """Where things lie on the disk."""
        return self._layout

    # --- accounts -------------------------------------------------------------------------------

    def grant(self, customer: bytes, granted: int) -> None:
        """Let a customer keep ``granted`` bytes; fewer than it has only stops new objects."""
        self._quotas.grant(customer, granted)

    def usage(self, customer: bytes) -> Usage:
        """Bytes granted, used and reserved, and the number of objects."""
        return self._quotas.usage(customer)

    def customers(self) -> NodeIDs:
        """Customers that have objects or a grant."""
        return self._quotas.customers()

    async def totals(self) -> Totals:
        """Bytes on disk of every customer, from the index."""
        return await self.run(self.index.totals)

    # --- writing --------------------------------------------------------------------------------

    async def put(
        self,
        customer: bytes,
        name: str,
        size: int,
        digest: bytes,
        chunks: AsyncIterable[bytes | bytearray | memoryview],
    ) -> bool:
        """Keep an object; on return it is on the disk.

        Args:
            customer: node id.
            name: object name.
            size: length of the body in bytes.
            digest: BLAKE3 of the body, 32 bytes.
            chunks: the body; not read when the object is there already.

        Returns:
            True when it was stored now, False when exactly this object was there before.

        Raises:
            InvalidName, InvalidInput: the name, size or hash cannot be taken.
            AlreadyExists: the name belongs to an object with other bytes.
            QuotaExceeded: the customer has not that much room.
            DiskFull: the disk has not that much room.
            IntegrityError: the body is not what was announced, or stopped flowing.
            Busy: too many writes of this customer wait already.
            LocalFileError: the disk failed.
        """
        check_object_name(name)
        if not 0 <= size <= MAX_OBJECT:
            raise InvalidInput(f"an object of {size} bytes, at most {MAX_OBJECT} are taken")
        if len(digest) != 32:
            raise InvalidInput("the hash of an object has 32 bytes")
        async with self._turns.turn(customer):
            found = await self.run(self.index.find, customer, name)
            if found is not None and found.state is ObjectState.GOOD:
                return _same(found, size, digest)
            if found is not None:
                # What is broken can never be served again; its place is free for a good copy.
                await self.delete(customer, [name])
            reservation = self._quotas.reserve(customer, size)
            try:
                return await self._write(reservation, name, digest, chunks)
            finally:
                reservation.release()

    async def _write(
        self,
        reservation: Reservation,
        name: str,
        digest: bytes,
        chunks: AsyncIterable[bytes | bytearray | memoryview],
    ) -> bool:
        self._serial += 1
        temp = self._layout.incoming / f"{reservation.customer.hex()[:16]}-{self._serial}"
        size = reservation.size
        fd = await self.run(self._open_temp, temp, size)
        buffer = self._buffers.pop() if self._buffers else bytearray(WRITE_BUFFER)
        try:
            with memoryview(buffer) as memory:
                hasher = blake3()
                intake = Intake(chunks, IDLE_SECONDS)
                left = size
                while True:
                    # one byte more than there should be tells a body that is too long
                    count = await intake.fill(memory[: left + 1])
                    if count > left:
                        raise IntegrityError("the body of an object is longer than announced")
                    left -= count
                    if count < len(memory):
                        break
                    await self.run(append, fd, hasher, memory)
                if left:
                    raise IntegrityError(f"the body of an object ended after {size - left} bytes")
                return await self.run(
                    self._finish, fd, temp, reservation, name, digest, hasher, memory[:count]
                )
        finally:
            if len(self._buffers) < KEPT_BUFFERS:
                self._buffers.append(buffer)
            await self.run(discard, fd, temp)

    def _open_temp(self, temp: Path, size: int) -> int:
        with disk_errors("an object"):
            room = self._free_space(self._layout.root) - DISK_RESERVE
            # The room of this write itself is among the reserved bytes.
            if size and room < self._quotas.reserved_total():
                raise DiskFull("no room on the disk for an object")
            return os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def _finish(
        self,
        fd: int,
        temp: Path,
        reservation: Reservation,
        name: str,
        digest: bytes,
        hasher: blake3,
        rest: memoryview,
    ) -> bool:
        customer, size = reservation.customer, reservation.size
        append(fd, hasher, rest)
        if hasher.digest() != digest:
            raise IntegrityError("the body of an object has another hash than announced")
        with disk_errors("an object"):
            sync_and_forget(fd)
        with self._stripe(customer):
            if not self._quotas.known(customer):
                raise NotFound("the customer was removed meanwhile")
            found = self.index.find(customer, name)
            if found is not None and found.state is ObjectState.GOOD:
                return _same(found, size, digest)
            final = self._layout.object(customer, name, digest)
            with disk_errors("an object"):
                make_dir(final.parent.parent)
                make_dir(final.parent)
                os.rename(temp, final)
                try:
                    sync_dir(final.parent)
                    self.index.add(customer, name, size, digest)
                except BaseException:
                    os.unlink(final)
                    raise
            reservation.commit()
        return True

    # --- reading --------------------------------------------------------------------------------

    async def get(
        self, customer: bytes, name: str, offset: int = 0, length: int = -1
    ) -> tuple[int, bytes, AsyncIterator[bytes]]:
        """Read an object or a part of it.

        The last buffer of a whole object is given out only after the hash was found right, so a
        damaged object never arrives complete.

        Args:
            customer: node id.
            name: object name.
            offset: first byte wanted.
            length: bytes wanted, -1 for all from ``offset``.

        Returns:
            Size of the whole object in bytes, its BLAKE3 hash, the buffers.

        Raises:
            NotFound: no such object.
            InvalidInput: a range outside the object.
            IntegrityError: the object is damaged or lost; the iterator may raise it, too.
        """
        check_object_name(name)
        row = await self.run(self.index.find, customer, name)
        if row is None:
            raise NotFound(f"no object {name}")
        if row.state is not ObjectState.GOOD:
            raise IntegrityError(f"the object {name} is damaged on this supplier")
        end = row.size if length < 0 else offset + length
        if not 0 <= offset <= end <= row.size:
            raise InvalidInput(f"a range outside the {row.size} bytes of {name}")
        if offset == 0 and end == row.size and row.size <= READ_BUFFER:
            data = await self._checked(row, read_whole, self._layout.row_path(row), row)
            return row.size, row.digest, _once(data)
        await self._checked(row, check_size, self._layout.row_path(row), row.size)
        return row.size, row.digest, self._stream(row, offset, end)

    async def _stream(self, row: ObjectRow, offset: int, end: int) -> AsyncIterator[bytes]:
        fd = await self._checked(row, open_read, self._layout.row_path(row))
        try:
            hasher = blake3() if offset == 0 and end == row.size else None
            while offset < end:
                want = min(READ_BUFFER, end - offset)
                data = await self._checked(row, read_at, fd, offset, want, hasher)
                offset += len(data)
                if offset == end and hasher is not None and hasher.digest() != row.digest:
                    raise await self._broken(row, ObjectState.BAD)
                yield data
        finally:
            await self.run(os.close, fd)

    async def prove(self, customer: bytes, name: str, key: bytes) -> bytes:
        """The answer to a challenge, which only somebody who has the object can tell.

        Args:
            key: 32 bytes; it chooses which parts of the object are read.

        Raises:
            NotFound, InvalidInput, IntegrityError: as for ``get``.
        """
        if len(key) != CHALLENGE_KEY_SIZE:
            raise InvalidInput("the key of an audit has 32 bytes")
        check_object_name(name)
        row = await self.run(self.index.find, customer, name)
        if row is None:
            raise NotFound(f"no object {name}")
        if row.state is not ObjectState.GOOD:
            raise IntegrityError(f"the object {name} is damaged on this supplier")
        path = self._layout.row_path(row)

        def read() -> bytes:
            check_size(path, row.size)
            fd = open_read(path)
            try:
                return answer(key, row.size, lambda at, want: read_at(fd, at, want, None))
            finally:
                os.close(fd)

        return await self._checked(row, read)

    async def list(
        self, customer: bytes, prefix: str = "", after: str = "", limit: int = MAX_LIST
    ) -> Rows:
        """Objects by name; broken ones are listed with their state.

        Args:
            prefix: how the names begin.
            after: the last name of the page before.
            limit: most rows wanted.

        Raises:
            InvalidName: a prefix or name that no object can have.
        """
        check_prefix(prefix)
        check_prefix(after)
        limit = max(1, min(limit, MAX_LIST))
        return await self.run(self.index.list_names, customer, prefix, after, limit)

    # --- removing -------------------------------------------------------------------------------

    async def delete(self, customer: bytes, names: Sequence[str]) -> int:
        """Remove objects; names that are not there are passed over.

        Returns:
            How many were removed.

        Raises:
            InvalidInput: too many names at once.
            InvalidName: a name no object can have; nothing was removed.
        """
        if len(names) > MAX_DELETE:
            raise InvalidInput(f"{len(names)} names to delete, at most {MAX_DELETE} at once")
        for name in names:
            check_object_name(name)
        return len(await self.run(self._remove, customer, list(names), False))

    async def remove_customer(self, customer: bytes) -> int:
        """Remove everything of a customer.

        Returns:
            Bytes freed.
        """
        rows = await self.run(self._remove, customer, None, True)
        return sum(row.size for row in rows if row.state is not ObjectState.LOST)

    def _remove(self, customer: bytes, names: Sequence[str] | None, drop: bool) -> Rows:
        with self._stripe(customer):
            rows = self.index.begin_delete(customer, names)
            if drop:
                self._quotas.drop(customer)
            else:
                there = [row.size for row in rows if row.state is not ObjectState.LOST]
                self._quotas.removed(customer, sum(there), len(there))
            with disk_errors("deleting objects"):
                folders = set()
                for row in rows:
                    path = self._layout.row_path(row)
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path)
                        folders.add(path.parent)
                # A deleted file that came back after a power cut could hide a newer one.
                for folder in folders:
                    sync_dir(folder)
                if drop:
                    remove_folder(self._layout, customer)
            self.index.end_delete(rows)
        return rows

    # --- watching over the disk -----------------------------------------------------------------

    async def scrub(self, clock: Clock, rate: int) -> int:
        """Read every object once and compare its hash, slowly.

        Args:
            clock: for the pauses.
            rate: bytes per second at most.

        Returns:
            How many objects were found damaged or lost; each was reported, too.
        """
        found = 0
        after = (b"", "")
        while rows := await self.run(self.index.walk, after, 64):
            for row in rows:
                after = (row.customer, row.name)
                try:
                    async for data in self._stream(row, 0, row.size):
                        await clock.sleep(len(data) / rate)
                except IntegrityError:
                    current = await self.run(self.index.find, row.customer, row.name)
                    found += current is not None and current.state is not ObjectState.GOOD
        return found

    async def _checked(
        self, row: ObjectRow, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Read from the disk; what cannot be read marks the object."""
        try:
            return await self.run(work, *args, **kwargs)
        except FileNotFoundError:
            error = await self._broken(row, ObjectState.LOST)
        except (OSError, IntegrityError):
            error = await self._broken(row, ObjectState.BAD)
        raise error

    async def _broken(self, row: ObjectRow, state: ObjectState) -> IntegrityError:
        what = "lost" if state is ObjectState.LOST else "damaged"
        # Not marked when it was deleted meanwhile: then nothing is broken.
        if await self.run(self.index.mark, row, state):
            if state is ObjectState.LOST:
                self._quotas.removed(row.customer, row.size, 1)
            self.on_damaged(row.customer, row.name, what)
        return IntegrityError(f"the object {row.name} is {what} on this supplier")

    # --- threads --------------------------------------------------------------------------------

    def _stripe(self, customer: bytes) -> threading.Lock:
        return self._stripes[customer[0] % _STRIPES if customer else 0]

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work in the store's pool."""
        return await in_pool(self._pool, work, *args, **kwargs)


def _same(found: ObjectRow, size: int, digest: bytes) -> bool:
    if found.digest != digest or found.size != size:
        raise AlreadyExists(f"the object {found.name} exists with other bytes")
    return False


async def _once(data: bytes) -> AsyncIterator[bytes]:
    if data:
        yield data
