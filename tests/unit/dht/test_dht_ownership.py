"""Keys of owners and the hand of BEP 44, against the vectors of its specification."""

from __future__ import annotations

import hashlib

import pytest

from bitdust.crypto import PrivateKey
from bitdust.dht import is_signed, item_target, owner_dht_key, public_of, sign_item
from bitdust.dht.heads import address_of
from bitdust.dht.ownership import expanded_secret, open_seed, owner_seed, record_salt
from bitdust.errors import InvalidInput

BEP44_KEY = bytes.fromhex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548")
BEP44_PLAIN = bytes.fromhex(
    "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff"
    "1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01"
)
BEP44_SALTED = bytes.fromhex(
    "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d"
    "df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08"
)


def test_the_vectors_of_bep_44_hold() -> None:
    assert is_signed(BEP44_KEY, b"", 1, b"Hello World!", BEP44_PLAIN)
    assert is_signed(BEP44_KEY, b"foobar", 1, b"Hello World!", BEP44_SALTED)
    assert item_target(BEP44_KEY, b"").hex() == "4a533d47ec9c7d95b1ad75f576cffc641853b750"
    assert item_target(BEP44_KEY, b"foobar").hex() == "411eba73b6f087ca51a3795d9c8c938d365e32c1"
    assert address_of(b"Hello World!").hex() == "e5f96f6f38320f0f33959cb4d3d656452117aadb"


def test_a_signature_covers_salt_number_and_value() -> None:
    seed = bytes(32)
    key = public_of(seed)
    hand = sign_item(seed, b"salt", 7, b"value")
    assert is_signed(key, b"salt", 7, b"value", hand)
    assert not is_signed(key, b"salu", 7, b"value", hand)
    assert not is_signed(key, b"salt", 8, b"value", hand)
    assert not is_signed(key, b"salt", 7, b"valuf", hand)
    assert not is_signed(public_of(bytes(31) + b"\x01"), b"salt", 7, b"value", hand)


@pytest.mark.parametrize(("key", "hand"), [(31, 64), (33, 64), (32, 0), (32, 63), (32, 64), (0, 0)])
def test_malformed_hands_prove_nothing(key: int, hand: int) -> None:
    assert not is_signed(b"\xff" * key, b"s", 1, b"v", b"\xff" * hand)


def test_the_owner_key_derives_from_the_master_key_alone() -> None:
    key = PrivateKey.generate(1024)
    again = PrivateKey.from_pem(key.to_pem())
    assert owner_dht_key(again) == owner_dht_key(key) == public_of(owner_seed(key))
    assert owner_dht_key(PrivateKey.generate(1024)) != owner_dht_key(key)
    assert owner_seed(key) == key.derive(b"bitdust dht ed25519 v1")


def test_the_expanded_secret_is_clamped() -> None:
    secret = expanded_secret(b"\x07" * 32)
    assert len(secret) == 64
    assert secret[0] & 7 == 0
    assert secret[31] & 0xC0 == 0x40
    assert secret[32:] == hashlib.sha512(b"\x07" * 32).digest()[32:]


def test_salts_differ_by_type_key_layer_and_network() -> None:
    salts = {
        record_salt(kind, key, layer, network)
        for kind in ("suppliers", "identity")
        for key in (b"a", b"b")
        for layer in (0, 3)
        for network in ("", "lab")
    }
    assert len(salts) == 16
    assert {len(salt) for salt in salts} == {64}
    assert all(salt.isalnum() for salt in salts)
    assert len({open_seed(salt) for salt in salts}) == 16
    with pytest.raises(InvalidInput):
        record_salt("suppliers", b"a", 0, "n" * 257)
