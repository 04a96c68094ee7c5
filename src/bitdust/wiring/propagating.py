"""``service_identity_propagate``: the own document stays served, on other servers if need be."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import structlog

from bitdust.errors import BitdustError
from bitdust.identity import Survey
from bitdust.ids import IDURL
from bitdust.network import ContactState
from bitdust.wiring.part import NodePart
from bitdust.wiring.rotating import BRANCH

if TYPE_CHECKING:
    from bitdust.node import Node

PUBLISH_PAUSE = 60.0
"""Seconds between attempts to reach name servers that were away."""
DEAD_AFTER: Final = 3
"""Checks in a row that a server fails until it is given up."""
LONGEST_PAUSE: Final = 6 * 3600.0
"""Seconds between attempts to find another server, at most."""

log = structlog.get_logger(component="identity")


class PropagatePart(NodePart):
    """Brings the document to servers that were away, and leaves those that are dead.

    A server that fails ``DEAD_AFTER`` checks in a row is dead, unless this node itself is cut off:
    checks count only while another identity server answers or some node is connected.
    """

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._failures: dict[IDURL, int] = {}
        self._attempts = 0

    async def start(self) -> None:
        self._run(self._work(), "publish identity")

    async def stop(self) -> None:
        await self._end()
        self._failures.clear()
        self._attempts = 0

    def healthy(self) -> bool:
        identity = self._node.identity
        return identity is not None and len(identity.pending) < len(identity.document.sources)

    async def _work(self) -> None:
        await asyncio.gather(self._publish(), self._check())

    async def _publish(self) -> None:
        identity = self._node.require_identity()
        in_dht = 0
        while True:
            if identity.pending:
                with contextlib.suppress(BitdustError):
                    await identity.publish()
            if in_dht < identity.document.revision and self._node.dht is not None:
                with contextlib.suppress(BitdustError):
                    in_dht = await identity.publish_in_dht()
            await self._node.clock.sleep(PUBLISH_PAUSE)

    # --- servers that die --------------------------------------------------------------------

    async def _check(self) -> None:
        node = self._node
        while True:
            pause = float(node.settings.get_int(f"{BRANCH}/health-check-interval-seconds"))
            if self._attempts:
                # nothing better was found: a server that comes back is seen late, but seen
                pause = min(LONGEST_PAUSE, pause * 2.0 ** min(self._attempts, 20))
            await node.clock.sleep(pause * node.random.uniform(0.9, 1.0))
            try:
                await self._look()
            except BitdustError as exc:
                self._attempts += 1
                log.warning("identity servers not replaced", reason=exc.message)

    async def _look(self) -> None:
        node = self._node
        identity = node.require_identity()
        survey = await identity.survey()
        dead = self._judge(survey)
        outdated = any(held.revision < identity.document.revision for held in survey.own.values())
        if survey.free or outdated:
            # a server that forgot the name, or missed an update
            await identity.publish()
        if dead and node.settings.get_bool(f"{BRANCH}/automatic-rotate-enabled"):
            log.warning("identity servers are dead", sources=[str(place) for place in dead])
            await node.replace_sources(dead)
            self._failures.clear()
        self._attempts = 0

    def _judge(self, survey: Survey) -> list[IDURL]:
        """Count the failures; gives the sources that are dead."""
        failed = [place for place in (*survey.away, *survey.strangers) if not place.is_serverless]
        spoke = (*survey.own, *survey.free, *survey.strangers)
        answered = any(not place.is_serverless for place in spoke)
        for place in (*survey.own, *survey.free):
            self._failures.pop(place, None)
        if not answered and not self._connected():
            return []  # it is we who are cut off
        for place in failed:
            self._failures[place] = self._failures.get(place, 0) + 1
        self._failures = {place: self._failures[place] for place in failed}
        return [place for place, count in self._failures.items() if count >= DEAD_AFTER]

    def _connected(self) -> bool:
        network = self._node.network
        return network is not None and any(
            status.state is ContactState.ONLINE for status in network.statuses().values()
        )
