"""How long and how many: connections of an HTTP server that ask for nothing cannot keep others out.

A request has to be there within some seconds of its first byte, or of the connection where none
came. When there are too many connections, a new one takes the place of the one that has waited
longest without a request.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_TIME = 20.0
"""Seconds within which a request must be there as a whole."""


class PatientProtocol(H11Protocol):
    """One connection of a server, with a deadline and a place that others may claim."""

    _since = 0.0
    _deadline: asyncio.TimerHandle | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether no request of this connection is being answered."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        limit = self.limit_concurrency
        assert limit is not None, "every server has a bound"
        if len(self.connections) >= limit - 1:  # the library refuses when the bound is reached
            _make_room(self.connections)
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > 2 * limit:
            transport.abort()  # all of them are being answered
            return
        self._expect()

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and self.is_waiting:
            self._expect()
        super().data_received(data)
        if not self.is_waiting:
            self._forget()

    def on_response_complete(self) -> None:
        self._forget()
        self._since = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def give_way(self) -> None:
        """End the connection for another one."""
        self.connections.discard(self)
        self.transport.abort()

    def _expect(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_TIME, self._on_deadline)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_deadline(self) -> None:
        self._deadline = None
        if self.is_waiting:
            self.transport.abort()


def _make_room(connections: set[Any]) -> None:
    waiting = [one for one in connections if one.is_waiting]
    if waiting:
        min(waiting, key=lambda one: one._since).give_way()
