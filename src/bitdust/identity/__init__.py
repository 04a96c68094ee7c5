"""Who people are: signed identity documents, the keys on this machine, and where both are kept.

``document`` is pure; the key ring, the cache of other people's documents, this node's own identity,
the client of name servers and the name server itself hold the I/O.
"""

from __future__ import annotations

from bitdust.identity.document import MAX_DOCUMENT_SIZE, IdentityDocument, sign_document

__all__ = ["MAX_DOCUMENT_SIZE", "IdentityDocument", "sign_document"]
