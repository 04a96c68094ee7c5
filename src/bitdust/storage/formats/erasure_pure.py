"""The erasure code in plain Python, for machines without the native library.

Whole pieces are multiplied through ``bytes.translate`` and added as big integers, so that no Python
code runs per byte. Gives the same bytes as the native engines.
"""

from __future__ import annotations

from collections.abc import Sequence

from bitdust.storage.formats.gf256 import PRODUCTS, parity_rows, recovery_rows


class PureEngine:
    """Encodes and recovers stripes without native code."""

    name = "pure"

    def __init__(self, n: int) -> None:
        self._n = n
        self._rows = parity_rows(n)

    def encode(self, stripe: memoryview, parity: Sequence[memoryview]) -> None:
        """Make the parity pieces of a stripe.

        Args:
            stripe: N data pieces of equal length, one after the other, in writable memory.
            parity: memory for N pieces of that length.
        """
        size = len(stripe) // self._n
        sources = [bytes(stripe[i * size : (i + 1) * size]) for i in range(self._n)]
        for piece, row in zip(parity, self._rows, strict=True):
            piece[:] = _combine(row, sources, size)

    def recover(
        self,
        stripe: memoryview,
        missing: Sequence[int],
        parity: memoryview,
        parities: Sequence[int],
    ) -> None:
        """Fill the missing pieces of ``stripe`` from the others and from parity pieces.

        Args:
            stripe: N data pieces one after the other, those in ``missing`` with any content.
            missing: indexes of the missing data pieces, ascending.
            parity: one piece per index of ``parities``, one after the other.
            parities: as many indexes of parity pieces as there are missing ones.
        """
        size = len(stripe) // self._n
        place = {j: at for at, j in enumerate(missing)}
        sources = [
            bytes(parity[place[j] * size : (place[j] + 1) * size])
            if j in place
            else bytes(stripe[j * size : (j + 1) * size])
            for j in range(self._n)
        ]
        for j, row in zip(missing, recovery_rows(self._n, missing, parities), strict=True):
            stripe[j * size : (j + 1) * size] = _combine(row, sources, size)


def _combine(row: bytes, sources: Sequence[bytes], size: int) -> bytes:
    """The sum of all sources, each times its coefficient."""
    total = 0
    for factor, source in zip(row, sources, strict=True):
        if factor:
            total ^= int.from_bytes(source.translate(PRODUCTS[factor]), "little")
    return total.to_bytes(size, "little")
