"""The storage formats under any sizes, choices and damage."""

import io

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.errors import FormatError, IntegrityError
from bitdust.storage import (
    HEADER_SIZE,
    MAX_CHUNK,
    SUPPLIER_COUNTS,
    BlockKind,
    BlockReader,
    Chunker,
    Codec,
    Compressor,
    FragmentHeader,
    Layout,
    Packer,
    build_fragments,
    compress,
    cut_points,
    decompress,
    fragments_needed,
    parse_header,
    read_block,
    rebuild_fragment,
    wrap_key,
)
from bitdust.storage.formats.erasure_pure import PureEngine
from bitdust.storage.formats.fragment_header import MAGIC
from bitdust.storage.formats.seal import MIN_STRIPE_PLAIN

KEY = bytes(range(32))
KEK = b"k" * 32
BLOCK = bytes(range(16))
STEP = MIN_STRIPE_PLAIN
NOISE = blake3(b"noise").digest(9 * 1024 * 1024)

counts = st.sampled_from(SUPPLIER_COUNTS)
small_counts = st.sampled_from((2, 4, 7, 13))
payloads = st.one_of(
    st.binary(max_size=300),
    st.integers(0, 4 * STEP).map(lambda size: NOISE[:size]),
    st.sampled_from([STEP - 1, STEP, STEP + 1, 2 * STEP, 3 * STEP - 1]).map(
        lambda size: NOISE[7 : 7 + size]
    ),
)


def fragments_of(n: int, payload: bytes) -> dict[int, bytes]:
    built = build_fragments(BLOCK, KEY, wrap_key(KEK, KEY), n, [payload], stripe_plain=STEP)
    return {fragment.index: fragment.to_bytes() for fragment in built}


@settings(max_examples=15, deadline=None)
@given(
    size=st.integers(0, len(NOISE)),
    steps=st.lists(st.integers(1, 3 * 1024 * 1024), min_size=1, max_size=8),
    buffer_size=st.integers(MAX_CHUNK, 3 * MAX_CHUNK),
)
def test_cuts_do_not_depend_on_how_the_file_is_read(
    size: int, steps: list[int], buffer_size: int
) -> None:
    stream = io.BytesIO(NOISE[:size])
    turn = 0

    def readinto(memory: memoryview) -> int:
        nonlocal turn
        turn += 1
        return stream.readinto(memory[: max(20_000, steps[turn % len(steps)])])

    ends = [0]
    for chunk in Chunker(buffer_size).chunks(readinto):
        ends.append(ends[-1] + len(chunk))
    assert ends[1:] == cut_points(NOISE[:size], True)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=2000), st.integers(0, 300_000).map(lambda n: b"ab\n" * n)))
def test_compression_round_trip(data: bytes) -> None:
    compressed, stored = compress(data)
    if compressed:
        assert len(stored) < len(data)
        assert decompress(stored, len(data)) == data
    else:
        assert stored == data


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=500), st.integers(0, 5000))
def test_unpacking_junk_raises_format_errors_only(data: bytes, size: int) -> None:
    try:
        assert len(decompress(data, size)) == size
    except FormatError:
        return


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=200, max_size=2000), st.data())
def test_unpacking_damaged_frames_is_bounded(data: bytes, draw: st.DataObject) -> None:
    frame = bytearray(Compressor().compress(data * 3)[1])
    at = draw.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= draw.draw(st.integers(1, 255))
    try:
        assert len(decompress(frame, 3 * len(data))) == 3 * len(data)
    except FormatError:
        return


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=3000), max_size=40))
def test_packing_keeps_every_chunk(parts: list[bytes]) -> None:
    packer = Packer()
    blocks = [packer.add(blake3(part).digest(), part) for part in parts]
    blocks.append(packer.flush())
    found = [
        bytes(block.payload[entry.offset : entry.offset + entry.stored])
        for block in blocks
        if block is not None
        for entry in block.entries
    ]
    assert found == parts


@settings(max_examples=60, deadline=None)
@given(counts, st.binary(max_size=3000), st.randoms(use_true_random=False))
def test_any_n_of_2n_pieces(n: int, stripe: bytes, chance: object) -> None:
    codec = Codec.shared(n)
    pieces = codec.encode(stripe)
    chosen = chance.sample(range(2 * n), n)  # type: ignore[attr-defined]
    some = {i: pieces[i] for i in chosen}
    assert codec.decode(some, len(stripe)) == stripe
    assert Codec(n, PureEngine(n)).decode(some, len(stripe)) == stripe


@settings(max_examples=60, deadline=None)
@given(counts, payloads, st.data())
def test_any_half_of_the_fragments(n: int, payload: bytes, draw: st.DataObject) -> None:
    whole = fragments_of(n, payload)
    need = fragments_needed(n)
    chosen = draw.draw(st.permutations(range(n)))[:need]
    some = {i: whole[i] for i in chosen}
    assert read_block(some, KEK).payload == payload
    lost = draw.draw(st.integers(0, n - 1))
    if lost not in some:
        assert rebuild_fragment(some, lost) == whole[lost]


