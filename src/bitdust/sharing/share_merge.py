"""How what several people wrote becomes one tree. Pure.

Each writer has a catalog of its own. About one name every writer makes at most one *claim*: what
the name is now, as far as it wrote it. A claim carries the number of the writer's version in which
it was made, and what its writer had seen of the others then: for each writer the number of the
newest version. So it is known whether somebody wrote with the other's work in view, and replaced
it, or at the same time, and both stay. A *removal* takes away what its writer had seen, and nothing
else.

Everything here is a function of the set of claims and removals that are known; in which order they
came makes no difference, so that all who know the same see the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

Writer = bytes
"""The first 16 bytes of a writer's node id."""
Seen = Mapping[Writer, int]
"""For each writer the newest version that was known; a missing one means none."""

NOTHING: Final[Seen] = MappingProxyType({})
MAX_SKEW: Final = 86400.0
"""Seconds that the clocks of two writers may differ."""
MAX_NUMBERED: Final = 10_000
"""Names tried for one of several versions of a file before the writer's id is put in."""

_CONFLICT = re.compile(
    r"(?P<stem>.+?) \(from .+ \d{4}-\d\d-\d\d \d\d-\d\d-\d\d\)(?P<rest>.*)", re.S
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one writer says that a name is.

    Args:
        writer: who.
        since: number of the writer's version in which it became so; 0 for what has no data yet.
        seen: what the writer had seen when it made that version.
        created: wall clock of that version, seconds.
        is_folder: a folder, whose content is merged name by name.
    """

    writer: Writer
    since: int
    seen: Seen
    created: float
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class Removal:
    """Somebody deleted a name, with all below it.

    Args:
        writer: who.
        seen: what it had seen then, its own versions included.
        time: wall clock, seconds; decides about what has no data only.
    """

    writer: Writer
    seen: Seen
    time: float


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known about one name.

    Args:
        claims: by writer.
        removals: of the name or of a folder above it.
    """

    claims: Mapping[Writer, Claim]
    removals: tuple[Removal, ...] = ()


def join(one: Facts, other: Facts) -> Facts:
    """What is known to either: of two claims of one writer the later, and every removal."""
    claims = dict(one.claims)
    for writer, claim in other.claims.items():
        known = claims.get(writer)
        if known is None or _age(known) < _age(claim):
            claims[writer] = claim
    gone = {_removal_key(removal): removal for removal in (*one.removals, *other.removals)}
    return Facts(dict(sorted(claims.items())), tuple(gone[key] for key in sorted(gone)))


def is_removed(claim: Claim, removals: Iterable[Removal]) -> bool:
    """Whether any of these had seen the claim.

    Whoever says to have seen what was made long after cannot take that away.
    """
    if not claim.since:
        return any(removal.time >= claim.created for removal in removals)
    return any(
        removal.seen.get(claim.writer, 0) >= claim.since
        and claim.created <= removal.time + MAX_SKEW
        for removal in removals
    )


def replaces(later: Claim, earlier: Claim) -> bool:
    """Whether one claim was made with the other in view."""
    if later.writer == earlier.writer:
        return False
    if not earlier.since:
        # a name without data gives way to any that has some
        return bool(later.since)
    return _has_seen(later, earlier) and not _has_seen(earlier, later)


def visible(facts: Facts) -> list[Claim]:
    """The claims that count: neither removed nor replaced; several when made at the same time.

    Returns:
        The first made first; those of one moment by writer.
    """
    left = [claim for claim in facts.claims.values() if not is_removed(claim, facts.removals)]
    newest = [claim for claim in left if not any(replaces(other, claim) for other in left)]
    # three who lie about what they saw could replace each other in a ring: then all of them stay
    return sorted(newest or left, key=_order)


def name_all(
    name: str,
    claims: Iterable[Claim],
    who: Mapping[Writer, str],
    taken: Callable[[str], bool],
) -> list[tuple[str, Claim]]:
    """A name of its own for each of several claims.

    Folders are one folder under the plain name. Of files, the one made first keeps the plain name
    if no folder has it; each other one says from whom and from when it is.

    Args:
        name: what all of them are called by their writers.
        claims: what ``visible`` gave.
        who: names of people.
        taken: whether another file or folder is called so.
    """
    named: list[tuple[str, Claim]] = []
    used: set[str] = set()
    ordered = sorted(claims, key=_order)
    plain_free = not any(claim.is_folder for claim in ordered)
    for claim in ordered:
        if claim.is_folder:
            named.append((name, claim))
            continue
        if plain_free:
            plain_free = False
            named.append((name, claim))
            continue
        shown = conflict_name(name, who.get(claim.writer, claim.writer.hex()), claim.created)
        stem, dot, suffix = _split(shown)
        number = 1
        while shown in used or taken(shown):
            number += 1
            extra = claim.writer.hex() if number > MAX_NUMBERED else str(number)
            shown = f"{stem} {extra}{dot}{suffix}"
            if number > MAX_NUMBERED:
                break
        used.add(shown)
        named.append((shown, claim))
    return named


def conflict_name(name: str, person: str, created: float) -> str:
    """``letter (from bob 2026-11-20 13-45-10).txt``, in UTC."""
    stem, dot, suffix = _split(name)
    try:
        when = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%d %H-%M-%S")
    except (ValueError, OverflowError, OSError):
        when = "1970-01-01 00-00-00"
    return f"{stem} (from {person} {when}){dot}{suffix}"


def plain_name(shown: str) -> str | None:
    """The name that a conflict name was made from, None when it is no such name."""
    match = _CONFLICT.fullmatch(shown)
    if match is None:
        return None
    rest = match["rest"]
    dot = rest.find(".")
    return match["stem"] + (rest[dot:] if dot >= 0 else "")


def _split(name: str) -> tuple[str, str, str]:
    """Stem, dot and suffix; a dot at the beginning belongs to the stem."""
    stem, dot, suffix = name.rpartition(".")
    if not stem.strip(".") or len(suffix) > 16 or " " in suffix:
        return name, "", ""
    return stem, dot, suffix


def _has_seen(one: Claim, other: Claim) -> bool:
    return one.seen.get(other.writer, 0) >= other.since


def _age(claim: Claim) -> tuple[object, ...]:
    # ties are broken by everything there is, so that all choose the same
    return claim.since, claim.created, claim.is_folder, tuple(sorted(claim.seen.items()))


def _order(claim: Claim) -> tuple[float, Writer]:
    return claim.created, claim.writer


def _removal_key(removal: Removal) -> tuple[Writer, tuple[tuple[Writer, int], ...], float]:
    return removal.writer, tuple(sorted(removal.seen.items())), removal.time
