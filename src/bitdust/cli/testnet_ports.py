"""Loopback ports for the nodes of a test network, chosen so that two networks never collide.

A port is held by a bound TCP socket that does not listen. Binding without ``SO_REUSEADDR`` fails
when anybody has the port, so the choice is atomic among all processes; the option is set
afterwards, and from then on a daemon, which sets it too, may listen while we still hold the number
against other choosers. UDP knows no such sharing: its port is tried, let go, and protected from
other test networks by the TCP socket of the same number.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from bitdust.errors import PortInUse

LOOPBACK = "127.0.0.1"
LOWEST = 12_000
DEFAULT_EPHEMERAL = 32_768
ATTEMPTS = 2_000


def _first_ephemeral() -> int:
    # ports that the system hands to outgoing connections are no place to listen after a restart
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii")
        first = int(text.split()[0])
    except (OSError, ValueError, IndexError):
        return DEFAULT_EPHEMERAL
    return first if first > LOWEST + ATTEMPTS else DEFAULT_EPHEMERAL


class Ports:
    """Ports held for one network until ``close``; use it as a context manager."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()
        self._last = _first_ephemeral() - 1
        self._held: dict[int, socket.socket] = {}

    def take(self) -> int:
        """Hold one more port, free for TCP and UDP on 127.0.0.1.

        Raises:
            PortInUse: none of many tried ports is free.
        """
        for _ in range(ATTEMPTS):
            port = self._random.randint(LOWEST, self._last)
            held = _hold(port)
            if held is not None:
                self._held[port] = held
                return port
        raise PortInUse(
            "no free loopback port found", hint="end other programs that listen on many ports"
        )

    def close(self) -> None:
        """Let all ports go."""
        for held in self._held.values():
            held.close()
        self._held.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _hold(port: int) -> socket.socket | None:
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        held.bind((LOOPBACK, port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((LOOPBACK, port))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError:
        held.close()
        return None
    return held
