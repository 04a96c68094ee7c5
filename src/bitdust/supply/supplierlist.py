"""The customer's views: its suppliers and its space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitdust.ids import IDURL
from bitdust.supply.contracts import Contract
from bitdust.supply.ports import NetworkPort, contact_state, contact_status, is_online
from bitdust.supply.roster import Place, Roster
from bitdust.supply.views import contract_view, moment_text, percent_text, with_texts
from bitdust.supply.wire import NodeID

UsageMap = Mapping[NodeID, tuple[int, int]]
"""Bytes and objects each supplier says it keeps."""


def supplier_rows(
    network: NetworkPort, roster: Roster, usage: UsageMap, now: float
) -> list[dict[str, Any]]:
    """One row per hired position.

    Args:
        now: wall clock, seconds.
    """
    rows = []
    for position, place in sorted(roster.places.items()):
        if position >= roster.n:
            break  # hired for a larger number, which is not reached yet
        status = network.status(place.node)
        online = is_online(network, place.node)
        contract = place.terms()
        used, count = usage.get(place.node, (0, 0))
        known = network.document_of(place.node)
        idurl = known.idurl if known else IDURL.parse(place.idurl)
        rows.append(
            {
                "position": position,
                "idurl": str(idurl),
                "global_id": str(idurl.global_id),
                "node_id": place.node.hex(),
                "supplier_state": supplier_state(place, online),
                "connected": moment_text(status.since if online else place.hired),
                "contact_status": contact_status(network, place.node),
                "contact_state": contact_state(network, place.node),
                "files_count": count,
                "used": used,
                "contract": _contract(contract, now),
            }
        )
    return rows


def _contract(contract: Contract | None, now: float) -> dict[str, Any] | None:
    return contract_view(contract, contract.phase(now, 0.0)) if contract else None


def supplier_state(place: Place, online: bool) -> str:
    """``CONNECTED``, ``REQUEST`` while its contract is asked for, or ``DISCONNECTED``."""
    if not online:
        return "DISCONNECTED"
    return "CONNECTED" if place.contract else "REQUEST"


def space_view(needed: int, roster: Roster, usage: UsageMap) -> dict[str, Any]:
    """The space of a customer in bytes.

    A byte of data takes two on the suppliers together, so what they keep counts half.

    Args:
        needed: bytes of data wanted.
    """
    n = roster.n
    kept = [usage.get(place.node, (0, 0))[0] for place in roster.places.values()]
    used = sum(kept) // 2
    needed_each = granted_bytes(needed, n)
    used_each = max(kept, default=0)
    view = with_texts(
        {
            "needed": needed,
            "used": used,
            "available": max(0, needed - used),
            "needed_per_supplier": needed_each,
            "used_per_supplier": used_each,
            "available_per_supplier": max(0, needed_each - used_each),
        }
    )
    return view | {"used_percent": percent_text(used, needed), "suppliers_num": len(kept)}


def granted_bytes(needed: int, n: int) -> int:
    """Bytes to agree on with each of ``n`` suppliers for ``needed`` bytes of data.

    Each keeps two fragments, one of data and one of parity, of an n-th of the data each.
    """
    return max(1, -(-needed // n) * 2)
