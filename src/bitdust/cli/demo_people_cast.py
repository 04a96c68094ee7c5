"""The people of a network of processes, what they do to each other, and what is checked meanwhile.

The demo of people and the end-to-end tests play their scenes with it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bitdust.cli.testnet import CUSTOMER, SUPPLIER, Member, Plan, Testnet
from bitdust.cli.testnet_api import NodeApi
from bitdust.errors import BitdustError, DeadlineExceeded

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds until something that is waited for must have come true."""
POLL = 0.05
PAGE = 1000


@dataclass(frozen=True)
class Check:
    """One thing that was promised, and whether it is so.

    Args:
        what: the promise, in words.
        kept: whether it is so.
        found: what was found instead, for a promise that was broken.
    """

    what: str
    kept: bool
    found: str = ""


@dataclass
class Checks:
    """All that was checked so far."""

    done: list[Check] = field(default_factory=list)
    tell: Callable[[Check], None] = lambda check: None

    def that(self, what: str, kept: bool, found: object = "") -> bool:
        """Note whether a promise is kept."""
        check = Check(what, bool(kept), "" if kept else str(found)[:300])
        self.done.append(check)
        self.tell(check)
        return check.kept

    @property
    def broken(self) -> list[Check]:
        """Promises that were not kept."""
        return [check for check in self.done if not check.kept]


class Person:
    """One person with a node of their own.

    Args:
        network: the network.
        name: of the node.
    """

    def __init__(self, network: Testnet, name: str) -> None:
        self._network = network
        self.name = name

    @property
    def member(self) -> Member:
        """The node."""
        return self._network.member(self.name)

    @property
    def api(self) -> NodeApi:
        """The HTTP API of the node."""
        return self.member.api

    @property
    def id(self) -> str:
        """The global id."""
        return self.member.global_id

    # --- coming and going ------------------------------------------------------------------------

    def crash(self) -> None:
        """End the node with SIGKILL."""
        self._network.kill(self.name)

    def leave(self) -> None:
        """End the node in order."""
        self._network.halt(self.name)

    def return_(self) -> None:
        """Start the node again."""
        self._network.resume(self.name)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the node's process (SIGSTOP) for a while, as a machine that is asleep."""
        pid = self.member.daemon.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    # --- friends -------------------------------------------------------------------------------

    def sees(self, other: Person) -> str:
        """What the list of friends says about another person's connection."""
        rows = self.api.get("/friend/list/v1") or []
        found = (row["contact_state"] for row in rows if row["global_id"] == other.id)
        return str(next(found, "no friend"))

    # --- messages ------------------------------------------------------------------------------

    def write(self, other: Person, text: str, *, patience: float = PATIENCE) -> dict[str, Any]:
        """Send a private message and give the outcome."""
        result = self.api.post(
            "/message/send/v1",
            recipient_id=other.id,
            data={"message": text},
            ping_timeout=patience,
            message_ack_timeout=1,
        )
        return dict(result)

    def talk(self, with_whom: str, *, newest: int = 1_000_000) -> list[dict[str, Any]]:
        """What was said with a person or in a group, oldest first."""
        found: list[dict[str, Any]] = []
        while len(found) < newest:
            rows = self.api.get(
                "/message/history/v1", recipient_id=with_whom, offset=len(found), limit=PAGE
            )
            found = [row["doc"] for row in rows] + found
            if len(rows) < PAGE:
                break
        return found

    def heard(self, other: Person) -> list[str]:
        """Texts that another person wrote to this one, oldest first."""
        rows = self.talk(other.id)
        return [row["payload"]["data"].get("message") for row in rows if row["direction"] == "in"]

    def state_of(self, other: Person, message_id: str) -> str:
        """What became of a message to another person."""
        rows = (row for row in self.talk(other.id) if row["payload"]["message_id"] == message_id)
        return str(next((row["state"] for row in rows), "unknown"))

    # --- shares --------------------------------------------------------------------------------

    def upload(self, path: Path, remote_path: str) -> dict[str, Any]:
        """Store a file and wait for it."""
        result = self.api.post(
            "/file/upload/start/v1",
            local_path=str(path),
            remote_path=remote_path,
            wait_result=True,
            open_share=True,
        )
        return dict(result)

    def read(self, remote_path: str, folder: Path) -> bytes:
        """Fetch a file into a folder and give its bytes."""
        result = self.api.post(
            "/file/download/start/v1",
            remote_path=remote_path,
            destination_path=str(folder / self.name),
            wait_result=True,
            open_share=True,
        )
        return Path(str(result["local_path"])).read_bytes()

    def lists(self, key_id: str) -> list[str]:
        """Paths of the files in a share."""
        rows = self.api.get("/file/list/v1", key_id=key_id, recursive=True) or []
        return sorted(str(row["path"]) for row in rows if row["type"] == "file")

    def share_state(self, key_id: str) -> str:
        """``CONNECTED``, ``DISCONNECTED`` or ``unknown``."""
        rows = self.api.get("/share/list/v1") or []
        return str(next((row["state"] for row in rows if row["key_id"] == key_id), "unknown"))

    # --- groups --------------------------------------------------------------------------------

    def group(self, key_id: str) -> dict[str, Any]:
        """A group as this person sees it."""
        return dict(self.api.get("/group/info/v1", group_key_id=key_id))


class Cast:
    """Three people and the network between them.

    Args:
        network: not started yet; without customers.
        names: of the people.
    """

    def __init__(self, network: Testnet, names: Sequence[str] = ("alice", "bob", "carol")) -> None:
        self.network = network
        self.names = list(names)
        self.people: list[Person] = []

    def start(self) -> None:
        """Start the network, then the people; each gets suppliers.

        Raises:
            BitdustError: something does not start.
        """
        self.network.start()
        # suppliers are the brokers; people's own nodes and the identity server shall not be, so
        # that what is killed later is a broker and nothing else
        brokers = [each.idurl for each in self.network.members if each.role == SUPPLIER]
        settings: dict[str, object] = {
            "services/message-broker/enabled": False,
            "services/private-groups/preferred-brokers": ",".join(brokers[:3]),
        }
        for name in self.names:
            self.network.add(name, CUSTOMER, settings=settings)
            self.people.append(Person(self.network, name))
        for name in self.names:
            self.network.await_suppliers(name, self.network.plan.hired)


def people_plan(suppliers: int = 4, key_size: int = 2048) -> Plan:
    """A network in which people can be added; its suppliers are also brokers and mailboxes."""
    return Plan(suppliers=suppliers, customers=0, key_size=key_size)


def until(what: str, condition: Callable[[], T], patience: float = PATIENCE) -> T:
    """Wait for something to become true, and give its value.

    Args:
        what: for the error, such as ``bob has the message``.
        condition: asked again and again; a node that does not answer yet counts as no.
        patience: seconds.

    Raises:
        DeadlineExceeded: it did not.
    """
    ends = time.monotonic() + patience
    problem = ""
    while True:
        try:
            if value := condition():
                return value
        except BitdustError as exc:
            problem = f": {exc.message}"
        if time.monotonic() > ends:
            raise DeadlineExceeded(f"not so after {patience:.0f} seconds: {what}{problem}")
        time.sleep(POLL)


def is_so(condition: Callable[[], Any], patience: float = PATIENCE) -> bool:
    """Wait for something to become true; False when it does not."""
    try:
        until("", condition, patience)
    except DeadlineExceeded:
        return False
    return True


def refused(work: Callable[[], Any]) -> BitdustError | None:
    """The error with which something is refused, None when it is not."""
    try:
        work()
    except BitdustError as exc:
        return exc
    return None
