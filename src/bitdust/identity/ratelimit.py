"""Token buckets by key in a bounded table. Pure: the time comes in as an argument."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something may happen.

    Args:
        per_second: tokens that come back per second, positive.
        burst: tokens a full bucket holds, at least 1.
    """

    per_second: float
    burst: float


class TokenBuckets:
    """One bucket per key, full at first sight.

    Args:
        rate: the same for every key.
        limit: buckets kept; beyond it the one not used for longest is forgotten. A caller that
            fears floods of keys sets one more bucket for all keys together above this table.
    """

    def __init__(self, rate: Rate, limit: int) -> None:
        self._rate = rate
        self._limit = limit
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> float:
        """Take one token.

        Args:
            now: monotonic seconds.

        Returns:
            0 when one was there, else the seconds until there will be one.
        """
        tokens, filled = self._buckets.pop(key, (self._rate.burst, now))
        gained = max(0.0, now - filled) * self._rate.per_second
        tokens = min(self._rate.burst, tokens + gained)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate.per_second
        self._buckets[key] = (tokens if wait else tokens - 1, now)
        while len(self._buckets) > self._limit:
            self._buckets.popitem(last=False)
        return wait

    def __len__(self) -> int:
        return len(self._buckets)
