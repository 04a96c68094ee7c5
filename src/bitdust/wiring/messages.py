"""Services of messages: their history, private messages, and mailboxes for customers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from bitdust.errors import BitdustError
from bitdust.identity import IdentityDocument
from bitdust.messaging import (
    Broadcasts,
    History,
    Mailbox,
    OthersMail,
    OwnMail,
    PrivateMessages,
)
from bitdust.network import ContactState
from bitdust.wiring.ground import GatewayPart
from bitdust.wiring.part import MeetingPart, NodePart

if TYPE_CHECKING:
    from bitdust.node import Node

HISTORY_FILE = "messages.db"
"""Below ``metadata/``: history, outbox, ratchets."""
MAILBOX_FILE = "mailbox.db"
"""Below the home: messages for customers of this supplier."""
ALLOW_SEALED = "services/private-messages/allow-sealed"
MOST_MAILBOXES = 8
"""Suppliers of one person that are looked up."""

log = structlog.get_logger(component="messages")


class HistoryPart(NodePart):
    """``service_message_history``: what was said."""

    async def start(self) -> None:
        node = self._node
        node.history = await History.open(node.home / "metadata" / HISTORY_FILE, node.pool)

    async def stop(self) -> None:
        history, self._node.history = self._node.history, None
        if history is not None:
            await history.close()


class MessagesPart(MeetingPart):
    """``service_private_messages``: messages to other people, and theirs."""

    def __init__(self, node: Node, gateway: GatewayPart) -> None:
        super().__init__(node, gateway)
        self._mail: OwnMail | None = None

    async def start(self) -> None:
        node = self._node
        identity = node.require_identity()
        assert node.history is not None
        port, events = self._meet(), self._listen()
        messages = PrivateMessages(
            port,
            node.history,
            node.message_stream,
            identity.key,
            lambda: identity.document,
            node.identities,
            node.find_document,
            node.clock,
            node.random,
            events,
            lambda: node.settings.get_bool(ALLOW_SEALED),
            OthersMail(port, self._find_mailboxes, node.clock),
        )
        node.messages = messages
        await messages.start()
        self._mail = OwnMail(
            port,
            messages,
            self._own_suppliers,
            node.identities,
            node.find_document,
            node.clock,
            events,
        )
        self._mail.start()
        node.broadcasts = Broadcasts(
            port,
            self._neighbours,
            identity.key,
            lambda: identity.document,
            node.find_document,
            node.clock,
            node.random,
            node.events,
        )

    async def stop(self) -> None:
        await self._end()
        broadcasts, self._node.broadcasts = self._node.broadcasts, None
        if broadcasts is not None:
            await broadcasts.stop()
        mail, self._mail = self._mail, None
        if mail is not None:
            await mail.stop()
        messages, self._node.messages = self._node.messages, None
        if messages is not None:
            await messages.stop()

    def _neighbours(self) -> list[bytes]:
        statuses = self._node.require_network().statuses().items()
        return [node for node, status in statuses if status.state is ContactState.ONLINE]

    def _own_suppliers(self) -> list[bytes]:
        customer = self._node.customer
        return [] if customer is None else [node for node in customer.positions() if node]

    async def _find_mailboxes(self, person: IdentityDocument) -> list[IdentityDocument]:
        """The suppliers of a person, as that person published them on the DHT."""
        customer = self._node.customer
        if customer is None:  # whoever stores nothing does not know where others store
            return []
        record = await customer.dht_lookup(str(person.idurl))
        idurls = [str(idurl) for idurl in (record or {}).get("suppliers") or () if idurl]
        self._node.random.shuffle(idurls)
        found = await asyncio.gather(
            *(self._node.find_document(idurl) for idurl in idurls[:MOST_MAILBOXES]),
            return_exceptions=True,
        )
        for outcome in found:
            if isinstance(outcome, BitdustError):
                log.info("a supplier of somebody is not known", reason=outcome.message)
            elif isinstance(outcome, BaseException):
                raise outcome
        return [
            one
            for one in found
            if isinstance(one, IdentityDocument)
            and one.node_id not in (person.node_id, self._node.require_identity().node_id)
        ]


class MailboxPart(MeetingPart):
    """``service_joint_postman``: mailboxes for the customers of this supplier."""

    async def start(self) -> None:
        node = self._node
        supplier = node.require_supplier()
        mailbox = Mailbox(
            self._meet(), node.home / MAILBOX_FILE, node.pool, supplier.serves, node.clock
        )
        node.mailbox = mailbox
        await mailbox.start()

    async def stop(self) -> None:
        await self._end()
        mailbox, self._node.mailbox = self._node.mailbox, None
        if mailbox is not None:
            await mailbox.stop()
