"""Stripes open only in their place, whole, under their key and in their block."""

import pytest

from bitdust.errors import IntegrityError, InvalidInput
from bitdust.storage import MAX_PAYLOAD, BlockKind, StripeCipher, seal_block, unwrap_key, wrap_key
from bitdust.storage.formats.seal import MIN_STRIPE_PLAIN, STRIPE_PLAIN, stripe_count

KEY = bytes(range(32))
BLOCK = bytes(range(16))
STEP = MIN_STRIPE_PLAIN
PAYLOAD = bytes(number * 7 % 251 for number in range(3 * STEP + 5))


def cipher(**changes: object) -> StripeCipher:
    arguments: dict[str, object] = {
        "block_id": BLOCK,
        "key": KEY,
        "size": len(PAYLOAD),
        "kind": BlockKind.DATA,
        "stripe_plain": STEP,
    }
    return StripeCipher(**(arguments | changes))  # type: ignore[arg-type]


def sealed() -> list[bytes]:
    return [bytes(stripe) for stripe in seal_block(BLOCK, KEY, [PAYLOAD], stripe_plain=STEP)]


def test_stripes_open_in_any_order() -> None:
    stripes = sealed()
    assert len(stripes) == 4
    opened = {index: cipher().open(index, stripes[index]) for index in (2, 0, 3, 1)}
    assert b"".join(opened[index] for index in range(4)) == PAYLOAD


def test_payload_in_parts_gives_the_same_stripes() -> None:
    parts = [PAYLOAD[:10], b"", bytearray(PAYLOAD[10:2000]), memoryview(PAYLOAD)[2000:]]
    found = [bytes(stripe) for stripe in seal_block(BLOCK, KEY, parts, stripe_plain=STEP)]
    assert found == sealed()


@pytest.mark.parametrize("size", [0, 1, STEP - 1, STEP, STEP + 1, 2 * STEP])
def test_sizes_around_the_stripe(size: int) -> None:
    payload = PAYLOAD[:size]
    stripes = list(seal_block(BLOCK, KEY, [payload], stripe_plain=STEP))
    assert len(stripes) == stripe_count(size, STEP) == max(1, -(-size // STEP))
    one = cipher(size=size)
    assert b"".join(one.open(at, stripe) for at, stripe in enumerate(stripes)) == payload


def test_reordered_stripes_are_noticed() -> None:
    stripes = sealed()
    for index, other in ((0, 1), (1, 2), (2, 0)):
        with pytest.raises(IntegrityError):
            cipher().open(index, stripes[other])


def test_truncation_at_a_stripe_is_noticed() -> None:
    """A payload cut to three whole stripes: the third lacks the mark of the last one."""
    with pytest.raises(IntegrityError):
        cipher(size=3 * STEP).open(2, sealed()[2])


@pytest.mark.parametrize(
    "changes",
    [
        {"block_id": bytes(16)},
        {"key": bytes(32)},
        {"kind": BlockKind.JOURNAL},
        {"size": len(PAYLOAD) + 1},
    ],
)
def test_stripes_of_another_block_are_noticed(changes: dict[str, object]) -> None:
    with pytest.raises(IntegrityError):
        cipher(**changes).open(0, sealed()[0])


def test_every_flipped_byte_is_noticed() -> None:
    stripe = sealed()[3]
    for at in range(len(stripe)):
        bad = bytearray(stripe)
        bad[at] ^= 0x40
        with pytest.raises(IntegrityError):
            cipher().open(3, bad)


@pytest.mark.parametrize("bad", [b"", b"x" * 15, b"x" * 16])
def test_short_stripes_are_noticed(bad: bytes) -> None:
    with pytest.raises(IntegrityError):
        cipher().open(0, bad)


def test_equal_payloads_under_different_keys_share_no_bytes() -> None:
    a = next(seal_block(BLOCK, KEY, [bytes(1000)]))
    b = next(seal_block(BLOCK, bytes(32), [bytes(1000)]))
    assert sum(x == y for x, y in zip(a, b, strict=True)) < 50


@pytest.mark.parametrize(
    "changes",
    [
        {"block_id": b"short"},
        {"key": bytes(16)},
        {"size": MAX_PAYLOAD + 1},
        {"size": -1},
        {"stripe_plain": STEP - 1},
        {"stripe_plain": 1 << 30},
    ],
)
def test_arguments_out_of_bounds_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        cipher(**changes)


def test_stripe_of_wrong_length_is_not_sealed() -> None:
    with pytest.raises(InvalidInput):
        cipher().seal(0, b"short")
    with pytest.raises(InvalidInput):
        cipher().seal(4, b"")


def test_wrapped_key() -> None:
    kek = b"k" * 32
    wrapped = wrap_key(kek, KEY)
    assert len(wrapped) == 40
    assert unwrap_key(kek, wrapped) == KEY
    for bad_kek, bad in ((bytes(32), wrapped), (kek, wrapped[:-1] + b"?"), (kek, b""), (kek, b"x")):
        with pytest.raises(IntegrityError):
            unwrap_key(bad_kek, bad)
    with pytest.raises(IntegrityError):
        unwrap_key(kek, wrap_key(kek, KEY[:16]))


def test_full_stripes_are_one_mebibyte() -> None:
    assert STRIPE_PLAIN + 16 == 1024 * 1024
