from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitdust.crypto import LockCost, PrivateKey, PublicKey, lock_key, unlock_key
from bitdust.errors import FormatError, IntegrityError, KeyProblem

KEY = PrivateKey.generate(1024)
CHEAP = LockCost(memory_kib=8, passes=1, lanes=1)
quick = settings(deadline=None, max_examples=60)


@quick
@given(plain=st.binary(max_size=2000), context=st.binary(max_size=64))
def test_sealed_comes_back(plain: bytes, context: bytes) -> None:
    assert KEY.unseal(KEY.public.seal(plain, context), context) == plain


@quick
@given(junk=st.binary(max_size=400))
def test_junk_raises_only_integrity_errors(junk: bytes) -> None:
    with pytest.raises(IntegrityError):
        KEY.unseal(b"\x01" + junk, b"")
    with pytest.raises(IntegrityError):
        KEY.public.verify(junk, b"m")
    with pytest.raises(FormatError):
        PublicKey.from_der(junk)


@quick
@given(text=st.text(max_size=200))
def test_junk_text_raises_only_documented_errors(text: str) -> None:
    with pytest.raises(FormatError):
        PublicKey.from_ssh("ssh-rsa " + text)
    with pytest.raises(KeyProblem):
        PrivateKey.from_pem(
            f"-----BEGIN RSA PRIVATE KEY-----\n{text}\n-----END RSA PRIVATE KEY-----\n"
        )
    with pytest.raises(IntegrityError):
        unlock_key(text, "p")


@quick
@given(
    text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300),
    passphrase=st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
)
def test_locked_comes_back(text: str, passphrase: str) -> None:
    assert unlock_key(lock_key(text, passphrase, CHEAP), passphrase) == text
