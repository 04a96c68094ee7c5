"""Settings that BitDust has and this version does not act on.

Their values are taken, checked, kept and shown, marked as being without effect, so that a home
folder can go back and forth between programs.

Source: BitDust API, third generation, and the settings of the second.
"""

from __future__ import annotations

from bitdust.config_schema import (
    Bool,
    Float,
    Folder,
    Int,
    Kind,
    Password,
    Port,
    Setting,
    Size,
    String,
    Text,
    Value,
    parse_size,
)


def _kept(branch: str, *entries: tuple[str, Kind, Value]) -> list[Setting]:
    return [
        Setting(f"{branch}/{name}", kind, default, effective=False)
        for name, kind, default in entries
    ]


def inherited_settings() -> list[Setting]:
    """The settings that are kept without effect."""
    return [
        *_kept(
            "interface/ftp",
            ("enabled", Bool(), True),
            ("port", Port(), 8021),
        ),
        *_kept(
            "logs",
            ("automat-events-enabled", Bool(), False),
            ("automat-transitions-enabled", Bool(), False),
            ("memdebug-enabled", Bool(), False),
            ("memdebug-port", Port(), 9996),
            ("memprofile-enabled", Bool(), False),
            ("packet-enabled", Bool(), False),
            ("stream-enabled", Bool(), False),
            ("stream-port", Port(), 9999),
            ("traffic-enabled", Bool(), False),
            ("traffic-port", Port(), 9997),
        ),
        *_kept(
            "paths",
            ("backups", Folder(), ""),
            ("customers", Folder(), ""),
            ("messages", Folder(), ""),
            ("receipts", Folder(), ""),
        ),
        *_kept(
            "services/accountant",
            ("enabled", Bool(), False),
        ),
        *_kept(
            "services/backups",
            ("keep-local-copies-enabled", Bool(), True),
            ("max-block-size", Size(), parse_size("16 MB")),
            ("wait-suppliers-enabled", Bool(), True),
        ),
        *_kept(
            "services/bismuth-blockchain",
            ("enabled", Bool(), True),
        ),
        *_kept(
            "services/bismuth-identity",
            ("enabled", Bool(), True),
        ),
        *_kept(
            "services/bismuth-miner",
            ("enabled", Bool(), False),
        ),
        *_kept(
            "services/bismuth-node",
            ("enabled", Bool(), False),
            ("host", String(), "127.0.0.1"),
            ("tcp-port", Port(), 15658),
        ),
        *_kept(
            "services/bismuth-pool",
            ("enabled", Bool(), False),
            ("host", String(), "127.0.0.1"),
            ("tcp-port", Port(), 18525),
        ),
        *_kept(
            "services/bismuth-wallet",
            ("enabled", Bool(), True),
        ),
        *_kept(
            "services/blockchain-authority",
            ("enabled", Bool(), False),
            ("registration-bonus-coins", Int(), 100),
            ("requests-reading-limit", Int(1), 50),
            ("requests-reading-offset", Int(), 0),
        ),
        *_kept(
            "services/blockchain-explorer",
            ("enabled", Bool(), False),
            ("host", String(), "127.0.0.1"),
            ("web-port", Port(), 19080),
        ),
        *_kept(
            "services/blockchain-id",
            ("enabled", Bool(), True),
        ),
        *_kept(
            "services/broadcasting",
            ("enabled", Bool(), False),
            ("max-broadcast-connections", Int(1), 3),
            ("routing-enabled", Bool(), False),
        ),
        *_kept(
            "services/contract-chain",
            ("enabled", Bool(), False),
        ),
        *_kept(
            "services/customer-contracts",
            ("enabled", Bool(), True),
        ),
        *_kept(
            "services/customer-family",
            ("enabled", Bool(), True),
        ),
        *_kept(
            "services/customer-patrol",
            ("customer-idle-days", Int(), 14),
            ("enabled", Bool(), True),
        ),
        *_kept(
            "services/customer-support",
            ("enabled", Bool(), True),
        ),
        *_kept(
            "services/data-disintegration",
            ("enabled", Bool(), True),
        ),
        *_kept(
            "services/data-motion",
            ("supplier-request-queue-size", Int(1), 4),
            ("supplier-sending-queue-size", Int(1), 4),
        ),
        *_kept(
            "services/employer",
            ("candidates", String(), ""),
            ("replace-critically-offline-enabled", Bool(), True),
        ),
        *_kept(
            "services/entangled-dht",
            ("attached-layers", String(), ""),
        ),
        *_kept(
            "services/gateway",
            ("p2p-timeout", Int(), 15),
        ),
        *_kept(
            "services/http-connections",
            ("enabled", Bool(), False),
            ("http-port", Port(), 9993),
        ),
        *_kept(
            "services/http-transport",
            ("enabled", Bool(), False),
            ("priority", Int(), 50),
            ("receiving-enabled", Bool(), True),
            ("sending-enabled", Bool(), True),
        ),
        *_kept(
            "services/identity-server",
            ("tcp-port", Port(), 6661),
        ),
        *_kept(
            "services/keys-storage",
            ("reset-unreliable-backup-copies", Bool(), True),
        ),
        *_kept(
            "services/miner",
            ("enabled", Bool(), False),
        ),
        *_kept(
            "services/my-ip-port",
            ("enabled", Bool(), True),
        ),
        *_kept(
            "services/network",
            ("receive-limit", Int(), 125000000),
            ("send-limit", Int(), 12500000),
        ),
        *_kept(
            "services/network/proxy",
            ("enabled", Bool(), False),
            ("host", String(), ""),
            ("password", Password(), ""),
            ("port", String(), ""),
            ("ssl", Bool(), False),
            ("username", String(), ""),
        ),
        *_kept(
            "services/personal-messages",
            ("enabled", Bool(), True),
        ),
        *_kept(
            "services/private-groups",
            ("broker-connect-timeout", Int(1), 120),
        ),
        *_kept(
            "services/private-messages",
            ("acknowledge-unread-messages-enabled", Bool(), True),
        ),
        *_kept(
            "services/proxy-server",
            ("current-routes", Text(), "{}"),
            ("enabled", Bool(), False),
            ("routes-limit", Int(), 20),
        ),
        *_kept(
            "services/proxy-transport",
            ("current-router", String(), ""),
            ("enabled", Bool(), True),
            ("my-original-identity", Text(), ""),
            ("preferred-routers", Text(), ""),
            ("priority", Int(), 100),
            ("receiving-enabled", Bool(), True),
            ("sending-enabled", Bool(), True),
        ),
        *_kept(
            "services/supplier-contracts",
            ("duration-raise-factor", Float(), 2.0),
            ("enabled", Bool(), True),
            ("initial-duration-hours", Int(1), 6),
        ),
        *_kept(
            "services/tcp-connections",
            ("upnp-enabled", Bool(), True),
        ),
        *_kept(
            "services/tcp-transport",
            ("enabled", Bool(), True),
            ("priority", Int(), 10),
            ("receiving-enabled", Bool(), True),
            ("sending-enabled", Bool(), True),
        ),
        *_kept(
            "services/udp-datagrams",
            ("enabled", Bool(), True),
        ),
        *_kept(
            "services/udp-transport",
            ("enabled", Bool(), False),
            ("priority", Int(), 20),
            ("receiving-enabled", Bool(), True),
            ("sending-enabled", Bool(), True),
        ),
    ]
