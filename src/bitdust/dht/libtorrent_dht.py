"""The DHT of a running node: records and topics on the mainline DHT through libtorrent."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from bitdust.clock import Clock, Random, SystemClock, SystemRandom
from bitdust.dht.libtorrent_wire import LibtorrentWire
from bitdust.dht.service import DhtService
from bitdust.dht.session import DEFAULT_BOOTSTRAP, DhtOptions


class LibtorrentDht(DhtService):
    """A node of the mainline DHT, or of a private DHT of the same kind.

    Args:
        port: UDP port, 0 for any.
        interface: IP address to listen on; the default is 127.0.0.1 for a private network and all
            of them otherwise.
        bootstrap: ``host:port`` of nodes known in advance; the default is none for a private
            network and the well-known ones otherwise.
        private: for a network of its own on loopback or private addresses.
        network: name of a private network, which separates its topics and records from others.
        state_path: file that remembers nodes between runs, such as ``metadata/dht.state``.
        port_mapping: ask the router to forward the port (UPnP, NAT-PMP).
        executor: bounded pool for calls that wait; None for the event loop's own.
        clock: time.
        random: chance.
    Raises:
        InvalidSetting: a bootstrap node is not of the form ``host:port``.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        interface: str | None = None,
        bootstrap: Sequence[str] | None = None,
        private: bool = False,
        network: str = "",
        state_path: Path | None = None,
        port_mapping: bool = False,
        executor: Executor | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        chance = random or SystemRandom()
        if bootstrap is None:
            bootstrap = () if private else DEFAULT_BOOTSTRAP
        if interface is None:
            interface = "127.0.0.1" if private else "0.0.0.0"  # noqa: S104 - must be reachable
        options = DhtOptions(
            port=port,
            interface=interface,
            bootstrap=tuple(bootstrap),
            private=private,
            port_mapping=port_mapping,
            state_path=state_path,
        )
        wire = LibtorrentWire(options, chance, executor)
        super().__init__(wire, clock or SystemClock(), chance, network)
