"""Compression keeps what shrinks, leaves the rest, and is bounded when unpacking."""

import sys

import pytest
from blake3 import blake3

from bitdust.errors import FormatError
from bitdust.storage import Compressor, compress, decompress

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

RANDOM = blake3(b"random").digest(1024 * 1024)
TEXT = b"".join(b"line %d of a text\n" % number for number in range(40_000))


def test_text_is_compressed_and_comes_back() -> None:
    compressed, stored = compress(TEXT)
    assert compressed
    assert len(stored) < len(TEXT) / 3
    assert decompress(stored, len(TEXT)) == TEXT


@pytest.mark.parametrize("data", [b"", b"a", RANDOM, RANDOM[:1000], memoryview(RANDOM)[5:70_000]])
def test_what_does_not_shrink_is_given_back_itself(data: bytes) -> None:
    compressed, stored = compress(data)
    assert not compressed
    assert stored is data


def test_chunk_compressible_in_one_part_only_is_noticed() -> None:
    data = RANDOM[:400_000] + bytes(400_000) + RANDOM[:200_000]
    compressed, stored = compress(data)
    assert compressed
    assert len(stored) < 620_000
    assert decompress(stored, len(data)) == data


def test_compressor_is_used_again() -> None:
    compressor = Compressor()
    for data in (TEXT, RANDOM, TEXT[:50], TEXT):
        compressed, stored = compressor.compress(data)
        assert not compressed or decompress(stored, len(data)) == data


@pytest.mark.parametrize("size", [1, len(TEXT) - 1, len(TEXT) + 1, 0, -1, 1 << 40])
def test_wrong_size_is_noticed(size: int) -> None:
    with pytest.raises(FormatError):
        decompress(compress(TEXT)[1], size)


def test_damaged_frames_are_noticed() -> None:
    stored = bytes(compress(TEXT)[1])
    for bad in (b"", b"junk", stored[:-1], stored[1:], stored + b"x", stored + stored, stored[:3]):
        with pytest.raises(FormatError):
            decompress(bad, len(TEXT))


def test_bomb_does_not_unpack_beyond_its_size() -> None:
    bomb = zstd.compress(bytes(64 * 1024 * 1024))
    assert len(bomb) < 10_000
    with pytest.raises(FormatError):
        decompress(bomb, 1000)


def test_frame_that_wants_a_huge_window_is_refused() -> None:
    options = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    compressor = zstd.ZstdCompressor(options=options)
    # Without a known size the frame keeps the window it was made with.
    frame = compressor.compress(TEXT) + compressor.flush()
    with pytest.raises(FormatError):
        decompress(frame, len(TEXT))


def test_empty_frame_unpacks_to_nothing() -> None:
    assert decompress(zstd.compress(b""), 0) == b""
