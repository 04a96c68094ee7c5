"""Fragments describe themselves, come back from any half, and show every damage."""

from itertools import combinations

import pytest
from blake3 import blake3

from bitdust.errors import FormatError, IntegrityError, InvalidInput
from bitdust.storage import (
    HEADER_SIZE,
    MAX_CHUNK,
    MAX_PAYLOAD,
    SUPPLIER_COUNTS,
    BlockKind,
    BlockReader,
    BlockSpace,
    Fragment,
    FragmentHeader,
    Layout,
    build_fragments,
    find_damaged,
    fragments_needed,
    parse_header,
    read_block,
    rebuild_fragment,
    wrap_key,
)
from bitdust.storage.formats.seal import MIN_STRIPE_PLAIN, STRIPE_PLAIN

KEY = bytes(range(32))
KEK = b"k" * 32
BLOCK = bytes(range(16))
STEP = MIN_STRIPE_PLAIN
PAYLOAD = blake3(b"payload").digest(3 * STEP + 77)


def build(
    n: int, payload: bytes = PAYLOAD, block_id: bytes = BLOCK, stripe_plain: int = STEP
) -> list[Fragment]:
    return build_fragments(
        block_id, KEY, wrap_key(KEK, KEY), n, [payload], stripe_plain=stripe_plain
    )


def stored(fragments: list[Fragment]) -> dict[int, bytes]:
    return {fragment.index: fragment.to_bytes() for fragment in fragments}


def flip(data: bytes, at: int, bits: int = 0x10) -> bytes:
    bad = bytearray(data)
    bad[at] ^= bits
    return bytes(bad)


