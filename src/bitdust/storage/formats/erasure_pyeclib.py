"""The erasure code through pyeclib's own functions, where its ISA-L cannot be called directly.

pyeclib puts a header of 80 bytes before each piece. We strip it when encoding. For decoding we make
it again by encoding zeros of the same length: without check sums a header depends on the number,
length and index of the pieces only, whatever the library's version writes into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from pyeclib.ec_iface import ECDriver, ECDriverError

HEADER_BYTES = 80
MAX_CACHED_HEADERS = 32


class PyeclibUnavailable(Exception):
    """The library lacks the code we need."""


class PyeclibEngine:
    """Encodes and recovers stripes with pyeclib's ``isa_l_rs_cauchy``.

    Never ``isa_l_rs_vand``: at large N some choices of N pieces do not bring the data back.

    Raises:
        PyeclibUnavailable: the library was built without ISA-L.
    """

    name = "pyeclib"

    def __init__(self, n: int) -> None:
        self._n = n
        try:
            self._driver = ECDriver(k=n, m=n, ec_type="isa_l_rs_cauchy")
        except ECDriverError as error:
            raise PyeclibUnavailable(str(error)) from error
        self._headers = lru_cache(maxsize=MAX_CACHED_HEADERS)(self._make_headers)

    def _make_headers(self, size: int) -> tuple[bytes, ...]:
        pieces = self._driver.encode(bytes(size * self._n))
        return tuple(piece[:HEADER_BYTES] for piece in pieces)

    def encode(self, stripe: memoryview, parity: Sequence[memoryview]) -> None:
        """Make the parity pieces of a stripe; arguments as in ``PureEngine.encode``."""
        pieces = self._driver.encode(bytes(stripe))
        for target, piece in zip(parity, pieces[self._n :], strict=True):
            target[:] = memoryview(piece)[HEADER_BYTES:]

    def recover(
        self,
        stripe: memoryview,
        missing: Sequence[int],
        parity: memoryview,
        parities: Sequence[int],
    ) -> None:
        """Fill the missing pieces of ``stripe``; arguments as in ``PureEngine.recover``."""
        n = self._n
        size = len(stripe) // n
        headers = self._headers(size)
        absent = frozenset(missing)
        pieces = [
            b"".join((headers[j], stripe[j * size : (j + 1) * size]))
            for j in range(n)
            if j not in absent
        ]
        pieces += [
            b"".join((headers[n + i], parity[at * size : (at + 1) * size]))
            for at, i in enumerate(parities)
        ]
        stripe[:] = self._driver.decode(pieces)
