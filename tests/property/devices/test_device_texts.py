"""Texts and messages from elsewhere: read as they were written, or refused as documented."""

from __future__ import annotations

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.devices.pairing import (
    MAX_URLS,
    check_url,
    clean_code,
    pairing_link,
    read_link,
)
from bitdust.devices.routes import (
    MAX_ROUTED,
    Routed,
    RouteKind,
    check_confirmation,
    confirmation,
    read_registration,
    read_routed,
    registration,
    route_of,
    write_routed,
)
from bitdust.errors import FormatError, InvalidInput

CODES = st.text(string.ascii_letters + string.digits, min_size=6, max_size=32)
HOSTS = st.from_regex(r"[a-z][a-z0-9.-]{0,30}", fullmatch=True)
URLS = st.builds(
    "{}://{}:{}/{}".format,
    st.sampled_from(["ws", "wss"]),
    HOSTS,
    st.integers(1, 65535),
    st.from_regex(r"[a-zA-Z0-9_-]{0,32}", fullmatch=True),
)


@settings(max_examples=60, deadline=None)
@given(CODES, st.lists(URLS, max_size=MAX_URLS))
def test_links_are_read_as_they_were_written(code: str, urls: list[str]) -> None:
    assert read_link(pairing_link(code, urls)) == (clean_code(code), urls)


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=400),
    st.sampled_from(["", "bitdust-pair:", "ws://", "bitdust-pair:AAAAAA?url="]),
)
def test_any_text_is_taken_or_refused(text: str, before: str) -> None:
    for read in (read_link, check_url, clean_code):
        try:
            read(before + text)
        except InvalidInput:
            continue


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RouteKind), st.integers(0, 2**32 - 1), st.binary(max_size=300))
def test_routed_messages_are_read_as_they_were_written(
    kind: RouteKind, client: int, data: bytes
) -> None:
    message = Routed(kind, client, data if kind is RouteKind.DATA else b"")
    assert read_routed(write_routed(message)) == message


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_any_routed_bytes_are_taken_or_refused(raw: bytes) -> None:
    for read in (read_routed, read_registration):
        try:
            read(raw)
        except FormatError:
            continue


def test_bounds_and_names_of_routes() -> None:
    one, other = bytes(32), bytes(31) + b"\1"
    assert route_of(one) != route_of(other)
    assert read_registration(registration(one)) == one
    check_confirmation(confirmation(route_of(one)), route_of(one))
    for bad in (confirmation(route_of(other)), b"", bytes(MAX_ROUTED + 1)):
        try:
            check_confirmation(bad, route_of(one))
        except FormatError:
            continue
        raise AssertionError(bad[:20])
    try:
        read_routed(b"\2" + bytes(MAX_ROUTED))
    except FormatError:
        return
    raise AssertionError("too long a message was taken")
