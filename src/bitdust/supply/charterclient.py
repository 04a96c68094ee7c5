"""Asking suppliers about shares: their charters, and whose suppliers they are."""

from __future__ import annotations

from bitdust.crypto import PublicKey
from bitdust.errors import IntegrityError
from bitdust.supply import messages as m
from bitdust.supply.charter import MAX_CHARTER, Charter
from bitdust.supply.charters import verify_charter
from bitdust.supply.client import SHORT_TIMEOUT, refusals
from bitdust.supply.family import Family
from bitdust.supply.ports import NetworkPort
from bitdust.supply.wire import NodeID


async def give_charter(
    network: NetworkPort, node: NodeID, charter: Charter, timeout: float = SHORT_TIMEOUT
) -> int:
    """Give a supplier a charter.

    Returns:
        The serial in force there afterwards; higher when it knew a newer one.

    Raises:
        NoContract: it does not keep the data of that customer.
        AlreadyExists: another charter with that serial is in force there.
        NetworkError: it cannot be reached.
    """
    with refusals():
        response = await network.request(
            node, m.CHARTER_PUT, None, body=charter.encode(), timeout=timeout
        )
    async with response:
        return response.decode(m.CharterHeld).serial


async def ask_charter(
    network: NetworkPort,
    node: NodeID,
    customer: NodeID,
    share: bytes,
    serial: int = 0,
    timeout: float = SHORT_TIMEOUT,
) -> tuple[int, Charter | None]:
    """Ask a supplier for the charter of a share.

    Args:
        serial: of the charter known already.

    Returns:
        The serial in force there, and the charter when it is newer; its signatures fit.

    Raises:
        NotFound: it has none. AccessDenied: this node is no member.
        IntegrityError, FormatError: what it gave proves nothing.
        NetworkError: it cannot be reached.
    """
    ask = m.CharterAsk(customer, share, serial)
    with refusals():
        response = await network.request(node, m.CHARTER_GET, ask, timeout=timeout)
    async with response:
        held = response.decode(m.CharterHeld).serial
        raw = await response.read(MAX_CHARTER)
    if not raw:
        return held, None
    charter = Charter.decode(raw)
    verify_charter(charter)
    if (charter.customer, charter.share) != (customer, share):
        raise IntegrityError("the supplier gave the charter of another share")
    return held, charter


async def ask_family(
    network: NetworkPort, node: NodeID, customer: NodeID, timeout: float = SHORT_TIMEOUT
) -> Family:
    """Ask anybody for the list of a customer's suppliers; its signature fits.

    Raises:
        NotFound: it keeps none. IntegrityError, FormatError: it proves nothing.
        NetworkError: it cannot be reached.
    """
    with refusals():
        response = await network.request(node, m.FAMILY_GET, m.FamilyAsk(customer), timeout=timeout)
    async with response:
        family = Family.decode(response.decode(m.FamilyGiven).family)
    if family.customer != customer:
        raise IntegrityError("the supplier gave the family of another customer")
    family.verify(PublicKey.from_der(family.customer_key))
    return family
