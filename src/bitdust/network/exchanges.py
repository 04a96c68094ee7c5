"""Requests and answers over one proven session: the caller's side and the handlers' side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog

from bitdust.errors import (
    BitdustError,
    DeadlineExceeded,
    IntegrityError,
    NetworkError,
    PeerRefused,
)
from bitdust.network.body import Body, InboundBody, as_chunks, length_of
from bitdust.network.calls import Call, Handler, Reply, Response
from bitdust.network.frames import Chunk
from bitdust.network.limits import MAX_ARGS, Limits
from bitdust.network.messages import ResetCode, encode_args
from bitdust.network.scheduler import LOW_WATER
from bitdust.network.session import Session
from bitdust.network.session_events import (
    BodyReceived,
    Event,
    RequestReceived,
    ResponseReceived,
    StreamReset,
)
from bitdust.network.statistics import Statistics

if TYPE_CHECKING:
    from bitdust.identity import IdentityDocument


_Answer: TypeAlias = tuple[ResponseReceived, InboundBody]


class _Asked:
    """An own request until its answer was received in full."""

    __slots__ = ("answer", "body", "method", "pump")

    def __init__(self, method: str, answer: asyncio.Future[_Answer]) -> None:
        self.method = method
        self.answer = answer
        self.body: InboundBody | None = None
        self.pump: asyncio.Task[None] | None = None


class _Served:
    """A peer's request until its answer was handed to the session."""

    __slots__ = ("body", "method", "task")

    def __init__(self, method: str, body: InboundBody) -> None:
        self.method = method
        self.body = body
        self.task: asyncio.Task[None] | None = None