@pytest.mark.parametrize("n", SUPPLIER_COUNTS)
def test_any_half_brings_the_block_back(n: int) -> None:
    fragments = build(n)
    whole = stored(fragments)
    need = fragments_needed(n)
    assert [fragment.index for fragment in fragments] == list(range(n))
    for start in range(0, n, max(1, n // 4)):
        some = {(start + step) % n: whole[(start + step) % n] for step in range(need)}
        content = read_block(some, KEK)
        assert content.payload == PAYLOAD
        assert content.damaged == frozenset()
        some.popitem()
        with pytest.raises(IntegrityError):
            read_block(some, KEK)


@pytest.mark.parametrize("n", [2, 4, 7])
@pytest.mark.parametrize("size", [0, 1, 16, STEP - 1, STEP, STEP + 1, 2 * STEP, 3 * STEP])
def test_sizes_around_the_stripe(n: int, size: int) -> None:
    payload = PAYLOAD[:size]
    whole = stored(build(n, payload))
    layout = Layout(n, size, STEP)
    for index, data in whole.items():
        header = parse_header(data)
        assert (header.index, header.layout, header.block_id) == (index, layout, BLOCK)
        assert header.kind is BlockKind.DATA
        assert len(data) == layout.fragment_size
    for chosen in combinations(range(n), fragments_needed(n)):
        assert read_block({i: whole[i] for i in chosen}, KEK).payload == payload


@pytest.mark.parametrize("size", [0, 1, STRIPE_PLAIN, STRIPE_PLAIN + 1])
def test_full_size_stripes(size: int) -> None:
    payload = blake3(b"big").digest(size) if size else b""
    whole = stored(build(4, payload, stripe_plain=STRIPE_PLAIN))
    assert read_block({1: whole[1], 2: whole[2]}, KEK).payload == payload


def test_digest_and_size_are_those_of_the_bytes() -> None:
    for fragment in build(7):
        data = b"".join(fragment.buffers)
        assert data == fragment.to_bytes()
        assert len(data) == fragment.size == fragment.header.layout.fragment_size
        assert blake3(data).digest() == fragment.digest


def test_space_is_used_again_for_other_blocks() -> None:
    space = BlockSpace(MAX_CHUNK, STEP)
    for n, payload in ((7, PAYLOAD), (2, PAYLOAD[:100]), (64, PAYLOAD * 2), (7, PAYLOAD)):
        space.payload[: len(payload)] = payload
        fragments = build_fragments(
            BLOCK,
            KEY,
            wrap_key(KEK, KEY),
            n,
            [space.payload[: len(payload)]],
            space=space,
            stripe_plain=STEP,
        )
        assert stored(fragments) == stored(build(n, payload))


def test_largest_block_fits_its_space() -> None:
    space = BlockSpace()
    for n in (64, 26):
        fragments = build_fragments(BLOCK, KEY, wrap_key(KEK, KEY), n, [space.payload], space=space)
        assert len(space.payload) == MAX_PAYLOAD
        assert sum(fragment.size for fragment in fragments) <= len(space.fragments)


def test_space_too_small_is_refused() -> None:
    space = BlockSpace(MAX_CHUNK)
    with pytest.raises(InvalidInput):
        build_fragments(BLOCK, KEY, wrap_key(KEK, KEY), 4, [bytes(2 * MAX_CHUNK)], space=space)


def test_payload_in_parts() -> None:
    parts = [PAYLOAD[:5], bytearray(PAYLOAD[5:1500]), memoryview(PAYLOAD)[1500:]]
    fragments = build_fragments(
        BLOCK, KEY, wrap_key(KEK, KEY), 4, parts, stripe_plain=STEP, kind=BlockKind.JOURNAL
    )
    content = read_block(stored(fragments), KEK)
    assert content.payload == PAYLOAD
    assert content.header.kind is BlockKind.JOURNAL


def test_stripe_ranges_are_where_the_stripes_are() -> None:
    n = 7
    whole = stored(build(n))
    layout = Layout(n, len(PAYLOAD), STEP)
    at = HEADER_SIZE
    for stripe in range(layout.stripes):
        assert layout.stripe_range(stripe) == (at, 2 * layout.piece_size(stripe))
        at += 2 * layout.piece_size(stripe)
    assert at == layout.fragment_size
    reader = BlockReader(BLOCK, layout, KEY)
    for first in range(layout.stripes):
        for last in range(first, layout.stripes):
            stripes = range(first, last + 1)
            offset, length = layout.stripes_range(stripes)
            parts = {i: whole[i][offset : offset + length] for i in (6, 2, 1, 4)}
            start, end = layout.plain_range(first)[0], layout.plain_range(last)[1]
            assert reader.open_stripes(stripes, parts) == PAYLOAD[start:end]


def test_payload_ranges_map_to_stripes() -> None:
    layout = Layout(4, 3 * STEP + 77, STEP)
    assert layout.stripes == 4
    assert layout.stripes_of(0, 1) == range(1)
    assert layout.stripes_of(STEP - 1, 2) == range(2)
    assert layout.stripes_of(STEP, STEP) == range(1, 2)
    assert layout.stripes_of(0, layout.size) == range(4)
    assert layout.stripes_of(5, 0) == range(0)
    for offset, length in ((-1, 2), (0, layout.size + 1), (layout.size, 1), (0, -1)):
        with pytest.raises(InvalidInput):
            layout.stripes_of(offset, length)
    for bad in (range(0), range(0, 4, 2), range(5)):
        with pytest.raises(InvalidInput):
            layout.stripes_range(bad)
    for arguments in ((3, 10), (4, -1), (4, MAX_PAYLOAD + 1), (4, 10, STEP - 1)):
        with pytest.raises(InvalidInput):
            Layout(*arguments)


# --- damage -------------------------------------------------------------------------------------


def test_every_flipped_byte_of_a_lone_fragment_is_noticed() -> None:
    data = stored(build(2, PAYLOAD[: STEP + 30]))[0]
    for at in range(len(data)):
        with pytest.raises(IntegrityError):
            read_block({0: flip(data, at)}, KEK)


def test_every_flipped_byte_is_survived_when_others_are_there() -> None:
    payload = PAYLOAD[: STEP + 31]
    fragments = build(4, payload)
    whole = stored(fragments)
    digests = {fragment.index: fragment.digest for fragment in fragments}
    for at in range(len(whole[1])):
        bad = whole | {1: flip(whole[1], at)}
        assert read_block(bad, KEK).payload == payload
        assert find_damaged(bad, KEK) == {1}
        content = read_block(bad, KEK, digests=digests)
        assert content.payload == payload
        assert content.damaged == {1}


def test_truncated_extended_and_foreign_fragments_are_left_out() -> None:
    whole = stored(build(4))
    foreign = stored(build(4, block_id=b"other block id!!"))
    for bad in (b"", whole[1][:100], whole[1][:-1], whole[1] + b"\0", whole[2], foreign[1]):
        content = read_block(whole | {1: bad}, KEK)
        assert content.payload == PAYLOAD
        assert content.damaged == {1}
        with pytest.raises(IntegrityError):
            read_block({0: whole[0], 1: bad}, KEK)


def test_block_asked_for_is_the_one_given() -> None:
    foreign = stored(build(4, block_id=b"other block id!!"))
    assert read_block(foreign, KEK).payload == PAYLOAD
    with pytest.raises(IntegrityError):
        read_block(foreign, KEK, block_id=BLOCK)
    whole = stored(build(4))
    mixed = {0: whole[0], 1: foreign[1], 2: foreign[2], 3: foreign[3]}
    with pytest.raises(IntegrityError):
        read_block(mixed, KEK, block_id=BLOCK)
    assert read_block(mixed | {1: whole[1]}, KEK, block_id=BLOCK).damaged == {2, 3}


def test_fragment_that_claims_another_number_of_suppliers_is_left_out() -> None:
    """Its forged header says that it alone is enough; the real ones must still be read."""
    whole = stored(build(4))
    header = parse_header(whole[0])
    layout = Layout(2, len(PAYLOAD), STEP)
    forged = FragmentHeader(BLOCK, layout, 0, header.wrapped_key, header.kind).to_bytes()
    forged = forged.ljust(layout.fragment_size, b"?")
    content = read_block({0: forged, 1: whole[1], 3: whole[3]}, KEK, block_id=BLOCK)
    assert content.payload == PAYLOAD
    assert content.damaged == {0}


def test_wrong_key_is_noticed() -> None:
    with pytest.raises(IntegrityError):
        read_block(stored(build(4)), bytes(32))


def test_fragments_of_one_stripe_from_an_older_block_are_noticed() -> None:
    """Same header, other content: a key must never be used twice, but a peer may try."""
    whole = stored(build(4))
    older = stored(build(4, bytes(len(PAYLOAD))))
    assert find_damaged(whole | {2: older[2]}, KEK) == {2}


@pytest.mark.parametrize(("n", "bad"), [(7, (0, 1)), (13, (0, 3, 5)), (64, (0, 1, 2, 30, 31))])
def test_several_damaged_fragments_are_found_and_named(n: int, bad: tuple[int, ...]) -> None:
    whole = stored(build(n))
    for at in bad:
        whole[at] = flip(whole[at], HEADER_SIZE + 1)
    content = read_block(whole, KEK)
    assert content.payload == PAYLOAD
    assert content.damaged == set(bad)


def test_fragments_damaged_in_different_stripes_still_give_the_block() -> None:
    """Three of four fragments are damaged, but never more than two in one stripe."""
    whole = stored(build(4))
    layout = Layout(4, len(PAYLOAD), STEP)
    for index, stripe in ((0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (0, 2)):
        whole[index] = flip(whole[index], layout.stripe_range(stripe)[0] + 2)
    content = read_block(whole, KEK)
    assert content.payload == PAYLOAD
    assert content.damaged == {0, 1, 2}


def test_too_much_damage_ends_with_an_error() -> None:
    for n in (4, 64):
        whole = stored(build(n))
        for at in range(n - fragments_needed(n) + 1):
            whole[at] = flip(whole[at], HEADER_SIZE + 3)
        with pytest.raises(IntegrityError):
            read_block(whole, KEK)


def test_reader_leaves_out_parts_of_the_wrong_length() -> None:
    whole = stored(build(4))
    layout = Layout(4, len(PAYLOAD), STEP)
    offset, length = layout.stripe_range(1)
    parts = {i: whole[i][offset : offset + length] for i in range(4)}
    reader = BlockReader(BLOCK, layout, KEY)
    parts |= {0: parts[0][:-1], 9: parts[1]}
    assert reader.open_stripes(range(1, 2), parts) == PAYLOAD[STEP : 2 * STEP]
    assert reader.damaged == {0, 9}


def test_payload_goes_where_it_is_wanted() -> None:
    whole = stored(build(4))
    memory = memoryview(bytearray(len(PAYLOAD) + 10))
    content = read_block(whole, KEK, out=memory)
    assert memory[: len(PAYLOAD)] == PAYLOAD
    assert content.payload == PAYLOAD
    with pytest.raises(InvalidInput):
        read_block(whole, KEK, out=memory[:10])
    reader = BlockReader(BLOCK, Layout(4, len(PAYLOAD), STEP), KEY)
    with pytest.raises(InvalidInput):
        reader.open_stripes(range(1), {}, memory[:10])


# --- rebuilding ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", SUPPLIER_COUNTS)
def test_rebuilt_fragment_is_the_lost_one(n: int) -> None:
    fragments = build(n)
    whole = stored(fragments)
    need = fragments_needed(n)
    for lost in {0, n // 2, n - 1}:
        others = {i: data for i, data in whole.items() if i != lost}
        for chosen in (sorted(others)[:need], sorted(others)[-need:]):
            some = {i: others[i] for i in chosen}
            assert rebuild_fragment(some, lost, fragments[lost].digest) == whole[lost]


def test_rebuilding_notices_contradictions() -> None:
    fragments = build(4)
    whole = stored(fragments)
    bad = {0: whole[0], 1: flip(whole[1], HEADER_SIZE + 5), 2: whole[2]}
    with pytest.raises(IntegrityError):
        rebuild_fragment(bad, 3)
    with pytest.raises(IntegrityError):
        rebuild_fragment({0: whole[0], 1: bad[1]}, 3, fragments[3].digest)
    foreign = stored(build(4, block_id=b"other block id!!"))
    for others in (
        {},
        {0: whole[0]},
        {0: whole[0], 3: whole[3]},
        {0: whole[0], 1: whole[2]},
        {0: whole[0], 1: foreign[1]},
        {0: whole[0], 1: whole[1][:-1]},
    ):
        with pytest.raises(IntegrityError):
            rebuild_fragment(others, 3)
    with pytest.raises(InvalidInput):
        rebuild_fragment(whole, 4)


# --- hostile headers ----------------------------------------------------------------------------


def test_header_damage_is_a_format_error() -> None:
    head = stored(build(4))[2][:HEADER_SIZE]
    assert parse_header(head).index == 2
    for at in range(HEADER_SIZE):
        with pytest.raises(FormatError):
            parse_header(flip(head, at, 1))
    for size in (0, 1, 8, 10, HEADER_SIZE - 1):
        with pytest.raises(FormatError):
            parse_header(head[:size])
