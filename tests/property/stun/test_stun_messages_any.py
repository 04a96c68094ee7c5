"""STUN messages: what is written is read, and foreign bytes raise only FormatError."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.errors import FormatError
from bitdust.stun import binding_answer, binding_request, read_answer, read_request

transactions = st.binary(min_size=12, max_size=12)
hosts = st.ip_addresses().map(str)
ports = st.integers(0, 65535)


@settings(deadline=None)
@given(transactions, hosts, ports)
def test_round_trip(transaction: bytes, host: str, port: int) -> None:
    assert read_request(binding_request(transaction)) == transaction
    message = binding_answer(transaction, (host, port))
    assert read_answer(message) == (transaction, (host, port))


@settings(deadline=None, max_examples=200)
@given(
    st.one_of(
        st.binary(max_size=700),
        st.builds(
            lambda body, t: (
                b"\x01\x01" + len(body).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + t + body
            ),
            st.binary(max_size=80),
            transactions,
        ),
    )
)
def test_foreign_bytes(data: bytes) -> None:
    for read in (read_request, read_answer):
        with contextlib.suppress(FormatError):
            read(data)


@settings(deadline=None)
@given(transactions, hosts, ports, st.integers(0, 31), st.integers(1, 255))
def test_a_damaged_answer_is_another_or_none(
    transaction: bytes, host: str, port: int, at: int, flip: int
) -> None:
    message = bytearray(binding_answer(transaction, (host, port)))
    message[at % len(message)] ^= flip
    with contextlib.suppress(FormatError):
        assert read_answer(bytes(message)) != (transaction, (host, port)) or at in (24, 25)
