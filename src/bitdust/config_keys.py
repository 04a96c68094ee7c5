"""The table of all settings: names as BitDust has them, with types, defaults and help.

``services/entangled-dht/private-network``, ``services/tcp-connections/host`` and
``interface/api/shutdown-timeout`` are ours; everything else has a counterpart in BitDust. Where a
default differs from the original, the help says what it stands for.
"""

from __future__ import annotations

from bitdust.config_inherited import inherited_settings
from bitdust.config_schema import (
    Bool,
    Choice,
    Duration,
    Folder,
    Int,
    Items,
    Port,
    Setting,
    Size,
    String,
    Words,
    parse_size,
)

MiB = 1024 * 1024
KEY_SIZES = (1024, 2048, 3072, 4096)
SUPPLIER_NUMBERS = (2, 4, 7, 13, 18, 26, 64)


def _interface() -> list[Setting]:
    api = "interface/api"
    return [
        Setting(
            f"{api}/auth-secret-enabled",
            Bool(),
            True,
            "Local programs must show the secret of metadata/apisecret to use the API.",
        ),
        Setting(f"{api}/rest-http-enabled", Bool(), True, "Serve the API over HTTP."),
        Setting(f"{api}/rest-http-port", Port(), 8180, "Port of the HTTP API on 127.0.0.1."),
        Setting(f"{api}/web-socket-enabled", Bool(), True, "Serve the API over WebSocket."),
        Setting(f"{api}/web-socket-port", Port(), 8280, "Port of the WebSocket API on 127.0.0.1."),
        Setting(
            f"{api}/shutdown-timeout",
            Duration(0.0, 600.0),
            5.0,
            "How long running API calls may take to end when the daemon stops.",
        ),
    ]


def _logs() -> list[Setting]:
    return [
        Setting("logs/api-enabled", Bool(), False, "Log the name and duration of every API call."),
        Setting(
            "logs/debug-level",
            Int(0, 100),
            0,
            "Detail of the log: 0 is normal, 10 and above adds debugging messages.",
        ),
    ]


def _personal() -> list[Setting]:
    return [
        Setting(
            "paths/restore",
            Folder(),
            "",
            "Where downloads go when no destination is named; the user's home folder if empty.",
        ),
        Setting(
            "personal/nickname",
            String(),
            "",
            "Name under which others find you through the DHT; your user name if empty.",
        ),
        Setting(
            "personal/private-key-size", Choice(KEY_SIZES), 3072, "Bits of newly made RSA keys."
        ),
    ]


def _storage() -> list[Setting]:
    return [
        Setting(
            "services/backups/block-size",
            Size(1, 64 * MiB),
            16 * MiB,
            "Data that is sealed and spread over the suppliers as one block; what is below 4 MB "
            "counts as 4 MB, what is above 16 MB as 16 MB.",
        ),
        Setting(
            "services/backups/max-copies",
            Int(0, 1_000_000),
            0,
            "Complete versions kept of everything that was uploaded; the oldest go first. 0 keeps "
            "all.",
        ),
        Setting("services/customer/enabled", Bool(), True, "Store own data at suppliers."),
        Setting(
            "services/customer/needed-space",
            Size(MiB),
            parse_size("8 GB"),
            "Space wanted from all suppliers together, before redundancy.",
        ),
        Setting(
            "services/customer/suppliers-number",
            Choice(SUPPLIER_NUMBERS),
            4,
            "Suppliers to spread the data over; any half of them can bring it back.",
        ),
        Setting("services/supplier/enabled", Bool(), True, "Store data of others on this machine."),
        Setting(
            "services/supplier/donated-space",
            Size(MiB),
            parse_size("8 GB"),
            "Disk space offered to others.",
        ),
    ]


def _people() -> list[Setting]:
    return [
        Setting(
            "services/keys-registry/accept-keys-from",
            Words(("everybody", "friends", "nobody")),
            "everybody",
            "Whose keys this node takes when they are handed over.",
        ),
        Setting(
            "services/shared-data/sponsor",
            Words(("everybody", "friends", "nobody")),
            "nobody",
            "Whose new shares may lie at the own suppliers, when they ask for it.",
        ),
        Setting(
            "services/shared-data/sponsor-quota",
            Size(MiB),
            parse_size("1 GB"),
            "Space that one such share may use, before redundancy.",
        ),
        Setting(
            "services/private-groups/message-ack-timeout",
            Int(1, 3600),
            30,
            "Seconds to wait until brokers have a message; it is sent later in any case.",
        ),
        Setting(
            "services/private-groups/preferred-brokers",
            Items(),
            (),
            "Addresses (IDURLs) of nodes that shall order the messages of new groups.",
        ),
        Setting(
            "services/message-broker/max-groups",
            Int(0, 100_000),
            256,
            "Groups of others whose messages this node keeps.",
        ),
        Setting(
            "services/message-broker/group-quota",
            Size(MiB),
            parse_size("256 MB"),
            "Space for the messages of one such group.",
        ),
        Setting(
            "services/private-messages/allow-sealed",
            Bool(),
            False,
            "Send and take messages without forward secrecy where no better keys can be had.",
        ),
    ]


