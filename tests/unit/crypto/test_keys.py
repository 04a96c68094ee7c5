from __future__ import annotations

import base64
import hashlib
import hmac
import json
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bitdust.crypto import MAX_SEALED_PLAIN, PrivateKey, PublicKey
from bitdust.errors import (
    FormatError,
    IntegrityError,
    InvalidInput,
    KeyProblem,
    WrongPassphrase,
)

VECTORS = Path(__file__).parents[2] / "vectors" / "crypto" / "rsa.json"


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(VECTORS.read_text("utf-8"))
    return loaded


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return PrivateKey.generate(1024)


def foreign_pem(key: Any, encryption: Any = None, traditional: bool = True) -> str:
    form = serialization.PrivateFormat
    raw: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        form.TraditionalOpenSSL if traditional else form.PKCS8,
        encryption or serialization.NoEncryption(),
    )
    return raw.decode("ascii")


def hkdf(secret: bytes, info: bytes, length: int, salt: bytes) -> bytes:
    """RFC 5869, written out so that the frozen secrets do not rest on one library."""
    prk = hmac.digest(salt or bytes(32), secret, "sha256")
    out, block = b"", b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(prk, block + info + bytes((number,)), "sha256")
        out += block
    return out[:length]


class TestVectors:
    def test_every_form_of_the_key_gives_the_same_secrets(self, vectors: dict[str, Any]) -> None:
        for form, pem in vectors["pem"].items():
            key = PrivateKey.from_pem(pem)
            for case in vectors["derive"]:
                info, salt = bytes.fromhex(case["info"]), bytes.fromhex(case["salt"])
                secret = key.derive(info, case["length"], salt)
                assert secret.hex() == case["secret"], form

    def test_derive_is_hkdf_over_the_canonical_der(self, vectors: dict[str, Any]) -> None:
        lines = vectors["pem"]["pkcs1"].strip().splitlines()[1:-1]
        der = base64.b64decode("".join(lines))
        for case in vectors["derive"]:
            info, salt = bytes.fromhex(case["info"]), bytes.fromhex(case["salt"])
            assert hkdf(der, info, case["length"], salt).hex() == case["secret"]

    def test_written_pem_is_canonical(self, vectors: dict[str, Any]) -> None:
        for pem in vectors["pem"].values():
            assert PrivateKey.from_pem(pem).to_pem() == vectors["pem"]["pkcs1"]

    def test_public_half(self, vectors: dict[str, Any]) -> None:
        public = PublicKey.from_ssh(vectors["ssh"])
        assert public.fingerprint.hex() == vectors["fingerprint"]
        assert public.md5_fingerprint == vectors["md5_fingerprint"]
        assert public == PrivateKey.from_pem(vectors["pem"]["pkcs8"]).public
        assert hashlib.sha256(public.der).hexdigest() == vectors["fingerprint"]

    def test_signature_and_envelope_of_before_still_open(self, vectors: dict[str, Any]) -> None:
        key = PrivateKey.from_pem(vectors["pem"]["pkcs1"])
        key.public.verify(bytes.fromhex(vectors["signature"]), bytes.fromhex(vectors["message"]))
        case = vectors["seal"]
        plain = key.unseal(bytes.fromhex(case["sealed"]), bytes.fromhex(case["context"]))
        assert plain.hex() == case["plain"]

    def test_md5_fingerprint_is_the_one_of_ssh_keygen(
        self, vectors: dict[str, Any], tmp_path: Path
    ) -> None:
        path = tmp_path / "key.pub"
        path.write_text(vectors["ssh"] + "\n")
        try:
            shown = subprocess.run(
                ["ssh-keygen", "-l", "-E", "md5", "-f", str(path)], capture_output=True, text=True
            ).stdout
        except FileNotFoundError:
            # No ssh-keygen on this machine: compare with the definition instead.
            blob = base64.b64decode(vectors["ssh"].split()[1])
            shown = "MD5:" + hashlib.md5(blob).digest().hex(":")
        assert f"MD5:{vectors['md5_fingerprint']}" in shown


class TestGenerate:
    @pytest.mark.parametrize("size", [1024, 2048, 3072, 4096])
    def test_sizes(self, size: int) -> None:
        key = PrivateKey.generate(size)
        assert key.public.size == size
        assert PrivateKey.from_pem(key.to_pem()) == key
        assert key.unseal(key.public.seal(b"x", b"c"), b"c") == b"x"
        key.public.verify(key.sign(b"m"), b"m")

    @pytest.mark.parametrize("size", [0, -1, 512, 1025, 2047, 8192, 10**9])
    def test_other_sizes_are_refused_with_a_hint(self, size: int) -> None:
        with pytest.raises(KeyProblem) as caught:
            PrivateKey.generate(size)
        assert "3072" in caught.value.hint


