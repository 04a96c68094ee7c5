"""Arithmetic over GF(2^8) modulo 0x11d and the two matrices of the erasure code.

Addition is exclusive or. The tables are computed once at import and never change. The code itself
is plain mathematics, so that any program can read what this one stored:

    parity row i, column j  =  1 / ((N + i) xor j)        for 0 <= i, j < N

which is the lower half of what ISA-L's ``gf_gen_cauchy1_matrix(2N, N)`` makes. Every square part
of a Cauchy matrix can be inverted, hence any N of the 2N pieces bring back the data.

Source: ISA-L, ``erasure_code/ec_base.c``; Blömer et al., "An XOR-Based Erasure-Resilient Coding
Scheme", 1995.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

POLYNOMIAL: Final = 0x11D


def _power_tables() -> tuple[bytes, bytes]:
    powers = bytearray(510)
    logs = bytearray(256)
    value = 1
    for exponent in range(255):
        powers[exponent] = powers[exponent + 255] = value
        logs[value] = exponent
        value <<= 1
        if value & 0x100:
            value ^= POLYNOMIAL
    return bytes(powers), bytes(logs)


_POWERS, _LOGS = _power_tables()


def multiply(a: int, b: int) -> int:
    """The product of two field elements."""
    return _POWERS[_LOGS[a] + _LOGS[b]] if a and b else 0


def inverse(a: int) -> int:
    """The element whose product with ``a`` is 1.

    Raises:
        ZeroDivisionError: ``a`` is 0.
    """
    if not a:
        raise ZeroDivisionError("0 has no inverse")
    return _POWERS[255 - _LOGS[a]]


# One table of 256 products for each factor, in the form ``bytes.translate`` takes.
PRODUCTS: Final[tuple[bytes, ...]] = tuple(
    bytes(multiply(factor, value) for value in range(256)) for factor in range(256)
)


def parity_rows(n: int) -> tuple[bytes, ...]:
    """The N rows that make parity from data.

    Args:
        n: number of data pieces, 1 to 128.

    Returns:
        N rows of N coefficients: parity i = sum over j of row[i][j] * data j.
    """
    return tuple(bytes(inverse((n + i) ^ j) for j in range(n)) for i in range(n))


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(len(a), "little")


def invert(matrix: Sequence[bytes]) -> tuple[bytes, ...]:
    """The inverse of a square matrix, by Gauss-Jordan elimination.

    Raises:
        ZeroDivisionError: it has none.
    """
    size = len(matrix)
    rows = [
        bytes(row) + bytes(1 if column == at else 0 for column in range(size))
        for at, row in enumerate(matrix)
    ]
    for column in range(size):
        pivot = next((at for at in range(column, size) if rows[at][column]), None)
        if pivot is None:
            raise ZeroDivisionError("the matrix has no inverse")
        rows[column], rows[pivot] = rows[pivot], rows[column]
        scaled = rows[column].translate(PRODUCTS[inverse(rows[column][column])])
        rows[column] = scaled
        for at in range(size):
            factor = rows[at][column]
            if factor and at != column:
                rows[at] = _xor(rows[at], scaled.translate(PRODUCTS[factor]))
    return tuple(row[size:] for row in rows)


def recovery_rows(n: int, missing: Sequence[int], parities: Sequence[int]) -> tuple[bytes, ...]:
    """The rows that make missing data pieces from the data and parity pieces that are there.

    Args:
        n: number of data pieces.
        missing: indexes 0..N-1 of the data pieces to make, ascending.
        parities: as many indexes 0..N-1 of parity pieces that are there.

    Returns:
        One row of N coefficients per missing piece. Column j stands for data piece j; where data
        piece j is missing, it stands for a parity piece instead: the first missing column for
        ``parities[0]``, and so on.
    """
    code = parity_rows(n)
    solved = invert([bytes(code[i][j] for j in missing) for i in parities])
    place = {j: at for at, j in enumerate(missing)}
    result = []
    for solution in solved:
        # What the known data pieces add to the chosen parities is taken off, in one sum.
        row = bytes(n)
        for factor, parity in zip(solution, parities, strict=True):
            row = _xor(row, code[parity].translate(PRODUCTS[factor]))
        result.append(bytes(solution[place[j]] if j in place else row[j] for j in range(n)))
    return tuple(result)
