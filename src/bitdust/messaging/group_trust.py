"""Which of a group's brokers a member trusts, by what they were seen to serve. Pure.

A broker whose page is wrong in itself lies. One whose chain differs from the member's own may lie,
or the member was deceived by another one before: what most of the brokers hold decides.
"""

from __future__ import annotations

from collections.abc import Collection


class Trust:
    """See the module."""

    def __init__(self) -> None:
        self.liars: set[bytes] = set()
        """Those that do not tell the truth."""
        self._agrees: dict[bytes, bool] = {}

    def lies(self, node: bytes) -> None:
        """A broker served what is wrong in itself."""
        self.liars.add(node)

    def compared(self, node: bytes, agrees: bool) -> None:
        """A broker's chain is, or is not, the own one."""
        self._agrees[node] = agrees

    def trusted(self, node: bytes) -> bool:
        """Whether to listen to it."""
        return node not in self.liars and self._agrees.get(node, True)

    def judge(self, brokers: Collection[bytes]) -> bool:
        """Decide who lies, if that can be known.

        Args:
            brokers: the set of now; of three it takes two to decide.

        Returns:
            True when the own view is the false one: the stream must be read again.
        """
        current = set(brokers)
        for_us = {n for n, agrees in self._agrees.items() if agrees} & current - self.liars
        against = {n for n, agrees in self._agrees.items() if not agrees} & current - self.liars
        if 2 * len(against) > len(current):
            self.liars |= for_us
            self._agrees.clear()
            return True
        if 2 * len(for_us) > len(current):
            self.liars |= against
        return False

    def forget(self, *, liars: bool = True) -> None:
        """Compare anew; with ``liars`` trust everybody again."""
        self._agrees.clear()
        if liars:
            self.liars.clear()
