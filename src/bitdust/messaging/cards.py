"""Making and checking cards: who vouches for the keys under which a person is written to. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from bitdust.crypto import PrivateKey, PublicKey
from bitdust.errors import IntegrityError, InvalidName, KeyProblem
from bitdust.ids import IDURL
from bitdust.messaging.letters import Bundle, Card
from bitdust.messaging.ownkeys import OwnKeys, Prekey, check_signature

CLOCK_SKEW: Final = 86400.0
"""Seconds by which the clock of a card's owner may be ahead."""


def make_card(key: PrivateKey, own: OwnKeys, prekey: Prekey, idurl: str, now: float) -> Card:
    """A card signed with the master key.

    Args:
        key: the master key.
        own: the identity for messages.
        prekey: the signed prekey of these days.
        idurl: where the identity document is served.
        now: wall clock.
    """
    card = Card(idurl, own.identity, prekey.public, prekey.signature, int(now), key.public.der)
    return msgspec.structs.replace(card, signature=key.sign(card.to_sign()))


def check_card(card: Card, node_id: bytes, now: float, lifetime: float) -> None:
    """Accept only the card of that person.

    Args:
        card: whoever gave it.
        node_id: whose it must be.
        now: wall clock.
        lifetime: seconds that it is good for.

    Raises:
        IntegrityError: of somebody else, forged, too old, or from the future.
    """
    if card.node_id != node_id:
        raise IntegrityError("the message keys of somebody else")
    if not now - lifetime <= card.created <= now + CLOCK_SKEW:
        raise IntegrityError("message keys that are too old, or from the future")
    try:
        if str(IDURL.parse(card.idurl)) != card.idurl:
            raise IntegrityError("message keys with an address that is not in its usual form")
        PublicKey.from_der(card.key).verify(card.signature, card.to_sign())
    except (InvalidName, KeyProblem) as exc:
        raise IntegrityError("message keys that cannot be used") from exc


def check_bundle(bundle: Bundle, node_id: bytes, now: float, lifetime: float) -> None:
    """Accept only keys that their owner signed.

    Raises:
        IntegrityError: see ``check_card``; or the one-time key is forged.
    """
    check_card(bundle.card, node_id, now, lifetime)
    if bundle.one_time is not None:
        check_signature(bundle.card.identity, bundle.one_time.signature, bundle.one_time.to_sign())
