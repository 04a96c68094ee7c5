"""Blocking work in the thread pool, which a cancelled task does not leave behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_pool(pool: Executor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do blocking work in the pool; when cancelled, wait until the thread is done with it.

    A thread cannot be stopped half-way, and what it works on (a file, a generator, a block's
    memory) must not be torn down under it.
    """
    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(pool, lambda: work(*args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        if not future.cancelled():
            future.exception()
        raise
