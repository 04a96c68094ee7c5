"""The keys on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from bitdust.api.blocking import in_pool
from bitdust.api.envelope import Answer
from bitdust.api.parameters import Person, Range
from bitdust.api.registry import DELETE, GET, POST, PUT, operation

if TYPE_CHECKING:
    from bitdust.api.node import Node
from bitdust.ids import KeyID

_SIGNATURE_FLAGS = ("include_signature", "generate_signature")
_MAX_TIMEOUT = 3600.0


@operation(GET("/key/get/v1"), cli="key get", ignored=_SIGNATURE_FLAGS)
async def key_get(node: Node, key_id: KeyID, *, include_private: bool = False) -> dict[str, Any]:
    """Show one key.

    Args:
        key_id: such as `photos$alice@server-a.com`; the alias alone names a key of your own.
        include_private: with the private half as PEM text.

    Returns:
        `key_id`, `alias`, `label`, `creator`, `size`, `public`, `private`, `is_public` and more.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such key.

    Source: BitDust API, third generation, key_get.
    """
    return await in_pool(node, node.require_keys().view, key_id, include_private=include_private)


@operation(GET("/key/list/v1"), cli="key list")
async def keys_list(
    node: Node, *, sort: bool = False, include_private: bool = False
) -> list[dict[str, Any]]:
    """List all keys on this machine, the master key first.

    Args:
        sort: accepted for older clients; the list is always sorted by key id.
        include_private: with the private halves as PEM text.

    Returns:
        A list of keys as `key_get` shows them.

    Raises:
        NoIdentity: there is no identity yet.

    Source: BitDust API, third generation, keys_list.
    """
    del sort
    ring = node.require_keys()

    def collect() -> list[dict[str, Any]]:
        return [ring.view(key.key_id, include_private=include_private) for key in ring.list()]

    return await in_pool(node, collect)


@operation(
    POST("/key/create/v1"),
    cli="key create",
    aliases={"alias": "key_alias"},
    positional=("key_size",),
    example={"key_alias": "abcd1234", "key_size": 2048, "label": "Cats and Dogs"},
)
async def key_create(
    node: Node,
    key_alias: str,
    *,
    key_size: int | None = None,
    label: str = "",
    active: bool = True,
    include_private: bool = False,
) -> dict[str, Any]:
    """Make a new RSA key.

    Args:
        key_alias: name of the key: lower-case letters, digits, `_`, `-` and `.`.
        key_size: 1024, 2048, 3072 or 4096 bits; the setting `personal/private-key-size` if not
            given.
        label: what the key is for, in your words.
        active: whether services use it.
        include_private: with the private half as PEM text in the answer.

    Returns:
        The key as `key_get` shows it.

    Raises:
        NoIdentity: there is no identity yet.
        AlreadyExists: you have a key of that name.
        InvalidName: the alias cannot name a key.
        KeyProblem: no such size.

    Source: BitDust API, third generation, key_create.
    """
    ring = node.require_keys()
    size = key_size or node.settings.get_int("personal/private-key-size")
    stored = await in_pool(node, ring.create, key_alias, size, label=label, active=active)
    node.events.publish("key-generated", key_id=str(stored.key_id), label=stored.label)
    return await in_pool(node, ring.view, stored.key_id, include_private=include_private)


@operation(POST("/key/label/v1"), cli="key label", example={"label": "Man and Woman"})
async def key_label(node: Node, key_id: KeyID, label: str) -> dict[str, Any]:
    """Give a key another label.

    Args:
        key_id: the key.
        label: the new label.

    Returns:
        The key as `key_get` shows it.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such key.
        InvalidInput: the master key, or a label that is too long.

    Source: BitDust API, third generation, key_label.
    """
    ring = node.require_keys()
    await in_pool(node, ring.set_label, key_id, label)
    return await in_pool(node, ring.view, key_id)


@operation(DELETE("/key/erase/v1"), POST("/key/erase/v1"), cli="key erase")
async def key_erase(node: Node, key_id: KeyID) -> Answer:
    """Forget a key and erase its file.

    What was encrypted with it alone can no longer be read.

    Args:
        key_id: the key; the master key goes with the identity only.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such key.
        InvalidInput: it is the master key.

    Source: BitDust API, third generation, key_erase.
    """
    await in_pool(node, node.require_keys().erase, key_id)
    node.events.publish("key-erased", key_id=str(key_id))
    return Answer(message=f"the key {key_id} was erased")


@operation(
    PUT("/key/share/v1"),
    POST("/key/share/v1"),
    cli="key share",
    aliases=dict.fromkeys(("trusted_global_id", "trusted_idurl", "trusted_id"), "trusted_user_id"),
    ignored=("include_signature", "include_label"),
    example={"key_id": "abcd1234$alice@server-a.com", "trusted_user_id": "bob@machine-b.net"},
)
async def key_share(
    node: Node,
    key_id: KeyID,
    trusted_user_id: Person,
    *,
    include_private: bool = False,
    timeout: Annotated[float, Range(0.1, _MAX_TIMEOUT)] = 10,
) -> Answer:
    """Hand a key to another person.

    The key travels sealed for that person. Whoever has its private half reads what is encrypted
    for it: think before you give it away, it cannot be taken back.

    Args:
        key_id: one of your keys, or one that its owner gave you.
        trusted_user_id: who gets it; must be online.
        include_private: with the private half, otherwise the public one only.
        timeout: seconds, connecting included.

    Returns:
        `key_id`, `global_id`, `idurl`, `include_private`, and `known`: whether they had it before.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: there is no such key or nobody is known by that name.
        KeyProblem: its private half, or its owner's signature, is not here.
        InvalidInput: it is an identity key, or you named yourself.
        PeerUnreachable: the person is not online now.
        PeerRefused: the person does not take it, with the reason.

    Source: BitDust API, third generation, key_share.
    """
    exchange = node.require_key_exchange()
    node.require_keys().get(key_id)
    document = await node.find_person(trusted_user_id)
    known = await exchange.share(key_id, document, include_private, timeout)
    half = "private" if include_private else "public"
    return Answer(
        {
            "key_id": str(key_id),
            "global_id": str(document.global_id),
            "idurl": str(document.idurl),
            "include_private": include_private,
            "known": known,
        },
        message=f"the {half} key {key_id} was handed to {document.global_id}",
    )


@operation(
    POST("/key/audit/v1"),
    cli="key audit",
    aliases=dict.fromkeys(
        ("untrusted_global_id", "untrusted_idurl", "untrusted_id"), "untrusted_user_id"
    ),
    example={
        "key_id": "abcd1234$alice@server-a.com",
        "untrusted_user_id": "carol@computer-c.net",
        "is_private": True,
    },
)
async def key_audit(
    node: Node,
    key_id: KeyID,
    untrusted_user_id: Person,
    *,
    is_private: bool = False,
    timeout: Annotated[float, Range(0.1, _MAX_TIMEOUT)] = 10,
) -> Answer:
    """Have another person prove that they hold a key, without showing it.

    Args:
        key_id: a key whose public half you hold as well.
        untrusted_user_id: who shall prove it; must be online.
        is_private: ask for the private half, otherwise for the public one.
        timeout: seconds, connecting included.

    Returns:
        `key_id`, `global_id`, `idurl`, `is_private` and `audited`, which is true.

    Raises:
        NoIdentity: there is no identity yet.
        NotFound: you do not hold the key, they do not hold it, or nobody is known by that name.
        IntegrityError: the proof is wrong.
        InvalidInput: you named yourself.
        PeerUnreachable: the person is not online now.

    Source: BitDust API, third generation, key_audit.
    """
    exchange = node.require_key_exchange()
    node.require_keys().get(key_id)
    document = await node.find_person(untrusted_user_id)
    await exchange.audit(key_id, document, is_private, timeout)
    half = "private" if is_private else "public"
    return Answer(
        {
            "key_id": str(key_id),
            "global_id": str(document.global_id),
            "idurl": str(document.idurl),
            "is_private": is_private,
            "audited": True,
        },
        message=f"{document.global_id} holds the {half} key {key_id}",
    )
