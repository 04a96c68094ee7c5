"""The file of the master key: ``metadata/mykeyfile``, PEM as in the original, or locked.

Source: BitDust API, third generation (the original keeps it unlocked and readable by everybody).
"""

from __future__ import annotations

from pathlib import Path

from bitdust.crypto import MAX_PEM_SIZE, PrivateKey, is_locked, lock_key
from bitdust.errors import BitdustError, KeyProblem, NoIdentity, NotFound, WrongPassphrase
from bitdust.identity.secretfile import (
    make_private_directory,
    read_secret,
    remove_file,
    write_secret,
)

MASTER_FILE = Path("metadata") / "mykeyfile"
START_ANEW = (
    "move mykeyfile and localidentity out of the folder metadata, then "
    "`bitdust identity recover YOUR_BACKUP`"
)
"""What to do when the files of an identity are damaged; nothing is overwritten."""
MAX_KEY_FILE = 2 * MAX_PEM_SIZE
"""Bytes of a key file: a locked key is longer than its PEM."""


def read_master_key(home: Path, passphrase: str | None = None) -> PrivateKey:
    """Read ``metadata/mykeyfile``.

    Raises:
        NoIdentity: there is none.
        WrongPassphrase: it is locked and the passphrase is missing or wrong.
        KeyProblem, IntegrityError: damaged; the message names the file.
    """
    path = home / MASTER_FILE
    try:
        text = read_secret(path, MAX_KEY_FILE).decode("ascii")
    except NotFound as exc:
        raise NoIdentity("this node has no private key") from exc
    except UnicodeDecodeError:
        raise KeyProblem(f"{path} is damaged", hint=START_ANEW) from None
    try:
        return PrivateKey.from_pem(text, passphrase)
    except BitdustError as exc:
        hint = exc.hint if isinstance(exc, WrongPassphrase) else START_ANEW
        raise type(exc)(f"{path}: {exc.message}", hint=hint) from None


def write_master_key(home: Path, key: PrivateKey, passphrase: str | None = None) -> None:
    """Write ``metadata/mykeyfile``, locked when a passphrase is given."""
    path = home / MASTER_FILE
    make_private_directory(path.parent)
    pem = key.to_pem()
    write_secret(path, (lock_key(pem, passphrase) if passphrase else pem).encode("ascii"))


def has_master_key(home: Path) -> bool:
    """Whether there is a ``metadata/mykeyfile``."""
    return (home / MASTER_FILE).exists()


def master_key_locked(home: Path) -> bool:
    """Whether the master key needs a passphrase.

    Raises:
        NoIdentity: there is no master key.
    """
    try:
        data = read_secret(home / MASTER_FILE, MAX_KEY_FILE)
    except NotFound as exc:
        raise NoIdentity("this node has no private key") from exc
    text = data.decode("ascii", "replace")
    return is_locked(text) or "ENCRYPTED" in text


def erase_master_key(home: Path) -> None:
    """Remove ``metadata/mykeyfile``; without a backup the identity is lost for good."""
    remove_file(home / MASTER_FILE)
