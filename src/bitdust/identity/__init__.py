"""Who people are: signed identity documents, the keys on this machine, and where both are kept.

``document``, ``backup`` and ``namerules`` are pure; the key ring, the cache of other people's
documents, this node's own identity, the client of name servers and the name server hold the I/O.
"""

from __future__ import annotations

from bitdust.identity.backup import Backup, compose_backup, parse_backup
from bitdust.identity.cache import IdentityCache
from bitdust.identity.document import (
    MAX_DOCUMENT_SIZE,
    MAX_SOURCES,
    IdentityDocument,
    sign_document,
)
from bitdust.identity.formernames import FormerNames
from bitdust.identity.identityhome import has_identity, source_idurls
from bitdust.identity.keyring import KeyRing, StoredKey, key_signature_message
from bitdust.identity.local import LocalIdentity
from bitdust.identity.masterkey import (
    erase_master_key,
    has_master_key,
    master_key_locked,
    read_master_key,
    write_master_key,
)
from bitdust.identity.nameclient import HttpNameClient, NameClient
from bitdust.identity.namerules import check_publication
from bitdust.identity.nameserver import NameServer, NameServerLimits
from bitdust.identity.ratelimit import Rate, TokenBuckets
from bitdust.identity.rotation import former_sources, source_change
from bitdust.identity.secretfile import (
    make_private_directory,
    read_secret,
    remove_file,
    remove_leftovers,
    write_new_secret,
    write_secret,
)
from bitdust.identity.survey import Survey

__all__ = [
    "MAX_DOCUMENT_SIZE",
    "MAX_SOURCES",
    "Backup",
    "FormerNames",
    "HttpNameClient",
    "IdentityCache",
    "IdentityDocument",
    "KeyRing",
    "LocalIdentity",
    "NameClient",
    "NameServer",
    "NameServerLimits",
    "Rate",
    "StoredKey",
    "Survey",
    "TokenBuckets",
    "check_publication",
    "compose_backup",
    "erase_master_key",
    "former_sources",
    "has_identity",
    "has_master_key",
    "key_signature_message",
    "make_private_directory",
    "master_key_locked",
    "parse_backup",
    "read_master_key",
    "read_secret",
    "remove_file",
    "remove_leftovers",
    "sign_document",
    "source_change",
    "source_idurls",
    "write_master_key",
    "write_new_secret",
    "write_secret",
]
