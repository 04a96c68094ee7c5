"""Only who holds a fragment can answer a challenge."""

from collections.abc import Callable

import pytest
from blake3 import blake3

from bitdust.errors import IntegrityError, InvalidInput
from bitdust.proofs import SPAN, SPANS
from bitdust.storage import answer, check_answer, make_challenges, spans

DATA = blake3(b"fragment").digest(300_000)


def tokens() -> Callable[[int], bytes]:
    counter = iter(range(1000))
    return lambda size: blake3(b"token %d" % next(counter)).digest(size)


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, length: data[offset : offset + length]


@pytest.mark.parametrize("size", [0, 1, SPAN, SPAN * SPANS, SPAN * SPANS + 1, 300_000])
def test_holder_answers(size: int) -> None:
    data = DATA[:size]
    challenges = make_challenges([data[:1000], memoryview(data)[1000:]], 3, tokens())
    assert len({key for key, _ in challenges}) == 3
    for key, expected in challenges:
        assert check_answer(expected, answer(key, size, reader(data)))


def test_other_bytes_or_keys_do_not_answer() -> None:
    [(key, expected)] = make_challenges([DATA], 1, tokens())
    assert not check_answer(expected, answer(key, len(DATA), reader(bytes(len(DATA)))))
    assert not check_answer(expected, answer(bytes(32), len(DATA), reader(DATA)))
    assert not check_answer(expected, answer(key, len(DATA) - 1, reader(DATA)))
    assert not check_answer(expected, b"")


def test_small_fragment_is_hashed_whole() -> None:
    data = DATA[: SPAN * SPANS]
    [(key, expected)] = make_challenges([data], 1, tokens())
    for at in range(0, len(data), 997):
        bad = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert not check_answer(expected, answer(key, len(bad), reader(bad)))


def test_supplier_that_lost_a_third_is_caught_by_most_challenges() -> None:
    bad = DATA[:200_000] + bytes(100_000)
    challenges = make_challenges([DATA], 20, tokens())
    passed = [key for key, right in challenges if answer(key, len(bad), reader(bad)) == right]
    assert not passed


def test_places_are_within_the_fragment_and_differ_by_key() -> None:
    for size in (SPAN * SPANS + 1, 300_000):
        places = spans(b"k" * 32, size)
        assert len(places) == SPANS
        assert all(0 <= offset <= size - length and length == SPAN for offset, length in places)
    assert spans(b"k" * 32, 300_000) != spans(b"j" * 32, 300_000)


def test_shortened_fragment_is_noticed() -> None:
    with pytest.raises(IntegrityError):
        answer(bytes(32), len(DATA), reader(DATA[:1000]))


def test_bounds() -> None:
    with pytest.raises(InvalidInput):
        make_challenges([DATA], 65, tokens())
    with pytest.raises(InvalidInput):
        spans(b"short", 10)
    with pytest.raises(InvalidInput):
        spans(bytes(32), -1)
    assert make_challenges([DATA], 0, tokens()) == []
