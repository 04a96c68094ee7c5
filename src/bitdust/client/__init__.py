"""Clients of a running node: a plain one over HTTP, an asynchronous one over WebSocket.

Both find port and secret in the node's home folder, raise the errors of ``bitdust.errors`` and
return the ``result`` of the envelope. A third, ``DeviceClient``, uses a node from elsewhere, once
it was paired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitdust.client.sync import Client

if TYPE_CHECKING:
    from bitdust.client.aio import AsyncClient
    from bitdust.client.device import Credential, DeviceClient
    from bitdust.client.jobs import Job, Progress

__all__ = ["AsyncClient", "Client", "Credential", "DeviceClient", "Job", "Progress"]


def __getattr__(name: str) -> object:
    if name == "AsyncClient":  # the WebSocket library is loaded for those who use it only
        from bitdust.client.aio import AsyncClient

        return AsyncClient
    if name in ("Credential", "DeviceClient"):
        from bitdust.client import device

        return getattr(device, name)
    if name in ("Job", "Progress"):
        from bitdust.client import jobs

        return getattr(jobs, name)
    raise AttributeError(name)
