"""The code of an invitation: read back in any spelling, with errors of typing seen."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bitdust.contacts.invitation import (
    SECRET_SIZE,
    Code,
    acceptance_proof,
    is_proof,
    number_of,
    welcome_proof,
)
from bitdust.errors import InvalidInput
from bitdust.ids import GlobalID

TAME = settings(deadline=None, max_examples=150)
ALICE = GlobalID.parse("alice@id.example.org_8084")
secrets = st.binary(min_size=SECRET_SIZE, max_size=SECRET_SIZE)


@TAME
@given(secrets)
def test_read_back_in_any_spelling(secret: bytes) -> None:
    code = Code(ALICE, secret)
    spelled = code.text.lower().replace("-", " ").replace("0", "o").replace("1", "L")
    address, _, digits = code.text.rpartition("/")
    for text in (code.text, f" {code.text}\n", f"{address}/{spelled.rpartition('/')[2]}"):
        found = Code.parse(text)
        assert (found, found.number) == (code, number_of(secret))
    assert len(digits) == 23
    assert secret.hex() not in repr(code)


@TAME
@given(secrets, st.data())
def test_an_error_of_typing_is_seen(secret: bytes, data: st.DataObject) -> None:
    """All but one in a million."""
    text = Code(ALICE, secret).text
    place = data.draw(st.integers(0, len(text) - 1))
    typed = data.draw(st.sampled_from("23456789ABCDEFGHJKMNPQRSTVWXYZ"))
    assume(text[place].upper() != typed and text[place] not in "-/")
    changed = f"{text[:place]}{typed}{text[place + 1 :]}"
    with pytest.raises(InvalidInput):
        Code.parse(changed)


@TAME
@given(st.text(max_size=600) | st.from_regex(r"[a-z]{1,9}@[a-z.]{1,9}/[0-9A-Z-]{18,26}"))
def test_any_text(text: str) -> None:
    try:
        code = Code.parse(text)
    except InvalidInput:
        return
    assert Code.parse(code.text) == code


def test_proofs_are_for_two_and_in_one_direction() -> None:
    secret, inviter, guest = b"s" * SECRET_SIZE, b"i" * 32, b"g" * 32
    proof = acceptance_proof(secret, inviter, guest)
    assert is_proof(acceptance_proof(secret, inviter, guest), proof)
    others = [
        acceptance_proof(b"t" * SECRET_SIZE, inviter, guest),
        acceptance_proof(secret, guest, inviter),
        acceptance_proof(secret, inviter, b"x" * 32),
        acceptance_proof(secret, b"x" * 32, guest),
        welcome_proof(secret, inviter, guest),
    ]
    assert not any(is_proof(other, proof) for other in others)
