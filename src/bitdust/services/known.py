"""The services of this version, under the names that BitDust gave to what they do. Pure.

Source: BitDust API, second generation, services_list.
"""

from __future__ import annotations

from bitdust.services.graph import Graph, Spec

SPECS = (
    Spec("network", (), "Finds the address under which others reach this node.", False),
    Spec("keys_registry", (), "Keeps the keys on this machine."),
    Spec("tcp_connections", ("network",), "Carries bytes to other nodes: TLS over TCP.", False),
    Spec("entangled_dht", ("network",), "Takes part in the DHT.", False),
    Spec(
        "ip_port_responder",
        ("entangled_dht",),
        "Tells other nodes under which address they are seen (STUN).",
        False,
    ),
    Spec("identity_server", ("network",), "Serves identities of others over HTTP.", False),
    Spec(
        "web_socket_communicator",
        (),
        "Lets paired remote devices use this node, directly or through routers.",
        False,
    ),
    Spec(
        "web_socket_router",
        ("entangled_dht",),
        "Passes sealed bytes between other people's nodes and their devices.",
        False,
    ),
    Spec("gateway", ("tcp_connections",), "Holds sessions with other nodes, and answers them."),
    Spec("identity_propagate", ("gateway",), "Brings the own identity to its identity servers."),
    Spec("p2p_hookups", ("gateway",), "Remembers the identities of the nodes it meets."),
    Spec(
        "nodes_lookup",
        ("entangled_dht", "p2p_hookups"),
        "Finds nodes and nicknames through the DHT, and lets itself be found there.",
    ),
    Spec(
        "p2p_notifications",
        ("p2p_hookups",),
        "Keeps friends connected, and tells who of them comes and goes.",
    ),
    Spec(
        "keys_exchange",
        ("keys_registry", "p2p_hookups"),
        "Hands keys to other people and takes theirs.",
    ),
    Spec("message_history", (), "Keeps what was said with other people and in groups."),
    Spec(
        "private_messages",
        ("message_history", "nodes_lookup"),
        "Brings messages to other people and takes theirs.",
    ),
    Spec(
        "private_groups",
        ("message_history", "keys_exchange", "nodes_lookup"),
        "Takes part in groups of people who write to each other.",
    ),
    Spec(
        "message_broker",
        ("nodes_lookup",),
        "Keeps and orders the messages of other people's groups, which it cannot read.",
    ),
    Spec("supplier", ("nodes_lookup",), "Stores data of others on this machine."),
    Spec(
        "joint_postman",
        ("supplier",),
        "Keeps messages for the customers of this supplier while they are away.",
    ),
    Spec("customer", ("p2p_hookups",), "Holds contracts with the suppliers of the own data."),
    Spec("employer", ("customer", "nodes_lookup"), "Keeps suppliers hired and connected."),
    Spec(
        "backup_db",
        ("employer", "keys_registry"),
        "Keeps the catalog of the own data, its journal and its care.",
    ),
    Spec("list_files", ("backup_db",), "Answers what the catalog holds."),
    Spec("data_motion", ("backup_db",), "Lets own data travel to and from suppliers at all."),
    Spec(
        "rebuilding",
        ("data_motion",),
        "Brings back lost fragments, and moves them when a supplier is replaced.",
    ),
    Spec("backups", ("list_files", "data_motion"), "Runs uploads; while it is off they wait."),
    Spec("restores", ("list_files", "data_motion"), "Runs downloads; while it is off they wait."),
    Spec(
        "keys_storage",
        ("backups", "restores"),
        "Stores the other own keys under the master key.",
    ),
    Spec("my_data", ("list_files",), "Opens the own files to the person and its programs."),
    Spec(
        "shared_data",
        ("my_data", "keys_exchange"),
        "Opens shares: places that several people read and write.",
    ),
)


def known_services() -> Graph:
    """The graph of all services."""
    return Graph(SPECS)
