"""How contracts, sizes and moments are shown by the public interfaces. Pure.

Source: BitDust API, second and third generation.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bitdust.supply.contracts import Contract
from bitdust.supply.wire import Phase

_UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")


def size_text(size: int) -> str:
    """A byte count for people: ``0 bytes``, ``158.86 MB``."""
    value = float(size)
    unit = 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{value:.2f}".rstrip("0").rstrip(".") + f" {_UNITS[unit]}"


def percent_text(part: int, whole: int) -> str:
    """A share for people: ``0%``, ``15.5%``."""
    if whole <= 0:
        return "0%"
    return f"{100 * part / whole:.3f}".rstrip("0").rstrip(".") + "%"


def moment_text(when: float) -> str:
    """A wall clock second as ``dd-mm-yyyy hh:mm:ss`` in UTC, empty for none."""
    if when <= 0:
        return ""
    return datetime.fromtimestamp(when, UTC).strftime("%d-%m-%Y %H:%M:%S")


def contract_view(contract: Contract, phase: Phase) -> dict[str, Any]:
    """A contract as the API shows it; times are wall clock seconds."""
    return {
        "contract_id": contract.contract_id.hex(),
        "allocated_bytes": contract.granted,
        "allocated_bytes_str": size_text(contract.granted),
        "position": contract.position,
        "ecc_map": f"ecc/{contract.n}x{contract.n}",
        "started": contract.issued,
        "complete_after": contract.expires,
        "revision": contract.revision,
        "state": phase.value,
    }


def with_texts(numbers: dict[str, int]) -> dict[str, Any]:
    """Byte counts, each followed by its text under ``<name>_str``."""
    shown: dict[str, Any] = {}
    for name, value in numbers.items():
        shown[name] = value
        shown[f"{name}_str"] = size_text(value)
    return shown
