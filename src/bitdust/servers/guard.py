"""Who may use the API: programs of this machine that know the secret.

Pure. The ``Host`` header must be a loopback name, so that a page on the web cannot reach us through
a name it made point here; an ``Origin`` must be local for the same reason.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


def is_own_host(host: str, port: int) -> bool:
    """Whether a ``Host`` header names this machine and our port."""
    name, separator, tail = host.strip().lower().rpartition(":")
    if not separator or tail.endswith("]"):
        return host.strip().lower() in _LOOPBACK and port == 80
    return name in _LOOPBACK and tail == str(port)


def is_local_origin(origin: str | None) -> bool:
    """Whether a request comes from no web page, or from one that this machine serves."""
    if origin is None:
        return True
    try:
        parts = urlsplit(origin.strip().lower())
        name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return parts.scheme in ("http", "https") and name in _LOOPBACK and parts.path == ""
    except ValueError:
        return False


def is_secret(given: str | None, secret: str | None) -> bool:
    """Whether the caller knows the secret; compared in constant time.

    Args:
        given: what the caller sent.
        secret: what it must be; None when no secret is asked for.
    """
    if secret is None:
        return True
    return hmac.compare_digest((given or "").encode("utf-8", "replace"), secret.encode("ascii"))
