"""Listening sockets on the loopback interface, and a library kept quiet."""

from __future__ import annotations

import errno
import logging
import socket

from bitdust.errors import PortInUse

LOOPBACK = "127.0.0.1"
BACKLOG = 128


def listen_on_loopback(port: int, setting: str) -> socket.socket:
    """A listening socket on 127.0.0.1.

    Args:
        port: TCP port, 0 for any free one.
        setting: the setting it comes from, named in the error's hint.

    Raises:
        PortInUse: another program has the port, or it may not be used.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as exc:
        listener.close()
        what = "is in use" if exc.errno == errno.EADDRINUSE else f"cannot be used: {exc.strerror}"
        raise PortInUse(
            f"port {port} on {LOOPBACK} {what}",
            hint=f"stop the other program, or set another port with "
            f"`bitdust config set {setting} PORT`",
        ) from exc
    return listener


def quiet_logger() -> logging.Logger:
    """A logger for the WebSocket library, whose notes about broken handshakes are not ours to
    repeat."""
    logger = logging.Logger("websockets.server.quiet", level=logging.CRITICAL + 1)
    logger.addHandler(logging.NullHandler())
    return logger
