"""The erasure code on Intel ISA-L called directly, as it comes inside the pyeclib wheel.

Why not through pyeclib's own functions: they allocate and copy every piece into new memory, hold
the interpreter lock and add a header of 80 bytes to each. Here ISA-L reads and writes buffers that
the caller owns and reuses, and other threads run meanwhile. docs/adr/storage-erasure.md has the
measurements.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache

from bitdust.storage.formats.gf256 import PRODUCTS, parity_rows, recovery_rows

MAX_CACHED_RECOVERIES = 64


class IsalUnavailable(Exception):
    """The native library is not here or does not do what it should."""


def _candidates() -> list[str]:
    """Paths of the library in the pyeclib wheel, then the system's own name for it."""
    import importlib.metadata  # takes 50 ms, and most commands of the command line code nothing

    try:
        files = importlib.metadata.distribution("pyeclib").files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    bundled = [
        str(file.locate())
        for file in files
        if file.name.startswith("libisal") and ".so" in file.name
    ]
    return [*bundled, "libisal.so.2"]


def _computes_right(library: ctypes.CDLL) -> bool:
    """Whether a small product comes out as in ``gf256``: a system's library may be any version."""
    factors, size = bytes([3, 200]), 64
    tables = ctypes.create_string_buffer(32 * len(factors))
    library.ec_init_tables(2, 1, ctypes.create_string_buffer(factors, 2), tables)
    sources = [bytes(range(size)), bytes(range(100, 100 + size))]
    inputs = [ctypes.create_string_buffer(source, size) for source in sources]
    output = ctypes.create_string_buffer(size)
    library.ec_encode_data(
        size,
        2,
        1,
        tables,
        (ctypes.c_void_p * 2)(*map(ctypes.addressof, inputs)),
        (ctypes.c_void_p * 1)(ctypes.addressof(output)),
    )
    a, b = (source.translate(PRODUCTS[at]) for at, source in zip(factors, sources, strict=True))
    return output.raw == bytes(x ^ y for x, y in zip(a, b, strict=True))


@lru_cache(maxsize=1)
def load_library() -> ctypes.CDLL:
    """Find and open ISA-L, and see that it computes what the format says.

    Raises:
        IsalUnavailable: no candidate can be opened, has the functions and computes right.
    """
    for path in _candidates():
        try:
            library = ctypes.CDLL(path)
            library.ec_init_tables.argtypes = [ctypes.c_int, ctypes.c_int, *[ctypes.c_void_p] * 2]
            library.ec_init_tables.restype = None
            library.ec_encode_data.argtypes = [*[ctypes.c_int] * 3, *[ctypes.c_void_p] * 3]
            library.ec_encode_data.restype = None
        except (OSError, AttributeError):
            continue
        if _computes_right(library):
            return library
    raise IsalUnavailable("no ISA-L library found")


def _address(view: memoryview) -> int:
    """Where a writable buffer lies; the caller keeps it alive during the native call."""
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


class IsalEngine:
    """Encodes and recovers stripes with ISA-L.

    Raises:
        IsalUnavailable: see ``load_library``.
    """

    name = "isal"

    def __init__(self, n: int) -> None:
        self._n = n
        self._library = load_library()
        self._pointers = ctypes.c_void_p * n
        self._encoding = self._tables(parity_rows(n))
        # Bounded, and the same few suppliers are away for a whole download.
        self._recovery = lru_cache(maxsize=MAX_CACHED_RECOVERIES)(self._recovery_tables)

    def _tables(self, rows: Sequence[bytes]) -> ctypes.Array[ctypes.c_char]:
        coefficients = ctypes.create_string_buffer(b"".join(rows), self._n * len(rows))
        tables = ctypes.create_string_buffer(32 * self._n * len(rows))
        self._library.ec_init_tables(self._n, len(rows), coefficients, tables)
        return tables

    def _recovery_tables(
        self, missing: tuple[int, ...], parities: tuple[int, ...]
    ) -> ctypes.Array[ctypes.c_char]:
        return self._tables(recovery_rows(self._n, missing, parities))

    def encode(self, stripe: memoryview, parity: Sequence[memoryview]) -> None:
        """Make the parity pieces of a stripe; arguments as in ``PureEngine.encode``."""
        n = self._n
        size = len(stripe) // n
        data = _address(stripe)
        self._library.ec_encode_data(
            size,
            n,
            n,
            self._encoding,
            self._pointers(*range(data, data + n * size, size)),
            self._pointers(*map(_address, parity)),
        )

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
        data, code = _address(stripe), _address(parity)
        place = {j: at for at, j in enumerate(missing)}
        sources = [code + place[j] * size if j in place else data + j * size for j in range(n)]
        targets = [data + j * size for j in missing]
        self._library.ec_encode_data(
            size,
            n,
            len(targets),
            self._recovery(tuple(missing), tuple(parities)),
            self._pointers(*sources),
            (ctypes.c_void_p * len(targets))(*targets),
        )
