"""The groups of one node: made, joined, left, shared; their sessions, and what is said in them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final

import msgspec
import structlog

from bitdust.errors import (
    AccessDenied,
    AlreadyExists,
    BitdustError,
    FormatError,
    InvalidInput,
    NetworkError,
    NotFound,
    PeerUnreachable,
)
from bitdust.identity import IdentityDocument
from bitdust.messaging.group_around import Around
from bitdust.messaging.group_keys import EpochKey, SenderKeys, Voucher, vouch
from bitdust.messaging.group_log import Reader, Went, begin
from bitdust.messaging.group_order import known_order
from bitdust.messaging.group_reform import reform
from bitdust.messaging.group_session import GroupSession, name_of
from bitdust.messaging.group_store import (
    MAX_GROUPS,
    SCHEMA,
    GroupRow,
    drop_group,
    load_groups,
    read_tail,
    save_group,
)
from bitdust.messaging.group_views import WANTED_BROKERS, view_group, view_queue
from bitdust.messaging.group_wire import (
    MAX_EPOCHS,
    MAX_PAGE_BODY,
    MAX_PAGE_BYTES,
    PUSH,
    RECALL,
    BrokerList,
    Bytes32,
    EncodedOrder,
    Genesis,
    Idurl,
    Kind,
    Number,
    Page,
    Pushed,
    Read,
    Signature,
    decode_entries,
    decode_struct,
    encode_entries,
)
from bitdust.messaging.message import GROUP, OUTGOING, WAITING, Message, encode_data
from bitdust.network import Call, Reply
from bitdust.pool import in_pool

GROUP_KEYS: Final = "group_"
"""What the alias of a group's key begins with."""
MAX_INVITATION: Final = 100 * 1024
MAX_LABEL: Final = 256

HandOver = Callable[[str, IdentityDocument, bytes, float], Awaitable[None]]
"""Hands a group's key with an invitation to a person: key id, who, invitation, seconds."""
FindPerson = Callable[[str], Awaitable[IdentityDocument]]

log = structlog.get_logger(component="groups")


class Invitation(msgspec.Struct, frozen=True):
    """What comes with a group's key.

    Args:
        genesis: encoded.
        creator, creator_node: who made the group.
        label: what it is called.
        epoch: the current one; ``keys`` are those of all epochs up to it.
        signature: the creator's, over the access key of the current epoch.
        brokers: of now.
        voucher: of the member that invites.
        order: the creator's newest order to go on with other brokers.
    """

    genesis: Annotated[bytes, msgspec.Meta(max_length=4096)]
    creator: Idurl
    creator_node: Bytes32
    label: Annotated[str, msgspec.Meta(max_length=MAX_LABEL)]
    epoch: Number
    keys: Annotated[dict[Number, Bytes32], msgspec.Meta(max_length=MAX_EPOCHS)]
    signature: Signature
    brokers: BrokerList
    voucher: Voucher
    order: EncodedOrder = b""


