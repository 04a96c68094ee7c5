"""Who may still store how much: granted, used and reserved bytes of every customer. Pure.

All steps are done under one lock and never wait, so that two writes at the same moment cannot both
take the last free bytes, whichever thread they run in.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from bitdust.errors import QuotaExceeded

OBJECTS_BASE = 10_000
"""Objects any customer may have; small ones cost the disk more than their bytes."""
BYTES_PER_OBJECT = 4096
"""One more object for every so many bytes granted."""

_HINT = "delete what is no longer needed, or agree on more space"


@dataclass(frozen=True, slots=True)
class Usage:
    """What one customer has on this node.

    Args:
        granted: bytes agreed.
        used: bytes of its objects.
        reserved: bytes announced by writes that are still running.
        count: number of its objects.
    """

    granted: int = 0
    used: int = 0
    reserved: int = 0
    count: int = 0

    @property
    def free(self) -> int:
        """Bytes that a new object may take now, never negative."""
        return max(0, self.granted - self.used - self.reserved)


@dataclass(slots=True)
class _Account:
    granted: int = 0
    used: int = 0
    reserved: int = 0
    count: int = 0


class Reservation:
    """Room set aside for one object; ends in ``commit`` or ``release``, whichever is first."""

    def __init__(self, quotas: Quotas, customer: bytes, size: int) -> None:
        self._quotas = quotas
        self.customer = customer
        self.size = size
        self.open = True

    def commit(self) -> None:
        """The object is stored."""
        self._quotas.settle(self, stored=True)

    def release(self) -> None:
        """The object is not stored; does nothing after ``commit``."""
        self._quotas.settle(self, stored=False)


class Quotas:
    """The books of all customers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accounts: dict[bytes, _Account] = {}

    def load(self, customer: bytes, used: int, count: int) -> None:
        """Enter what the index says at start."""
        with self._lock:
            account = self._accounts.setdefault(customer, _Account())
            account.used, account.count = used, count

    def grant(self, customer: bytes, granted: int) -> None:
        """Set the bytes agreed with a customer; less than it uses only stops new writes."""
        with self._lock:
            self._accounts.setdefault(customer, _Account()).granted = granted

    def reserve(self, customer: bytes, size: int) -> Reservation:
        """Set room aside for an object of ``size`` bytes.

        Raises:
            QuotaExceeded: the customer has not that much left.
        """
        with self._lock:
            account = self._accounts.get(customer) or _Account()
            free = account.granted - account.used - account.reserved
            if size > free:
                raise QuotaExceeded(
                    f"{size} bytes asked, {max(0, free)} of {account.granted} are free", hint=_HINT
                )
            if account.count >= OBJECTS_BASE + account.granted // BYTES_PER_OBJECT:
                raise QuotaExceeded(f"{account.count} objects are too many", hint=_HINT)
            account.reserved += size
            return Reservation(self, customer, size)

    def settle(self, reservation: Reservation, *, stored: bool) -> None:
        """Close a reservation; only its first closing counts."""
        with self._lock:
            if not reservation.open:
                return
            reservation.open = False
            account = self._accounts.get(reservation.customer)
            if account is None:
                return
            account.reserved -= reservation.size
            if stored:
                account.used += reservation.size
                account.count += 1

    def removed(self, customer: bytes, size: int, count: int) -> None:
        """Objects of a customer are gone."""
        with self._lock:
            account = self._accounts.get(customer)
            if account is not None:
                account.used = max(0, account.used - size)
                account.count = max(0, account.count - count)

    def drop(self, customer: bytes) -> None:
        """Forget a customer."""
        with self._lock:
            self._accounts.pop(customer, None)

    def usage(self, customer: bytes) -> Usage:
        """A customer's books; all zero when it is unknown."""
        with self._lock:
            account = self._accounts.get(customer) or _Account()
            return Usage(account.granted, account.used, account.reserved, account.count)

    def known(self, customer: bytes) -> bool:
        """Whether the customer has an account."""
        with self._lock:
            return customer in self._accounts

    def customers(self) -> list[bytes]:
        """All customers with an account."""
        with self._lock:
            return list(self._accounts)

    def reserved_total(self) -> int:
        """Bytes announced by all running writes."""
        with self._lock:
            return sum(account.reserved for account in self._accounts.values())
