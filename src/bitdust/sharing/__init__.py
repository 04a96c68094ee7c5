"""What is given to other people: keys, and shared locations with a key of their own.

``handover`` and ``audit`` are pure: what a key on its way says, and how holding one is proven.
``keyexchange`` gives and takes keys, ``keyaudit`` asks for proofs and gives them.
"""

from __future__ import annotations

from bitdust.sharing.handover import MAX_EXTRA
from bitdust.sharing.keyexchange import SHARE_TIMEOUT, KeyExchange, Received, Receiver

__all__ = ["MAX_EXTRA", "SHARE_TIMEOUT", "KeyExchange", "Received", "Receiver"]
