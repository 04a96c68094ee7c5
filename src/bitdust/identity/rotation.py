"""Where a person goes when it leaves an identity server, and the addresses it left. Pure.

The addresses that a person left stand in its document as the element ``former``, signed like all of
it: so every machine of that person knows its old names, a recovered one too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from bitdust.errors import InvalidName
from bitdust.identity.document import MAX_EXTRA_SIZE, IdentityDocument
from bitdust.ids import IDURL

FORMER_ELEMENT: Final = "former"
MAX_FORMER: Final = 32
"""Former addresses remembered, the newest first; fewer when they are very long."""


def next_sources(
    current: Sequence[IDURL],
    fresh: Sequence[IDURL],
    *,
    move: bool,
    lost: Collection[IDURL] = (),
    away: Collection[IDURL] = (),
    fewest: int = 1,
    most: int = 8,
) -> tuple[IDURL, ...]:
    """The sources a person shall have.

    Args:
        current: those of now; the first is the address.
        fresh: addresses on other servers that can be had, the best first.
        move: leave the present address although it is served.
        lost: sources to be given up.
        away: sources that do not answer now, which cannot become the address.
        fewest: sources are taken from ``fresh`` until there are so many.
        most: sources at most, at least 1.

    Returns:
        The new sources. A former address that is still served comes second, so that it goes on
        pointing to the person. Empty when no server can take the address.
    """
    address = current[0]
    kept = [source for source in current if source not in lost]
    pending = [source for source in fresh if source not in current]
    if move or address in lost:
        served = [source for source in kept if source != address and source not in away]
        # someone who only lost its server stays with those that know it already
        heirs = pending + served if move else served + pending
        if not heirs:
            return ()
        heir = heirs[0]
        pending = [source for source in pending if source != heir]
        others = [source for source in kept if source not in (heir, address)]
        kept = [heir, *([address] if address in kept else []), *others]
    wanted = max(1, most)
    for source in pending:
        if len(kept) >= min(fewest, wanted):
            break
        kept.append(source)
    return tuple(kept[:wanted])


def former_sources(document: IdentityDocument) -> tuple[IDURL, ...]:
    """The addresses that a person says it left, the newest first; words that are none are skipped.

    They are its own word only: nobody else should take a name for its on that ground.
    """
    found: list[IDURL] = []
    for text in dict(document.extras).get(FORMER_ELEMENT, "").split()[:MAX_FORMER]:
        try:
            source = IDURL.parse(text)
        except InvalidName:
            continue
        if source not in found and source not in document.sources:
            found.append(source)
    return tuple(found)


def extras_after(
    document: IdentityDocument, sources: Sequence[IDURL]
) -> tuple[tuple[str, str], ...]:
    """The extra elements of a document once its sources are ``sources``."""
    left = [document.idurl, *former_sources(document)]
    text = ""
    for source in [source for source in left if source not in sources][:MAX_FORMER]:
        longer = f"{text} {source}".strip()
        if len(longer) > MAX_EXTRA_SIZE:
            break
        text = longer
    others = [pair for pair in document.extras if pair[0] != FORMER_ELEMENT]
    return tuple(others) + (((FORMER_ELEMENT, text),) if text else ())


def source_change(old: IdentityDocument, new: IdentityDocument) -> dict[str, Any]:
    """How the sources of one person changed, as the data of events. JSON-ready."""
    return {
        "global_id": str(new.global_id),
        "node_id": new.node_id.hex(),
        "old_idurl": str(old.idurl),
        "new_idurl": str(new.idurl),
        "old_global_id": str(old.global_id),
        "new_global_id": str(new.global_id),
        "old_sources": [str(source) for source in old.sources],
        "new_sources": [str(source) for source in new.sources],
        "revision": new.revision,
    }
