"""The interfaces for programs of this machine: HTTP and WebSocket, thin, made from the registry."""

from __future__ import annotations

from bitdust.servers.embedded import NameHost
from bitdust.servers.http import HttpServer
from bitdust.servers.websocket import WebSocketServer

__all__ = ["HttpServer", "NameHost", "WebSocketServer"]
