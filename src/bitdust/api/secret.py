"""The secret that local programs show to use the API: ``metadata/apisecret``, for its owner only.

Source: BitDust API, third generation, Access.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from bitdust.config import make_private
from bitdust.errors import LocalFileError, NotRunning

MIN_SECRET = 16
"""Characters a secret must have to be used."""
MAX_SECRET = 256
_SECRET_BYTES = 20


def secret_path(home: Path) -> Path:
    """Where the secret of a home folder lies."""
    return home / "metadata" / "apisecret"


def read_secret(home: Path) -> str:
    """The secret of a home folder.

    Raises:
        NotRunning: there is none, so no daemon was ever started here.
        LocalFileError: it cannot be read.
    """
    path = secret_path(home)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SECRET + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotRunning(f"no daemon was started in {home} yet") from None
    except OSError as exc:
        raise LocalFileError(
            f"cannot read {path}: {exc.strerror}", hint="run as the user who started the daemon"
        ) from exc
    text = raw.decode("ascii", "replace").strip()
    if not MIN_SECRET <= len(text) <= MAX_SECRET or not text.isascii():
        raise LocalFileError(f"{path} holds no secret", hint="remove it and restart the daemon")
    return text


def ensure_secret(home: Path) -> str:
    """The secret of a home folder; a new one is made when there is none.

    An empty file counts as none, because it must never mean open access. The file's permissions are
    narrowed to its owner.

    Raises:
        LocalFileError: it cannot be read, written, or holds something else.
    """
    path = secret_path(home)
    try:
        make_private(path.parent)
        if path.exists() and path.stat().st_size > 0:
            path.chmod(0o600)
            return read_secret(home)
        secret = base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii").lower()
        temporary = path.with_name(".apisecret.new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as exc:
        raise LocalFileError(
            f"cannot write {path}: {exc.strerror}",
            hint="check the permissions and the free space of the home folder",
        ) from exc
    return secret
