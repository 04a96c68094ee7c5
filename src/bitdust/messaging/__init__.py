"""What people tell each other: private messages, mailboxes, groups and their brokers, history.

``message``, ``letters`` and ``cards`` are pure. ``database`` is the file that history, outbox and
ratchets share; ``history`` keeps what was said, ``stream`` hands it live to the programs of this
machine. ``ratchet`` encrypts, ``vault`` keeps its keys; ``post`` sends and receives with one
``route`` per person and ``intake`` for what arrives. ``mailbox`` is a supplier's side of messages
for those who are away, ``mailclient`` the other side. docs/spec/messages.md describes it all.

Groups: ``broker_core`` (how brokers agree), ``broker_rules``, ``group_wire``, ``group_keys`` and
``group_log`` (what members check) are pure; ``broker_service`` keeps streams for others, ``groups``
takes part in them with one ``group_session`` each. docs/spec/groups.md describes them.
"""

from __future__ import annotations

from bitdust.messaging.broadcast import Broadcasts
from bitdust.messaging.broker_service import BrokerService
from bitdust.messaging.broker_store import BrokerStore
from bitdust.messaging.group_around import Around, takes_groups
from bitdust.messaging.group_keep import GroupKeep
from bitdust.messaging.group_renaming import rename_groups
from bitdust.messaging.group_store import GroupRow
from bitdust.messaging.group_wire import Broker
from bitdust.messaging.groups import GROUP_KEYS, Groups
from bitdust.messaging.history import Conversation, History
from bitdust.messaging.mailbox import Mailbox
from bitdust.messaging.mailclient import OthersMail, OwnMail
from bitdust.messaging.message import (
    DELIVERED,
    FAILED,
    GROUP,
    INCOMING,
    MAX_DATA,
    OUTGOING,
    PRIVATE,
    SENT,
    TYPES,
    WAITING,
    Message,
    private_conversation,
)
from bitdust.messaging.post import PrivateMessages, Sent
from bitdust.messaging.stream import Handover, MessageStream

__all__ = [
    "DELIVERED",
    "FAILED",
    "GROUP",
    "GROUP_KEYS",
    "INCOMING",
    "MAX_DATA",
    "OUTGOING",
    "PRIVATE",
    "SENT",
    "TYPES",
    "WAITING",
    "Around",
    "Broadcasts",
    "Broker",
    "BrokerService",
    "BrokerStore",
    "Conversation",
    "GroupKeep",
    "GroupRow",
    "Groups",
    "Handover",
    "History",
    "Mailbox",
    "Message",
    "MessageStream",
    "OthersMail",
    "OwnMail",
    "PrivateMessages",
    "Sent",
    "private_conversation",
    "rename_groups",
    "takes_groups",
]
