"""Writes the frozen vectors of the storage formats.

Run by hand, and only together with a new version of a format: the tests compare the program with
the files, never the other way round. Pseudo-random input is BLAKE3 in its extendable output mode
over a seed, so that any program can make it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from blake3 import blake3

from bitdust.storage import (
    SUPPLIER_COUNTS,
    BlockKind,
    Codec,
    answer,
    build_fragments,
    chunk_id,
    cut_points,
    seal_block,
    spans,
    wrap_key,
)
from bitdust.storage.formats.erasure_pure import PureEngine
from bitdust.storage.formats.fragment_header import MAGIC
from bitdust.storage.formats.gf256 import parity_rows

FOLDER = Path(__file__).parent
KEY = bytes(range(32))
KEK = bytes(range(100, 132))
BLOCK = bytes(range(200, 216))
STEP = 1008


def noise(seed: str, size: int) -> bytes:
    return blake3(seed.encode()).digest(size) if size else b""


def write(name: str, about: str, content: dict[str, Any]) -> None:
    text = json.dumps({"about": about} | content, indent=1)
    (FOLDER / f"{name}.json").write_text(text + "\n")


def chunker() -> None:
    cases = []
    for seed, size, period in [
        ("chunker a", 12_000_000, 0),
        ("chunker b", 20_000_001, 0),
        ("chunker c", 262_145, 0),
        ("chunker d", 9_000_000, 1_000_003),
        ("chunker e", 9_000_000, 16),
        ("chunker f", 300_000, 0),
    ]:
        data = noise(seed, period or size)
        data = (data * (size // len(data) + 1))[:size]
        points = cut_points(data, True)
        cases.append(
            {
                "seed": seed,
                "size": size,
                "period": period,
                "cuts": points,
                "first_id": chunk_id(KEY, data[: points[0]]).hex(),
            }
        )
    write(
        "chunker",
        "data = first `size` bytes of BLAKE3-XOF(seed); with a period, its first `period` bytes "
        "repeated; cuts = where chunks end; first_id = id of the first chunk under `key`",
        {"key": KEY.hex(), "cases": cases},
    )


def erasure() -> None:
    cases = []
    for n in SUPPLIER_COUNTS:
        codec = Codec(n, PureEngine(n))
        for size in (1, 64, 1009, 65_552):
            pieces = codec.encode(noise(f"erasure {n} {size}", size))
            case: dict[str, Any] = {
                "n": n,
                "size": size,
                "pieces_blake3": blake3(b"".join(pieces)).hexdigest(),
            }
            if size == 64 and n <= 13:
                case["parity"] = [bytes(piece).hex() for piece in pieces[n:]]
            cases.append(case)
    write(
        "erasure",
        "stripe = BLAKE3-XOF('erasure N SIZE'); pieces_blake3 = BLAKE3 of the N data pieces and "
        "the N parity pieces in order; rows4 = the parity matrix for N = 4",
        {"rows4": [row.hex() for row in parity_rows(4)], "cases": cases},
    )


def seal() -> None:
    payload = noise("seal", 2 * STEP + 10)
    stripes = list(seal_block(BLOCK, KEY, [payload], stripe_plain=STEP))
    good = {
        "block_id": BLOCK.hex(),
        "key": KEY.hex(),
        "kind": 1,
        "size": len(payload),
        "stripe_plain": STEP,
        "seed": "seal",
        "stripes": [bytes(stripe).hex() for stripe in stripes],
    }
    short = next(iter(seal_block(BLOCK, KEY, [payload[:5]], stripe_plain=STEP)))
    journal = next(iter(seal_block(BLOCK, KEY, [b""], BlockKind.JOURNAL, STEP)))
    bad_tag = bytearray(stripes[0])
    bad_tag[-1] ^= 1
    bad = [
        {"why": "second stripe in the place of the first", "index": 0, "stripe": stripes[1].hex()},
        {"why": "first stripe as the last", "index": 2, "stripe": stripes[0].hex()},
        {"why": "a tag with one bit changed", "index": 0, "stripe": bad_tag.hex()},
        {"why": "a stripe without its last byte", "index": 0, "stripe": stripes[0][:-1].hex()},
        {"why": "the stripe of a shorter payload", "index": 2, "stripe": short.hex()},
        {"why": "nothing", "index": 0, "stripe": ""},
    ]
    write(
        "seal",
        "payload = BLAKE3-XOF(seed); bad stripes fail with `expect` when opened as stripe `index` "
        "of the good block",
        {
            "good": good,
            "short": short.hex(),
            "empty_journal": journal.hex(),
            "kek": KEK.hex(),
            "wrapped_key": wrap_key(KEK, KEY).hex(),
            "bad": [case | {"expect": "integrity"} for case in bad],
        },
    )


def reseal(head: bytes) -> bytes:
    return head[:240] + blake3(head[:240]).digest(16)


def fragment() -> None:
    cases = []
    for n, size, kind in ((2, 1500, BlockKind.DATA), (4, 0, BlockKind.JOURNAL), (7, 100, 1)):
        fragments = build_fragments(
            BLOCK,
            KEY,
            wrap_key(KEK, KEY),
            n,
            [noise(f"fragment {n}", size)],
            kind=BlockKind(kind),
            stripe_plain=STEP,
        )
        cases.append(
            {
                "n": n,
                "size": size,
                "kind": int(kind),
                "seed": f"fragment {n}",
                "fragments": [item.to_bytes().hex() for item in fragments],
                "digests": [item.digest.hex() for item in fragments],
            }
        )
    head = bytes.fromhex(cases[0]["fragments"][0])[:256]

    def changed(old: bytes, new: bytes) -> bytes:
        assert head.count(old) == 1
        return reseal(head.replace(old, new))

    bad = [
        ("not a fragment", b"x" * 256),
        ("a header cut short", head[:255]),
        ("another version", reseal(head.replace(MAGIC, MAGIC[:-1] + b"\2"))),
        ("a check sum with one bit changed", head[:255] + bytes([head[255] ^ 1])),
        ("three suppliers", changed(b"\xa1n\x02", b"\xa1n\x03")),
        ("position 2 of 2", changed(b"index\x00", b"index\x02")),
        ("a wrong number of stripes", changed(b"stripes\x02", b"stripes\x03")),
        ("an unknown kind", changed(b"kind\x01", b"kind\x09")),
        ("stripes too small", changed(b"\xa6stripe\xcd\x03\xf0", b"\xa6stripe\xcd\x00\x01")),
        ("filling that is not zero", reseal(head[:239] + b"\1" + head[240:])),
        ("a description longer than the header", reseal(MAGIC + b"\xff\xff" + head[10:])),
        ("a description that is no msgpack", reseal(MAGIC + b"\0\1\xc1".ljust(248, b"\0"))),
    ]
    write(
        "fragment",
        "payload = BLAKE3-XOF(seed); bad headers fail with `expect`",
        {
            "block_id": BLOCK.hex(),
            "key": KEY.hex(),
            "kek": KEK.hex(),
            "stripe_plain": STEP,
            "cases": cases,
            "bad_headers": [
                {"why": why, "header": data.hex(), "expect": "format"} for why, data in bad
            ],
        },
    )


def audit() -> None:
    cases = []
    for size in (0, 1, 32_768, 32_769, 300_000):
        data = noise("audit", size)
        found = answer(KEY, size, lambda at, length, data=data: data[at : at + length])
        cases.append({"size": size, "spans": spans(KEY, size)[:3], "answer": found.hex()})
    write(
        "audit",
        "fragment = BLAKE3-XOF('audit'); spans = the first three places asked for under `key`",
        {"key": KEY.hex(), "cases": cases},
    )


if __name__ == "__main__":
    for make in (chunker, erasure, seal, fragment, audit):
        make()
