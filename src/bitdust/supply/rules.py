"""When a supplier takes an offer, and how often anybody may ask. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from bitdust.supply.contracts import Contract
from bitdust.supply.messages import Refusal

DAY = 86400.0
CLOCK_SKEW = DAY
"""Most seconds the clocks of customer and supplier may differ at an offer."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a supplier is willing to do.

    Args:
        donated: bytes for all customers together.
        enabled: whether new customers are taken.
        most_per_customer: bytes for one customer; 0 means up to all that is donated.
        longest: seconds from now to the latest end of a contract taken.
        grace: seconds after the end during which data is still kept, read and deleted.
    """

    donated: int
    enabled: bool = True
    most_per_customer: int = 0
    longest: float = 400 * DAY
    grace: float = 90 * DAY


@dataclass(frozen=True, slots=True)
class Standing:
    """How things are at the supplier when an offer comes.

    Args:
        now: wall clock, seconds.
        promised: bytes granted to all other customers, and used by those without a contract.
        used: bytes of the customer that offers.
        held: its contract in force, None when it has none.
        blocked: whether it was rejected.
    """

    now: float
    promised: int
    used: int
    held: Contract | None
    blocked: bool


def judge(offer: Contract, terms: Terms, standing: Standing) -> Refusal | None:
    """Decide on an offer whose signature is valid and whose parties are right.

    A customer that has a contract may always renew it, also when the supplier takes no new ones or
    donates less than before, as long as it asks for no more than it has: what was accepted stays.

    Returns:
        None when it is taken.
    """
    held = standing.held
    if standing.blocked:
        return Refusal.BLOCKED
    if abs(offer.issued - standing.now) > CLOCK_SKEW:
        return Refusal.CLOCK
    if offer.expires <= standing.now or offer.expires > standing.now + terms.longest:
        return Refusal.TERM
    if held is not None:
        if offer.contract_id != held.contract_id:
            return Refusal.ALREADY
        if offer.revision <= held.revision:
            return Refusal.STALE
        if offer.granted < standing.used:
            return Refusal.IN_USE
        if offer.granted <= held.granted:
            return None
    elif not terms.enabled:
        return Refusal.DISABLED
    if terms.most_per_customer and offer.granted > terms.most_per_customer:
        return Refusal.FULL
    if standing.promised + offer.granted > terms.donated:
        return Refusal.FULL
    return None


class Rates:
    """Token buckets of many askers, with a bound on how many are remembered.

    Args:
        rate: questions per second in the long run.
        burst: questions at once.
        most: askers remembered; the one silent for longest is forgotten first.
    """

    def __init__(self, rate: float, burst: float, most: int = 4096) -> None:
        self._rate = rate
        self._burst = burst
        self._most = most
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def allow(self, who: bytes, now: float, cost: float = 1.0) -> bool:
        """Whether ``who`` may ask now; it then has been counted.

        Args:
            now: monotonic seconds.
            cost: how many plain questions this one weighs.
        """
        tokens, then = self._buckets.pop(who, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - then) * self._rate)
        allowed = tokens >= cost
        self._buckets[who] = (tokens - cost if allowed else tokens, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return allowed


class BackOff:
    """How long to leave a node alone after it failed or refused, longer each time.

    Args:
        first: seconds after the first failure.
        most: the longest pause, seconds.
        limit: nodes remembered; the one touched longest ago is forgotten first.
    """

    def __init__(self, first: float, most: float, limit: int = 1000) -> None:
        self._first = first
        self._most = most
        self._limit = limit
        self._nodes: OrderedDict[object, tuple[float, int]] = OrderedDict()

    def failed(self, node: object, now: float, jitter: float, at_least: float = 0.0) -> None:
        """Note a failure.

        Args:
            now: monotonic seconds.
            jitter: a chance number from 0.5 to 1.
            at_least: seconds of pause in any case, for refusals that will not change soon.
        """
        _, failures = self._nodes.pop(node, (0.0, 0))
        pause = min(self._most, self._first * 2.0 ** min(failures, 30))
        self._nodes[node] = (now + max(at_least, pause * jitter), failures + 1)
        if len(self._nodes) > self._limit:
            self._nodes.popitem(last=False)

    def forget(self, node: object) -> None:
        """The node did well."""
        self._nodes.pop(node, None)

    def ready(self, node: object, now: float) -> bool:
        """Whether the node may be tried."""
        return node not in self._nodes or now >= self._nodes[node][0]
