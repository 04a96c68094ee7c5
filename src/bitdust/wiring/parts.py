"""Which class brings up which service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitdust.services import Part
from bitdust.wiring.devices import DevicesPart, RouterPart
from bitdust.wiring.finding import LookupPart
from bitdust.wiring.ground import (
    DhtPart,
    GatewayPart,
    HookupsPart,
    IdentityServerPart,
    KeysPart,
    NetworkPart,
    ResponderPart,
    TcpPart,
)
from bitdust.wiring.groups import BrokerPart, GroupsPart
from bitdust.wiring.jobs import DownloadsPart, MotionPart, RebuildingPart, UploadsPart
from bitdust.wiring.messages import HistoryPart, MailboxPart, MessagesPart
from bitdust.wiring.part import NodePart
from bitdust.wiring.people import FriendsPart, KeyExchangePart
from bitdust.wiring.propagating import PropagatePart
from bitdust.wiring.shares import SharesPart
from bitdust.wiring.storing import (
    CatalogPart,
    CustomerPart,
    EmployerPart,
    FilesPart,
    KeySafePart,
    SupplierPart,
)

if TYPE_CHECKING:
    from bitdust.node import Node


def service_parts(node: Node) -> dict[str, Part]:
    """What every service of ``bitdust.services.known_services`` does on a node."""
    tcp = TcpPart(node)
    gateway = GatewayPart(node, tcp)
    customer = CustomerPart(node, gateway)
    employer = EmployerPart(node, customer)
    return {
        "network": NetworkPart(node),
        "keys_registry": KeysPart(node),
        "tcp_connections": tcp,
        "entangled_dht": DhtPart(node),
        "ip_port_responder": ResponderPart(node),
        "identity_server": IdentityServerPart(node),
        "web_socket_communicator": DevicesPart(node),
        "web_socket_router": RouterPart(node),
        "gateway": gateway,
        "identity_propagate": PropagatePart(node),
        "p2p_hookups": HookupsPart(node, gateway),
        "nodes_lookup": LookupPart(node, gateway),
        "p2p_notifications": FriendsPart(node, gateway),
        "keys_exchange": KeyExchangePart(node, gateway),
        "message_history": HistoryPart(node),
        "private_messages": MessagesPart(node, gateway),
        "private_groups": GroupsPart(node, gateway),
        "message_broker": BrokerPart(node, gateway),
        "supplier": SupplierPart(node, gateway),
        "joint_postman": MailboxPart(node, gateway),
        "customer": customer,
        "employer": employer,
        "backup_db": CatalogPart(node, employer),
        "list_files": FilesPart(node),
        "keys_storage": KeySafePart(node),
        "data_motion": MotionPart(node),
        "rebuilding": RebuildingPart(node),
        "backups": UploadsPart(node),
        "restores": DownloadsPart(node),
        "my_data": NodePart(node),
        "shared_data": SharesPart(node, gateway),
    }
