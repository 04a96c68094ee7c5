"""The backup file of an identity: one IDURL per line, then the private key. Pure.

    http://id.example.org/alice.xml
    -----BEGIN RSA PRIVATE KEY-----
    ...

The key may instead be in the locked form of ``bitdust.crypto.lock_key``. Blank lines, line ends of
other systems and a byte order mark do not matter.

Source: BitDust API, third generation, ``identity_backup`` and ``identity_recover``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bitdust.errors import InvalidInput, InvalidName, KeyProblem
from bitdust.identity.document import MAX_SOURCES
from bitdust.ids import IDURL

MAX_BACKUP_SIZE = 256 * 1024
"""Characters a backup may have."""
_KEY_START = "-----BEGIN "
_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup file says: where the person was served, and the key as text."""

    idurls: tuple[IDURL, ...]
    key_text: str = field(repr=False)


def compose_backup(idurls: Sequence[IDURL], key_text: str) -> str:
    """The text of a backup file."""
    return "".join(f"{idurl}\n" for idurl in idurls) + key_text.strip() + "\n"


def parse_backup(text: str, known_idurl: IDURL | None = None) -> Backup:
    """Read a backup file.

    Args:
        text: the file's content.
        known_idurl: the person's address, put before those in the file; needed if it has none.

    Raises:
        InvalidInput: too long, a line that is no IDURL, or no IDURL at all.
        KeyProblem: no private key in it.
    """
    if len(text) > MAX_BACKUP_SIZE:
        raise InvalidInput("this is no identity backup: it is too long")
    head, begin, tail = text.removeprefix("\ufeff").partition(_KEY_START)
    if not begin:
        raise KeyProblem(
            "there is no private key in the backup",
            hint="it holds one IDURL per line, then a key that begins with -----BEGIN",
        )
    idurls: list[IDURL] = [known_idurl] if known_idurl else []
    for number, line in enumerate(head.splitlines(), 1):
        if not line.strip():
            continue
        try:
            idurl = IDURL.parse(line)
        except InvalidName as exc:
            raise InvalidInput(
                f"line {number} of the backup is no IDURL: {line.strip()[:_MAX_SHOWN]!r}",
                hint=exc.hint,
            ) from None
        if idurl not in idurls:
            idurls.append(idurl)
    if not idurls:
        raise InvalidInput(
            "the backup names no IDURL", hint="give the address of the identity as known IDURL"
        )
    if len(idurls) > MAX_SOURCES:
        raise InvalidInput(f"the backup names more than {MAX_SOURCES} IDURLs")
    return Backup(tuple(idurls), begin + tail)
