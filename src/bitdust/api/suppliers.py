"""Suppliers and customers, and the space between them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from bitdust.api.blocking import in_pool
from bitdust.api.envelope import Answer
from bitdust.api.parameters import Range
from bitdust.api.registry import DELETE, GET, POST, PUT, operation
from bitdust.errors import InvalidInput, NotFound
from bitdust.ids import GlobalID

if TYPE_CHECKING:
    from bitdust.api.node import Node
    from bitdust.identity import IdentityDocument

MAX_POSITION = 63
_NO_CUSTOMER = "list them with `bitdust customer list`"


@operation(
    GET("/supplier/list/v1"),
    GET("/su/l"),
    GET("/su/l/v1"),
    cli="supplier list",
    aliases={"id": "customer_id"},
)
async def suppliers_list(
    node: Node, *, customer_id: GlobalID | None = None, verbose: bool = False
) -> list[dict[str, Any]]:
    """List your suppliers, the nodes that store your data.

    Args:
        customer_id: list the suppliers of that person instead, as far as this node knows them.
        verbose: accepted for older clients; everything is always shown.

    Returns:
        A list of `position`, `idurl`, `global_id`, `supplier_state`, `connected`, `contact_state`
        and `contract`.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: storing own data is switched off.

    Source: BitDust API, third generation, suppliers_list.
    """
    del verbose
    if customer_id is None or customer_id == node.global_id:
        return node.require_customer().suppliers_list()
    found = await suppliers_dht_lookup(node, customer_id=customer_id)
    return [{"position": place, "idurl": idurl} for place, idurl in enumerate(found["suppliers"])]


@operation(
    POST("/supplier/change/v1"),
    DELETE("/supplier/replace/v1"),
    POST("/supplier/replace/v1"),
    PUT("/supplier/switch/v1"),
    POST("/supplier/switch/v1"),
    cli="supplier change",
    aliases={
        "index": "position",
        "new_idurl": "new_supplier_id",
        "new_global_id": "new_supplier_id",
    },
    positional=("position", "new_supplier_id"),
    example={"position": 1, "new_supplier_id": "carol@computer-c.net"},
)
async def supplier_change(
    node: Node,
    *,
    position: Annotated[int, Range(0, MAX_POSITION)] | None = None,
    supplier_id: GlobalID | None = None,
    new_supplier_id: GlobalID | None = None,
) -> Answer:
    """Replace one supplier by another; its fragments are rebuilt and given to the new one.

    Args:
        position: which one, as `suppliers_list` numbers them.
        supplier_id: which one, by name.
        new_supplier_id: who takes its place; somebody found through the DHT if not given.

    Returns:
        The new supplier as `suppliers_list` shows it.

    Raises:
        InvalidInput: neither or both of `position` and `supplier_id` are given.
        NotFound: there is no such supplier.
        PeerUnreachable: the new supplier cannot be reached.
        PeerRefused: the new supplier refuses, with its reason.

    Source: BitDust API, third generation, supplier_change.
    """
    customer = node.require_customer()
    if (position is None) == (supplier_id is None):
        raise InvalidInput(
            "position: give either position or supplier_id", hint="see `bitdust supplier list`"
        )
    if position is None:
        assert supplier_id is not None, "one of the two was given"
        position = await _position_of(node, supplier_id)
    newcomer = None
    if new_supplier_id is not None:
        document = await node.identities.resolve(new_supplier_id.idurl)
        node.require_network().learn(document)
        newcomer = document.node_id
    await customer.change(position, newcomer)
    rows = [row for row in customer.suppliers_list() if row["position"] == position]
    return Answer(
        next(iter(rows), None), message=f"the supplier at position {position} was replaced"
    )


async def _position_of(node: Node, supplier_id: GlobalID) -> int:
    """The position of one of the own suppliers, which may be called by a name that it left."""
    customer = node.require_customer()
    try:
        return customer.position_of(str(supplier_id.idurl))
    except NotFound:
        document = await node.identities.get(supplier_id.idurl, confirmed=False)
        if document is None:
            raise
        return customer.position_of(str(document.idurl))


@operation(POST("/supplier/ping/v1"), GET("/supplier/ping/v1"), cli="supplier ping")
async def suppliers_ping(node: Node) -> list[dict[str, Any]]:
    """Ask all suppliers for a sign of life and wait for their answers.

    Returns:
        The list of `suppliers_list` with `answered`.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: storing own data is switched off.

    Source: BitDust API, third generation, suppliers_ping.
    """
    return await node.require_customer().ping()


@operation(
    GET("/supplier/list/dht/v1"),
    cli="supplier lookup",
    aliases={"id": "customer_id"},
    positional=("customer_id",),
    example={"customer_id": "alice@server-a.com"},
)
async def suppliers_dht_lookup(
    node: Node, *, customer_id: GlobalID | None = None
) -> dict[str, Any]:
    """Look up in the DHT who the suppliers of a person are.

    Args:
        customer_id: the person; yourself if not given.

    Returns:
        `customer_idurl`, `publisher_idurl`, `ecc_map`, `suppliers` (IDURLs), `revision` and
        `timestamp`.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: that person is not known, or has published nothing.

    Source: BitDust API, third generation, suppliers_dht_lookup.
    """
    # the command line, which needs the declarations alone, does without the DHT
    from bitdust.supply import published_suppliers

    if customer_id is None or customer_id == node.global_id:
        found = await node.require_customer().dht_lookup(None)
    else:
        idurl = str(customer_id.idurl)

        async def find(_: str) -> IdentityDocument:
            return await node.find_person(str(customer_id))

        found = await published_suppliers(node.require_dht(), find, idurl)
    if found is None:
        raise NotFound(f"{customer_id or node.global_id} has published no suppliers in the DHT")
    return found


@operation(GET("/customer/list/v1"), cli="customer list")
async def customers_list(node: Node, *, verbose: bool = False) -> list[dict[str, Any]]:
    """List your customers, the people whose data this node stores.

    Args:
        verbose: accepted for older clients; everything is always shown.

    Returns:
        A list of `position`, `idurl`, `global_id`, `contact_state`, `used` and `contract`.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: storing data of others is switched off.

    Source: BitDust API, third generation, customers_list.
    """
    del verbose
    return node.require_supplier().customers_list()


@operation(
    DELETE("/customer/reject/v1"),
    POST("/customer/reject/v1"),
    cli="customer reject",
    example={"customer_id": "dave@device-d.gov"},
)
async def customer_reject(node: Node, customer_id: GlobalID) -> Answer:
    """Stop supporting a customer and remove their data from this machine.

    Args:
        customer_id: the customer.

    Returns:
        `idurl`, and `freed`, the number of bytes.

    Raises:
        NotFound: there is no such customer.
        ServiceOff: storing data of others is switched off.

    Source: BitDust API, third generation, customer_reject.
    """
    supplier = node.require_supplier()
    idurl = str(customer_id.idurl)
    for row in supplier.customers_list():
        if row["idurl"] == idurl:
            freed = await supplier.reject_customer(bytes.fromhex(row["node_id"]))
            return Answer(
                {"idurl": idurl, "freed": freed},
                message=f"customer {idurl} rejected, {freed} bytes were freed",
            )
    raise NotFound(f"{customer_id} is none of your customers", hint=_NO_CUSTOMER)


@operation(POST("/customer/ping/v1"), GET("/customer/ping/v1"), cli="customer ping")
async def customers_ping(node: Node) -> list[dict[str, Any]]:
    """Ask all customers for a sign of life and wait for their answers.

    Returns:
        The list of `customers_list` with `answered`.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: storing data of others is switched off.

    Source: BitDust API, third generation, customers_ping.
    """
    return await node.require_supplier().ping_customers()


@operation(GET("/space/donated/v1"), cli="space donated")
async def space_donated(node: Node) -> dict[str, Any]:
    """Show how the space donated to others is used.

    Returns:
        `donated`, `consumed` (promised), `free`, `used`, `real`, each in bytes and as text, and the
        `customers`.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: storing data of others is switched off.

    Source: BitDust API, third generation, space_donated.
    """
    return await node.require_supplier().space_donated()


@operation(GET("/space/consumed/v1"), cli="space consumed")
async def space_consumed(node: Node) -> dict[str, Any]:
    """Show how the space at your suppliers is used.

    Returns:
        `needed`, `used`, `available`, each in bytes, as text and per supplier, `used_percent` and
        `suppliers_num`.

    Raises:
        NoIdentity: there is no identity yet.
        ServiceOff: storing own data is switched off.

    Source: BitDust API, third generation, space_consumed.
    """
    return node.require_customer().space_consumed()


@operation(GET("/space/local/v1"), cli="space local")
async def space_local(node: Node) -> dict[str, Any]:
    """Show how much of the local disk the node uses.

    Returns:
        `total`, `customers`, `temp`, `backups`, `disktotal` and `diskfree`, each in bytes and as
        text; `total_percent` and `diskfree_percent` of the disk.

    Source: BitDust API, third generation, space_local.
    """
    return await in_pool(node, measure_home, node.home)


def measure_home(home: Path) -> dict[str, Any]:
    """The disk usage of a home folder in the shape of ``space_local``; blocks on the disk."""
    import os
    import shutil

    from bitdust.supply import percent_text, size_text

    def used(folder: Path) -> int:
        total, pending = 0, [str(folder)]
        while pending:
            try:
                with os.scandir(pending.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(entry.path)
                        else:
                            total += entry.stat(follow_symlinks=False).st_size
            except OSError:
                continue  # files come and go while we look
        return total

    disk = shutil.disk_usage(home)
    numbers = {
        "total": used(home),
        "backups": 0,
        "customers": used(home / "customers"),
        "temp": used(home / "temp"),
        "disktotal": disk.total,
        "diskfree": disk.free,
    }
    shown: dict[str, Any] = dict(numbers)
    for name, value in numbers.items():
        shown[f"{name}_str"] = size_text(value)
    for name in ("total", "diskfree"):
        shown[f"{name}_percent"] = percent_text(numbers[name], disk.total)
    return shown
