"""A whole network on this machine: one process per node, loopback ports, its own DHT.

``Testnet`` starts and ends it; the command, the demo, the tests and the benchmarks all use it.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bitdust.cli.interrupt import interruptible, undisturbed
from bitdust.cli.testnet_api import NodeApi
from bitdust.cli.testnet_folder import (
    NODES_FILE,
    NODES_FOLDER,
    FolderLock,
    prepare_folder,
    stop_folder,
    write_nodes,
)
from bitdust.cli.testnet_plan import (
    CUSTOMER,
    IDENTITY_SERVER,
    SUPPLIER,
    Member,
    NodePorts,
    Plan,
)
from bitdust.cli.testnet_ports import Ports
from bitdust.cli.testnet_process import STOP_DEADLINE, Daemon
from bitdust.config import Settings
from bitdust.errors import (
    AlreadyExists,
    DeadlineExceeded,
    NotFound,
    NotRunning,
)

__all__ = [
    "CUSTOMER",
    "IDENTITY_SERVER",
    "SUPPLIER",
    "Member",
    "Plan",
    "Testnet",
    "is_connected",
    "run",
    "stop_folder",
]

READY_DEADLINE = 90.0
"""Seconds until every customer must have its suppliers."""
POLL = 0.1
PARALLEL = 16

Report = Callable[[str], None]


def _quiet(message: str) -> None:
    del message


class Testnet:
    """A network of daemons below one folder; a context manager that starts and stops it.

    Args:
        folder: everything it writes is below; made when missing.
        plan: how many nodes of which kind.
        report: called with a line of progress, from several threads.
    """

    __test__ = False  # no test class, whatever its name suggests to pytest

    def __init__(self, folder: Path, plan: Plan | None = None, report: Report = _quiet) -> None:
        self.folder = folder.absolute()
        self.plan = plan or Plan()
        self._report = report
        self._members: dict[str, Member] = {}
        self._ports = Ports()
        self._lock = threading.Lock()
        self._closing = False
        self._servers: list[int] = []
        self._dht: list[int] = []
        self._folder_lock: FolderLock | None = None

    # --- starting -----------------------------------------------------------------------------

    def start(self, deadline: float = READY_DEADLINE) -> None:
        """Start all nodes, make their identities and wait until every customer has its suppliers.

        Raises:
            InvalidInput: the plan cannot be.
            AlreadyRunning: the folder holds a running network.
            BitdustError: a step failed; everything that was started is ended.
        """
        self.plan.check()
        self._folder_lock = FolderLock(self.folder)
        try:
            prepare_folder(self.folder)
            self._start_all(time.monotonic() + deadline)
            self.write_nodes()
        except BaseException:
            self.stop()
            raise

    def _start_all(self, ends: float) -> None:
        plan = self.plan
        self._servers = [self._ports.take() for _ in range(plan.identity_servers)]
        # two nodes to start the DHT from, so that either may be away
        self._dht = [self._ports.take() for _ in range(2)]
        roles = (
            [(IDENTITY_SERVER, number) for number in range(1, plan.identity_servers + 1)]
            + [(SUPPLIER, number) for number in range(1, plan.suppliers + 1)]
            + [(CUSTOMER, number) for number in range(1, plan.customers + 1)]
        )
        members = [self._make(f"{role}-{number}", role) for role, number in roles]
        self._report(f"starting {len(members)} nodes")
        served = threading.Barrier(plan.identity_servers + 1)
        servers_up = threading.Event()

        def bring_up(member: Member) -> None:
            self._launch(member)
            if member.role == IDENTITY_SERVER:
                served.wait(_left(ends))
            elif not servers_up.wait(_left(ends)):
                raise DeadlineExceeded("the identity servers were not up in time")
            self.create_identity(member)
            self._report(f"{member.global_id} is up")

        def open_gate() -> None:
            served.wait(_left(ends))
            servers_up.set()

        with ThreadPoolExecutor(max_workers=max(PARALLEL, plan.identity_servers + 2)) as pool:
            jobs = [pool.submit(open_gate), *(pool.submit(bring_up, each) for each in members)]
            try:
                _first_failure(jobs)
                self._await_suppliers(ends)
            except BaseException:
                # what still waits in the pool must fail now, not at its deadline
                served.abort()
                servers_up.set()
                with undisturbed():
                    self._end_all()
                raise

    def _make(self, name: str, role: str, more: Mapping[str, object] | None = None) -> Member:
        home = self.folder / NODES_FOLDER / name
        number = len(self._members)
        take = self._ports.take
        ports = NodePorts(
            web=take(),
            ws=take(),
            tcp=take(),
            dht=self._dht[number] if number < len(self._dht) else take(),
            identity=self._servers[number] if role == IDENTITY_SERVER else 0,
        )
        member = Member(name, role, home, ports, Daemon(home))
        settings = Settings(home)
        values = member.settings(self.plan, self._servers, self._dht) | dict(more or {})
        for key, value in values.items():
            settings.set(key, value)
        self._members[name] = member
        return member

    def _launch(self, member: Member) -> None:
        with self._lock:
            if self._closing:
                raise NotRunning("the test network is being stopped")
            reader = member.daemon.launch()
        member.daemon.await_ready(reader)

    def create_identity(self, member: Member) -> None:
        """Make the identity of a node, under its own name."""
        self.learn(member, member.api.post("/identity/create/v1", username=member.name))

    def learn(self, member: Member, identity: Mapping[str, Any]) -> None:
        """Take over who a node is, from the result of an identity call."""
        member.global_id = str(identity["global_id"])
        member.idurl = str(identity["idurl"])

    def _await_suppliers(self, ends: float) -> None:
        for member in self._members.values():
            if member.role == CUSTOMER:
                self.await_suppliers(member.name, self.plan.hired, _left(ends))

    def await_suppliers(
        self, name: str, number: int, deadline: float = READY_DEADLINE
    ) -> list[dict[str, Any]]:
        """Wait until a customer has ``number`` connected suppliers and return its list.

        Raises:
            DeadlineExceeded: it has fewer at the deadline.
        """
        api = self.api(name)
        ends = time.monotonic() + deadline
        while True:
            listed: list[dict[str, Any]] = api.get("/supplier/list/v1") or []
            ready = [each for each in listed if is_connected(each)]
            if len(ready) >= number:
                return listed
            if time.monotonic() > ends:
                raise DeadlineExceeded(
                    f"{name} has {len(ready)} of {number} suppliers after {deadline:.0f} seconds",
                    hint=f"see the logs below {self.folder / NODES_FOLDER}",
                )
            time.sleep(POLL)

    # --- while it runs ------------------------------------------------------------------------

    @property
    def members(self) -> Sequence[Member]:
        """All nodes, running or not."""
        return list(self._members.values())

    def nodes(self) -> list[dict[str, Any]]:
        """What ``testnet.json`` holds."""
        return [member.describe() for member in self._members.values()]

    def write_nodes(self) -> None:
        """Write ``testnet.json``; a reader sees the old list or the new one."""
        write_nodes(self.folder, self.nodes())

    def member(self, name: str) -> Member:
        """One node by its name or global id.

        Raises:
            NotFound: there is none.
        """
        for member in self._members.values():
            if name in (member.name, member.global_id):
                return member
        raise NotFound(f"the test network has no node {name!r}")

    def api(self, name: str) -> NodeApi:
        """The HTTP API of one node."""
        return self.member(name).api

    def add(
        self,
        name: str,
        role: str,
        *,
        identity: bool = True,
        settings: Mapping[str, object] | None = None,
    ) -> Member:
        """Start one more node.

        Args:
            name: its name, and its user name.
            role: what it does.
            identity: make its identity.
            settings: on top of those of the plan.

        Raises:
            AlreadyExists: there is one of that name.
            BitdustError: it could not start.
        """
        if name in self._members:
            raise AlreadyExists(f"the test network has a node {name!r}")
        member = self._make(name, role, settings)
        self._launch(member)
        if identity:
            self.create_identity(member)
        self.write_nodes()
        return member

    def kill(self, name: str) -> None:
        """End one node with SIGKILL, as a power cut would; its home stays."""
        self.member(name).daemon.kill()

    def halt(self, name: str) -> None:
        """End one node in order; its home stays."""
        self.member(name).daemon.stop()

    def resume(self, name: str) -> None:
        """Start a node that was ended.

        Raises:
            BitdustError: it could not start.
        """
        self._launch(self.member(name))
        self.write_nodes()

    def remove(self, name: str) -> None:
        """End one node and delete its home."""
        member = self.member(name)
        member.daemon.stop()
        shutil.rmtree(member.home)
        del self._members[member.name]
        self.write_nodes()

    # --- stopping -----------------------------------------------------------------------------

    def detach(self) -> None:
        """Let the network outlive this process; ``stop_folder`` ends it."""
        for member in self._members.values():
            member.daemon.release()
        self._ports.close()
        if self._folder_lock is not None:
            self._folder_lock.release()

    def stop(self) -> None:
        """End all nodes; what they wrote stays, ``testnet.json`` goes."""
        with undisturbed():
            self._end_all()
            self._ports.close()
            if self._folder_lock is not None:
                if self._members:
                    (self.folder / NODES_FILE).unlink(missing_ok=True)
                self._folder_lock.release()

    def wait_end(self) -> None:
        """Wait until the network is ended from outside, with ``stop_folder``."""
        listed = self.folder / NODES_FILE
        # asking all of them collects those that somebody killed
        while listed.exists() and sum(each.daemon.alive for each in self._members.values()):
            time.sleep(POLL)

    def _end_all(self) -> None:
        with self._lock:
            self._closing = True
        daemons = [member.daemon for member in self._members.values()]
        for daemon in daemons:
            daemon.ask_to_stop()
        ends = time.monotonic() + STOP_DEADLINE
        for daemon in daemons:
            daemon.stop(_left(ends))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def is_connected(supplier: Mapping[str, Any]) -> bool:
    """Whether an entry of ``/supplier/list/v1`` is a hired supplier that is online."""
    return str(supplier.get("contact_state", "")).upper() == "CONNECTED"


def _left(ends: float) -> float:
    return max(ends - time.monotonic(), 0.1)


def _first_failure(jobs: Iterable[Future[None]]) -> None:
    """Wait for all; raise what failed first, as later failures only follow from it."""
    for job in as_completed(jobs):
        job.result()


def run(
    folder: Path,
    plan: Plan,
    *,
    detach: bool,
    report: Report = _quiet,
    ready: Callable[[list[dict[str, Any]]], None] = lambda nodes: None,
) -> list[dict[str, Any]]:
    """Start a network; leave it running, or stay until Ctrl-C and then end it.

    Args:
        folder: everything it writes is below.
        plan: what it consists of.
        detach: return once it is up.
        report: called with lines of progress.
        ready: called with the list of nodes once it is up.

    Returns:
        The list of nodes.

    Raises:
        BitdustError: it could not start; nothing is left running.
    """
    network = Testnet(folder, plan, report)
    with interruptible():
        network.start()
        try:
            nodes = network.nodes()
            ready(nodes)
            if detach:
                network.detach()
                return nodes
            report("Ctrl-C ends the network")
            network.wait_end()
        except KeyboardInterrupt:
            report("ending the network")
        except BaseException:
            network.stop()
            raise
        network.stop()
    return nodes
