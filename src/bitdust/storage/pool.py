"""Work in the thread pool that a cancelled task does not leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def in_pool(pool: Executor, work: Callable[[*Ts], T], *args: *Ts) -> T:
    """Run blocking work in the pool; when cancelled, wait until the thread is done with it.

    A thread cannot be interrupted, and what it works on (a generator, a file, a block's memory)
    must not be torn down under it.
    """
    future = asyncio.get_running_loop().run_in_executor(pool, work, *args)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if not future.done():
            await asyncio.wait([future])
        raise
