"""Frozen bytes of what people's nodes say to each other, so that another program can check its own.

Source: docs/spec/people.md.
"""

from __future__ import annotations

import hmac

from bitdust.contacts.invitation import Code, acceptance_proof, number_of, welcome_proof
from bitdust.crypto import PrivateKey
from bitdust.ids import GlobalID, KeyID
from bitdust.sharing.audit import Audit

SECRET = bytes(range(10))
A, B, CHALLENGE = b"\xaa" * 32, b"\xbb" * 32, b"\xcc" * 32


def test_an_invitation() -> None:
    code = Code(GlobalID.parse("alice@id.example.org_8084"), SECRET)
    assert code.text == "alice@id.example.org_8084/000G4-0R40M-30E20-9AHA5"
    assert number_of(SECRET).hex() == "f1b571b11be44216"
    assert (
        acceptance_proof(SECRET, A, B).hex()
        == "35ef40e9e74c7d530ec1b7a30c77d76eb433ed3b0d68c1f2bdb91cce098cc389"
    )
    assert (
        welcome_proof(SECRET, A, B).hex()
        == "258c8f24396629cc1c008dbbaf5ea39d5bcc4afb41571781a5ed8f848b0566ae"
    )


def test_an_audit_as_the_page_says() -> None:
    """Computed a second time from the words of the page."""
    key, key_id = PrivateKey.generate(1024), KeyID.parse("photos$alice@id.example.org_8084")
    for private, kind in ((True, b"private"), (False, b"public\x00")):
        audit = Audit(key_id, key.public, asking=A, asked=B, private=private, challenge=CHALLENGE)
        name = str(key_id).encode()
        bound = CHALLENGE + A + B + kind + len(name).to_bytes(2, "big") + name + key.public.der
        question = hmac.digest(CHALLENGE, b"bitdust key audit 1 question\x00" + bound, "sha256")
        assert audit.question_proof() == question
        if private:
            key.public.verify(audit.prove(key), b"bitdust key audit 1 signed\x00" + bound)
            assert audit.prove(None) == b""
        else:
            answer = hmac.digest(CHALLENGE, b"bitdust key audit 1 answer\x00" + bound, "sha256")
            assert audit.prove(None) == audit.prove(key) == answer
