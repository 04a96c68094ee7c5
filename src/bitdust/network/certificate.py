"""The TLS certificate of a node: made once, self-signed, known by its fingerprint alone."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bitdust.errors import DamagedSettings, LocalFileError
from bitdust.identity import make_private_directory, write_secret

MAX_FILE: Final = 64 * 1024
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"
_ALPN: Final = ("bitdust/1",)
# Nobody looks at the dates: the fingerprint in the signed identity document is what counts.
_FROM: Final = datetime(2000, 1, 1, tzinfo=UTC)
_TO: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Certificate:
    """An ECDSA P-256 key and its self-signed certificate in one file.

    Args:
        path: PEM file, mode 0600.
        fingerprint: SHA-256 of the certificate's DER, 32 bytes.
    """

    path: Path
    fingerprint: bytes

    @classmethod
    def load_or_create(cls, path: Path) -> Certificate:
        """Read the file, or make it when it is not there. Blocks for some milliseconds.

        Raises:
            DamagedSettings: the file is there and is no key with its certificate.
            LocalFileError, DiskFull: it cannot be read or written.
        """
        try:
            if not path.exists():
                make_private_directory(path.parent)
                write_secret(path, _generate())
            pem = path.read_bytes()[:MAX_FILE]
        except OSError as exc:
            raise LocalFileError(f"{path}: {exc.strerror or exc}") from exc
        try:
            found = cls(path, hashlib.sha256(_der(pem)).digest())
            found.server_context()
        except (ValueError, OSError) as exc:  # OpenSSL's errors are OSErrors
            raise DamagedSettings(
                f"{path} holds no key with its certificate",
                hint="move it away; a new one is made and the identity document updated",
            ) from exc
        return found

    def server_context(self) -> ssl.SSLContext:
        """TLS 1.3 only, no session tickets."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        context.set_alpn_protocols(list(_ALPN))
        # a password of its own, or OpenSSL would ask for one at the terminal
        context.load_cert_chain(self.path, password="")
        return context


def client_context() -> ssl.SSLContext:
    """TLS 1.3 only; takes any certificate, because the handshake above compares its fingerprint
    with the one in the peer's signed identity document."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(_ALPN))
    return context


def _der(pem: bytes) -> bytes:
    """The first certificate of a PEM file; ``ValueError`` when there is none."""
    begin = pem.index(_BEGIN)
    end = pem.index(_END, begin) + len(_END)
    return ssl.PEM_cert_to_DER_cert(pem[begin:end].decode("ascii"))


def _generate() -> bytes:
    # needed once in the life of a node, and 1 MiB of memory at every start
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bitdust")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_TO)
        .sign(key, hashes.SHA256())
    )
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)
