"""What three people do together, scene by scene, with the promises that are checked on the way.

Each scene takes the people and a ``Checks``, does its part through the public interface and returns
a few words about it.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitdust.cli.demo_people_cast import Cast, Checks, Person, is_so, refused, until
from bitdust.client import Client
from bitdust.errors import AccessDenied

ANSWER = 300.0
"""Seconds that one call may take while brokers die."""
ONLINE = "CONNECTED"
SIZE = 1_000_000


def befriend(inviter: Person, guest: Person, stranger: Person, checks: Checks) -> str:
    """One makes a code, the other enters it, and nobody else can."""
    code = inviter.api.post("/friend/invite/v1", alias=guest.name)["code"]
    guest.api.post("/friend/accept/v1", code=code, alias=inviter.name)
    connected = is_so(lambda: inviter.sees(guest) == guest.sees(inviter) == ONLINE)
    checks.that(f"{inviter.name} and {guest.name} see each other online", connected)
    again = refused(lambda: stranger.api.post("/friend/accept/v1", code=code))
    checks.that(f"{stranger.name} cannot use that code", again is not None, "it was taken again")
    return f"{guest.name} entered a code that {inviter.name} made"


def write_both_ways(one: Person, other: Person, checks: Checks) -> str:
    """Private messages between two people who are there."""
    there = one.write(other, f"Hello {other.name}!")
    back = other.write(one, f"Hello {one.name}!")
    states = [there["state"], back["state"]]
    checks.that("both sides say that it was delivered", states == ["delivered"] * 2, states)
    texts = [other.heard(one)[-1:], one.heard(other)[-1:]]
    wanted = [[f"Hello {other.name}!"], [f"Hello {one.name}!"]]
    checks.that("each side has what the other wrote", texts == wanted, texts)
    return "both delivered"


def write_to_sleeper(one: Person, other: Person, checks: Checks) -> str:
    """A message to a machine that is asleep arrives when it wakes up."""
    text = "Are you asleep?"
    with other.frozen():
        sent = one.write(other, text, patience=1)
        checks.that("a message to a sleeping machine waits", sent["state"] != "delivered", sent)
    arrived = is_so(lambda: text in other.heard(one))
    checks.that(f"{other.name} has it after waking up", arrived)
    return f"{other.name} was stopped with SIGSTOP"


def write_through_mailbox(one: Person, other: Person, checks: Checks) -> str:
    """The two are never there at one time, and the message arrives all the same."""
    text = "This waited for you."
    other.crash()
    sent = one.write(other, text, patience=1)
    message_id = str(sent["message_id"])
    boxed = is_so(lambda: one.state_of(other, message_id) == "sent")
    checks.that("it lies in a mailbox", boxed, one.state_of(other, message_id))
    with one.frozen():
        other.return_()
        arrived = is_so(lambda: text in other.heard(one))
        checks.that(f"it arrives while {one.name} is away", arrived)
    marked = is_so(lambda: one.state_of(other, message_id) == "delivered")
    checks.that(f"{one.name} learns that it arrived", marked, one.state_of(other, message_id))
    heard = other.heard(one)
    checks.that("every message is there once", len(set(heard)) == len(heard), heard)
    return f"{other.name} was killed, {one.name} asleep when {other.name} came back"


@dataclass
class Folder:
    """A share under way.

    Args:
        key_id: of the share.
        work: where its files are made and fetched to.
    """

    key_id: str
    work: Path

    def make(self, name: str, content: bytes) -> Path:
        """A local file to upload."""
        path = self.work / name
        path.write_bytes(content)
        return path

    def remote(self, path: str) -> str:
        """A path in the share."""
        return f"{self.key_id}:{path}"


def share_a_folder(owner: Person, guest: Person, work: Path, checks: Checks) -> Folder:
    """The owner makes a share and lets the guest in; both put something there."""
    made = owner.api.post("/share/create/v1", label="holidays")
    folder = Folder(str(made["key_id"]), work)
    photo, song = os.urandom(SIZE), os.urandom(SIZE // 3)
    owner.upload(folder.make("photo", photo), folder.remote("photos/cat.jpg"))
    let_in(owner, guest, folder, checks)
    found = guest.read(folder.remote("photos/cat.jpg"), work)
    checks.that(f"{guest.name} reads what {owner.name} put there", found == photo, len(found))
    guest.upload(folder.make("song", song), folder.remote("songs/one.ogg"))
    seen = is_so(lambda: "songs/one.ogg" in owner.lists(folder.key_id))
    checks.that(f"{owner.name} sees what {guest.name} put there", seen, owner.lists(folder.key_id))
    found = owner.read(folder.remote("songs/one.ogg"), work)
    checks.that(f"{owner.name} reads it", found == song, len(found))
    return folder


def let_in(owner: Person, guest: Person, folder: Folder, checks: Checks) -> None:
    """Grant access to somebody."""
    given = {"key_id": folder.key_id, "trusted_user_id": guest.id}
    owner.api.result("PUT", "/share/grant/v1", given)
    connected = is_so(lambda: guest.share_state(folder.key_id) == ONLINE)
    checks.that(f"{guest.name} is let in", connected, guest.share_state(folder.key_id))


def write_one_name(one: Person, other: Person, folder: Folder, checks: Checks) -> str:
    """Two people write one name at the same time."""
    name = "plan.txt"
    contents = {each.name: f"{each.name}'s plan".encode() for each in (one, other)}
    paths = {name: folder.make(f"plan of {name}", text) for name, text in contents.items()}
    start = threading.Barrier(2)

    def write(who: Person) -> None:
        start.wait(30)
        who.upload(paths[who.name], folder.remote(name))

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write, who) for who in (one, other)]:
            done.result()

    def plans(who: Person) -> list[str]:
        return [path for path in who.lists(folder.key_id) if path.startswith("plan")]

    same = is_so(lambda: len(plans(one)) == 2 and plans(one) == plans(other))
    checks.that("both are kept, under the same names for both", same, (plans(one), plans(other)))
    names = plans(one)
    read = sorted(other.read(folder.remote(path), folder.work) for path in names)
    checks.that("both can be read", read == sorted(contents.values()), read)
    return " and ".join(f"'{path}'" for path in names)


def read_without_owner(
    owner: Person, one: Person, other: Person, folder: Folder, checks: Checks
) -> str:
    """The owner is away; the others read and write."""
    owner.leave()
    found = one.read(folder.remote("photos/cat.jpg"), folder.work)
    checks.that(f"{one.name} reads {owner.name}'s file", len(found) == SIZE, len(found))
    one.upload(folder.make("note", b"while you were away"), folder.remote("note.txt"))
    seen = is_so(lambda: "note.txt" in other.lists(folder.key_id))
    checks.that(f"{other.name} sees what {one.name} wrote", seen, other.lists(folder.key_id))
    read = other.read(folder.remote("note.txt"), folder.work)
    checks.that(f"{other.name} reads it", read == b"while you were away", read)
    owner.return_()
    back = is_so(lambda: "note.txt" in owner.lists(folder.key_id))
    checks.that(f"{owner.name} has it after coming back", back)
    return f"{one.name} and {other.name} read and wrote while {owner.name}'s node was stopped"


def put_out(owner: Person, gone: Person, stays: Person, folder: Folder, checks: Checks) -> str:
    """The owner revokes somebody's access."""
    until(f"{owner.name} is back", lambda: owner.share_state(folder.key_id) == ONLINE)
    given = {"key_id": folder.key_id, "user_id": gone.id}
    shown = owner.api.result("PUT", "/share/revoke/v1", given)
    checks.that(f"{gone.name} is no member", gone.id not in shown["members"], shown["members"])
    secret = b"not for everybody"
    owner.upload(folder.make("secret", secret), folder.remote("secret.txt"))
    seen = is_so(lambda: "secret.txt" in stays.lists(folder.key_id))
    checks.that(f"{stays.name} sees what comes after", seen, stays.lists(folder.key_id))
    read = stays.read(folder.remote("secret.txt"), folder.work)
    checks.that(f"{stays.name} reads it", read == secret, read)
    denied = refused(lambda: gone.api.result("PUT", "/share/open/v1", {"key_id": folder.key_id}))
    checks.that(f"suppliers refuse {gone.name}", isinstance(denied, AccessDenied), denied)
    reading = refused(lambda: gone.read(folder.remote("secret.txt"), folder.work))
    checks.that(f"{gone.name} cannot read what comes after", reading is not None, "it was read")
    listed = refused(lambda: gone.lists(folder.key_id))
    hidden = listed is not None or "secret.txt" not in gone.lists(folder.key_id)
    checks.that(f"{gone.name} does not see it either", hidden, "it is in the list")
    return f"{gone.name} has no access to what {owner.name} wrote afterwards"


