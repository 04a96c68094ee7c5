"""Content-defined chunking: where a file is cut depends on its bytes only.

FastCDC over a rolling gear hash, by the native library pyfastcdc. A change in a file moves the cuts
near it and no others, so that unchanged chunks keep their ids and are never sent again. The cuts
are part of the format: tests/vectors/storage/chunker.json freezes them, so that a release of the
library that moves them fails the tests instead of quietly storing everything anew.

Source: Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based
Storage Systems", 2020; docs/spec/storage.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from blake3 import blake3
from pyfastcdc import FastCDC

from bitdust.errors import InvalidInput

Buffer = bytes | bytearray | memoryview

MIN_CHUNK: Final = 256 * 1024
NORMAL_CHUNK: Final = 1024 * 1024
MAX_CHUNK: Final = 4 * 1024 * 1024
NORMALIZATION: Final = 2
READ_BUFFER: Final = 2 * MAX_CHUNK
CHUNK_ID_SIZE: Final = 32


def chunk_id(key: bytes, data: Buffer) -> bytes:
    """The name of a chunk: 32 bytes of BLAKE3 keyed with the owner's chunk key.

    Keyed, so that nobody else can tell whether a known file is stored.

    Args:
        key: 32 bytes.
        data: the chunk before compression.
    """
    return blake3(data, key=key).digest()


def cut_points(buffer: Buffer, final: bool) -> list[int]:
    """Where the chunks that begin at the start of ``buffer`` end.

    Args:
        buffer: bytes from the start of a chunk on.
        final: whether the file ends where the buffer ends.

    Returns:
        Ascending offsets; the last one is ``len(buffer)`` when ``final``. Otherwise bytes after the
        last offset belong to a chunk whose end cannot be known yet; it is fewer than ``MAX_CHUNK``
        bytes.
    """
    points: list[int] = []
    end = 0
    length = 0
    for chunk in _fastcdc().cut_buf(buffer):
        length = chunk.length
        end += length
        points.append(end)
    # A chunk that ends with the buffer was not cut by its content, unless it has the full length.
    if points and not final and length < MAX_CHUNK:
        points.pop()
    return points


def _fastcdc() -> FastCDC:
    return FastCDC(
        NORMAL_CHUNK,
        min_size=MIN_CHUNK,
        max_size=MAX_CHUNK,
        normalized_chunking=NORMALIZATION,
    )


class Chunker:
    """Cuts files into chunks through one buffer that is reused, so that memory is bounded.

    Belongs to one thread.

    Args:
        buffer_size: bytes read ahead, at least ``MAX_CHUNK``.
    """

    def __init__(self, buffer_size: int = READ_BUFFER) -> None:
        if buffer_size < MAX_CHUNK:
            raise InvalidInput("the buffer must hold the largest chunk")
        self._buffer = memoryview(bytearray(buffer_size))

    def chunks(self, readinto: Callable[[memoryview], int | None]) -> Iterator[memoryview]:
        """Cut one file.

        Args:
            readinto: fills the memory given to it, or a part of it, and returns how many bytes;
                0 at the end of the file. The ``readinto`` of an unbuffered file is one.

        Returns:
            The chunks in order, each valid until the next one is asked for. None for an empty file.
        """
        for batch in self.batches(readinto):
            yield from batch

    def batches(self, readinto: Callable[[memoryview], int | None]) -> Iterator[list[memoryview]]:
        """Cut one file and give the chunks several at a time; see ``chunks``.

        Returns:
            The chunks in order, all of a batch valid until the next batch is asked for.
        """
        buffer = self._buffer
        start = filled = 0
        final = False
        while not final:
            if start:
                # Slices of one memory may overlap: memoryview copies as memmove does.
                buffer[: filled - start] = buffer[start:filled]
                filled -= start
                start = 0
            while filled < len(buffer) and not final:
                count = readinto(buffer[filled:])
                final = not count
                filled += count or 0
            batch = []
            for end in cut_points(buffer[:filled], final):
                batch.append(buffer[start:end])
                start = end
            if batch:
                yield batch


def chunks(read: Callable[[int], Buffer], buffer_size: int = READ_BUFFER) -> Iterator[memoryview]:
    """Cut what ``read`` gives into chunks; see ``Chunker.chunks``, which copies less.

    Args:
        read: returns at most that many bytes, empty at the end.
        buffer_size: bytes read ahead, at least ``MAX_CHUNK``.
    """

    def readinto(memory: memoryview) -> int:
        data = read(len(memory))
        memory[: len(data)] = data
        return len(data)

    return Chunker(buffer_size).chunks(readinto)
