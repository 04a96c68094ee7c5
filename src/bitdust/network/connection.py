"""One connection to another node: link, handshake, session and its clock, bound together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import structlog

from bitdust.clock import Clock, Random
from bitdust.errors import DeadlineExceeded, Misbehaviour, NetworkError, PeerUnreachable
from bitdust.network.body import Body
from bitdust.network.calls import Handler, Response
from bitdust.network.exchanges import Exchanges
from bitdust.network.frames import Frame, FrameParser, FrameType, Violation, encode_frame
from bitdust.network.handshake import Handshake, HandshakeFailed, PeerClosed, Proven, Role
from bitdust.network.limits import NONCE_SIZE, Limits
from bitdust.network.messages import CloseHeader, encode
from bitdust.network.session import Session
from bitdust.network.session_events import Event, PeerGoingAway, PongReceived, SessionClosed
from bitdust.network.statistics import Statistics
from bitdust.network.transport import Endpoint, Link, NodeID

if TYPE_CHECKING:
    from bitdust.crypto import PrivateKey
    from bitdust.identity import IdentityDocument

OUTPUT_SLICE: Final = 256 * 1024
"""Bytes handed to the link at once."""

JOIN_BELOW: Final = 16 * 1024
"""Bytes up to which frames are joined: one TLS record costs more than copying a few kilobytes."""

OUTPUT_TURN: Final = 1024 * 1024
"""Bytes handed to the link before other work of the event loop gets its turn."""

MIN_TIMER: Final = 0.001
"""Seconds between two looks at the session's deadline, at least."""

LINGER: Final = 2.0
"""Seconds a closed link may take to send its last bytes."""