class TestPem:
    def test_foreign_size_and_exponent(self) -> None:
        for pem in (
            foreign_pem(rsa.generate_private_key(65537, 1032)),
            foreign_pem(rsa.generate_private_key(3, 1024)),
        ):
            with pytest.raises(KeyProblem, match="cannot be used"):
                PrivateKey.from_pem(pem)

    def test_no_rsa(self) -> None:
        pem = foreign_pem(ec.generate_private_key(ec.SECP256R1()), traditional=False)
        with pytest.raises(KeyProblem, match="not an RSA key"):
            PrivateKey.from_pem(pem)

    @pytest.mark.parametrize("traditional", [True, False])
    def test_encrypted_by_another_tool(self, traditional: bool) -> None:
        raw = rsa.generate_private_key(65537, 1024)
        pem = foreign_pem(raw, serialization.BestAvailableEncryption(b"secret"), traditional)
        with pytest.raises(WrongPassphrase):
            PrivateKey.from_pem(pem)
        with pytest.raises(WrongPassphrase):
            PrivateKey.from_pem(pem, "wrong")
        opened = PrivateKey.from_pem(pem, "secret")
        assert opened == PrivateKey.from_pem(foreign_pem(raw))

    def test_a_passphrase_for_an_open_key_does_no_harm(self, key: PrivateKey) -> None:
        assert PrivateKey.from_pem(key.to_pem(), "unneeded") == key

    def test_white_space_and_line_ends_around_it(self, key: PrivateKey) -> None:
        text = "\r\n  " + key.to_pem().replace("\n", "\r\n") + " \r\n\r\n"
        assert PrivateKey.from_pem(text) == key

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda pem: pem + "junk",
            lambda pem: "junk\n" + pem,
            lambda pem: pem + pem,
            lambda pem: pem + "-----BEGIN X-----",
            lambda pem: "",
            lambda pem: "-----BEGIN RSA PRIVATE KEY-----",
            lambda pem: pem.replace("RSA PRIVATE", "PRIVATE"),
            lambda pem: pem.replace("RSA PRIVATE", "OPENSSH PRIVATE"),
            lambda pem: pem[:200] + "!" + pem[201:],
            lambda pem: pem[:200] + "é" + pem[201:],
            lambda pem: pem[:200] + "\x00" + pem[201:],
            lambda pem: pem.replace("\n-----END", "AAAA\n-----END"),
            lambda pem: "\n".join(pem.splitlines()[:4] + pem.splitlines()[5:]),
            lambda pem: pem + " " * 65536,
            lambda pem: "A" * 70000,
        ],
    )
    def test_anything_else_is_a_key_problem(self, key: PrivateKey, spoil: Any) -> None:
        with pytest.raises(KeyProblem):
            PrivateKey.from_pem(spoil(key.to_pem()))

    def test_a_key_whose_numbers_do_not_belong_together(self, vectors: dict[str, Any]) -> None:
        lines = vectors["pem"]["pkcs1"].strip().splitlines()
        der = bytearray(base64.b64decode("".join(lines[1:-1])))
        der[-5] ^= 1
        body = base64.encodebytes(bytes(der)).decode("ascii")
        with pytest.raises(KeyProblem):
            PrivateKey.from_pem(f"{lines[0]}\n{body}{lines[-1]}\n")


