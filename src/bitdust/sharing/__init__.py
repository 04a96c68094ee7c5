"""What is given to other people: keys, and shared locations with a key of their own.

``handover`` and ``audit`` are pure: what a key on its way says, and how holding one is proven.
``keyexchange`` gives and takes keys, ``keyaudit`` asks for proofs and gives them.

Shares (docs/spec/shares.md): ``share_merge`` and ``share_notes`` are pure: how what several people
wrote becomes one tree, and what writers say beside their files. ``share_chain`` signs and checks
journals, ``share_storage`` is the own part of a share, ``share_follower`` another's,
``share_view`` the merged tree, ``share_space`` an open share, ``share_held`` one that may be
closed, ``shares`` all of them; ``share_files`` and ``share_routes`` are the operations on files.
"""

from __future__ import annotations

from bitdust.sharing.handover import MAX_EXTRA
from bitdust.sharing.keyexchange import SHARE_TIMEOUT, KeyExchange, Received, Receiver
from bitdust.sharing.share_held import Surroundings
from bitdust.sharing.share_routes import RoutedFiles
from bitdust.sharing.shares import Shares

__all__ = [
    "MAX_EXTRA",
    "SHARE_TIMEOUT",
    "KeyExchange",
    "Received",
    "Receiver",
    "RoutedFiles",
    "Shares",
    "Surroundings",
]
