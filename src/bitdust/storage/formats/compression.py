"""Zstandard compression of chunks, with a cheap look first at whether it is worth it."""

from __future__ import annotations

import sys
from typing import Final

from bitdust.errors import FormatError

if sys.version_info >= (3, 14):
    from compression.zstd import (
        DecompressionParameter,
        ZstdCompressor,
        ZstdDecompressor,
        ZstdError,
    )
else:
    from backports.zstd import (
        DecompressionParameter,
        ZstdCompressor,
        ZstdDecompressor,
        ZstdError,
    )

Buffer = bytes | bytearray | memoryview

LEVEL: Final = 3
# Smaller data is compressed without looking first.
SAMPLE_FROM: Final = 64 * 1024
SAMPLE_SIZE: Final = 4096
SAMPLES: Final = 8
# Worth it when at least one part in 32 is saved: less does not pay for the time to unpack.
WORTH_NUMERATOR: Final = 31
WORTH_DENOMINATOR: Final = 32
# Frames larger than any chunk of ours need no larger window; bounds the memory for hostile ones.
MAX_WINDOW_LOG: Final = 23
MAX_PLAIN_SIZE: Final = 16 * 1024 * 1024


class Compressor:
    """Compresses chunks; belongs to one thread."""

    def __init__(self, level: int = LEVEL) -> None:
        self._compressor = ZstdCompressor(level=level)
        self._sampler = ZstdCompressor(level=1)

    def compress(self, data: Buffer) -> tuple[bool, Buffer]:
        """Compress a chunk if that saves enough.

        Returns:
            Whether it is compressed, and the bytes to store; ``data`` itself when it is not.
        """
        if not len(data) or (len(data) >= SAMPLE_FROM and not self._promising(data)):
            return False, data
        packed = self._compressor.compress(data, ZstdCompressor.FLUSH_FRAME)
        if _worth(len(packed), len(data)):
            return True, packed
        return False, data

    def _promising(self, data: Buffer) -> bool:
        """Whether any of a few samples, spread over the chunk, shrinks."""
        view = memoryview(data)
        step = (len(view) - SAMPLE_SIZE) // (SAMPLES - 1)
        for at in range(SAMPLES):
            sample = view[at * step : at * step + SAMPLE_SIZE]
            packed = self._sampler.compress(sample, ZstdCompressor.FLUSH_FRAME)
            if _worth(len(packed), SAMPLE_SIZE):
                return True
        return False


def _worth(packed: int, plain: int) -> bool:
    return packed * WORTH_DENOMINATOR <= plain * WORTH_NUMERATOR


def compress(data: Buffer) -> tuple[bool, Buffer]:
    """Compress one chunk; see ``Compressor.compress``, which is faster for many."""
    return Compressor().compress(data)


def decompress(data: Buffer, plain_size: int) -> bytes:
    """Unpack a chunk into exactly ``plain_size`` bytes.

    Memory stays bounded by ``plain_size`` whatever the frame promises.

    Raises:
        FormatError: no single whole Zstandard frame, or one of another size.
    """
    if not 0 <= plain_size <= MAX_PLAIN_SIZE:
        raise FormatError("a chunk claims to be larger than any chunk can be")
    decompressor = ZstdDecompressor(options={DecompressionParameter.window_log_max: MAX_WINDOW_LOG})
    try:
        plain = decompressor.decompress(data, plain_size)
        # A frame whose last block fills the output exactly may still owe its end mark.
        if not decompressor.eof and len(plain) == plain_size:
            plain += decompressor.decompress(b"", 1)
    except ZstdError as error:
        raise FormatError("a chunk cannot be unpacked") from error
    if len(plain) != plain_size or not decompressor.eof or decompressor.unused_data:
        raise FormatError("a chunk does not unpack to its size")
    return plain