class Groups:
    """See the module.

    Args:
        around: what groups stand on.
        hand_over: brings a key and an invitation to a person.
        find_person: the document of the person at an address.
    """

    def __init__(self, around: Around, hand_over: HandOver, find_person: FindPerson) -> None:
        self._around = around
        self._hand_over = hand_over
        self._find_person = find_person
        self.rows: dict[str, GroupRow] = {}
        self.sessions: dict[str, GroupSession] = {}
        self._left: set[str] = set()
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take up the groups on the disk."""
        await self._around.database.write(lambda db: db.execute(SCHEMA))
        for row in await load_groups(self._around.database):
            self.rows[row.key_id] = row
        await self._take_kept()
        self._around.port.handle(PUSH, self._on_push)
        self._around.port.handle(RECALL, self._on_recall)
        for row in self.rows.values():
            if row.active and row.genesis:
                self._open(row)

    async def _take_kept(self) -> None:
        """Take up groups of which the files alone came back."""
        for row in await in_pool(self._around.pool, self._around.keep.load):
            if row.key_id not in self.rows and len(self.rows) < MAX_GROUPS:
                await self._around.database.write(partial(save_group, row=row))
                self.rows[row.key_id] = row

    def came_back(self) -> None:
        """Files of groups came back from the suppliers: go on with those that were not known."""
        self._own(self._go_on())

    async def _go_on(self) -> None:
        async with self._changing:
            known = set(self.rows)
            await self._take_kept()
            for key_id, row in self.rows.items():
                if key_id not in known and row.active and row.genesis:
                    self._open(row)

    async def stop(self) -> None:
        """End all sessions."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        sessions, self.sessions = list(self.sessions.values()), {}
        await asyncio.gather(*(session.stop() for session in sessions))

    def lost(self, node_id: bytes) -> None:
        """The connection to a node ended."""
        for session in self.sessions.values():
            session.lost(node_id)

    def _keys(self, row: GroupRow) -> SenderKeys:
        return SenderKeys(self._around.identity, row.fingerprint)

    def _open(self, row: GroupRow) -> GroupSession:
        session = self.sessions[row.key_id] = GroupSession(row, self._around, self._keys(row))
        session.start()
        return session

    def get(self, key_id: str) -> GroupRow:
        """One group.

        Raises:
            NotFound: there is no such group here.
        """
        row = self.rows.get(key_id)
        if row is None:
            raise NotFound(
                f"no group {key_id[:200]}",
                hint="list the groups with `bitdust group list`, or ask a member to share it",
            )
        return row

    def session(self, key_id: str) -> GroupSession:
        """The session of a group this member takes part in.

        Raises:
            NotFound: there is no such group here.
            InvalidInput: it was not joined.
        """
        self.get(key_id)
        session = self.sessions.get(key_id)
        if session is None:
            raise InvalidInput(
                f"the group {key_id} is not joined", hint="join it with `bitdust group join`"
            )
        return session

    # --- coming and going --------------------------------------------------------------------

    async def create(self, key_id: str, fingerprint: bytes, label: str) -> GroupRow:
        """Begin a group of one's own; brokers are hired when it is joined or shared first.

        Args:
            key_id: of its key, made before.
            fingerprint: of that key.
            label: what it is called.

        Raises:
            InvalidInput: there are too many groups, or the label is too long.
            AlreadyExists: there is one.
        """
        if key_id in self.rows:
            raise AlreadyExists(f"there is a group {key_id} already")
        if len(self.rows) >= MAX_GROUPS:
            raise InvalidInput(f"at most {MAX_GROUPS} groups can be held")
        if len(label) > MAX_LABEL:
            raise InvalidInput(f"a label has at most {MAX_LABEL} characters")
        around = self._around
        row = GroupRow(key_id, fingerprint, label, around.idurl(), around.me)
        row.state.keys = {0: around.random.token(32)}
        await around.database.write(lambda db: save_group(db, row))
        self.rows[key_id] = row
        await around.kept(row)
        return row

    async def _establish(self, row: GroupRow) -> None:
        """Hire brokers for a new stream.

        Raises:
            PeerUnreachable: none takes it.
        """
        around, refused = self._around, set[bytes]()
        keys = self._keys(row)
        access = EpochKey(row.state.keys[0]).access
        problem = "no broker was found"
        for _ in range(4):
            brokers = await around.find_brokers(WANTED_BROKERS, refused)
            if not brokers:
                break
            genesis = Genesis(around.random.token(32), keys.sender, access, brokers)
            state = begin(genesis, row.state.keys)
            reader = Reader(genesis, row.fingerprint, keys, row.creator_node, state)
            outcomes = await asyncio.gather(
                *(around.hire(broker, reader, brokers, fresh=True) for broker in brokers),
                return_exceptions=True,
            )
            failed = False
            for broker, outcome in zip(brokers, outcomes, strict=True):
                if isinstance(outcome, BitdustError):
                    refused.add(broker.node)
                    problem, failed = outcome.message, True
                elif isinstance(outcome, BaseException):
                    raise outcome
            if not failed:
                row.genesis, row.state = genesis.encode(), state
                await around.database.write(lambda db: save_group(db, row))
                await around.kept(row)
                key = state.keys[0]
                await around.announce(row.key_id, row.fingerprint, 0, key, brokers)
                return
        raise PeerUnreachable(
            f"no node orders messages for this group: {problem}",
            hint="wait until other nodes are online, or name some in"
            " `services/private-groups/preferred-brokers`",
        )

    async def join(self, key_id: str, timeout: float = 30.0) -> GroupRow:
        """Take part in a group, from now on and after every restart.

        Args:
            timeout: seconds to wait for the connection; it goes on by itself after that.

        Raises:
            NotFound: there is no such group here.
            PeerUnreachable: the group is new and no brokers can be hired.
            AccessDenied: this member was removed.
        """
        async with self._changing:
            row = self.get(key_id)
            if row.state.out:
                raise _put_out()
            if not row.genesis:
                if row.creator_node != self._around.me:
                    raise NotFound("the invitation to this group is missing")
                await self._establish(row)
            session = self.sessions.get(key_id)
            if session is None:
                row.active = True
                await self._around.database.write(lambda db: save_group(db, row))
                await self._around.kept(row)
                self._left.discard(key_id)
                session = self._open(row)
        await session.until(lambda: session.connected, timeout)
        return row

    async def leave(self, key_id: str, *, forget: bool = False) -> GroupRow:
        """Take part no more.

        Args:
            forget: also forget the group; its history stays.

        Raises:
            NotFound: there is no such group here.
        """
        async with self._changing:
            row = self.get(key_id)
            session = self.sessions.pop(key_id, None)
            if session is not None:
                if session.connected and session.leader is not None:
                    with contextlib.suppress(BitdustError, TimeoutError):
                        await session.sender.queue(Kind.CONTROL, Went(), first=True)
                        session.kick()
                        await session.until(lambda: session.reader.me.state != "active", 3.0)
                await session.stop()
            row.active = False
            if forget:
                await self._around.database.write(lambda db: drop_group(db, row.no))
                del self.rows[key_id]
                await in_pool(self._around.pool, self._around.keep.drop, key_id)
            else:
                await self._around.database.write(lambda db: save_group(db, row))
                await self._around.kept(row)
            self._left.add(key_id)
        return row

    async def reconnect(
        self, key_id: str, timeout: float = 30.0, *, force: bool = False
    ) -> GroupRow:
        """Look for the brokers anew.

        Args:
            timeout: seconds to wait for the connection.
            force: go on with other brokers when most of the old ones are lost.

        Raises:
            NotFound: there is no such group here.
            InvalidInput: it was not joined, or its brokers are well and nothing is to be forced.
            AccessDenied: this member was removed, or only the creator may force it.
            PeerUnreachable: there are no brokers to go on with.
        """
        session = self.session(key_id)
        if session.row.state.out:  # nobody would answer
            raise _put_out()
        if force:
            async with self._changing:
                await reform(session, self._around)
        await session.reconnect(again=not force)
        await session.until(lambda: not session.connected, 5.0)
        await session.until(lambda: session.connected, timeout)
        return session.row

    # --- other people ------------------------------------------------------------------------

    async def share(self, key_id: str, person: IdentityDocument, timeout: float = 30.0) -> None:
        """Invite a person.

        Raises:
            NotFound, InvalidInput: there is no such group here, or it was not joined.
            NetworkError: the person is not reached, or does not take it.
        """
        async with self._changing:
            row = self.get(key_id)
            if not row.genesis:
                await self._establish(row)
        state = row.state
        if state.out or state.epoch not in state.keys:
            raise _put_out()
        genesis = row.stream()
        voucher = vouch(
            self._keys(row), genesis.stream, state.epoch, person.node_id, str(person.idurl)
        )
        invitation = Invitation(
            row.genesis, row.creator, row.creator_node, row.label, state.epoch, state.keys,
            state.signature, state.brokers, voucher, row.order,
        )  # fmt: skip
        await self._hand_over(key_id, person, msgspec.msgpack.encode(invitation), timeout)

    async def invited(self, key_id: str, fingerprint: bytes, label: str, extra: bytes) -> None:
        """Take an invitation.

        Args:
            key_id: of the group's key, which is in the ring.
            fingerprint: of that key.
            label: what the sender calls it.
            extra: the invitation.

        Raises:
            FormatError: it is none.
            AccessDenied: it is for somebody else, or for another stream than the one known.
        """
        invitation = decode_struct(extra, Invitation, MAX_INVITATION)
        genesis = decode_struct(invitation.genesis, Genesis, 4096)
        if invitation.voucher.node != self._around.me:
            raise AccessDenied("the invitation is for somebody else")
        if sorted(invitation.keys) != list(range(invitation.epoch + 1)):
            raise FormatError("an invitation without the keys of all epochs")
        if EpochKey(invitation.keys[0]).access != genesis.access:
            raise FormatError("an invitation whose keys do not fit the group")
        async with self._changing:
            row = self.rows.get(key_id)
            if row is not None and row.genesis and row.genesis != invitation.genesis:
                raise AccessDenied("the group has another stream than the invitation says")
            if row is None or not row.genesis:
                if row is None and len(self.rows) >= MAX_GROUPS:
                    raise InvalidInput(f"at most {MAX_GROUPS} groups can be held")
                row = GroupRow(
                    key_id,
                    fingerprint,
                    invitation.label or label,
                    invitation.creator,
                    invitation.creator_node,
                    invitation.genesis,
                    state=begin(genesis, invitation.keys),
                    order=invitation.order if known_order(invitation.order, genesis) else b"",
                    no=row.no if row is not None else 0,
                )
            state = row.state
            for epoch, secret in invitation.keys.items():
                state.keys.setdefault(epoch, secret)
            state.out = state.out and state.epoch not in state.keys
            if state.position == 0:
                state.brokers = list(invitation.brokers)
            row.voucher = msgspec.msgpack.encode(invitation.voucher)
            taken = row
            await self._around.database.write(lambda db: save_group(db, taken))
            self.rows[key_id] = row
            await self._around.kept(row)
            session = self.sessions.get(key_id)
            if session is not None:
                if known_order(invitation.order, genesis):
                    await session.obey(invitation.order)
                session.kick()

    async def remove(self, key_id: str, person: IdentityDocument, timeout: float = 30.0) -> bool:
        """Remove a person: whoever remains goes on with a new key.

        Returns:
            Whether it was done in time; it goes on by itself after that.

        Raises:
            NotFound, InvalidInput: there is no such group here, or it was not joined.
            AccessDenied: only the creator may.
        """
        session = self.session(key_id)
        row = session.row
        if row.creator_node != self._around.me:
            raise AccessDenied("only the creator of a group may remove people")
        if person.node_id == self._around.me:
            raise InvalidInput("that is yourself", hint="leave the group instead")
        member = next((m for m in row.state.members.values() if m.node == person.node_id), None)
        if member is None or member.state == "removed":
            raise NotFound(f"{person.global_id} is not in the group {key_id}")
        epoch = row.state.epoch
        await session.sender.begin_epoch([person.node_id])
        session.kick()
        done = await session.until(lambda: row.state.epoch > epoch, timeout)
        if done and session.left_out:
            self._own(self._invite_left_out(session))
        return done

    async def _invite_left_out(self, session: GroupSession) -> None:
        people, session.left_out = session.left_out, []
        for _, idurl in people:
            try:
                await self.share(session.row.key_id, await self._find_person(idurl))
            except BitdustError as exc:
                log.info("somebody has to be invited again", who=idurl, reason=exc.message)

    # --- messages ----------------------------------------------------------------------------

    async def send(self, key_id: str, data: dict[str, Any], timeout: float = 30.0) -> Message:
        """Say something; it is sent in any case, now or when the brokers are back.

        Args:
            data: a JSON object.
            timeout: seconds to wait for the brokers.

        Returns:
            The message; with its place in the stream when the brokers have it.

        Raises:
            NotFound, InvalidInput: there is no such group, it was not joined, or the data is none.
            AccessDenied: this member was removed.
            Busy: too much waits already.
        """
        session = self.session(key_id)
        if session.row.state.out:
            raise _put_out()
        raw = encode_data(data)
        around = self._around
        me = session.name(around.idurl())
        message = Message(
            around.random.token(16).hex(), key_id, GROUP, OUTGOING, me, key_id,
            data, around.clock.now(), None, WAITING,
        )  # fmt: skip
        waiter = await session.sender.say(message, raw)
        around.stream.publish(message)
        session.kick()
        try:
            async with asyncio.timeout(timeout):
                place = await waiter
        except (TimeoutError, NetworkError):
            return message
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return message  # the session ended; it is sent when the group is joined again
        return msgspec.structs.replace(message, sequence=place, state="sent")

    async def _on_push(self, call: Call) -> Reply:
        page = call.decode(Page)
        session = next((s for s in self.sessions.values() if s.reader.stream == page.stream), None)
        if session is None:
            raise NotFound("this member does not take part in that group")
        broker = session.leader
        if broker is None or broker.node != call.peer:
            raise AccessDenied("another broker leads that group")
        raws = decode_entries(await call.read(MAX_PAGE_BODY))
        try:
            await session.take(broker, page, raws)
        except BitdustError:
            session.lost(call.peer)
            raise
        return Reply(Pushed(session.row.state.position, not session.row.state.out))

    async def _on_recall(self, call: Call) -> Reply:
        """The creator asks for entries that brokers have lost."""
        ask = call.decode(Read)
        session = next((s for s in self.sessions.values() if s.reader.stream == ask.stream), None)
        if session is None or session.row.creator_node != call.peer:
            raise NotFound("only the creator of a group may ask that of those who are in it")
        end = session.row.state.position
        raws, link = await self._around.database.read(
            partial(read_tail, no=session.row.no, start=ask.start, end=end, most=MAX_PAGE_BYTES)
        )
        if not raws:
            raise NotFound("there is nothing behind that place")
        page = Page(ask.stream, ask.start, ask.start + len(raws), link)
        return Reply(page, encode_entries(raws))

    # --- views -------------------------------------------------------------------------------

    def view(self, row: GroupRow) -> dict[str, Any]:
        """One group in the form of the API."""
        me, left = name_of(self._around.idurl()), row.key_id in self._left
        return view_group(row, self.sessions.get(row.key_id), me, left=left)

    def queues(self) -> list[dict[str, Any]]:
        """For each joined group: its queue, whether it is active, who is in it, the last place."""
        rows = [session.row for session in self.sessions.values()]
        return [view_queue(self.view(row), row) for row in rows]

    def _own(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name="groups")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _put_out() -> AccessDenied:
    return AccessDenied(
        "you are not in this group any more", hint="ask a member to invite you again"
    )
