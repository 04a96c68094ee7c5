"""What a test network consists of: the plan, and each node with its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitdust.cli.testnet_api import NodeApi
from bitdust.cli.testnet_ports import LOOPBACK
from bitdust.cli.testnet_process import Daemon
from bitdust.config_keys import SUPPLIER_NUMBERS
from bitdust.errors import InvalidInput

IDENTITY_SERVER = "identity-server"
SUPPLIER = "supplier"
CUSTOMER = "customer"
MAX_NODES = 200
SUPPLIERS_NUMBER = "services/customer/suppliers-number"


@dataclass(frozen=True)
class Plan:
    """What a test network consists of.

    Args:
        suppliers: nodes that donate space.
        customers: nodes that store data; each hires as many suppliers as can be.
        identity_servers: nodes that serve identities; the first also starts the DHT.
        key_size: bits of everybody's RSA keys.
        needed_space: what a customer wants from its suppliers together.
        donated_space: what a supplier offers.
        settings: further settings of every node.
    """

    suppliers: int = 4
    customers: int = 1
    identity_servers: int = 1
    key_size: int = 2048
    needed_space: str = "4 GB"
    donated_space: str = "32 GB"
    settings: Mapping[str, object] = field(default_factory=dict)

    def check(self) -> None:
        """Raise InvalidInput when no such network can be."""
        total = self.suppliers + self.customers + self.identity_servers
        if min(self.suppliers, self.customers) < 0 or total > MAX_NODES:
            raise InvalidInput(f"a test network has at most {MAX_NODES} nodes")
        if self.identity_servers < 1:
            raise InvalidInput("a test network needs at least one identity server")
        if self.customers and self.suppliers < min(SUPPLIER_NUMBERS):
            raise InvalidInput(
                f"customers need at least {min(SUPPLIER_NUMBERS)} suppliers",
                hint="raise --suppliers, or set --customers 0",
            )

    @property
    def hired(self) -> int:
        """How many suppliers each customer has."""
        if SUPPLIERS_NUMBER in self.settings:
            return int(str(self.settings[SUPPLIERS_NUMBER]))
        return max((n for n in SUPPLIER_NUMBERS if n <= self.suppliers), default=0)


@dataclass(frozen=True)
class NodePorts:
    """Loopback ports of one node: HTTP API, WebSocket API, sessions, DHT, identities (or 0)."""

    web: int
    ws: int
    tcp: int
    dht: int
    identity: int = 0


@dataclass
class Member:
    """One node of the network.

    Args:
        name: such as ``supplier-2``; also its user name, unless it is a recovered one.
        role: ``identity-server``, ``supplier`` or ``customer``.
        home: its home directory.
        ports: where it listens.
        daemon: its process.
        global_id: who it is, empty without an identity.
        idurl: the same as an address.
    """

    name: str
    role: str
    home: Path
    ports: NodePorts
    daemon: Daemon
    global_id: str = ""
    idurl: str = ""

    @property
    def api(self) -> NodeApi:
        """Its HTTP API."""
        return NodeApi(f"http://{LOOPBACK}:{self.ports.web}", self.secret_file)

    @property
    def secret_file(self) -> Path:
        """Where its API secret is."""
        return self.home / "metadata" / "apisecret"

    def describe(self) -> dict[str, Any]:
        """Its entry in ``testnet.json``."""
        return {
            "name": self.name,
            "role": self.role,
            "pid": self.daemon.pid,
            "home": str(self.home),
            "api_url": f"http://{LOOPBACK}:{self.ports.web}",
            "ws_url": f"ws://{LOOPBACK}:{self.ports.ws}",
            "api_secret_file": str(self.secret_file),
            "global_id": self.global_id,
            "idurl": self.idurl,
        }

    def settings(self, plan: Plan, servers: Sequence[int], dht: Sequence[int]) -> dict[str, object]:
        """The values of its settings.

        Args:
            plan: the network it belongs to.
            servers: HTTP ports of the identity servers.
            dht: UDP ports of the nodes from which the DHT starts.
        """
        others = [port for port in dht if port != self.ports.dht]
        values: dict[str, object] = {
            "interface/api/rest-http-port": self.ports.web,
            "interface/api/web-socket-port": self.ports.ws,
            "personal/private-key-size": plan.key_size,
            "services/tcp-connections/host": LOOPBACK,
            "services/tcp-connections/tcp-port": self.ports.tcp,
            "services/entangled-dht/udp-port": self.ports.dht,
            "services/entangled-dht/known-nodes": _addresses(others),
            "services/entangled-dht/private-network": True,
            "services/identity-propagate/known-servers": _addresses(servers),
            "services/identity-server/enabled": self.role == IDENTITY_SERVER,
            "services/supplier/enabled": self.role == SUPPLIER,
            "services/supplier/donated-space": plan.donated_space,
            "services/customer/enabled": self.role == CUSTOMER,
            "services/customer/needed-space": plan.needed_space,
        }
        if self.ports.identity:
            values["services/identity-server/host"] = LOOPBACK
            values["services/identity-server/web-port"] = self.ports.identity
        if plan.hired:
            values[SUPPLIERS_NUMBER] = plan.hired
        return values | dict(plan.settings)


def _addresses(ports: Sequence[int]) -> str:
    return ",".join(f"{LOOPBACK}:{port}" for port in ports)
