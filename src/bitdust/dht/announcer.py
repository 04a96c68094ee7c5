"""Announcements kept alive: this node stays findable on its topics (BEP 5).

A node forgets an announcement 30 to 45 minutes after it heard it. A new one is repeated quickly
until it can be found, then every 10 to 15 minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from bitdust.clock import Clock, Random
from bitdust.dht.renewal import Renewal
from bitdust.dht.topics import TOPIC_SIZE
from bitdust.dht.wire import MAX_PEERS, Wire
from bitdust.errors import InvalidInput

MAX_TOPICS: Final = 4096
SHORTEST_INTERVAL: Final = 600.0
LONGEST_INTERVAL: Final = 900.0
CONFIRM_TIMEOUT: Final = 4.0
FIRST_RETRY: Final = 0.3
LAST_RETRY: Final = 60.0
CROWD: Final = 40
"""With so many others on a topic, an answer may leave this node out: proof enough."""

_log = structlog.get_logger(component="dht.announcer")


@dataclass(slots=True)
class Announcement:
    """A topic this node announces itself on.

    Args:
        port: the port announced.
        confirmed: whether it could be found since.
        rounds: announcements made since the last change.
        first: wall clock of the first one, seconds; 0 for never.
        last: wall clock of the latest one, seconds; 0 for never.
    """

    port: int
    confirmed: bool = False
    rounds: int = 0
    first: float = 0.0
    last: float = 0.0


class Announcer:
    """Keeps announcements alive through a wire.

    Args:
        wire: the DHT.
        clock: time.
        random: chance, for jitter.
    """

    def __init__(self, wire: Wire, clock: Clock, random: Random) -> None:
        self._wire = wire
        self._clock = clock
        self._random = random
        self.topics: dict[bytes, Announcement] = {}
        self._renewal: Renewal[bytes] = Renewal(self._round, clock, MAX_TOPICS)

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._renewal.start()

    async def stop(self) -> None:
        """Make no more announcements; those made fade by themselves."""
        await self._renewal.stop()

    def announce(self, topic: bytes, port: int) -> None:
        """Announce this node on a topic from now on.

        Raises:
            InvalidInput: the topic has not 20 bytes, or the port is out of range.
            DhtError: there are too many topics.
        """
        check_topic(topic)
        if not 0 < port < 65536:
            raise InvalidInput(f"invalid port {port} to announce")
        known = self.topics.get(topic)
        if known is not None and known.port == port:
            return
        self._renewal.add(topic)
        self.topics[topic] = Announcement(port)

    def withdraw(self, topic: bytes) -> None:
        """Announce the topic no longer; what was announced fades."""
        self._renewal.discard(topic)
        self.topics.pop(topic, None)

    async def _round(self, topic: bytes) -> float | None:
        state = self.topics.get(topic)
        if state is None:
            return None
        self._wire.announce(topic, state.port)
        state.rounds += 1
        state.last = self._clock.now()
        state.first = state.first or state.last
        if not state.confirmed:
            found = await self._wire.peers(topic, CONFIRM_TIMEOUT, MAX_PEERS)
            if len(found) < CROWD and all(port != state.port for _, port in found):
                delay: float = min(FIRST_RETRY * 2.0 ** min(state.rounds - 1, 16), LAST_RETRY)
                return delay * self._random.uniform(0.75, 1.25)
            state.confirmed = True
            state.rounds = 1
            _log.debug("announced", topic=topic.hex(), port=state.port)
        settling = self._wire.settling
        if state.rounds <= len(settling):
            return settling[state.rounds - 1]
        return self._random.uniform(SHORTEST_INTERVAL, LONGEST_INTERVAL)


def check_topic(topic: bytes) -> None:
    """Check that a topic has 20 bytes.

    Raises:
        InvalidInput: it has not.
    """
    if len(topic) != TOPIC_SIZE:
        raise InvalidInput(f"a DHT topic has {TOPIC_SIZE} bytes, not {len(topic)}")