class Exchanges:
    """Both sides' requests on one session.

    Args:
        session: the protocol core.
        document: the proven identity of the peer.
        handlers: method name to handler.
        limits: bounds.
        statistics: counters.
        now: monotonic seconds.
        flush: told that the session has output.
    """

    def __init__(
        self,
        *,
        session: Session,
        document: IdentityDocument,
        handlers: Mapping[str, Handler],
        limits: Limits,
        statistics: Statistics,
        now: Callable[[], float],
        flush: Callable[[], None],
    ) -> None:
        self._session = session
        self._document = document
        self._idurl = str(document.idurl)
        self._handlers = handlers
        self._statistics = statistics
        self._now = now
        self._flush = flush
        self._asked: dict[int, _Asked] = {}
        self._served: dict[int, _Served] = {}
        self._drains: dict[int, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._handler_slots = asyncio.Semaphore(limits.max_handlers_per_peer)
        self._request_slots = asyncio.Semaphore(limits.max_requests_per_peer)
        self._ended: NetworkError | None = None
        self._log = structlog.get_logger().bind(component="network", peer=self._idurl)

    @property
    def busy(self) -> bool:
        """Whether any exchange is under way."""
        return bool(self._asked or self._served or self._tasks)

    def learn(self, document: IdentityDocument) -> None:
        """The peer has a newer document."""
        self._document = document
        self._idurl = str(document.idurl)

    # --- the caller's side -------------------------------------------------------------------

    async def request(self, method: str, args: Any, body: Body, timeout: float) -> Response:
        """Ask the peer; returns when its answer begins.

        Args:
            method: name of the request.
            args: a msgspec Struct, a dict, or None.
            body: see ``Body``.
            timeout: seconds until the answer must begin, and then between its pieces.

        Raises:
            DeadlineExceeded: no answer in time; the request was cancelled.
            PeerRefused: the peer's handler refused.
            NetworkError: the connection ended before.
            ValueError: the arguments are larger than 64 KiB.
        """
        raw = encode_args(args)
        if len(raw) > MAX_ARGS:
            raise ValueError(f"arguments of {len(raw)} bytes where {MAX_ARGS} are allowed")
        number = 0
        answered = False
        try:
            async with asyncio.timeout(timeout):
                await self._request_slots.acquire()
                number, answer = self._ask(method, raw, body)
                event, inbound = await answer
            answered = True
        except TimeoutError:
            self._statistics.outgoing.failed_packets += 1
            raise DeadlineExceeded(f"no answer to {method!r} within {timeout:g} s") from None
        finally:
            if number and not answered:
                self._cancel(number, ResetCode.CANCELLED)
        if event.reason is not None:
            self._statistics.outgoing.failed_packets += 1
            raise PeerRefused(event.message, reason=event.reason)
        inbound.timeout = timeout
        return Response(
            self._document,
            event.args,
            inbound,
            lambda: self._cancel(number, ResetCode.CANCELLED),
        )

    def _ask(self, method: str, raw: bytes, body: Body) -> tuple[int, asyncio.Future[_Answer]]:
        """Open the stream; the request slot belongs to it from here on."""
        try:
            if self._ended is not None:
                raise NetworkError(self._ended.message)
            chunks = as_chunks(body)
            length = length_of(chunks)
            number = self._session.request(method, raw, length, self._now(), ended=length == 0)
        except BaseException:
            self._request_slots.release()
            raise
        answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        asked = self._asked[number] = _Asked(method, answer)
        self._statistics.outgoing.packet(self._idurl)
        if chunks is None:
            assert isinstance(body, AsyncIterator)
            asked.pump = self._own(self._pump_request(number, asked, body))
        elif length:
            self._session.offer(number, chunks, ended=True)
        self._flush()
        return number, answer

    async def _pump_request(self, number: int, asked: _Asked, body: AsyncIterator[Chunk]) -> None:
        try:
            await self._send_iterator(number, body)
        except Exception as exc:
            # The caller's own iterator failed: the caller gets its error, the peer a RESET.
            if not asked.answer.done():
                asked.answer.set_exception(exc)
            elif asked.body is not None:
                asked.body.fail(exc)
            self._cancel(number, ResetCode.FAILED)

    async def _send_iterator(self, number: int, body: AsyncIterator[Chunk]) -> None:
        """Send a body at the pace the peer takes it; ends early when the stream is gone."""
        session = self._session
        try:
            async for chunk in body:
                waiting = session.offer(number, (chunk,))
                if waiting < 0:
                    return
                self._flush()
                if waiting >= LOW_WATER:
                    await self._drained(number)
            session.offer(number, (), ended=True)
            self._flush()
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()

    async def _drained(self, number: int) -> None:
        """Wait until little of the stream's queue is left, or the peer reset it."""
        drain = self._drains[number] = asyncio.get_running_loop().create_future()
        try:
            await drain
        finally:
            self._drains.pop(number, None)

    def _cancel(self, number: int, code: ResetCode) -> None:
        self._session.reset(number, code)
        self._flush()
        self._release(number)

    def _release(self, number: int) -> None:
        """An own request is over on the wire, or nobody wants its answer."""
        asked = self._asked.pop(number, None)
        if asked is not None:
            self._request_slots.release()
            if asked.pump is not None and asked.pump is not asyncio.current_task():
                asked.pump.cancel()

    # --- the handlers' side ------------------------------------------------------------------

    async def _serve(self, number: int, served: _Served, event: RequestReceived) -> None:
        try:
            async with self._handler_slots:
                await self._answer(number, served, event)
        except asyncio.CancelledError:
            self._session.reset(number, ResetCode.FAILED)
            raise
        finally:
            self._served.pop(number, None)
            served.body.fail(NetworkError("the request was answered before"))
            self._session.unwanted(number)
            self._flush()

    async def _answer(self, number: int, served: _Served, event: RequestReceived) -> None:
        handler = self._handlers.get(event.method)
        if handler is None:
            self._statistics.incoming.unknown_packets += 1
            self._statistics.incoming.unknown_bytes += len(event.args)
            self._refuse(number, "unknown_method", "this node does not know that request")
            return
        try:
            reply = await handler(Call(self._document, event.method, event.args, served.body))
            raw = encode_args(reply.args)
            chunks = as_chunks(reply.body)
            length = length_of(chunks)
            if not self._session.respond(number, raw, length, self._now(), ended=length == 0):
                return
        except BitdustError as exc:
            self._refuse(number, exc.code, exc.message)
            return
        except Exception:
            self._refuse_internal(number, event.method)
            return
        self._statistics.outgoing.packet(self._idurl)
        if chunks is not None:
            if length and self._session.offer(number, chunks, ended=True) >= LOW_WATER:
                # The handler's slot stays taken, so that a peer that asks for much and reads
                # nothing holds a bounded number of bodies.
                self._flush()
                await self._drained(number)
            return
        assert isinstance(reply.body, AsyncIterator)
        await self._send_reply_iterator(number, event.method, reply)

    async def _send_reply_iterator(self, number: int, method: str, reply: Reply) -> None:
        assert isinstance(reply.body, AsyncIterator)
        try:
            await self._send_iterator(number, reply.body)
        except Exception as exc:
            # The answer began already, so all that is left is to break it off.
            self._statistics.incoming.failed_packets += 1
            if isinstance(exc, BitdustError):
                self._log.warning("reply_failed", method=method, code=exc.code)
            else:
                self._log.exception("reply_failed", method=method)
            damaged = isinstance(exc, IntegrityError)
            self._session.reset(number, ResetCode.DAMAGED if damaged else ResetCode.FAILED)

    def _refuse(self, number: int, reason: str, message: str) -> None:
        self._statistics.incoming.failed_packets += 1
        self._statistics.outgoing.packet(self._idurl)
        self._session.refuse(number, reason, message)
        self._flush()

    def _refuse_internal(self, number: int, method: str) -> None:
        self._log.exception("handler_failed", method=method, error_id=number)
        self._refuse(number, "internal", f"internal error {number}")

    # --- events ------------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        """Apply one event of the session."""
        if isinstance(event, BodyReceived):
            self._on_body(event)
        elif isinstance(event, ResponseReceived):
            self._on_response(event)
        elif isinstance(event, RequestReceived):
            self._on_request(event)
        elif isinstance(event, StreamReset):
            self._on_reset(event)

    def wake_drained(self) -> None:
        """Ask the sources of drained streams for more."""
        for number in self._session.take_drained():
            drain = self._drains.get(number)
            if drain is not None and not drain.done():
                drain.set_result(None)

    def end(self, error: NetworkError) -> None:
        """The session is over: every caller gets ``error``, every handler is cancelled."""
        self._ended = error
        asked_all, self._asked = self._asked, {}
        for asked in asked_all.values():
            self._request_slots.release()
            if asked.body is not None:
                asked.body.fail(error)
            elif not asked.answer.done():
                asked.answer.set_exception(error)
                asked.answer.exception()  # the caller may be gone already
        for served in self._served.values():
            served.body.fail(error)
        for task in self._tasks:
            task.cancel()

    async def join(self) -> None:
        """Wait until all tasks have ended."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    def streams(self) -> list[dict[str, Any]]:
        """The bodies under way, in the shape of `streams_list` without ``proto``."""
        rows = [
            _row(number, f"out:{asked.method}", asked.body) for number, asked in self._asked.items()
        ]
        rows += [
            _row(number, f"in:{served.method}", served.body)
            for number, served in self._served.items()
        ]
        return rows

    def _on_request(self, event: RequestReceived) -> None:
        self._statistics.incoming.packet(self._idurl)
        number = event.stream
        body = InboundBody(event.length, lambda size: self._on_consumed(number, size))
        body.ended = event.ended
        served = self._served[number] = _Served(event.method, body)
        served.task = self._own(self._serve(number, served, event))

    def _on_response(self, event: ResponseReceived) -> None:
        asked = self._asked.get(event.stream)
        if asked is None:
            return
        self._statistics.incoming.packet(self._idurl)
        number = event.stream
        body = InboundBody(event.length, lambda size: self._on_consumed(number, size))
        body.ended = event.ended
        asked.body = body
        if asked.answer.done():  # the own body's source failed first
            return
        asked.answer.set_result((event, body))
        if event.ended:
            self._release_answered(number, asked)

    def _release_answered(self, number: int, asked: _Asked) -> None:
        """The answer is complete; an own body still under way may go on until the peer stops it."""
        if asked.pump is None or asked.pump.done():
            self._release(number)
        else:
            asked.pump.add_done_callback(lambda _: self._release(number))

    def _on_body(self, event: BodyReceived) -> None:
        asked = self._asked.get(event.stream)
        if asked is not None:
            if asked.body is not None:
                asked.body.feed(event.data, ended=event.ended)
            if event.ended:
                self._release_answered(event.stream, asked)
            return
        served = self._served.get(event.stream)
        if served is not None:
            served.body.feed(event.data, ended=event.ended)

    def _on_reset(self, event: StreamReset) -> None:
        number = event.stream
        error: BitdustError
        if event.code == ResetCode.DAMAGED:
            error = IntegrityError("the peer found that what it keeps is damaged")
        else:
            error = NetworkError(f"the peer stopped the exchange ({_code_name(event.code)})")
        drain = self._drains.get(number)
        if drain is not None and not drain.done():
            drain.set_result(None)
        asked = self._asked.get(number)
        if asked is not None:
            if not event.complete:
                self._statistics.outgoing.failed_packets += 1
                if asked.body is not None:
                    asked.body.fail(error)
                elif not asked.answer.done():
                    asked.answer.set_exception(error)
                    asked.answer.exception()
            self._release(number)
            return
        served = self._served.get(number)
        if served is not None:
            served.body.fail(error)
            if served.task is not None:
                served.task.cancel()

    def _on_consumed(self, number: int, size: int) -> None:
        self._session.consumed(number, size, self._now())
        if self._session.has_output:
            self._flush()

    def _own(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._log.error("task_failed", error=repr(task.exception()))
        self._flush()


def _code_name(code: int) -> str:
    with suppress(ValueError):
        return ResetCode(code).name.lower()
    return str(code)


def _row(number: int, kind: str, body: InboundBody | None) -> dict[str, Any]:
    current = body.received if body is not None else 0
    total = body.size if body is not None else -1
    progress = 100.0 * current / total if total > 0 else 0.0
    return {
        "stream_id": number,
        "type": kind,
        "bytes_current": current,
        "bytes_total": total,
        "progress": progress,
    }