class State(Enum):
    """Where a connection stands."""

    CONNECTING = "CONNECTING"
    HANDSHAKE = "HANDSHAKE"
    CONNECTED = "CONNECTED"
    RETIRING = "RETIRING"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all connections of a network share.

    Args:
        key: own identity key.
        document: gives the own identity document of the moment.
        parse_document: reads and verifies a peer's document.
        handlers: method name to handler.
        clock, random: time and chance.
        limits: bounds.
        statistics: counters.
        executor: where signatures are made; in the loop when None.
        on_open: told when the peer is proven.
        on_change: told when a connection retires.
        on_closed: told when the link is gone; always the last call for a connection.
    """

    key: PrivateKey
    document: Callable[[], IdentityDocument]
    parse_document: Callable[[bytes], IdentityDocument]
    handlers: Mapping[str, Handler]
    clock: Clock
    random: Random
    limits: Limits
    statistics: Statistics
    executor: Executor | None
    on_open: Callable[[Connection], None]
    on_change: Callable[[Connection], None]
    on_closed: Callable[[Connection], None]


class Connection:
    """A link's handler; from ``CONNECTED`` on, a way to ask the peer.

    Args:
        role: this side.
        remote: the other end.
        around: what it shares with the other connections.
        expect: the only node id accepted, None for any.
    """

    def __init__(
        self, role: Role, remote: Endpoint, around: Surroundings, expect: NodeID | None = None
    ) -> None:
        self.role = role
        self.remote = remote
        self.state = State.CONNECTING
        self.since = around.clock.now()
        self.opened_at = 0.0
        self.last_used = around.clock.monotonic()
        self.error: NetworkError | None = None
        """Why it ended, once it did."""
        loop = asyncio.get_running_loop()
        self.proven: asyncio.Future[IdentityDocument] = loop.create_future()
        self.proven.add_done_callback(_retrieve)
        self.lost = asyncio.Event()
        self._loop = loop
        self._around = around
        self._expect = expect
        self._limits = around.limits
        self._parser = FrameParser(around.limits.session.max_frame_body)
        self._frames: list[Frame] = []
        self._frame_waiter: asyncio.Future[None] | None = None
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._session: Session | None = None
        self._exchanges: Exchanges | None = None
        self._document: IdentityDocument | None = None
        self._paused = False
        self._flush_handle: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last_resort: asyncio.TimerHandle | None = None
        self._pongs: dict[bytes, asyncio.Future[None]] = {}
        self._early_bytes = [0, 0]  # received, sent in the handshake
        self._log = structlog.get_logger().bind(component="network", remote=str(remote))

    # --- state -------------------------------------------------------------------------------

    @property
    def document(self) -> IdentityDocument:
        """The peer's proven identity; only once ``CONNECTED``."""
        if self._document is None:
            raise NetworkError("the peer has not proven its identity")
        return self._document

    def learn(self, document: IdentityDocument) -> None:
        """The peer has a newer document; later requests of it come with that one."""
        if self._document is not None and document.revision > self._document.revision:
            self._document = document
            if self._exchanges is not None:
                self._exchanges.learn(document)

    @property
    def is_proven(self) -> bool:
        """Whether the handshake succeeded."""
        return self._document is not None

    @property
    def is_linked(self) -> bool:
        """Whether there is a link whose end is still to come."""
        return self._link is not None and not self.lost.is_set()

    @property
    def usable(self) -> bool:
        """Whether new requests may be sent."""
        return self.state is State.CONNECTED

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self._exchanges is None or not self._exchanges.busy

    @property
    def bytes_received(self) -> int:
        """Bytes of frames that came in."""
        session = self._session
        return self._early_bytes[0] + (session.bytes_received if session is not None else 0)

    @property
    def bytes_sent(self) -> int:
        """Bytes of frames that went out."""
        session = self._session
        return self._early_bytes[1] + (session.bytes_sent if session is not None else 0)

    @property
    def buffered(self) -> int:
        """Body bytes received and not yet consumed."""
        return self._session.buffered if self._session is not None else 0

    def view(self) -> dict[str, Any]:
        """One row of `connections_list`."""
        document = self._document
        return {
            "status": "active" if self.state is State.CONNECTED else "pending",
            "state": self.state.value,
            "proto": self.remote.proto,
            "host": str(self.remote).partition("://")[2],
            "global_id": str(document.global_id) if document is not None else "",
            "idurl": str(document.idurl) if document is not None else "",
            "bytes_sent": self.bytes_sent,
            "bytes_received": self.bytes_received,
        }

    def streams(self) -> list[dict[str, Any]]:
        """Rows of `streams_list`."""
        rows = self._exchanges.streams() if self._exchanges is not None else []
        return [{"proto": self.remote.proto, **row} for row in rows]

    # --- use ---------------------------------------------------------------------------------

    async def request(self, method: str, args: Any, body: Body, timeout: float) -> Response:
        """See ``Exchanges.request``."""
        if self._exchanges is None or not self.usable:
            raise self.error or NetworkError("the connection takes no more requests")
        self.last_used = self._around.clock.monotonic()
        return await self._exchanges.request(method, args, body, timeout)

    async def ping(self, timeout: float) -> None:
        """Wait for a sign of life.

        Raises:
            DeadlineExceeded: none came.
            NetworkError: the connection ended.
        """
        session = self._session
        if session is None or session.closed:
            raise self.error or NetworkError("the connection is closed")
        token = self._around.random.token(7) + b"\x01"  # never the keep-alive's zeros
        pong = self._pongs[token] = self._loop.create_future()
        session.ping(token)
        self._schedule_flush()
        try:
            async with asyncio.timeout(timeout):
                await pong
        except TimeoutError:
            raise DeadlineExceeded(f"no sign of life within {timeout:g} s") from None
        finally:
            del self._pongs[token]

    def retire(self) -> None:
        """Open no more streams and close once those that are open have ended."""
        if self.state is not State.CONNECTED or self._session is None:
            return
        self.state = State.RETIRING
        self._session.go_away()
        self._schedule_flush()
        self._last_resort = self._loop.call_later(
            self._limits.drain_timeout, self.close, "retired", "took too long to drain"
        )
        self._around.on_change(self)

    def close(self, reason: str = "closed", message: str = "") -> None:
        """Say why and end; everything open fails."""
        if self.state is State.CLOSED:
            return
        self._finish(NetworkError(message or f"the connection was closed ({reason})"))
        link = self._link
        if link is None:
            return
        if self._session is not None:
            self._session.close(reason, message)
            self._write_all()
        else:
            header = encode(CloseHeader(reason, message))
            self._write(encode_frame(FrameType.CLOSE, header=header))
        link.close()
        self._last_resort = self._loop.call_later(LINGER, link.abort)

    def abort(self, error: NetworkError) -> None:
        """End at once, without a word."""
        self._finish(error)
        if self._link is not None:
            self._link.abort()

    async def join(self) -> None:
        """Wait until the link is gone and every task has ended."""
        if self._link is not None:
            await self.lost.wait()
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._exchanges is not None:
            await self._exchanges.join()

    # --- the link calls ----------------------------------------------------------------------

    def connection_made(self, link: Link) -> None:
        self._link = link
        if self.state is State.CLOSED:
            link.abort()
            return
        self.state = State.HANDSHAKE
        self._task = self._loop.create_task(self._shake_hands(link))

    def data_received(self, data: bytes) -> None:
        statistics = self._around.statistics.incoming
        statistics.total_bytes += len(data)
        session = self._session
        if session is not None:
            events = session.receive(data, self._around.clock.monotonic())
            if events:
                self._apply(events)
            elif session.has_output:
                self._schedule_flush()
            return
        if self.state is State.CLOSED:
            return
        self._early_bytes[0] += len(data)
        statistics.unknown_bytes += len(data)
        self._frames += self._parser.feed(data)
        if self._link is not None:
            self._link.pause_reading()
        self._wake_handshake()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        message = (
            f"the connection was lost ({type(error).__name__})"
            if error
            else ("the peer closed the connection")
        )
        if self._session is not None:
            self._session.connection_lost(message)
        self._finish(NetworkError(message))
        if self._last_resort is not None:
            self._last_resort.cancel()
        if self._flush_handle is not None:
            self._flush_handle.cancel()
        self.lost.set()
        self._around.on_closed(self)

    # --- handshake ---------------------------------------------------------------------------

    async def _shake_hands(self, link: Link) -> None:
        try:
            async with asyncio.timeout(self._limits.handshake_timeout):
                proven = await self._prove(link)
        except TimeoutError:
            self._fail_handshake(PeerUnreachable("the handshake took too long"), None)
        except PeerClosed as exc:
            reason = exc.reason or "closed"
            self._fail_handshake(PeerUnreachable(f"the peer ended the handshake ({reason})"), None)
        except HandshakeFailed as exc:
            error = Misbehaviour(f"the handshake failed: {exc}")
            self._fail_handshake(error, exc.violation)
        except NetworkError as exc:
            self._fail_handshake(exc, None)
        except Exception:
            self._log.exception("handshake_failed")
            self._fail_handshake(NetworkError("the handshake failed on this side"), None)
        else:
            self._open(proven)

    async def _prove(self, link: Link) -> Proven[IdentityDocument]:
        around = self._around
        document = around.document()
        handshake: Handshake[IdentityDocument] = Handshake(
            self.role,
            node_id=document.node_id,
            document=document.to_xml(),
            nonce=around.random.token(NONCE_SIZE),
            limits=self._limits.session,
            listener_certificate=link.listener_certificate,
            dialler_certificate=link.dialler_certificate,
            parse_document=around.parse_document,
            verify=_verify,
            expect=self._expect,
        )
        self._write(handshake.hello)
        handshake.receive_hello(await self._next_frame())
        if self.role is Role.DIALLER:
            self._write(handshake.auth(await self._sign(handshake.to_sign())))
            return handshake.receive_auth(await self._next_frame())
        # The listener signs last: a stranger cannot make it spend its time on signatures.
        proven = handshake.receive_auth(await self._next_frame())
        self._write(handshake.auth(await self._sign(handshake.to_sign())))
        return proven

    async def _sign(self, message: bytes) -> bytes:
        around = self._around
        if around.executor is None:
            return around.key.sign(message)
        return await self._loop.run_in_executor(around.executor, around.key.sign, message)

    async def _next_frame(self) -> Frame:
        while not self._frames:
            if self._parser.violation is not None:
                violation = self._parser.violation
                raise HandshakeFailed(violation.kind, violation.message)
            if self.error is not None:
                raise self.error
            self._frame_waiter = self._loop.create_future()
            if self._link is not None:
                self._link.resume_reading()
            await self._frame_waiter
        return self._frames.pop(0)

    def _wake_handshake(self) -> None:
        if self._frame_waiter is not None and not self._frame_waiter.done():
            self._frame_waiter.set_result(None)

    def _fail_handshake(self, error: NetworkError, violation: Violation | None) -> None:
        if violation is not None:
            self._count(violation, str(self.remote.host))
        if self.state is State.CLOSED:
            return
        self._finish(error)
        if self._link is not None:
            header = CloseHeader("handshake", violation.kind if violation is not None else "")
            self._write(encode_frame(FrameType.CLOSE, header=encode(header)))
            self._link.close()
            self._last_resort = self._loop.call_later(LINGER, self._link.abort)

    def _open(self, proven: Proven[IdentityDocument]) -> None:
        if self.state is not State.HANDSHAKE:
            return
        around = self._around
        now = around.clock.monotonic()
        self._document = proven.document
        self._session = Session(
            dialler=self.role is Role.DIALLER,
            own=self._limits.session,
            peer=proven.limits,
            now=now,
            parser=self._parser,
        )
        self._exchanges = Exchanges(
            session=self._session,
            document=proven.document,
            handlers=around.handlers,
            limits=self._limits,
            statistics=around.statistics,
            now=around.clock.monotonic,
            flush=self._schedule_flush,
        )
        self.state = State.CONNECTED
        self.since = around.clock.now()
        self.opened_at = now
        self._log = self._log.bind(peer=str(proven.document.global_id))
        self._arm()
        around.on_open(self)
        if not self.proven.done():
            self.proven.set_result(proven.document)
        early, self._frames = self._frames, []
        self._apply(self._session.receive_frames(early, now))
        if self._link is not None and self.usable:
            self._link.resume_reading()

    # --- session -----------------------------------------------------------------------------

    def _apply(self, events: list[Event]) -> None:
        exchanges = self._exchanges
        if exchanges is None:
            return
        for event in events:
            if isinstance(event, SessionClosed):
                self._session_closed(event)
                return
            if isinstance(event, PongReceived):
                pong = self._pongs.get(event.token)
                if pong is not None and not pong.done():
                    pong.set_result(None)
            elif isinstance(event, PeerGoingAway):
                self.retire()
            else:
                exchanges.take(event)
        self.last_used = self._around.clock.monotonic()
        if self.state is State.RETIRING or (self._session is not None and self._session.has_output):
            self._schedule_flush()

    def _session_closed(self, event: SessionClosed) -> None:
        error: NetworkError
        if event.violation is not None:
            self._count(event.violation, str(self.document.idurl))
            error = Misbehaviour(f"the peer broke the protocol: {event.message}")
        else:
            error = NetworkError(f"the connection ended ({event.reason})")
        self._finish(error)
        self._write_all()
        if self._link is not None:
            self._link.close()
            self._last_resort = self._loop.call_later(LINGER, self._link.abort)

    def _schedule_flush(self) -> None:
        if self._flush_handle is None and self.state is not State.CLOSED:
            self._flush_handle = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        session, link, exchanges = self._session, self._link, self._exchanges
        if session is None or link is None or exchanges is None or self.state is State.CLOSED:
            return
        now = self._around.clock.monotonic()
        written = 0
        while not self._paused and session.has_output:
            if written >= OUTPUT_TURN:
                self._schedule_flush()
                break
            chunks, size = session.next_output(OUTPUT_SLICE, now)
            written += size
            if size <= JOIN_BELOW and len(chunks) > 1:
                chunks = [b"".join(chunks)]
            link.write(chunks)
        self._around.statistics.outgoing.total_bytes += written
        exchanges.wake_drained()
        self._check_drained()

    def _check_drained(self) -> None:
        session = self._session
        if (
            self.state is State.RETIRING
            and session is not None
            and session.got_goaway
            and session.idle
            and self.idle
        ):
            self.close("retired")

    def _write_all(self) -> None:
        """Hand over what a closed session still says, whatever the link's back-pressure."""
        if self._session is not None and self._link is not None:
            now = self._around.clock.monotonic()
            while self._session.has_output:
                chunks, size = self._session.next_output(OUTPUT_SLICE, now)
                self._around.statistics.outgoing.total_bytes += size
                self._link.write(chunks)

    def _write(self, frame: bytes) -> None:
        if self._link is not None:
            self._early_bytes[1] += len(frame)
            self._around.statistics.outgoing.total_bytes += len(frame)
            self._link.write((frame,))

    def _arm(self) -> None:
        """Set the timer for the session's next deadline; it looks again when it fires."""
        deadline = self._session.deadline() if self._session is not None else None
        if deadline is not None and self.state is not State.CLOSED:
            delay = max(MIN_TIMER, deadline - self._around.clock.monotonic())
            self._timer = self._loop.call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._session is not None and self.state is not State.CLOSED:
            self._apply(self._session.tick(self._around.clock.monotonic()))
            self._arm()

    # --- end ---------------------------------------------------------------------------------

    def _finish(self, error: NetworkError) -> None:
        """Everything but the link ends now."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self.error = error
        self.since = self._around.clock.now()
        if not self.proven.done():
            self.proven.set_exception(error)
        self._wake_handshake()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._last_resort is not None:
            self._last_resort.cancel()
            self._last_resort = None
        for pong in self._pongs.values():
            if not pong.done():
                pong.set_exception(error)
        if self._exchanges is not None:
            self._exchanges.end(error)
        self._around.on_change(self)

    def _count(self, violation: Violation, who: str) -> None:
        self._around.statistics.misbehaviour(violation.kind, who)
        self._log.warning("misbehaviour", kind=violation.kind, detail=violation.message)


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Nobody has to look at a handshake's failure."""
    if not future.cancelled():
        with suppress(Exception):
            future.exception()


def _verify(document: IdentityDocument, signature: bytes, message: bytes) -> None:
    document.public_key.verify(signature, message)
