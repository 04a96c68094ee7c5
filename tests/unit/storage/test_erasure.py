"""All engines give the same bytes, and any N of 2N pieces bring a stripe back."""

import sys
from collections.abc import Callable
from itertools import combinations

import pytest
from blake3 import blake3

from bitdust.errors import FormatError, IntegrityError, InvalidInput
from bitdust.storage import (
    SUPPLIER_COUNTS,
    Codec,
    check_suppliers,
    ecc_map,
    fragments_needed,
    parse_ecc_map,
)
from bitdust.storage.formats import erasure as erasure_module
from bitdust.storage.formats import erasure_isal as isal_module
from bitdust.storage.formats.erasure import Engine, choose_engine
from bitdust.storage.formats.erasure_isal import IsalEngine, IsalUnavailable, load_library
from bitdust.storage.formats.erasure_pure import PureEngine
from bitdust.storage.formats.erasure_pyeclib import PyeclibEngine, PyeclibUnavailable
from bitdust.storage.formats.gf256 import inverse, invert, multiply, parity_rows

ENGINES: list[Callable[[int], Engine]] = [IsalEngine, PyeclibEngine, PureEngine]
LENGTHS = [0, 1, 2, 15, 16, 17, 63, 64, 65, 127, 1000, 1025, 4099, 33_333]


def noise(size: int, seed: bytes = b"stripe") -> bytes:
    return blake3(seed).digest(size) if size else b""


def choice(n: int, seed: int) -> list[int]:
    """N of 2N indexes, without a pattern."""
    weights = blake3(seed.to_bytes(4, "big")).digest(4 * n)
    return sorted(range(2 * n), key=lambda at: weights[2 * at : 2 * at + 2])[:n]


