"""Files in pieces, for programs on the WebSocket that share no disk with the node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from bitdust.api.blocking import in_pool
from bitdust.api.chunkfiles import MAX_READ, read_chunk, write_chunk
from bitdust.api.parameters import MAX_INT, LocalPath, Range
from bitdust.api.registry import operation

if TYPE_CHECKING:
    from bitdust.api.node import Node

_NAME_BYTES = 8
_EXAMPLE = "/home/alice/.bitdust/temp/cat.png"


@operation(example={"data": "abcd"})
async def chunk_write(node: Node, data: bytes, *, path: LocalPath | None = None) -> dict[str, Any]:
    """Append a chunk to a file in the folder `temp` of the node's home.

    Every chunk is also told to all WebSocket clients as model `chunk_write`. Files made without
    a path are removed a week after their last chunk, once another one is made.

    Args:
        data: bytes as Latin-1 text, one character each.
        path: the file, below `temp`; without it one is made, and its name is in the answer.

    Returns:
        `path` and `stats`: `path`, `count` of chunks and `bytes` so far.

    Raises:
        AccessDenied: the path leads out of that folder, or through a link.
        NotFound: the folder it is to lie in is not there.
        InvalidInput: the file would become too long.
        DiskFull: there is no room.
        LocalFileError: it cannot be written.

    Source: BitDust, second generation, chunk_write.
    """
    name = node.random.token(_NAME_BYTES).hex()
    now = node.clock.now()
    written = await in_pool(node, write_chunk, node.home, path, data, now=now, name=name)
    stats = node.chunks.add("chunk_write", written, len(data))
    node.models.tell("chunk_write", written, stats)
    return {"path": written, "stats": stats}


@operation(example={"path": _EXAMPLE, "offset": 0})
async def chunk_read(
    node: Node,
    path: LocalPath,
    offset: Annotated[int, Range(0, MAX_INT)],
    *,
    max_size: Annotated[int, Range(1, MAX_READ)] = 32768,
) -> dict[str, Any]:
    """Read a chunk of a file in the folder `temp` of the node's home.

    Every chunk is also told to all WebSocket clients as model `chunk_read`.

    Args:
        path: the file, below `temp`.
        offset: of its first byte.
        max_size: bytes at most.

    Returns:
        `chunk`, bytes as Latin-1 text; `stats`: `path`, `count` of chunks, `bytes` so far and
        `offset_last`, where the next chunk begins; and `completed`, true, with the last one.

    Raises:
        AccessDenied: the path leads out of that folder, or through a link.
        NotFound: the file is not there.
        LocalFileError: it cannot be read.

    Source: BitDust, second generation, chunk_read.
    """
    data, completed = await in_pool(node, read_chunk, node.home, path, offset, max_size)
    stats = node.chunks.add("chunk_read", path, len(data))
    stats["offset_last"] = offset + len(data)
    node.models.tell("chunk_read", path, stats)
    result: dict[str, Any] = {"chunk": data.decode("latin-1"), "stats": stats}
    if completed:
        result["completed"] = True
    return result