def _network() -> list[Setting]:
    dht = "services/entangled-dht"
    servers = "services/identity-propagate"
    server = "services/identity-server"
    tcp = "services/tcp-connections"
    return [
        Setting(f"{dht}/enabled", Bool(), True, "Take part in the DHT."),
        Setting(
            f"{dht}/known-nodes",
            Items(),
            (),
            "DHT nodes to start from, host:port; the public mainline routers if empty.",
        ),
        Setting(
            f"{dht}/private-network",
            Bool(),
            False,
            "The DHT runs on loopback or a private LAN, where many nodes share few addresses.",
        ),
        Setting(f"{dht}/udp-port", Port(), 14441, "UDP port of the DHT node."),
        Setting(
            f"{servers}/automatic-rotate-enabled",
            Bool(),
            True,
            "Leave identity servers that are dead for others that are known.",
        ),
        Setting(
            f"{servers}/health-check-interval-seconds",
            Int(1, 86400),
            300,
            "How often the own identity servers are looked at; dead after three failures.",
        ),
        Setting(
            f"{servers}/known-servers",
            Items(),
            (),
            "Identity servers to choose from, host or host:port.",
        ),
        Setting(f"{servers}/max-servers", Int(1, 16), 5, "Most sources of an identity."),
        Setting(f"{servers}/min-servers", Int(1, 16), 1, "Fewest sources of an identity."),
        Setting(
            f"{servers}/preferred-servers",
            Items(),
            (),
            "Identity servers to try before the known ones.",
        ),
        Setting(
            f"{servers}/serverless-enabled",
            Bool(),
            False,
            "Put new identities into the DHT, too; no identity server is needed then.",
        ),
        Setting(f"{server}/enabled", Bool(), False, "Serve identities of others over HTTP."),
        Setting(
            f"{server}/host",
            String(),
            "",
            "Name under which others reach this identity server; 127.0.0.1 if empty.",
        ),
        Setting(f"{server}/web-port", Port(), 8084, "HTTP port of the identity server."),
        Setting(
            "services/udp-datagrams/udp-port",
            Port(),
            8882,
            "UDP port on which others ask for their address (STUN); a free one if it is taken.",
        ),
        Setting("services/network/enabled", Bool(), True, "Connect to other nodes at all."),
        Setting(f"{tcp}/enabled", Bool(), True, "Talk to other nodes over TCP."),
        Setting(
            f"{tcp}/host",
            String(),
            "",
            "Address told to others; if empty, 127.0.0.1 on a private network, else as detected.",
        ),
        Setting(f"{tcp}/tcp-port", Port(), 7771, "TCP port on which other nodes connect."),
    ]


def _devices() -> list[Setting]:
    communicator = "services/web-socket-communicator"
    router = "services/web-socket-router"
    return [
        Setting(
            "interface/devices/web-socket-port",
            Port(),
            8281,
            "Port where remote devices come in that name no other.",
        ),
        Setting(f"{communicator}/enabled", Bool(), True, "Let paired remote devices come in."),
        Setting(
            f"{communicator}/max-connections",
            Int(1, 16),
            5,
            "Web socket routers that a routed device holds at most.",
        ),
        Setting(
            f"{communicator}/min-connections",
            Int(1, 16),
            3,
            "Web socket routers below which more are looked for.",
        ),
        Setting(
            f"{communicator}/preferred-routers",
            Items(),
            (),
            "Web socket routers to use first, host:port; others are found through the DHT.",
        ),
        Setting(
            f"{router}/enabled",
            Bool(),
            False,
            "Pass sealed bytes between other people's nodes and their devices.",
        ),
        Setting(
            f"{router}/host",
            String(),
            "",
            "Address on which the router listens; all of this machine if empty.",
        ),
        Setting(f"{router}/port", Port(), 8282, "Port of the web socket router."),
    ]


def _switches() -> list[Setting]:
    texts = {
        "backup-db": "Keep the catalog of own data, with its journal and its care.",
        "backups": "Run uploads; while it is off they wait.",
        "data-motion": "Let own data travel to and from suppliers at all.",
        "employer": "Keep suppliers hired and connected.",
        "gateway": "Hold sessions with other nodes.",
        "identity-propagate": "Bring the own identity to its identity servers.",
        "ip-port-responder": "Tell other nodes under which address they are seen (STUN).",
        "joint-postman": "Keep messages for the own customers while they are away.",
        "keys-exchange": "Hand keys to other people and take theirs.",
        "keys-registry": "Keep keys on this machine.",
        "keys-storage": "Store the other own keys at the suppliers, under the master key.",
        "list-files": "Answer what the catalog holds, and run transfers.",
        "my-data": "Open the own files to the person and its programs.",
        "message-broker": "Keep and order messages of other people's groups, unreadable here.",
        "private-groups": "Take part in groups.",
        "message-history": "Keep what was said with other people and in groups.",
        "nodes-lookup": "Find nodes through the DHT, and be found there.",
        "p2p-notifications": "Keep friends connected, and tell who of them comes and goes.",
        "p2p-hookups": "Remember the identities of nodes met.",
        "shared-data": "Open shares: places that several people read and write.",
        "rebuilding": "Bring back lost fragments, and move them when a supplier is replaced.",
        "restores": "Run downloads; while it is off they wait.",
        "private-messages": "Bring messages to other people and take theirs.",
    }
    return [Setting(f"services/{name}/enabled", Bool(), True, text) for name, text in texts.items()]


def all_settings() -> dict[str, Setting]:
    """Every declared setting by its key, in alphabetical order."""
    settings = [
        *_interface(),
        *_logs(),
        *_personal(),
        *_storage(),
        *_network(),
        *_people(),
        *_devices(),
        *_switches(),
        *inherited_settings(),
    ]
    return {setting.key: setting for setting in sorted(settings, key=lambda entry: entry.key)}
