"""The people one knows: friends, whether they are there, nicknames, invitations."""

from __future__ import annotations

from bitdust.contacts.person import MAX_PERSON_NAME, NameLookup, find_person, parse_address
from bitdust.contacts.ports import PeerPort

__all__ = [
    "MAX_PERSON_NAME",
    "NameLookup",
    "PeerPort",
    "find_person",
    "parse_address",
]
