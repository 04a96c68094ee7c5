"""The people one knows: friends, whether they are there, nicknames, invitations."""

from __future__ import annotations

from bitdust.contacts.friendbook import MAX_FRIENDS, Friend, FriendBook
from bitdust.contacts.friends import KEYS_BACK, Friends
from bitdust.contacts.invitation import Code
from bitdust.contacts.nicknames import CHANGED as NICKNAME_CHANGED
from bitdust.contacts.nicknames import MAX_ATTEMPTS as MAX_NICKNAME_ATTEMPTS
from bitdust.contacts.nicknames import Nicknames, own_nickname
from bitdust.contacts.nicknames_claims import Holder, clean_nickname
from bitdust.contacts.pairing import ACCEPT_TIMEOUT, Pairing
from bitdust.contacts.person import MAX_PERSON_NAME, NameLookup, find_person, parse_address
from bitdust.contacts.ports import PeerPort
from bitdust.contacts.watchers import Watchers

__all__ = [
    "ACCEPT_TIMEOUT",
    "KEYS_BACK",
    "MAX_FRIENDS",
    "MAX_NICKNAME_ATTEMPTS",
    "MAX_PERSON_NAME",
    "NICKNAME_CHANGED",
    "Code",
    "Friend",
    "FriendBook",
    "Friends",
    "Holder",
    "NameLookup",
    "Nicknames",
    "Pairing",
    "PeerPort",
    "Watchers",
    "clean_nickname",
    "find_person",
    "own_nickname",
    "parse_address",
]
