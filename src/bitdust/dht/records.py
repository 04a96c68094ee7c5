"""Record types: which fields a DHT record must have, and who may write it.

Only ``skip_validation`` records belong to nobody. All others belong to the person, or the group,
they are about and are taken by readers only from that owner's key (see ``ownership``).

Source: BitDust API, third generation, and the record rules of the original network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bitdust.errors import FormatError, InvalidInput

SKIP_VALIDATION: Final = "skip_validation"
NICKNAME: Final = "nickname"
IDENTITY: Final = "identity"
SUPPLIERS: Final = "suppliers"
MESSAGE_BROKER: Final = "message_broker"
GROUP_BROKERS: Final = "group_brokers"

MAX_KEY_BYTES: Final = 512
MAX_TEXT: Final = 512
MAX_DOCUMENT: Final = 60 * 1024
MAX_SUPPLIERS: Final = 128
MAX_BROKERS: Final = 16
MAX_POSITION: Final = 1023
MAX_REVISION: Final = 2**53 - 1
MAX_TIMESTAMP: Final = 2**53 - 1

_IDURL = re.compile(r"[a-z]{1,16}://[!-~]{1,490}")
_ECC_MAP = re.compile(r"ecc/\d{1,3}x\d{1,3}")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return fits


def _text(limit: int) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        return isinstance(value, str) and 0 < len(value) <= limit

    return fits


def _matching(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        return isinstance(value, str) and pattern.fullmatch(value) is not None

    return fits


_is_idurl = _matching(_IDURL)


def _is_supplier_list(value: Any) -> bool:
    # An empty text marks a position whose supplier is not hired yet.
    return (
        isinstance(value, list)
        and len(value) <= MAX_SUPPLIERS
        and all(item == "" or _is_idurl(item) for item in value)
    )


def _is_broker_list(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= MAX_BROKERS
        and all(map(_is_idurl, value))
        and len(set(value)) == len(value)
    )


def _is_timestamp(value: Any) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and 0 <= value <= MAX_TIMESTAMP
    )


_is_revision = _whole(0, MAX_REVISION)

_COMMON: Final[Mapping[str, Callable[[Any], bool]]] = {
    "key": _text(MAX_KEY_BYTES),
    "timestamp": _is_timestamp,
}


@dataclass(frozen=True, slots=True)
class RecordType:
    """What a kind of record must look like.

    Args:
        name: the value of the record's field ``type``.
        mandatory: checks by field name.
        owned: whether only its owner's key may write it.
        cache_ttl: seconds for which a reader may go on using what it read.
    """

    name: str
    mandatory: Mapping[str, Callable[[Any], bool]]
    owned: bool
    cache_ttl: float


RECORD_TYPES: Final[Mapping[str, RecordType]] = {
    kind.name: kind
    for kind in (
        RecordType(SKIP_VALIDATION, {}, owned=False, cache_ttl=0.0),
        RecordType(
            NICKNAME,
            {
                **_COMMON,
                "idurl": _is_idurl,
                "nickname": _text(MAX_TEXT),
                "position": _whole(0, MAX_POSITION),
            },
            owned=True,
            cache_ttl=24 * 3600.0,
        ),
        RecordType(
            IDENTITY,
            {**_COMMON, "idurl": _is_idurl, "identity": _text(MAX_DOCUMENT)},
            owned=True,
            cache_ttl=3600.0,
        ),
        RecordType(
            SUPPLIERS,
            {
                **_COMMON,
                "customer_idurl": _is_idurl,
                "ecc_map": _matching(_ECC_MAP),
                "suppliers": _is_supplier_list,
                "revision": _is_revision,
            },
            owned=True,
            cache_ttl=12 * 3600.0,
        ),
        RecordType(
            MESSAGE_BROKER,
            {
                **_COMMON,
                "customer_idurl": _is_idurl,
                "broker_idurl": _is_idurl,
                "position": _whole(0, MAX_POSITION),
            },
            owned=True,
            cache_ttl=12 * 3600.0,
        ),
        RecordType(
            GROUP_BROKERS,
            {
                **_COMMON,
                "key": _matching(_FINGERPRINT),
                "brokers": _is_broker_list,
                "epoch": _whole(0, MAX_REVISION),
                "revision": _is_revision,
            },
            owned=True,
            cache_ttl=300.0,
        ),
    )
}


def find_record_type(name: str) -> RecordType:
    """The record type of that name.

    Raises:
        InvalidInput: there is none.
    """
    found = RECORD_TYPES.get(name)
    if found is None:
        raise InvalidInput(
            f"unknown DHT record type {name[:40]!r}",
            hint="use one of " + ", ".join(sorted(RECORD_TYPES)),
        )
    return found


def check_key(key: str) -> bytes:
    """The key of a record as bytes.

    Raises:
        InvalidInput: empty, longer than 512 bytes, or not valid text.
    """
    try:
        raw = key.encode()
    except UnicodeEncodeError as exc:
        raise InvalidInput("the DHT key is not valid text") from exc
    if not 0 < len(raw) <= MAX_KEY_BYTES:
        raise InvalidInput(f"a DHT key has 1 to {MAX_KEY_BYTES} bytes, not {len(raw)}")
    return raw


def problem_of(kind: RecordType, value: Any) -> str:
    """Why ``value`` is no record of that type, one sentence; empty when it is one."""
    if kind.name == SKIP_VALIDATION:
        return ""
    if not isinstance(value, dict):
        return f"a record of type {kind.name} must be an object"
    if value.get("type") != kind.name:
        return f"the field type must be {kind.name!r}"
    for name, fits in kind.mandatory.items():
        if name not in value:
            return f"the mandatory field {name} is missing in a record of type {kind.name}"
        if not fits(value[name]):
            return f"the field {name} has a bad value in a record of type {kind.name}"
    if "revision" in value and not _is_revision(value["revision"]):
        return f"the field revision has a bad value in a record of type {kind.name}"
    return ""


def check_own(kind: RecordType, value: Any) -> None:
    """Check a record before it is written.

    Raises:
        InvalidInput: a field is missing or out of bounds.
    """
    if problem := problem_of(kind, value):
        raise InvalidInput(problem)


def check_foreign(kind: RecordType, value: Any) -> None:
    """Check a record that was read.

    Raises:
        FormatError: a field is missing or out of bounds.
    """
    if problem := problem_of(kind, value):
        raise FormatError(problem)


def revision_of(value: Any) -> int | None:
    """The revision a value names itself, if it does."""
    if isinstance(value, dict) and _is_revision(value.get("revision")):
        return int(value["revision"])
    return None
