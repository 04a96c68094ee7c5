"""The interfaces: HTTP and WebSocket for programs of this machine, and doors for remote devices.

Thin, and made from the registry.
"""

from __future__ import annotations

from bitdust.servers.device_direct import DirectDoors
from bitdust.servers.device_guard import guard_for
from bitdust.servers.device_routed import RoutedDoor
from bitdust.servers.device_router import DeviceRouter
from bitdust.servers.embedded import NameHost
from bitdust.servers.http import HttpServer
from bitdust.servers.session import Sessions
from bitdust.servers.websocket import WebSocketServer

__all__ = [
    "DeviceRouter",
    "DirectDoors",
    "HttpServer",
    "NameHost",
    "RoutedDoor",
    "Sessions",
    "WebSocketServer",
    "guard_for",
]
