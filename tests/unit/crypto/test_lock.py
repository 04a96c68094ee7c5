from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from bitdust.crypto import LockCost, PrivateKey, is_locked, lock_key, unlock_key
from bitdust.errors import (
    FormatError,
    IntegrityError,
    InvalidInput,
    KeyProblem,
    WrongPassphrase,
)

VECTORS = Path(__file__).parents[2] / "vectors" / "crypto" / "rsa.json"
CHEAP = LockCost(memory_kib=64, passes=1, lanes=1)


@pytest.fixture(scope="module")
def pem() -> str:
    return PrivateKey.generate(1024).to_pem()


def test_round_trip_with_the_default_cost(pem: str) -> None:
    locked = lock_key(pem, "pass")
    assert is_locked(locked)
    assert not is_locked(pem)
    assert "m=65536 t=3 p=4" in locked
    assert unlock_key(locked, "pass") == pem
    assert PrivateKey.from_pem(locked, "pass").to_pem() == pem


def test_text_of_before_still_opens() -> None:
    vectors = json.loads(VECTORS.read_text("utf-8"))
    case = vectors["lock"]
    assert unlock_key(case["text"], case["passphrase"]) == vectors["pem"]["pkcs1"]
    # The same letters as another keyboard composes them.
    assert unlock_key(case["text"], "correct horse e\u0301") == vectors["pem"]["pkcs1"]


def test_two_locks_of_one_key_share_nothing(pem: str) -> None:
    one, two = lock_key(pem, "p", CHEAP), lock_key(pem, "p", CHEAP)
    assert one.splitlines()[1] != two.splitlines()[1]
    assert one.splitlines()[3] != two.splitlines()[3]
    assert pem.splitlines()[2] not in one


def test_wrong_or_missing_passphrase(pem: str) -> None:
    locked = lock_key(pem, "right", CHEAP)
    for wrong in ("wrong", "right ", "Right", "x" * 1024):
        with pytest.raises(WrongPassphrase) as caught:
            unlock_key(locked, wrong)
        assert wrong not in str(caught.value)
    with pytest.raises(WrongPassphrase):
        PrivateKey.from_pem(locked)


@pytest.mark.parametrize("passphrase", ["", "x" * 1025, "\ud800"])
def test_impossible_passphrases(pem: str, passphrase: str) -> None:
    with pytest.raises(KeyProblem):
        lock_key(pem, passphrase, CHEAP)


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_every_damaged_character_is_noticed(pem: str, padding: int) -> None:
    locked = lock_key(pem + " " * padding, "p", CHEAP)
    for position, character in enumerate(locked.rstrip()):
        other = "B" if character == "A" else "A"
        if character.isspace():
            other = "A"
        damaged = locked[:position] + other + locked[position + 1 :]
        with pytest.raises(IntegrityError):
            unlock_key(damaged, "p")


def test_bits_that_base64_does_not_use(pem: str) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    refused = 0
    for padding in range(3):
        lines = lock_key(pem + " " * padding, "p", CHEAP).splitlines()
        digits = lines[-2].rstrip("=")
        lines[-2] = lines[-2].replace(
            digits, digits[:-1] + alphabet[alphabet.index(digits[-1]) ^ 1]
        )
        with pytest.raises(IntegrityError):
            unlock_key("\n".join(lines), "p")
        refused += lines[-2].endswith("=")
    assert refused == 2


def test_line_ends_of_other_systems(pem: str) -> None:
    locked = lock_key(pem, "p", CHEAP)
    assert unlock_key("\n" + locked.replace("\n", "\r\n") + "\n", "p") == pem


@pytest.mark.parametrize(
    "parameters",
    [
        "v=1 m=104857600 t=3 p=4",
        "v=1 m=1048577 t=1 p=1",
        "v=1 m=1048576 t=64 p=4",
        "v=1 m=65536 t=65 p=4",
        "v=1 m=65536 t=3 p=17",
        "v=1 m=7 t=1 p=1",
        "v=1 m=16 t=1 p=4",
        "v=1 m=0 t=1 p=1",
        "v=2 m=65536 t=3 p=4",
        "v=1 m=99999999999999999999 t=3 p=4",
        "v=1 m=-1 t=3 p=4",
    ],
)
def test_a_hostile_file_cannot_ask_for_much(pem: str, parameters: str) -> None:
    lines = lock_key(pem, "p", CHEAP).splitlines()
    salt = lines[1].split("salt=")[1]
    lines[1] = f"Argon2id: {parameters} salt={salt}"
    begun = time.monotonic()
    with pytest.raises(FormatError):
        unlock_key("\n".join(lines), "p")
    assert time.monotonic() - begun < 5


def test_swapped_parameters_within_bounds(pem: str) -> None:
    locked = lock_key(pem, "p", CHEAP)
    with pytest.raises(IntegrityError):
        unlock_key(locked.replace("t=1", "t=2"), "p")


def test_garbage() -> None:
    begin, end = "-----BEGIN BITDUST LOCKED KEY-----", "-----END BITDUST LOCKED KEY-----"
    good = "Argon2id: v=1 m=64 t=1 p=1 salt=" + "00" * 16
    for text in (
        "",
        begin,
        f"{begin}\n{end}",
        f"{begin}\n\n\n\n{end}",
        f"{begin}\n{good}\n\n{end}",
        f"{begin}\n{good}\n\nAAAA\n{end}",
        f"{begin}\n{good}\n\nA\n{end}",
        f"{begin}\n{good}\n\né\n{end}",
        f"{begin}\n{good}\nnot blank\nAAAA\n{end}",
        "A" * 200_000,
    ):
        with pytest.raises(IntegrityError):
            unlock_key(text, "p")


def test_what_may_be_locked() -> None:
    with pytest.raises(InvalidInput):
        lock_key("x" * 70_000, "p", CHEAP)
    with pytest.raises(InvalidInput):
        LockCost(memory_kib=4, passes=1, lanes=1)