class TestPublic:
    def test_round_trips(self, key: PrivateKey) -> None:
        public = key.public
        assert PublicKey.from_der(public.der) == public
        assert PublicKey.from_ssh(public.to_ssh()) == public
        assert PublicKey.from_ssh(f" {public.to_ssh()} me@home\n") == public
        assert len({public, PublicKey.from_der(public.der)}) == 1

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda text: "",
            lambda text: "ssh-rsa",
            lambda text: "ssh-rsa AAAA",
            lambda text: text.replace("ssh-rsa", "ssh-dss"),
            lambda text: text[:-4] + "AAAA",
            lambda text: text[:40] + "!" + text[41:],
            lambda text: text[:40] + "é" + text[41:],
            lambda text: text + "\n" + text,
            lambda text: text + " c" * 2048,
            lambda text: (
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJhOgQz3d9bPZBMvYxIGdTPRNP7kLMAC1JD5SRlMmUmR"
            ),
        ],
    )
    def test_bad_ssh_text(self, key: PrivateKey, spoil: Any) -> None:
        with pytest.raises(FormatError):
            PublicKey.from_ssh(spoil(key.public.to_ssh()))

    def test_bad_der(self, key: PrivateKey) -> None:
        der = key.public.der
        other = ec.generate_private_key(ec.SECP256R1()).public_key()
        ec_der = other.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        for bad in (b"", der[:-1], der + b"\x00", b"\x00" * 100, ec_der, der + bytes(4096)):
            with pytest.raises(FormatError):
                PublicKey.from_der(bad)

    def test_only_one_ssh_text(self, key: PrivateKey) -> None:
        blob = base64.b64decode(key.public.to_ssh().split()[1])
        assert blob[11:18] == bytes.fromhex("00000003010001")
        padded = blob[:11] + bytes.fromhex("0000000400010001") + blob[18:]
        text = key.public.to_ssh()
        assert text.endswith("==")
        loose = text[:-3] + chr(ord(text[-3]) + 1) + "=="
        assert base64.b64decode(loose.split()[1]) == blob
        for other in (f"ssh-rsa {base64.b64encode(padded).decode()}", loose):
            with pytest.raises(FormatError):
                PublicKey.from_ssh(other)

    def test_only_one_der(self, key: PrivateKey) -> None:
        algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
        without_null = bytes.fromhex("300b06092a864886f70d010101")
        der = key.public.der
        assert der[3:18] == algorithm
        other = der[:2] + bytes((der[2] - 2,)) + without_null + der[18:]
        with pytest.raises(FormatError):
            PublicKey.from_der(other)

    def test_bad_sizes(self) -> None:
        for raw in (rsa.generate_private_key(65537, 1032), rsa.generate_private_key(3, 1024)):
            der = raw.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            with pytest.raises(FormatError, match="cannot be used"):
                PublicKey.from_der(der)


class TestSignatures:
    def test_forgeries(self, key: PrivateKey) -> None:
        signature = key.sign(b"message")
        other = PrivateKey.generate(1024)
        key.public.verify(signature, b"message")
        for bad, message in (
            (signature, b"messagf"),
            (signature[:-1], b"message"),
            (signature + b"\x00", b"message"),
            (b"", b"message"),
            (b"\xff" * 128, b"message"),
            (other.sign(b"message"), b"message"),
        ):
            with pytest.raises(IntegrityError):
                key.public.verify(bad, message)


class TestSeal:
    def test_every_envelope_differs(self, key: PrivateKey) -> None:
        assert key.public.seal(b"same", b"c") != key.public.seal(b"same", b"c")

    def test_context_and_key_bind(self, key: PrivateKey) -> None:
        sealed = key.public.seal(b"plain", b"context")
        assert key.unseal(sealed, b"context") == b"plain"
        with pytest.raises(IntegrityError):
            key.unseal(sealed, b"contexT")
        with pytest.raises(IntegrityError):
            PrivateKey.generate(1024).unseal(sealed, b"context")
        with pytest.raises(IntegrityError):
            PrivateKey.generate(2048).unseal(sealed + bytes(200), b"context")

    def test_every_damaged_byte_is_noticed(self, key: PrivateKey) -> None:
        sealed = key.public.seal(b"plain", b"c")
        for position in range(len(sealed)):
            bad = bytearray(sealed)
            bad[position] ^= 0x40
            with pytest.raises(IntegrityError):
                key.unseal(bytes(bad), b"c")

    def test_bounds(self, key: PrivateKey) -> None:
        assert key.unseal(key.public.seal(b"", b""), b"") == b""
        with pytest.raises(InvalidInput):
            key.public.seal(bytes(MAX_SEALED_PLAIN + 1), b"")
        for size in (0, 1, 128, 144, MAX_SEALED_PLAIN + 146):
            with pytest.raises(FormatError):
                key.unseal(b"\x01" * size, b"")

    def test_largest(self, key: PrivateKey) -> None:
        plain = bytes(MAX_SEALED_PLAIN)
        assert key.unseal(key.public.seal(plain, b"c"), b"c") == plain


class TestSecrecy:
    def test_nothing_shows_the_secret(self, key: PrivateKey) -> None:
        secret = "".join(key.to_pem().splitlines()[1:-1])
        for shown in (repr(key), str(key), f"{key}", repr([key]), repr(key.public)):
            assert secret[50:90] not in shown
            assert len(shown) < 80
        with pytest.raises(TypeError):
            pickle.dumps(key)

    def test_errors_do_not_quote_the_key(self, key: PrivateKey) -> None:
        pem = key.to_pem()
        bad = pem[:200] + "!" + pem[201:]
        with pytest.raises(KeyProblem) as caught:
            PrivateKey.from_pem(bad)
        assert pem[100:140] not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_derive_bounds(self, key: PrivateKey) -> None:
        assert len(key.derive(b"i", 255 * 32)) == 255 * 32
        for length in (0, -1, 255 * 32 + 1):
            with pytest.raises(InvalidInput):
                key.derive(b"i", length)
        assert key.derive(b"a") != key.derive(b"b")
        assert key.derive(b"a", salt=b"s") != key.derive(b"a")