@pytest.mark.parametrize("n", SUPPLIER_COUNTS)
def test_engines_give_the_same_pieces(n: int) -> None:
    codecs = [Codec(n, engine(n)) for engine in ENGINES]
    for length in LENGTHS:
        stripe = noise(length)
        first, *others = [[bytes(piece) for piece in codec.encode(stripe)] for codec in codecs]
        assert all(other == first for other in others)
        assert len(first) == 2 * n
        assert {len(piece) for piece in first} == {-(-length // n)}
        assert b"".join(first[:n])[:length] == stripe


@pytest.mark.parametrize("n", SUPPLIER_COUNTS)
def test_parity_is_the_cauchy_matrix_of_the_specification(n: int) -> None:
    stripe = noise(n)
    pieces = Codec(n).encode(stripe)
    for i in range(n):
        expected = 0
        for j in range(n):
            expected ^= multiply(inverse((n + i) ^ j), stripe[j])
        assert pieces[n + i][0] == expected


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n", SUPPLIER_COUNTS)
def test_any_choice_brings_the_stripe_back(n: int, engine: Callable[[int], Engine]) -> None:
    codec = Codec(n, engine(n))
    for length in (1, n, 1000, 1025):
        stripe = noise(length)
        pieces = codec.encode(stripe)
        choices = [choice(n, seed) for seed in range(4)]
        choices += [list(range(n)), list(range(n, 2 * n)), list(range(0, 2 * n, 2))]
        for chosen in choices:
            assert codec.decode({i: pieces[i] for i in chosen}, length) == stripe


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n", [2, 4])
def test_every_choice_brings_the_stripe_back(n: int, engine: Callable[[int], Engine]) -> None:
    codec = Codec(n, engine(n))
    stripe = noise(61)
    pieces = codec.encode(stripe)
    for chosen in combinations(range(2 * n), n):
        assert codec.decode({i: pieces[i] for i in chosen}, 61) == stripe


@pytest.mark.parametrize("n", SUPPLIER_COUNTS)
def test_any_half_of_the_fragments_is_enough(n: int) -> None:
    codec = Codec.shared(n)
    stripe = noise(777)
    pieces = codec.encode(stripe)
    need = fragments_needed(n)
    for start in range(0, n, max(1, n // 5)):
        holders = [(start + step) % n for step in range(need)]
        chosen = {i: pieces[i] for i in holders} | {n + i: pieces[n + i] for i in holders}
        assert codec.decode(chosen, 777) == stripe


def test_no_work_is_done_when_all_data_is_there() -> None:
    class Idle:
        name = "idle"

        def encode(self, stripe: memoryview, parity: object) -> None:
            raise AssertionError("nothing to encode")

        def recover(self, *arguments: object) -> None:
            raise AssertionError("nothing to recover")

    stripe = noise(100)
    pieces = Codec(4).encode(stripe)
    assert Codec(4, Idle()).decode(dict(enumerate(pieces)), 100) == stripe


def test_too_few_or_wrong_pieces_are_noticed() -> None:
    codec = Codec(4)
    pieces: dict[int, bytes | memoryview] = dict(enumerate(codec.encode(noise(101))))
    for bad in (
        {},
        {i: pieces[i] for i in (0, 1, 2)},
        {i: pieces[i] for i in (5, 6, 7)},
        {i: pieces[i] for i in (0, 1, 2)} | {3: b"short"},
        {i: pieces[i] for i in (0, 1, 2)} | {8: pieces[7]},
        {i: pieces[i] for i in (0, 1, 2)} | {-1: pieces[7]},
    ):
        with pytest.raises(IntegrityError):
            codec.decode(bad, 101)


def test_filling_that_is_not_zero_is_noticed() -> None:
    codec = Codec(4)
    pieces = [bytearray(piece) for piece in codec.encode(noise(101))]
    pieces[3][-1] ^= 1
    with pytest.raises(IntegrityError):
        codec.decode(dict(enumerate(pieces[:4])), 101)


def test_memory_of_the_wrong_size_is_refused() -> None:
    codec = Codec(2)
    memory = memoryview(bytearray(8))
    for stripe, parity in (
        (memory[:7], [memory[:3], memory[3:6]]),
        (memory, [memory[:4]]),
        (memory, [memory[:4], memory[:3]]),
    ):
        with pytest.raises(InvalidInput):
            codec.encode_into(stripe, parity)
    with pytest.raises(InvalidInput):
        codec.decode_into({0: b"ab", 1: b"cd"}, 4, memory)
    with pytest.raises(InvalidInput):
        codec.encode(bytes(5 * 1024 * 1024))


@pytest.mark.parametrize("n", [-1, 0, 1, 3, 5, 63, 65, 128, 256])
def test_other_numbers_of_suppliers_are_refused(n: int) -> None:
    with pytest.raises(InvalidInput):
        check_suppliers(n)
    with pytest.raises(InvalidInput):
        Codec(n)


def test_names_of_codes() -> None:
    assert ecc_map(4) == "ecc/4x4"
    assert [parse_ecc_map(ecc_map(n)) for n in SUPPLIER_COUNTS] == list(SUPPLIER_COUNTS)
    for bad in ("", "ecc/4x2", "ecc/5x5", "ecc/04x04", "ecc/4x4 ", "4x4"):
        with pytest.raises(FormatError):
            parse_ecc_map(bad)


def test_fragments_needed() -> None:
    assert [fragments_needed(n) for n in SUPPLIER_COUNTS] == [1, 2, 4, 7, 9, 13, 32]


def test_engine_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_engine(4).name == "isal"

    def unavailable(n: int) -> Engine:
        raise IsalUnavailable("not here")

    monkeypatch.setattr(erasure_module, "IsalEngine", unavailable)
    assert choose_engine(4).name == "pyeclib"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "bitdust.storage.formats.erasure_pyeclib", None)
        assert choose_engine(4).name == "pure"

    def no_isal(n: int) -> Engine:
        raise PyeclibUnavailable("built without")

    monkeypatch.setattr("bitdust.storage.formats.erasure_pyeclib.PyeclibEngine", no_isal)
    assert choose_engine(4).name == "pure"


def test_library_that_computes_something_else_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load_library.cache_clear()
    monkeypatch.setattr(isal_module, "_computes_right", lambda library: False)
    try:
        with pytest.raises(IsalUnavailable):
            IsalEngine(4)
    finally:
        load_library.cache_clear()


def test_no_library_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    load_library.cache_clear()
    monkeypatch.setattr(isal_module, "_candidates", lambda: ["/nonexistent/libisal.so"])
    try:
        with pytest.raises(IsalUnavailable):
            load_library()
    finally:
        load_library.cache_clear()


def test_field() -> None:
    for a in range(1, 256):
        assert multiply(a, inverse(a)) == 1
    assert multiply(2, 0x80) == 0x1D
    assert multiply(0, 7) == multiply(7, 0) == 0
    for a, b, c in ((3, 7, 200), (255, 254, 1), (90, 17, 33)):
        assert multiply(a, b) == multiply(b, a)
        assert multiply(a, b ^ c) == multiply(a, b) ^ multiply(a, c)
    with pytest.raises(ZeroDivisionError):
        inverse(0)


def test_inverse_matrix() -> None:
    matrix = parity_rows(13)
    solved = invert(matrix)
    for i in range(13):
        for j in range(13):
            total = 0
            for k in range(13):
                total ^= multiply(matrix[i][k], solved[k][j])
            assert total == (i == j)
    assert invert([b"\0\1", b"\1\0"]) == (b"\0\1", b"\1\0")
    with pytest.raises(ZeroDivisionError):
        invert([b"\1\1", b"\1\1"])