# --- groups -----------------------------------------------------------------------------------


@dataclass
class Talk:
    """A group under way.

    Args:
        key_id: of the group.
        said: how many messages each person sent.
        states: what senders were told, counted.
    """

    key_id: str
    said: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)

    def say(self, who: Person, count: int, meanwhile: Callable[[int], None] | None = None) -> None:
        """Send messages, one after the other, as fast as the node takes them."""
        with Client(who.member.home, timeout=ANSWER) as client:
            for _ in range(count):
                number = self.said[who.name]
                data = {"from": who.name, "n": number}
                self.states[client.message_send_group(self.key_id, data)["state"]] += 1
                self.said[who.name] += 1
                if meanwhile is not None:
                    meanwhile(number)

    def read_by(self, who: Person) -> list[tuple[str, int]]:
        """All messages in the order in which somebody sees them."""
        rows = [row["payload"]["data"] for row in who.talk(self.key_id)]
        return [(str(row.get("from")), int(row.get("n", -1))) for row in rows]


def meet_in_group(people: list[Person], checks: Checks) -> Talk:
    """The first makes a group and invites the others; all join."""
    owner = people[0]
    made = owner.api.post("/group/create/v1", label="three friends")
    talk = Talk(str(made["group_key_id"]))
    owner.api.post("/group/join/v1", group_key_id=talk.key_id)
    for guest in people[1:]:
        given = {"group_key_id": talk.key_id, "trusted_user_id": guest.id}
        owner.api.result("PUT", "/group/share/v1", given)
        guest.api.post("/group/join/v1", group_key_id=talk.key_id)
    wanted = sorted(person.id for person in people)
    met = is_so(lambda: all(each.group(talk.key_id)["members"] == wanted for each in people))
    checks.that("everybody sees all members", met)
    return talk