@settings(max_examples=120, deadline=None)
@given(small_counts, payloads, st.data())
def test_damage_never_gives_a_wrong_payload(n: int, payload: bytes, draw: st.DataObject) -> None:
    """Any number of fragments with any damage: the payload or an error, never anything else."""
    whole: dict[int, bytes] = {}
    changed: set[int] = set()
    originals = fragments_of(n, payload)
    for i in draw.draw(st.sets(st.integers(0, n - 1), min_size=1)):
        data = bytearray(originals[i])
        for _ in range(draw.draw(st.integers(0, 2))):
            data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
        if draw.draw(st.integers(0, 9)) == 0:
            del data[draw.draw(st.integers(0, len(data))) :]
        whole[i] = bytes(data)
        if whole[i] != originals[i]:
            changed.add(i)
    try:
        content = read_block(whole, KEK, compare=True)
    except IntegrityError:
        assert len(whole) - len(changed) < fragments_needed(n)
        return
    assert content.payload == payload
    assert content.damaged == changed


@settings(max_examples=60, deadline=None)
@given(small_counts, payloads, st.data())
def test_ranges(n: int, payload: bytes, draw: st.DataObject) -> None:
    whole = fragments_of(n, payload)
    layout = Layout(n, len(payload), STEP)
    offset = draw.draw(st.integers(0, len(payload)))
    length = draw.draw(st.integers(0, len(payload) - offset))
    stripes = layout.stripes_of(offset, length)
    if not stripes:
        assert length == 0
        return
    at, size = layout.stripes_range(stripes)
    chosen = draw.draw(st.permutations(range(n)))[: fragments_needed(n)]
    reader = BlockReader(BLOCK, layout, KEY)
    found = reader.open_stripes(stripes, {i: whole[i][at : at + size] for i in chosen})
    skip = offset - layout.plain_range(stripes[0])[0]
    assert found[skip : skip + length] == payload[offset : offset + length]


@settings(deadline=None)
@given(st.binary(max_size=2 * HEADER_SIZE))
def test_junk_headers_raise_format_errors_only(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_header(data)


def forged(description: bytes, length: int | None = None) -> bytes:
    """A header with a right check sum around any description."""
    size = len(description) if length is None else length
    head = (MAGIC + (size & 0xFFFF).to_bytes(2, "big") + description)[: HEADER_SIZE - 16]
    head = head.ljust(HEADER_SIZE - 16, b"\0")
    return head + blake3(head).digest(16)


values = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.binary(max_size=60),
    st.none(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(0, 300), max_size=3),
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["block", "n", "index", "size", "stripe", "stripes", "key", "kind"]), values
    )
)
def test_forged_descriptions_raise_format_errors_only(changes: dict[str, object]) -> None:
    good: dict[str, object] = {
        "block": BLOCK,
        "n": 4,
        "index": 1,
        "size": 5000,
        "stripe": 1008,
        "stripes": 5,
        "key": bytes(40),
        "kind": 1,
    }
    assert parse_header(forged(msgspec.msgpack.encode(good))).layout == Layout(4, 5000, 1008)
    try:
        header = parse_header(forged(msgspec.msgpack.encode(good | changes)))
    except FormatError:
        return
    # What gets through is within all bounds: every computation on it works.
    assert header.to_bytes()
    assert header.layout.fragment_size > HEADER_SIZE


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=HEADER_SIZE - 26), st.none() | st.integers(0, 0xFFFF))
def test_forged_junk_raises_format_errors_only(description: bytes, length: int | None) -> None:
    with pytest.raises(FormatError):
        parse_header(forged(description, length))


@settings(deadline=None)
@given(
    counts,
    st.integers(0, 16 * 1024 * 1024),
    st.integers(MIN_STRIPE_PLAIN, 4 * 1024 * 1024),
    st.sampled_from(BlockKind),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=40, max_size=40),
    st.data(),
)
def test_header_round_trip(
    n: int,
    size: int,
    stripe: int,
    kind: BlockKind,
    block_id: bytes,
    wrapped: bytes,
    draw: st.DataObject,
) -> None:
    index = draw.draw(st.integers(0, n - 1))
    header = FragmentHeader(block_id, Layout(n, size, stripe), index, wrapped, kind)
    assert len(header.to_bytes()) == HEADER_SIZE
    assert parse_header(header.to_bytes()) == header


@pytest.mark.slow
@pytest.mark.parametrize("n", SUPPLIER_COUNTS)
def test_full_blocks_survive_the_loss_of_half_and_damage(n: int) -> None:
    """Blocks of full size; of the fragments left beyond the needed ones, one is damaged."""
    for round_ in range(4):
        payload = blake3(b"full %d %d" % (n, round_)).digest(16 * 1024 * 1024 - round_)
        built = build_fragments(BLOCK, KEY, wrap_key(KEK, KEY), n, [payload])
        whole = {fragment.index: fragment.to_bytes() for fragment in built}
        weights = blake3(b"order %d %d" % (n, round_)).digest(2 * n)
        order = sorted(range(n), key=lambda at: weights[2 * at : 2 * at + 2])
        need = fragments_needed(n)
        assert read_block({i: whole[i] for i in order[:need]}, KEK).payload == payload
        bad = bytearray(whole[order[0]])
        bad[HEADER_SIZE + len(bad) // 2] ^= 1
        some = {i: whole[i] for i in order[: need + 1]} | {order[0]: bytes(bad)}
        content = read_block(some, KEK, compare=True)
        assert content.payload == payload
        assert content.damaged == {order[0]}
        del some[order[0]]
        assert rebuild_fragment(some, order[0], built[order[0]].digest) == whole[order[0]]
