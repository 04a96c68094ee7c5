"""What ``bitdust doctor`` makes of what it found: one verdict for each subject. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

OK = "ok"
WARNING = "warning"
PROBLEM = "problem"
SKIPPED = "skipped"

MOST_SKEW = 300.0
"""Seconds by which a clock may differ from those of identity servers; contracts and records carry
times, and a clock that is hours off makes them look expired."""
LITTLE_SPACE = 1024**3
NO_SPACE = 100 * 1024**2
MANY_SHOWN = 3
"""Names listed in one message."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one subject.

    Args:
        check: the subject, such as ``disk``.
        status: ``ok``, ``warning``, ``problem`` or ``skipped``.
        message: what was found.
        advice: what to do, empty when there is nothing to do.
    """

    check: str
    status: str
    message: str
    advice: str = ""

    def shown(self) -> dict[str, str]:
        """JSON-ready."""
        return asdict(self)


def size_text(size: float) -> str:
    """A byte count for people."""
    for unit in ("B", "KB", "MB", "GB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MANY_SHOWN])
    return f"{shown} and {len(names) - MANY_SHOWN} more" if len(names) > MANY_SHOWN else shown


def judge_ports(taken: Mapping[str, tuple[int, str]], count: int) -> Verdict:
    """Ports of a node that is not running.

    Args:
        taken: port and reason of those that cannot be had, by setting.
        count: how many were tried.
    """
    if not taken:
        return Verdict("ports", OK, f"all {count} ports are free")
    texts = [f"{port} ({key}): {reason}" for key, (port, reason) in taken.items()]
    return Verdict(
        "ports",
        PROBLEM,
        "ports that cannot be used: " + "; ".join(texts),
        f"end the other program, or choose another: `bitdust set {next(iter(taken))} PORT`",
    )


def judge_clock(skews: Sequence[float]) -> Verdict:
    """The clock of this machine.

    Args:
        skews: seconds by which it is ahead of each server that was asked.
    """
    if not skews:
        return Verdict("clock", SKIPPED, "no identity server answered, so there is no other clock")
    ordered = sorted(skews)
    middle = ordered[len(ordered) // 2]  # one server with a wrong clock must not decide
    if abs(middle) <= MOST_SKEW:
        return Verdict("clock", OK, f"{abs(middle):.0f} s from the clocks of identity servers")
    word = "ahead" if middle > 0 else "behind"
    return Verdict(
        "clock",
        PROBLEM,
        f"the clock is {abs(middle):.0f} s {word}",
        "set the clock, and let the system keep it (timedatectl set-ntp true)",
    )


def judge_disk(free: int, donated: int, used_by_others: int) -> Verdict:
    """The disk of the home folder, in bytes.

    Args:
        free: on the disk.
        donated: promised to customers, 0 when this node is no supplier.
        used_by_others: of it, used already.
    """
    if free < NO_SPACE:
        return Verdict(
            "disk",
            PROBLEM,
            f"only {size_text(free)} are free",
            "free some space: nothing can be stored, the catalog included",
        )
    wanted = max(0, donated - used_by_others)
    if free < wanted:
        return Verdict(
            "disk",
            WARNING,
            f"{size_text(free)} are free, and {size_text(wanted)} more are promised to customers",
            "free some space, or lower services/supplier/donated-space",
        )
    if free < LITTLE_SPACE:
        return Verdict("disk", WARNING, f"only {size_text(free)} are free", "free some space")
    return Verdict("disk", OK, f"{size_text(free)} are free")


def judge_dht(view: Mapping[str, Any] | None) -> Verdict:
    """The DHT, as ``network_info`` shows it; None when it is off."""
    if view is None:
        return Verdict("dht", SKIPPED, "the DHT is off")
    contacts = int(view.get("contacts", 0))
    if contacts:
        return Verdict("dht", OK, f"{contacts} nodes are known, on UDP port {view.get('udp_port')}")
    return Verdict(
        "dht",
        PROBLEM,
        "no other node is known",
        "let UDP through the firewall; check services/entangled-dht/known-nodes",
    )


def judge_services(rows: Sequence[Mapping[str, Any]]) -> Verdict:
    """The services, as ``services_list`` shows them."""
    # what waits for an identity is the identity's matter, not the service's
    failed = [
        row
        for row in rows
        if row["enabled"]
        and row["state"] in ("OFF", "NOT_INSTALLED", "STARTING", "STOPPING")
        and "no identity" not in row["reason"]
    ]
    on = sum(row["state"] == "ON" for row in rows)
    if not failed:
        return Verdict("services", OK, f"{on} of {len(rows)} are on, nothing failed")
    texts = [f"{row['name']}: {row['reason'] or row['state'].lower()}" for row in failed]
    return Verdict(
        "services",
        PROBLEM,
        "; ".join(texts),
        f"see `bitdust service info {failed[0]['name']}`",
    )


def judge_identity(view: Mapping[str, Any] | None) -> Verdict:
    """The identity, as ``identity_get`` shows it; None when there is none."""
    if view is None:
        return Verdict(
            "identity",
            PROBLEM,
            "this node has no identity yet",
            "`bitdust identity create NAME`, or recover one from its backup",
        )
    return Verdict("identity", OK, str(view.get("global_id", "")))


def judge_network(rows: Sequence[Mapping[str, Any]] | None) -> Verdict:
    """Connections, as ``connections_list`` shows them; None when the network is off."""
    if rows is None:
        return Verdict("network", SKIPPED, "the network is off")
    peers = {row["global_id"] for row in rows if row["state"] == "CONNECTED"}
    if peers:
        return Verdict("network", OK, f"connected to {len(peers)} nodes")
    return Verdict(
        "network",
        WARNING,
        "not connected to any other node",
        "check the connection to the Internet; see `bitdust network stun`",
    )


def judge_suppliers(rows: Sequence[Mapping[str, Any]] | None, wanted: int) -> Verdict:
    """The suppliers, as ``suppliers_list`` shows them; None when this node is no customer.

    Args:
        rows: those that are hired.
        wanted: how many there shall be.
    """
    if rows is None:
        return Verdict("suppliers", SKIPPED, "storing own files is off")
    online = [row for row in rows if row["contact_state"] == "CONNECTED"]
    away = [str(row["global_id"]) for row in rows if row not in online]
    message = f"{len(rows)} of {wanted} are hired, {len(online)} are connected"
    if len(online) == wanted:
        return Verdict("suppliers", OK, message)
    enough = len(online) >= -(-wanted // 2)
    advice = "new ones are looked for by themselves; see `bitdust supplier list`"
    if away:
        message += f"; away: {_some(away)}"
        advice = "one that stays away can be replaced with `bitdust supplier change POSITION`"
    return Verdict("suppliers", WARNING if enough else PROBLEM, message, advice)


def judge_redundancy(rows: Sequence[Mapping[str, Any]] | None) -> Verdict:
    """What is stored, as ``files_list`` shows it; None when the catalog cannot be read."""
    if rows is None:
        return Verdict("redundancy", SKIPPED, "the catalog is not open")
    lost, weak, whole = [], [], 0
    for row in rows:
        for version in row.get("versions", ()):
            share = _percent(version.get("reliable"))
            if share is None:
                continue
            name = f"{row['remote_path']} ({version.get('label', '')})"
            if share < 50:
                lost.append(name)
            elif share < 100:
                weak.append(name)
            else:
                whole += 1
    if lost:
        return Verdict(
            "redundancy",
            PROBLEM,
            f"cannot be brought back from what is known to be stored: {_some(lost)}",
            "upload them again while you have them, or wait until suppliers come back",
        )
    if weak:
        return Verdict(
            "redundancy",
            WARNING,
            f"complete, with fragments missing: {_some(weak)}",
            "they are rebuilt by themselves once enough suppliers are connected",
        )
    return Verdict("redundancy", OK, f"versions with all their fragments: {whole}")


def _percent(text: object) -> float | None:
    try:
        return float(str(text).rstrip("%"))
    except ValueError:
        return None
