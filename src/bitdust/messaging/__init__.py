"""What people tell each other: private messages, mailboxes, groups and their brokers, history.

``message`` is pure; ``database`` is the file that history, outbox and ratchets share; ``history``
keeps what was said, ``stream`` hands it live to the programs of this machine.
"""

from __future__ import annotations

from bitdust.messaging.history import Conversation, History
from bitdust.messaging.message import (
    DELIVERED,
    FAILED,
    GROUP,
    INCOMING,
    OUTGOING,
    PRIVATE,
    SENT,
    WAITING,
    Message,
    private_conversation,
)
from bitdust.messaging.stream import Handover, MessageStream

__all__ = [
    "DELIVERED",
    "FAILED",
    "GROUP",
    "INCOMING",
    "OUTGOING",
    "PRIVATE",
    "SENT",
    "WAITING",
    "Conversation",
    "Handover",
    "History",
    "Message",
    "MessageStream",
    "private_conversation",
]
