"""The program against the frozen vectors: what was stored once must be readable for ever."""

import json
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from bitdust.errors import FormatError, IntegrityError
from bitdust.storage import (
    BlockKind,
    Codec,
    StripeCipher,
    answer,
    build_fragments,
    chunk_id,
    cut_points,
    decompress,
    parse_header,
    read_block,
    rebuild_fragment,
    seal_block,
    spans,
    unwrap_key,
    wrap_key,
)
from bitdust.storage.formats.erasure import Engine
from bitdust.storage.formats.erasure_isal import IsalEngine
from bitdust.storage.formats.erasure_pure import PureEngine
from bitdust.storage.formats.erasure_pyeclib import PyeclibEngine
from bitdust.storage.formats.gf256 import parity_rows

FOLDER = Path(__file__).parents[2] / "vectors" / "storage"
ERRORS = {"integrity": IntegrityError, "format": FormatError}


def load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def noise(seed: str, size: int) -> bytes:
    return blake3(seed.encode()).digest(size) if size else b""


def cases(name: str, part: str) -> list[Any]:
    return [pytest.param(case, id=str(at)) for at, case in enumerate(load(name)[part])]


@pytest.mark.parametrize("case", cases("chunker", "cases"))
def test_cuts_have_not_moved(case: dict[str, Any]) -> None:
    data = noise(case["seed"], case["period"] or case["size"])
    data = (data * (case["size"] // len(data) + 1))[: case["size"]]
    assert cut_points(data, True) == case["cuts"]
    key = bytes.fromhex(load("chunker")["key"])
    assert chunk_id(key, data[: case["cuts"][0]]).hex() == case["first_id"]


@pytest.mark.parametrize("case", cases("compression", "good"))
def test_frames_unpack(case: dict[str, Any]) -> None:
    plain = case["text"].encode() * case["times"]
    assert decompress(bytes.fromhex(case["frame"]), len(plain)) == plain


@pytest.mark.parametrize("case", cases("compression", "bad"))
def test_bad_frames_fail(case: dict[str, Any]) -> None:
    with pytest.raises(ERRORS[case["expect"]]):
        decompress(bytes.fromhex(case["frame"]), case["size"])


def test_parity_matrix() -> None:
    assert [row.hex() for row in parity_rows(4)] == load("erasure")["rows4"]


@pytest.mark.parametrize("engine", [IsalEngine, PyeclibEngine, PureEngine])
def test_pieces(engine: type[Engine]) -> None:
    for case in load("erasure")["cases"]:
        n, size = case["n"], case["size"]
        pieces = Codec(n, engine(n)).encode(noise(f"erasure {n} {size}", size))
        assert blake3(b"".join(pieces)).hexdigest() == case["pieces_blake3"]
        if "parity" in case:
            assert [bytes(piece).hex() for piece in pieces[n:]] == case["parity"]


def seal_vectors() -> tuple[dict[str, Any], StripeCipher, bytes]:
    good = load("seal")["good"]
    cipher = StripeCipher(
        bytes.fromhex(good["block_id"]),
        bytes.fromhex(good["key"]),
        good["size"],
        BlockKind(good["kind"]),
        good["stripe_plain"],
    )
    return good, cipher, noise(good["seed"], good["size"])


def test_sealed_stripes() -> None:
    good, cipher, payload = seal_vectors()
    block_id, key = bytes.fromhex(good["block_id"]), bytes.fromhex(good["key"])
    step = good["stripe_plain"]
    stripes = [bytes(stripe) for stripe in seal_block(block_id, key, [payload], stripe_plain=step)]
    assert [stripe.hex() for stripe in stripes] == good["stripes"]
    opened = [cipher.open(at, stripe) for at, stripe in enumerate(stripes)]
    assert b"".join(opened) == payload
    [short] = seal_block(block_id, key, [payload[:5]], stripe_plain=step)
    assert short.hex() == load("seal")["short"]
    [journal] = seal_block(block_id, key, [b""], BlockKind.JOURNAL, step)
    assert journal.hex() == load("seal")["empty_journal"]


@pytest.mark.parametrize("case", cases("seal", "bad"))
def test_bad_stripes_fail(case: dict[str, Any]) -> None:
    _, cipher, _ = seal_vectors()
    with pytest.raises(ERRORS[case["expect"]]):
        cipher.open(case["index"], bytes.fromhex(case["stripe"]))


def test_wrapped_key() -> None:
    vectors = load("seal")
    kek, wrapped = bytes.fromhex(vectors["kek"]), bytes.fromhex(vectors["wrapped_key"])
    assert unwrap_key(kek, wrapped).hex() == vectors["good"]["key"]


@pytest.mark.parametrize("case", cases("fragment", "cases"))
def test_fragments(case: dict[str, Any]) -> None:
    vectors = load("fragment")
    key, kek = bytes.fromhex(vectors["key"]), bytes.fromhex(vectors["kek"])
    payload = noise(case["seed"], case["size"])
    built = build_fragments(
        bytes.fromhex(vectors["block_id"]),
        key,
        wrap_key(kek, key),
        case["n"],
        [payload],
        kind=BlockKind(case["kind"]),
        stripe_plain=vectors["stripe_plain"],
    )
    stored = {at: bytes.fromhex(text) for at, text in enumerate(case["fragments"])}
    assert {fragment.index: fragment.to_bytes() for fragment in built} == stored
    assert [fragment.digest.hex() for fragment in built] == case["digests"]
    half = {at: stored[at] for at in range(case["n"] // 2, case["n"])}
    assert read_block(half, kek).payload == payload
    assert rebuild_fragment(half, 0) == stored[0]


@pytest.mark.parametrize("case", cases("fragment", "bad_headers"))
def test_bad_headers_fail(case: dict[str, Any]) -> None:
    with pytest.raises(ERRORS[case["expect"]]):
        parse_header(bytes.fromhex(case["header"]))


@pytest.mark.parametrize("case", cases("audit", "cases"))
def test_answers(case: dict[str, Any]) -> None:
    key = bytes.fromhex(load("audit")["key"])
    data = noise("audit", case["size"])
    assert [list(span) for span in spans(key, case["size"])[:3]] == case["spans"]
    found = answer(key, case["size"], lambda at, length: data[at : at + length])
    assert found.hex() == case["answer"]
