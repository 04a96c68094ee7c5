"""Notes, envelopes and charters from members who mean no good: documented errors only."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.crypto import PrivateKey
from bitdust.errors import BitdustError, FormatError, IntegrityError
from bitdust.sharing.share_chain import FollowedChain, OwnChain
from bitdust.sharing.share_ledger import Happening, ShareLedger
from bitdust.sharing.share_notes import (
    Note,
    Removed,
    Saw,
    note_number,
    note_path,
    pack_signed,
    read_note,
    unpack_signed,
)
from bitdust.sharing.share_secret import ShareSecret, open_epochs, seal_for_all, wrapped_chain
from bitdust.sharing.share_wire import read_invitation
from bitdust.storage import BLOCK_KEK, JOURNAL_ID, unwrap_key, wrap_key
from bitdust.supply import Charter, Permit, ShareMember, verify_charter

KEY, OTHER = PrivateKey.generate(1024), PrivateKey.generate(1024)
SHARE = bytes(range(16))

seen = st.dictionaries(st.binary(min_size=16, max_size=16), st.integers(0, 2**62), max_size=20)
notes = st.one_of(
    st.builds(Saw, st.integers(0, 2**62), seen),
    st.builds(Removed, st.binary(max_size=16_000), seen, st.floats(0, 1e12)),
)


@settings(deadline=None, max_examples=60)
@given(notes, st.integers(0, 2**48 - 1))
def test_notes_come_back(note: Note, number: int) -> None:
    names = note_path(number, note).split("/")
    assert all(len(name) <= 4096 for name in names)
    assert note_number(names[0]) == number
    assert read_note(names) == note


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_what_is_no_note_says_so(names: list[str]) -> None:
    with pytest.raises(FormatError):
        read_note(names)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300), st.booleans())
def test_foreign_bytes_raise_documented_errors(raw: bytes, marked: bool) -> None:
    for read in (unpack_signed, read_invitation, Charter.decode, Permit.decode):
        with pytest.raises(FormatError):
            read(b"BDS1" + raw if marked and read is unpack_signed else raw)


@pytest.fixture
def ledgers(tmp_path: Path) -> tuple[ShareLedger, ShareLedger]:
    return ShareLedger(tmp_path / "one.db"), ShareLedger(tmp_path / "two.db")


def test_a_chain_is_followed_in_any_order(ledgers: tuple[ShareLedger, ShareLedger]) -> None:
    own = OwnChain(SHARE, KEY, ledgers[0])
    segments = [f"segment {number}".encode() for number in range(6)]
    raw = [own.wrap(0, seq, segment) for seq, segment in enumerate(segments)]
    raw += [own.wrap(1, 0, b"base"), own.wrap(1, 1, b"after")]
    node = KEY.public.fingerprint
    for order in ([0, 1, 2, 3, 4, 5], [3, 0, 5, 1, 4, 2], [5, 4, 3, 2, 1, 0]):
        ledgers[1].forget_links(node)
        chain = FollowedChain(SHARE, node, ledgers[1])
        assert {seq: chain.unwrap(0, seq, raw[seq]) for seq in order} == dict(enumerate(segments))
        assert chain.unwrap(1, 0, raw[6]) == b"base"
        assert chain.unwrap(1, 1, raw[7]) == b"after"
    assert ledgers[0].heads() == ledgers[1].heads()
    # the own journal reads back in any order, and goes on
    again = OwnChain(SHARE, KEY, ledgers[1])
    ledgers[1].forget_links(node)
    assert [again.unwrap(0, seq, raw[seq]) for seq in (2, 0, 5, 4, 1, 3)]
    assert FollowedChain(SHARE, node, ledgers[0]).unwrap(0, 6, again.wrap(0, 6, b"more")) == b"more"


def test_what_does_not_fit_is_refused(ledgers: tuple[ShareLedger, ShareLedger]) -> None:
    own = OwnChain(SHARE, KEY, ledgers[0])
    raw = [own.wrap(0, seq, bytes([seq])) for seq in range(4)]
    node = KEY.public.fingerprint

    def follow(*parts: tuple[int, bytes]) -> None:
        ledgers[1].forget_links(node)
        chain = FollowedChain(SHARE, node, ledgers[1])
        for seq, data in parts:
            chain.unwrap(0, seq, data)

    other_past = own.wrap(0, 1, b"another")
    signed = unpack_signed(raw[1])
    bad = [
        ((0, raw[0]), (1, raw[2])),
        ((0, raw[0]), (2, raw[1])),
        ((0, raw[0]), (1, other_past), (2, raw[2])),
        ((0, raw[0]), (2, raw[2]), (1, other_past)),
        ((0, raw[0]), (1, pack_signed(msgspec.structs.replace(signed, segment=b"x")))),
        ((0, raw[0]), (1, pack_signed(msgspec.structs.replace(signed, link=bytes(32))))),
        ((0, raw[0]), (1, pack_signed(msgspec.structs.replace(signed, key=OTHER.public.der)))),
        ((0, raw[0]), (1, pack_signed(msgspec.structs.replace(signed, key=b"nonsense")))),
        ((0, raw[0][:-1]),),
        ((0, b"BDJ1 not signed"),),
    ]
    for parts in bad:
        with pytest.raises(IntegrityError):
            follow(*parts)
    with pytest.raises(IntegrityError):
        FollowedChain(b"x" * 16, node, ledgers[1]).unwrap(0, 0, raw[0])
    with pytest.raises(IntegrityError):
        FollowedChain(SHARE, node, ledgers[1]).wrap(0, 0, b"")
    with pytest.raises(IntegrityError):
        OwnChain(SHARE, OTHER, ledgers[1]).wrap(0, 3, b"what came before is not known")


def charter(epoch: int, sealed: bytes = b"", chain: tuple[bytes, ...] = ()) -> Charter:
    node = KEY.public.fingerprint
    idurl = "http://names.test/alice.xml"
    return Charter(
        share=SHARE,
        key=bytes(32),
        customer=node,
        admin=node,
        admin_key=KEY.public.der,
        admin_idurl=idurl,
        members=(ShareMember(node, idurl, sealed),),
        epoch=epoch,
        chain=chain,
        serial=1,
        timestamp=1,
    )


def test_the_newest_key_opens_all_before_it() -> None:
    node = KEY.public.fingerprint
    assert open_epochs(charter(0), node, KEY) == []
    keys = [bytes([number]) * 32 for number in range(1, 5)]
    sealed = seal_for_all(keys[-1], SHARE, 4, {node: KEY.public})[node]
    made = charter(4, sealed, wrapped_chain(keys)).signed(KEY)
    verify_charter(Charter.decode(made.encode()))
    assert open_epochs(made, node, KEY) == keys
    for wrong in (
        charter(3, sealed, wrapped_chain(keys[:3])),
        charter(4, seal_for_all(b"short", SHARE, 4, {node: KEY.public})[node], made.chain),
        charter(4, seal_for_all(keys[0], SHARE, 4, {node: KEY.public})[node], made.chain),
    ):
        with pytest.raises(BitdustError):
            open_epochs(wrong, node, KEY)
    with pytest.raises(IntegrityError):
        open_epochs(made, b"n" * 32, KEY)


def test_what_is_locked_after_a_change_needs_the_new_key() -> None:
    before = ShareSecret(OTHER, b"w" * 32)
    after = ShareSecret(OTHER, b"w" * 32, [b"1" * 32, b"2" * 32])
    old = wrap_key(before.derive(BLOCK_KEK), b"k" * 32)
    new = wrap_key(after.derive(BLOCK_KEK), b"n" * 32)
    assert unwrap_key(after.derive(BLOCK_KEK), old) == b"k" * 32
    assert unwrap_key(after.derive(BLOCK_KEK), new) == b"n" * 32
    with pytest.raises(IntegrityError):
        unwrap_key(before.derive(BLOCK_KEK), new)
    between = ShareSecret(OTHER, b"w" * 32, [b"1" * 32])
    with pytest.raises(IntegrityError):
        unwrap_key(between.derive(BLOCK_KEK), new)
    assert before.derive(JOURNAL_ID, 16) == after.derive(JOURNAL_ID, 16)
    assert before.derive(JOURNAL_ID, 16) != ShareSecret(OTHER, b"v" * 32).derive(JOURNAL_ID, 16)


def test_a_ledger_keeps_what_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = ShareLedger(path)
    assert path.stat().st_mode & 0o777 == 0o600
    rows = [Happening(float(n), "a@b.c", "uploaded", f"f{n}\udcff", "", f"m{n}") for n in range(5)]
    assert ledger.enter(rows) == 5
    assert ledger.enter(rows) == 0
    assert [row.mark for row in ledger.history(2, 1)] == ["m3", "m2"]
    ledger.set("charter", b"x")
    ledger.close()
    assert ShareLedger(path).get("charter") == b"x"
    path.write_bytes(b"no database " * 500)
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    assert ShareLedger(path).get("charter") == b""
