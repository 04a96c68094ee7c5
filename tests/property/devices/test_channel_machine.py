"""Anything may happen to the frames of a channel: only what was said arrives, in order, or nothing.

The machine stands between both ends and loses, repeats, moves, changes, sends back and cuts.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bitdust.devices.channel import (
    Channel,
    SessionClient,
    SessionServer,
    read_hello,
)
from bitdust.devices.noise import public_key
from bitdust.devices.pairing import PairingServer
from bitdust.errors import AccessDenied, FormatError, IntegrityError

DEVICE, NODE = bytes(range(32)), bytes(range(1, 33))


def new_key() -> bytes:
    return os.urandom(32)


class End:
    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.said: list[bytes] = []
        self.heard: list[bytes] = []
        self.seen: list[bytes] = []
        self.coming: list[bytes] = []
        self.dead = False


class Middle(RuleBasedStateMachine):
    """Between a device and a node."""

    @initialize()
    def meet(self) -> None:
        client = SessionClient(DEVICE, public_key(NODE), new_key)
        server = SessionServer(NODE, lambda _: True, new_key)
        answer, at_node = server.receive(read_hello(client.begin())[1])
        self.ends = (End(client.receive(answer)), End(at_node))

    @rule(side=st.integers(0, 1), message=st.binary(max_size=100_000))
    def say(self, side: int, message: bytes) -> None:
        sender, receiver = self.ends[side], self.ends[1 - side]
        sender.said.append(message)
        frames = list(sender.channel.seal(message))
        receiver.coming += frames
        sender.seen += frames

    @rule(side=st.integers(0, 1))
    def deliver(self, side: int) -> None:
        end = self.ends[side]
        if end.coming:
            self._give(end, end.coming.pop(0))

    @rule(side=st.integers(0, 1))
    def deliver_all(self, side: int) -> None:
        while self.ends[side].coming:
            self.deliver(side)

    @precondition(lambda self: any(end.coming for end in self.ends))
    @rule(data=st.data())
    def harm(self, data: st.DataObject) -> None:
        end = data.draw(st.sampled_from([end for end in self.ends if end.coming]))
        place = data.draw(st.integers(0, len(end.coming) - 1))
        frame = end.coming[place]
        what = data.draw(st.sampled_from(["lose", "repeat", "move", "flip", "cut", "back", "junk"]))
        if what == "lose":
            del end.coming[place]
        elif what == "repeat":
            end.coming.insert(place, frame)
        elif what == "move":
            end.coming.insert(0, end.coming.pop(place))
        elif what == "flip":
            bit = data.draw(st.integers(0, 8 * len(frame) - 1))
            changed = bytearray(frame)
            changed[bit // 8] ^= 1 << bit % 8
            end.coming[place] = bytes(changed)
        elif what == "cut":
            end.coming[place] = frame[: data.draw(st.integers(0, len(frame) - 1))]
        elif what == "junk":
            end.coming.insert(place, data.draw(st.binary(max_size=200)))
        else:
            other = self.ends[1 - self.ends.index(end)]
            other.coming.insert(0, frame)

    def _give(self, end: End, frame: bytes) -> None:
        try:
            message = end.channel.open(frame)
        except IntegrityError:
            end.dead = True
            return
        assert not end.dead, "a channel that failed took something"
        if message is not None:
            end.heard.append(message)
        other = self.ends[1 - self.ends.index(end)]
        assert end.heard == other.said[: len(end.heard)]

    def teardown(self) -> None:
        if hasattr(self, "ends"):
            for side in (0, 1):
                self.deliver_all(side)


TestMiddle = Middle.TestCase
TestMiddle.settings = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=1200))
def test_any_bytes_raise_documented_errors_only(junk: bytes) -> None:
    for call in (
        lambda: read_hello(junk),
        lambda: SessionServer(NODE, lambda _: True, new_key).receive(junk),
        lambda: SessionClient(DEVICE, public_key(NODE), new_key).receive(junk),
    ):
        try:
            call()
        except (AccessDenied, IntegrityError):
            continue


@settings(max_examples=25, deadline=None)
@given(st.one_of(st.binary(max_size=40), st.binary(min_size=32, max_size=32).map(b"A".__add__)))
def test_any_first_message_of_a_pairing_raises_documented_errors_only(junk: bytes) -> None:
    node = PairingServer("AAAAAAAA", NODE, new_key, os.urandom)
    try:
        node.begin(junk)
        node.receive(junk)
    except (AccessDenied, FormatError):
        return
