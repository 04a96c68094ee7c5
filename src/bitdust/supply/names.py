"""Names of objects on a supplier, and the file names they become. Pure.

A file name tells everything about its object but the bytes: ``d%0a1b~<hash in hex>``. So the index
of a store can be lost and made again from the directory, and a damaged file is known as damaged
even then.
"""

from __future__ import annotations

import re

from blake3 import blake3

from bitdust.errors import InvalidName

MAX_NAME = 160
"""Longest object name, characters."""
MAX_PREFIX = MAX_NAME
"""Longest prefix a list may ask for."""

_NAME = re.compile(r"[a-z0-9/._-]{1,160}")
_PREFIX = re.compile(r"[a-z0-9/._-]{0,160}")
_FILE = re.compile(r"([a-z0-9%._-]{1,160})~([0-9a-f]{64})")


def check_object_name(name: str) -> str:
    """Return ``name`` if it may name an object.

    Raises:
        InvalidName: other characters, too long, or an empty, ``.`` or ``..`` segment.
    """
    if not _NAME.fullmatch(name) or any(part in ("", ".", "..") for part in name.split("/")):
        raise InvalidName(
            f"invalid object name {name[:80]!r}",
            hint="use 1 to 160 of a-z, 0-9, '.', '_', '-' with '/' between parts",
        )
    return name


def check_prefix(prefix: str) -> str:
    """Return ``prefix`` if names can begin with it; the empty one means all.

    Raises:
        InvalidName: characters that no name has, or too long.
    """
    if not _PREFIX.fullmatch(prefix):
        raise InvalidName(f"invalid prefix of object names {prefix[:80]!r}")
    return prefix


def file_name(name: str, digest: bytes) -> str:
    """The name of the file that keeps an object.

    Args:
        name: a checked object name.
        digest: BLAKE3 of its bytes, 32 bytes.
    """
    return f"{name.replace('/', '%')}~{digest.hex()}"


def parse_file_name(text: str) -> tuple[str, bytes] | None:
    """The object name and hash in a file name, None when it is no object's."""
    match = _FILE.fullmatch(text)
    if match is None:
        return None
    name = match[1].replace("%", "/")
    try:
        check_object_name(name)
    except InvalidName:
        return None
    return name, bytes.fromhex(match[2])


def shard(name: str) -> str:
    """The sub-directory of an object: two hex digits of its name's hash."""
    return blake3(name.encode()).hexdigest()[:2]