def lose_a_broker(cast: Cast, talk: Talk, count: int, checks: Checks) -> str:
    """Everybody writes; the broker that leads is killed in the middle."""
    people, network = cast.people, cast.network
    share = count // len(people)
    counts = [share + (number < count % len(people)) for number in range(len(people))]
    leader = str(people[0].group(talk.key_id)["active_broker_id"])
    victim = network.member(leader).name
    killed = threading.Event()

    def kill(number: int) -> None:
        if number >= share // 3 and not killed.is_set():
            killed.set()
            network.kill(victim)

    with ThreadPoolExecutor(len(people)) as pool:
        jobs = [
            pool.submit(talk.say, who, wanted, kill if who is people[0] else None)
            for who, wanted in zip(people, counts, strict=True)
        ]
        for job in jobs:
            job.result()
    checks.that("the leading broker was killed", killed.is_set())
    same_for_all(people, talk, checks)
    now = str(people[0].group(talk.key_id)["active_broker_id"])
    checks.that("another broker leads", now not in ("", leader), now)
    return f"{count:,} messages, {victim} killed in the middle, {now.partition('@')[0]} went on"


def same_for_all(people: list[Person], talk: Talk, checks: Checks) -> None:
    """Everybody has everything once, each sender's in order, and all in one order."""
    wanted = {(name, n) for name, total in talk.said.items() for n in range(total)}
    views: Mapping[str, list[tuple[str, int]]] = {}

    def arrived() -> bool:
        nonlocal views
        views = {who.name: talk.read_by(who) for who in people}
        # pages that are read while more arrives overlap: only what is complete counts as read
        return all(len(view) == len(wanted) == len(set(view)) for view in views.values())

    is_so(arrived)
    orders = list(views.values())
    complete = all(set(view) == wanted for view in orders)
    lengths = {name: len(view) for name, view in views.items()}
    checks.that("all messages arrive at all members", complete, lengths)
    checks.that("once each", all(len(view) == len(wanted) for view in orders), lengths)
    checks.that("in the same order for all", all(view == orders[0] for view in orders))
    in_turn = all(
        [n for who, n in view if who == name] == sorted(n for who, n in view if who == name)
        for view in orders
        for name in talk.said
    )
    checks.that("and in the order of each sender", in_turn)


def catch_up(away: Person, others: list[Person], talk: Talk, count: int, checks: Checks) -> str:
    """Somebody is away while the others write, and catches up."""
    away.crash()
    for who in others:
        talk.say(who, count // len(others))
    away.return_()
    same_for_all([*others, away], talk, checks)
    return f"{away.name} was killed, missed {count // len(others) * len(others)} messages, has all"


def remove_member(owner: Person, gone: Person, stays: Person, talk: Talk, checks: Checks) -> str:
    """The owner removes somebody from the group."""
    before = len(talk.read_by(gone))
    given = {"group_key_id": talk.key_id, "user_id": gone.id}
    done = owner.api.result("PUT", "/group/remove/v1", given)
    checks.that(f"{gone.name} is removed", done["removed"], done)
    talk.say(owner, 5)
    same_for_all([owner, stays], talk, checks)
    out = is_so(lambda: gone.group(talk.key_id)["state"] != ONLINE)
    checks.that(f"{gone.name} is not connected any more", out)
    checks.that(f"{gone.name} reads nothing after", len(talk.read_by(gone)) == before)
    again = refused(
        lambda: gone.api.result("PUT", "/group/reconnect/v1", {"group_key_id": talk.key_id})
    )
    checks.that(f"{gone.name} cannot connect again", isinstance(again, AccessDenied), again)
    gone.leave()
    gone.return_()
    later = until(f"{gone.name} is back", lambda: talk.read_by(gone))
    checks.that("nor reads more after a restart", len(later) == before, len(later) - before)
    writing = refused(
        lambda: gone.api.post("/message/send/group/v1", group_key_id=talk.key_id, data={"n": 1})
    )
    checks.that(f"{gone.name} cannot write", isinstance(writing, AccessDenied), writing)
    return f"{gone.name} reads and writes nothing after"


def leftovers(cast: Cast) -> list[Any]:
    """Names of nodes that still run."""
    return [each.name for each in cast.network.members if each.daemon.alive]
