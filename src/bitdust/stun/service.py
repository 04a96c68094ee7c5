"""STUN over UDP: answering others, and asking others for the own address."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import structlog

from bitdust.clock import Random
from bitdust.errors import FormatError, NetworkError, PortInUse
from bitdust.stun.messages import (
    TRANSACTION_SIZE,
    Address,
    binding_answer,
    binding_request,
    read_answer,
    read_request,
)

LAYER_STUN = 10
"""Layer of the DHT on which responders announce their UDP port; the original's end at 9."""
ANSWERS_PER_SECOND = 200
"""Answers sent in one second in all: the sender of a request can be forged, and an answer is longer
than a request."""
FIRST_WAIT = 0.5
"""Seconds until a request is sent again; doubled each time."""
ATTEMPTS = 3
MAX_SERVERS = 5
"""Responders asked at one time."""

log = structlog.get_logger(component="stun")


class _Answering(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._second = 0
        self._answered = 0
        self.total = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own datagram transport is not of that class in Python 3.11
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            transaction = read_request(data)
        except FormatError:
            return
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second, self._answered = second, 0
        if self._answered >= ANSWERS_PER_SECOND or self._transport is None:
            return
        self._answered += 1
        self.total += 1
        self._transport.sendto(binding_answer(transaction, (addr[0], addr[1])), addr)


class StunResponder:
    """Tells others from which address their datagrams come.

    Args:
        host: address to listen on.
        port: UDP port; another free one is taken when it is in use.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self.port = port
        self._transport: asyncio.DatagramTransport | None = None
        self._protocol = _Answering()

    @property
    def answered(self) -> int:
        """Requests answered so far."""
        return self._protocol.total

    async def start(self) -> int:
        """Begin to answer.

        Returns:
            The port.

        Raises:
            PortInUse: no port can be had.
        """
        loop = asyncio.get_running_loop()
        for port in (self.port, 0):
            try:
                self._transport, _ = await loop.create_datagram_endpoint(
                    lambda: self._protocol, local_addr=(self._host, port)
                )
            except OSError as exc:
                log.info("STUN port is taken", port=port, reason=exc.strerror)
                continue
            self.port = int(self._transport.get_extra_info("sockname")[1])
            return self.port
        raise PortInUse(
            f"no UDP port can be used on {self._host}",
            hint="set services/udp-datagrams/udp-port",
        )

    async def stop(self) -> None:
        """Answer no more."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
            await asyncio.sleep(0)  # the socket is closed in the loop's next turn


@dataclass(frozen=True, slots=True)
class Finding:
    """What responders say.

    Args:
        host: the address under which most of them see this machine.
        port: the port there.
        kind: ``open``, ``cone``, ``symmetric`` or ``unknown`` (one answer, or they differ).
        answers: what each said, by its address.
    """

    host: str
    port: int
    kind: str
    answers: dict[Address, Address]


class _Asking(asyncio.DatagramProtocol):
    def __init__(self, waiting: dict[bytes, Address]) -> None:
        self._waiting = waiting
        self.answers: dict[Address, Address] = {}
        self.complete = asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            transaction, seen = read_answer(data)
        except FormatError:
            return
        # only whoever was asked, with the transaction it was sent, is believed
        asked = self._waiting.get(transaction)
        if asked is None or asked[0] != addr[0]:
            return
        self.answers[asked] = seen
        if len(self.answers) == len(self._waiting):
            self.complete.set()

    def error_received(self, exc: Exception) -> None:
        """A responder is away; the others may not be."""


async def find_address(
    servers: Sequence[Address],
    random: Random,
    *,
    host: str = "0.0.0.0",  # noqa: S104 - answers come from anywhere
    port: int = 0,
) -> Finding:
    """Ask responders from which address datagrams of this machine come.

    Args:
        servers: IPv4 host and port of each; at most ``MAX_SERVERS`` are asked.
        random: makes transactions.
        host: own address to send from.
        port: own UDP port to send from, 0 for any.

    Raises:
        PortInUse: that port is taken.
        NetworkError: nobody answered.
    """
    asked = list(dict.fromkeys(servers))[:MAX_SERVERS]
    waiting = {random.token(TRANSACTION_SIZE): server for server in asked}
    loop = asyncio.get_running_loop()
    try:
        transport, protocol = await loop.create_datagram_endpoint(
            lambda: _Asking(waiting), local_addr=(host, port), family=socket.AF_INET
        )
    except OSError as exc:
        raise PortInUse(
            f"UDP port {port} cannot be used: {exc.strerror}", hint="name another port, or none"
        ) from exc
    own_port = int(transport.get_extra_info("sockname")[1])
    try:
        wait = FIRST_WAIT
        for _ in range(ATTEMPTS):
            for transaction, server in waiting.items():
                if server not in protocol.answers:
                    with contextlib.suppress(OSError):
                        transport.sendto(binding_request(transaction), server)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await protocol.complete.wait()
            if protocol.complete.is_set():
                break
            wait *= 2
    finally:
        transport.close()
    if not protocol.answers:
        raise NetworkError(
            f"none of {len(asked)} STUN responders answered",
            hint="UDP may be blocked on this network",
        )
    return judge(dict(protocol.answers), _own_addresses(asked) | {host}, own_port)


def judge(answers: dict[Address, Address], own: set[str], port: int) -> Finding:
    """What the answers mean together.

    Args:
        answers: what each responder said.
        own: addresses of this machine.
        port: the port the requests were sent from.
    """
    # one liar among several must not decide
    host = Counter(seen[0] for seen in answers.values()).most_common(1)[0][0]
    ports = Counter(seen[1] for seen in answers.values() if seen[0] == host)
    mapped = ports.most_common(1)[0][0]
    if host in own and mapped == port:
        kind = "open"
    elif sum(ports.values()) < 2:
        kind = "unknown"
    else:
        kind = "cone" if len(ports) == 1 else "symmetric"
    return Finding(host, mapped, kind, answers)


def _own_addresses(servers: Sequence[Address]) -> set[str]:
    """Addresses from which this machine reaches the responders; nothing is sent."""
    found: set[str] = set()
    for server in servers:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
            contextlib.suppress(OSError),
        ):
            probe.connect(server)
            found.add(str(probe.getsockname()[0]))
    return found
