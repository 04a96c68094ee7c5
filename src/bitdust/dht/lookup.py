"""Iterative lookup: walking a Kademlia network towards a target, a few questions at a time.

libtorrent keeps its own lookups to itself; this one finds the closest live nodes by asking each for
the nodes it knows near the target (BEP 51 answers carry them).

Source: Kademlia (Maymounkov, Mazières 2002), BEP 5, BEP 51.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from bitdust.dht.results import DhtNode

PARALLEL: Final = 4
MAX_QUESTIONS: Final = 64
MAX_CANDIDATES: Final = 256
MAX_NODES_PER_ANSWER: Final = 32

Question = Callable[[DhtNode], Awaitable[list[DhtNode] | None]]


def distance(node_id: bytes, target: bytes) -> int:
    """The XOR distance between two 20-byte ids."""
    return int.from_bytes(node_id, "big") ^ int.from_bytes(target, "big")


def closest(nodes: Iterable[DhtNode], target: bytes, count: int) -> list[DhtNode]:
    """The ``count`` nodes nearest to ``target``, nearest first."""
    return sorted(nodes, key=lambda node: distance(node.node_id, target))[:count]


async def walk(
    target: bytes, seeds: Iterable[DhtNode], ask: Question, *, count: int, avoid: bytes
) -> list[DhtNode]:
    """Find the closest nodes that answer.

    Args:
        target: 20 bytes.
        seeds: nodes to begin with.
        ask: asks a node for nodes near the target, None when it does not answer; must end by
            itself.
        count: how many nodes to find.
        avoid: an id never asked, this node's own.
    Returns:
        At most ``count`` nodes that answered, nearest first.
    """
    candidates = {node.node_id: node for node in closest(seeds, target, MAX_CANDIDATES)}
    candidates.pop(avoid, None)
    asked: set[bytes] = set()
    alive: dict[bytes, DhtNode] = {}
    while len(asked) < MAX_QUESTIONS:
        silent = asked - alive.keys()
        front = [
            node
            for node in closest(
                (n for n in candidates.values() if n.node_id not in silent), target, count
            )
            if node.node_id not in asked
        ][:PARALLEL]
        if not front:
            break
        asked.update(node.node_id for node in front)
        answers = await asyncio.gather(*(ask(node) for node in front))
        for node, answer in zip(front, answers, strict=True):
            if answer is None:
                continue
            alive[node.node_id] = node
            for found in answer[:MAX_NODES_PER_ANSWER]:
                if found.node_id != avoid and len(candidates) < MAX_CANDIDATES:
                    candidates.setdefault(found.node_id, found)
    return closest(alive.values(), target, count)
