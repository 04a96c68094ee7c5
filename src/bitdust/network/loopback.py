"""Requests of a node to itself: it may be somebody's broker and member of the same group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from bitdust.errors import BitdustError, DeadlineExceeded, PeerRefused
from bitdust.network.body import Body, InboundBody, as_chunks, length_of
from bitdust.network.calls import Call, Handler, Response
from bitdust.network.messages import encode_args

if TYPE_CHECKING:
    from bitdust.identity import IdentityDocument


async def ask_oneself(
    handlers: Mapping[str, Handler],
    document: IdentityDocument,
    method: str,
    args: Any,
    body: Body,
    timeout: float,
) -> Response:
    """Let the own handler answer, as ``Network.request`` would; bodies are taken whole.

    Args:
        handlers: method name to handler.
        document: the own identity document.

    Raises:
        DeadlineExceeded: no answer in time.
        PeerRefused: the handler refused.
    """
    handler = handlers.get(method)
    if handler is None:
        raise PeerRefused("this node does not know that request", reason="unknown_method")
    try:
        async with asyncio.timeout(timeout):
            given = await _inbound(body)
            reply = await handler(Call(document, method, encode_args(args), given))
            answer = await _inbound(reply.body)
    except TimeoutError:
        raise DeadlineExceeded(f"no answer to {method!r} within {timeout:g} s") from None
    except PeerRefused:
        raise
    except BitdustError as exc:
        raise PeerRefused(exc.message, reason=exc.code) from exc
    return Response(document, encode_args(reply.args), answer, lambda: None)


async def _inbound(body: Body) -> InboundBody:
    if isinstance(body, AsyncIterator):
        body = [chunk async for chunk in body]
    chunks = as_chunks(body) or ()
    inbound = InboundBody(length_of(chunks), lambda _: None)
    for chunk in chunks:
        inbound.feed(memoryview(chunk).cast("B") if len(chunk) else b"", ended=False)
    inbound.feed(b"", ended=True)
    return inbound
