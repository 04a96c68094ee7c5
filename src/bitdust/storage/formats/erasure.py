"""N data pieces and N parity pieces for N suppliers: any N of the 2N bring the stripe back.

A stripe of L bytes is filled with zeros to N * P bytes, where P = ceil(L / N) is the piece length;
data piece i is the bytes i*P to (i+1)*P. The parity is defined in ``gf256``. Supplier i keeps data
piece i and parity piece i, so that any ceil(N/2) suppliers are enough. Written ``ecc/NxN``.

The work is done by the first engine that is there: ISA-L called directly, ISA-L through pyeclib,
plain Python. All give the same bytes (docs/spec/storage.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Final, Protocol

from bitdust.errors import FormatError, IntegrityError, InvalidInput
from bitdust.storage.formats.erasure_isal import IsalEngine, IsalUnavailable
from bitdust.storage.formats.erasure_pure import PureEngine

Buffer = bytes | bytearray | memoryview

SUPPLIER_COUNTS: Final = (2, 4, 7, 13, 18, 26, 64)
MAX_STRIPE_BYTES: Final = 4 * 1024 * 1024 + 1024


class Engine(Protocol):
    """What does the arithmetic on whole pieces; see ``PureEngine`` for the arguments."""

    name: str

    def encode(self, stripe: memoryview, parity: Sequence[memoryview]) -> None: ...

    def recover(
        self,
        stripe: memoryview,
        missing: Sequence[int],
        parity: memoryview,
        parities: Sequence[int],
    ) -> None: ...


def check_suppliers(n: int) -> int:
    """Return ``n`` if data can be spread over that many suppliers.

    Raises:
        InvalidInput: it is not 2, 4, 7, 13, 18, 26 or 64.
    """
    if n not in SUPPLIER_COUNTS:
        allowed = ", ".join(map(str, SUPPLIER_COUNTS))
        raise InvalidInput(f"{n} suppliers are not possible", hint=f"choose one of {allowed}")
    return n


def ecc_map(n: int) -> str:
    """The name of the code for ``n`` suppliers, as in ``ecc/4x4``."""
    return f"ecc/{check_suppliers(n)}x{n}"


def parse_ecc_map(text: str) -> int:
    """The number of suppliers in a name such as ``ecc/4x4``.

    Raises:
        FormatError: no such name.
    """
    for n in SUPPLIER_COUNTS:
        if text == f"ecc/{n}x{n}":
            return n
    raise FormatError(f"unknown erasure code {text[:40]!r}")


def fragments_needed(n: int) -> int:
    """How many of N fragments bring a block back: ceil(N/2)."""
    return (n + 1) // 2


def choose_engine(n: int) -> Engine:
    """The fastest engine on this machine."""
    with suppress(IsalUnavailable):
        return IsalEngine(n)
    try:
        from bitdust.storage.formats.erasure_pyeclib import PyeclibEngine, PyeclibUnavailable
    except (ImportError, OSError):
        return PureEngine(n)
    with suppress(PyeclibUnavailable):
        return PyeclibEngine(n)
    return PureEngine(n)


class Codec:
    """Encodes and decodes stripes for one number of suppliers; may be shared by threads.

    Args:
        n: number of suppliers, one of ``SUPPLIER_COUNTS``.
        engine: what does the arithmetic; the fastest one when None.

    Raises:
        InvalidInput: see ``check_suppliers``.
    """

    def __init__(self, n: int, engine: Engine | None = None) -> None:
        self.n = check_suppliers(n)
        self.engine = engine or choose_engine(n)

    @classmethod
    def shared(cls, n: int) -> Codec:
        """The codec for ``n`` suppliers, made once: its tables never change."""
        return _shared_codec(n)

    def piece_size(self, length: int) -> int:
        """Bytes in each piece of a stripe of ``length`` bytes."""
        return -(-length // self.n)

    def encode_into(self, stripe: memoryview, parity: Sequence[memoryview]) -> None:
        """Compute the parity of a stripe without copying.

        Args:
            stripe: N * P bytes, writable memory, filled with zeros after the stripe's end.
            parity: N times P bytes of writable memory.
        """
        size, rest = divmod(len(stripe), self.n)
        if (
            rest
            or len(stripe) > MAX_STRIPE_BYTES
            or len(parity) != self.n
            or any(len(piece) != size for piece in parity)
        ):
            raise InvalidInput("a stripe and its parity have N pieces of one length")
        if len(stripe):
            self.engine.encode(stripe, parity)

    def encode(self, stripe: Buffer) -> list[memoryview]:
        """Cut a stripe into 2N pieces of equal length: the data pieces, then the parity pieces."""
        size = self.piece_size(len(stripe))
        whole = bytearray(2 * self.n * size)
        view = memoryview(whole)
        view[: len(stripe)] = stripe
        pieces = [view[i * size : (i + 1) * size] for i in range(2 * self.n)]
        self.encode_into(view[: self.n * size], pieces[self.n :])
        return pieces

    def decode_into(self, pieces: Mapping[int, Buffer], length: int, out: memoryview) -> None:
        """Bring back a stripe from any N of its pieces.

        Args:
            pieces: by index, 0..N-1 for data and N..2N-1 for parity; at least N of them. Data
                pieces are preferred, then parity pieces in ascending order.
            length: bytes of the stripe.
            out: N * P bytes of writable memory; receives the stripe and its zeros.

        Raises:
            IntegrityError: fewer than N pieces, a piece of another length, or filling bytes that
                are not zero.
        """
        n, size = self.n, self.piece_size(length)
        if length > MAX_STRIPE_BYTES or len(out) != n * size:
            raise InvalidInput("the memory for a stripe has the wrong size")
        for index, piece in pieces.items():
            if not 0 <= index < 2 * n or len(piece) != size:
                raise IntegrityError("a piece of a stripe has the wrong length")
        missing = [j for j in range(n) if j not in pieces]
        parities = [i for i in range(n) if n + i in pieces][: len(missing)]
        if len(parities) < len(missing):
            raise IntegrityError("too few pieces to bring a stripe back")
        for j in range(n):
            if j in pieces:
                out[j * size : (j + 1) * size] = pieces[j]
        if missing and size:
            parity = memoryview(bytearray(len(missing) * size))
            for at, i in enumerate(parities):
                parity[at * size : (at + 1) * size] = pieces[n + i]
            self.engine.recover(out, missing, parity, parities)
        if any(out[length:]):
            raise IntegrityError("the filling after a stripe is not zero")

    def decode(self, pieces: Mapping[int, Buffer], length: int) -> bytes:
        """Bring back a stripe from any N of its pieces; see ``decode_into``."""
        out = bytearray(self.n * self.piece_size(length))
        self.decode_into(pieces, length, memoryview(out))
        return bytes(memoryview(out)[:length])


@lru_cache(maxsize=len(SUPPLIER_COUNTS))
def _shared_codec(n: int) -> Codec:
    return Codec(n)
