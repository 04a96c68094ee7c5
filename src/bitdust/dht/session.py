"""A libtorrent session stripped down to its DHT: settings, start, state file, end.

Every call that may wait for libtorrent's thread runs in the given executor.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import libtorrent as lt
import structlog

from bitdust.errors import DhtError, FormatError, InvalidSetting, PortInUse

DEFAULT_BOOTSTRAP: Final = (
    "dht.libtorrent.org:25401",
    "router.bittorrent.com:6881",
    "router.utorrent.com:6881",
    "dht.transmissionbt.com:6881",
)
"""Well-known entrances to the public mainline DHT."""

MAX_BOOTSTRAP: Final = 64
MAX_REMEMBERED: Final = 200
MAX_STATE_BYTES: Final = 1024 * 1024
MAX_PENDING_ALERTS: Final = 4000
PUBLIC_UPLOAD_RATE: Final = 64 * 1024
PRIVATE_UPLOAD_RATE: Final = 512 * 1024
"""Bytes a second. A node may send three seconds' worth at once, which is more than a record of the
largest size takes; searches that go on without end are ended by this."""
PORT_ATTEMPTS: Final = 5

_STATE_FLAG: Final = int(lt.save_state_flags_t.save_dht_state)
_PORT_KEY: Final = b"bitdust port"
_log = structlog.get_logger(component="dht.session")


@dataclass(frozen=True, slots=True)
class DhtOptions:
    """How a node takes part in the DHT.

    Args:
        port: UDP port, 0 for any. libtorrent binds the TCP port of the same number too, and closes
            whatever connects to it.
        interface: IP address to listen on.
        bootstrap: ``host:port`` of nodes known in advance.
        private: for a network of its own on loopback or private addresses: takes off the limits
            that protect the public DHT from many nodes behind one address, and forms quickly.
        port_mapping: ask the router to forward the port (UPnP, NAT-PMP).
        state_path: file that remembers nodes between runs, None for no memory.
    """

    port: int = 0
    interface: str = "0.0.0.0"  # noqa: S104 - a DHT node has to be reachable from outside
    bootstrap: Sequence[str] = DEFAULT_BOOTSTRAP
    private: bool = False
    port_mapping: bool = False
    state_path: Path | None = None


def parse_bootstrap(nodes: Sequence[str]) -> list[tuple[str, int]]:
    """Read ``host:port`` texts.

    Raises:
        InvalidSetting: one has another form, or there are too many.
    """
    if len(nodes) > MAX_BOOTSTRAP:
        raise InvalidSetting(f"more than {MAX_BOOTSTRAP} DHT bootstrap nodes")
    parsed = []
    for text in nodes:
        host, sep, port = text.strip().rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if (
            not sep
            or not host
            or not host.isascii()
            or not host.isprintable()
            or set(host) & set(", ")
            or not (port.isascii() and port.isdecimal() and len(port) <= 5)
            or not 0 < int(port) < 65536
        ):
            raise InvalidSetting(
                f"invalid DHT bootstrap node {text[:80]!r}", hint="it looks like host:port"
            )
        parsed.append((host, int(port)))
    return parsed


def entrance_list(nodes: Sequence[str]) -> str:
    """``host:port`` texts as libtorrent takes them.

    Raises:
        InvalidSetting: see ``parse_bootstrap``.
    """
    return ",".join(
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        for host, port in parse_bootstrap(nodes)
    )


def parse_state(data: bytes) -> list[tuple[str, int]]:
    """The nodes a state file remembers.

    libtorrent 2.1 reads its own file without asking the nodes in it; so they are added one by one.

    Raises:
        FormatError: not a state file.
    """
    if len(data) > MAX_STATE_BYTES:
        raise FormatError("the DHT state file is too large")
    try:
        decoded: Any = lt.bdecode(data)
    except RuntimeError as exc:
        raise FormatError("the DHT state file is not bencoded") from exc
    state = decoded.get(b"dht state") if isinstance(decoded, dict) else None
    if not isinstance(state, dict):
        raise FormatError("the DHT state file holds no DHT state")
    found = []
    for name, size in ((b"nodes", 4), (b"nodes6", 16)):
        rows = state.get(name)
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, bytes) and len(row) == size + 2 and any(row[size:]):
                host = str(ipaddress.ip_address(row[:size]))
                found.append((host, int.from_bytes(row[size:], "big")))
    return found[:MAX_REMEMBERED]


def parse_port(data: bytes) -> int:
    """The port of the node that wrote a state file, 0 if it names none."""
    decoded: Any = lt.bdecode(data)
    port = decoded.get(_PORT_KEY)
    return port if isinstance(port, int) and 0 < port < 65536 else 0


def session_settings(options: DhtOptions) -> dict[str, Any]:
    """The libtorrent settings for a session that is nothing but a DHT node."""
    category = lt.alert.category_t
    mask = category.dht_operation_notification | category.status_notification
    mask |= category.error_notification | category.stats_notification
    # Only this one brings the end of a put.
    mask |= category.dht_notification
    host = f"[{options.interface}]" if ":" in options.interface else options.interface
    settings: dict[str, Any] = {
        "listen_interfaces": f"{host}:{options.port}",
        "max_retry_port_bind": 0,
        "listen_system_port_fallback": False,
        "alert_mask": int(mask),
        "alert_queue_size": MAX_PENDING_ALERTS,
        "enable_dht": True,
        "enable_lsd": False,
        "enable_upnp": options.port_mapping,
        "enable_natpmp": options.port_mapping,
        "enable_incoming_tcp": False,
        "enable_outgoing_tcp": False,
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        "aio_threads": 1,
        "hashing_threads": 1,
        "dht_upload_rate_limit": PUBLIC_UPLOAD_RATE,
        "dht_bootstrap_nodes": "",
    }
    if options.private:
        settings |= {
            "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False,
            "dht_enforce_node_id": False,
            "dht_prefer_verified_node_ids": False,
            "dht_ignore_dark_internet": False,
            "dht_block_ratelimit": 1_000_000,
            "dht_block_timeout": 1,
            "dht_upload_rate_limit": PRIVATE_UPLOAD_RATE,
        }
    else:
        # Only these may be asked for the first nodes; they never enter the routing table.
        settings["dht_bootstrap_nodes"] = entrance_list(options.bootstrap)
    return settings


def _state_of(session: lt.session) -> bytes:
    if hasattr(session, "session_state"):
        return lt.write_session_params_buf(session.session_state(_STATE_FLAG), _STATE_FLAG)
    # libtorrent 2.0 gives the same dictionary through a call that 2.1 deprecates.
    return lt.bencode(session.save_state(_STATE_FLAG))


class DhtSession:
    """Owns one libtorrent session.

    Args:
        options: see ``DhtOptions``.
        executor: pool for calls that wait, None for the loop's own.
    """

    def __init__(self, options: DhtOptions, executor: Executor | None) -> None:
        self._options = options
        self._executor = executor
        self._session: lt.session | None = None
        self._jobs: set[asyncio.Future[Any]] = set()
        self.remembered: list[tuple[str, int]] = []
        self.former_port = 0
        """Where this node was before its restart, 0 if it does not know."""
        self.my_id = bytes(20)
        self.port = 0

    @property
    def handle(self) -> lt.session:
        """The session, for calls that do not wait.

        Raises:
            DhtError: not started.
        """
        if self._session is None:
            raise DhtError("the DHT is not running")
        return self._session

    @property
    def is_open(self) -> bool:
        """Whether there is a session."""
        return self._session is not None

    async def open(self) -> None:
        """Bind the port and begin.

        Raises:
            PortInUse: the port is taken.
            DhtError: the interface does not exist, or another cause.
        """
        loop = asyncio.get_running_loop()
        self._session = await loop.run_in_executor(self._executor, self._open)

    async def close(self) -> None:
        """Remember the nodes known and end."""
        if self._session is None:
            return
        await self.save()
        holder = [self._session]
        self._session = None
        # Whoever still uses the session in the pool would keep it alive beyond this call.
        await asyncio.gather(*self._jobs, return_exceptions=True)
        # The last reference goes away in the pool: the destructor waits for libtorrent's threads.
        await asyncio.get_running_loop().run_in_executor(self._executor, holder.clear)

    async def refresh_id(self) -> None:
        """Learn this node's id: it changes when libtorrent learns the external address (BEP 42)."""
        if self._session is not None:
            await self._use(self._read_id, self._session)

    async def save(self) -> None:
        """Write the state file; a failure is logged, since the file only saves time."""
        path = self._options.state_path
        session = self._session
        if path is None or session is None:
            return
        try:
            await self._use(self._save, session, path)
        except OSError as exc:
            _log.warning("DHT state not saved", reason=exc.strerror)

    async def _use(self, call: Callable[..., object], *args: object) -> None:
        job = asyncio.get_running_loop().run_in_executor(self._executor, call, *args)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        await asyncio.shield(job)

    def _open(self) -> lt.session:
        settings = session_settings(self._options)
        problem = ""
        self._restore()
        for _ in range(1 if self._options.port else PORT_ATTEMPTS):
            params = lt.session_params()
            params.settings = cast("lt.settings_pack", settings)
            session = lt.session(params)
            # This answers only once the sockets were bound, so the alerts about them are there.
            self.port = session.listen_port()
            failures = [a for a in session.pop_alerts() if isinstance(a, lt.listen_failed_alert)]
            problem = failures[0].error.message() if failures else ""
            if self.port and not failures:
                self._read_id(session)
                return session
            del failures, session
        where = f"{self._options.interface}:{self._options.port}"
        self.port = 0
        if "in use" in problem.lower():
            raise PortInUse(
                f"the DHT port {where} is taken by another program",
                hint="choose another one with `services/entangled-dht/udp-port`",
            )
        raise DhtError(f"the DHT cannot listen on {where}: {problem or 'no such interface'}")

    def _restore(self) -> None:
        path = self._options.state_path
        if path is None:
            return
        try:
            with path.open("rb") as file:
                data = file.read(MAX_STATE_BYTES + 1)
            self.remembered = parse_state(data)
            self.former_port = parse_port(data)
        except FileNotFoundError:
            pass
        except FormatError as exc:
            _log.warning("DHT state ignored", reason=exc.message)
        except OSError as exc:
            _log.warning("DHT state ignored", reason=exc.strerror)

    def _read_id(self, session: lt.session) -> bytes:
        data = _state_of(session)
        decoded: Any = lt.bdecode(data)
        state = decoded.get(b"dht state") if isinstance(decoded, dict) else None
        ids = state.get(b"node-id") if isinstance(state, dict) else None
        if isinstance(ids, list) and ids and isinstance(ids[0], bytes) and len(ids[0]) >= 20:
            self.my_id = ids[0][:20]
        return data

    def _save(self, session: lt.session, path: Path) -> None:
        decoded: Any = lt.bdecode(self._read_id(session))
        decoded[_PORT_KEY] = self.port
        data = lt.bencode(decoded)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
