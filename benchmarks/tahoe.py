"""A Tahoe-LAFS network on loopback to hold the engine beside: introducer, storage nodes, client.

Tahoe-LAFS is installed from PyPI into a virtual environment of its own, ``.venv-tahoe``, when it is
not there; it is no dependency of the project. Every node is a process of its own and is ended by
its process object only. A node also ends by itself when its standard input closes, so nothing is
left behind when the benchmark is killed.

The client is used through its web API, as its own command-line tool does: ``PUT /uri`` stores a
file and answers with its capability once enough shares are placed, ``GET`` brings it back, with a
``Range`` a part of it.
"""

from __future__ import annotations

import configparser
import http.client
import json
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from bitdust.cli.testnet_ports import LOOPBACK, Ports

REQUIREMENT = "tahoe-lafs==1.20.*"
PLACE = Path(__file__).resolve().parent.parent / ".venv-tahoe"
INSTALL_DEADLINE = 300.0
CREATE_DEADLINE = 120.0
READY_DEADLINE = 180.0
STOP_DEADLINE = 20.0
CALL_DEADLINE = 900.0
POLL = 0.2
PART = 1024 * 1024
NEEDED = 4
HAPPY = 7
"""Storage nodes that must hold a share before an upload succeeds: Tahoe's own default."""
CONNECTIONS = 4
"""Requests at the same time for many small files; Tahoe gains a little from it."""


def install(place: Path = PLACE) -> Path:
    """The ``tahoe`` program, installed first where it is missing.

    Raises:
        SystemExit: it could not be installed; pip's own words are in the message.
    """
    program = place / "bin" / "tahoe"
    if program.exists():
        return program
    print(f"installing {REQUIREMENT} into {place} ...", file=sys.stderr)
    venv.create(place, with_pip=True)
    command = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", REQUIREMENT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_DEADLINE)
    except subprocess.TimeoutExpired as exc:
        raise SystemExit(f"{REQUIREMENT} was not installed in {INSTALL_DEADLINE:.0f} s") from exc
    if done.returncode or not program.exists():
        raise SystemExit(f"{REQUIREMENT} cannot be installed:\n{done.stderr[-4000:]}")
    return program


def version(program: Path) -> str:
    """Such as ``tahoe-lafs/1.20.0``."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


class Grid:
    """A network of Tahoe-LAFS; create it once, then ``start`` and ``stop`` it for every turn.

    Stopping it between turns matters: its nodes ask each other for their state all the time, which
    would slow down whatever else is being measured.

    Args:
        folder: everything it writes is below.
        program: the ``tahoe`` program.
        nodes: how many storage nodes, and shares of every file.
        foolscap: speak the older protocol instead of the default, HTTPS.
    """

    def __init__(self, folder: Path, program: Path, nodes: int = 8, foolscap: bool = False) -> None:
        self.folder = folder
        self.nodes = nodes
        self._program = program
        self._foolscap = foolscap
        self._ports = Ports()
        self._web = self._ports.take()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir(parents=True)
        self._create_all()

    # --- making the nodes ----------------------------------------------------------------------

    def _create_all(self) -> None:
        self._create("introducer", ["create-introducer", *self._listening()])
        # the introducer writes its address when it starts for the first time
        try:
            self._launch("introducer")
            furl = self._furl()
        finally:
            self._end()
        shares = [f"--shares-needed={NEEDED}", f"--shares-happy={min(HAPPY, self.nodes)}"]
        shares.append(f"--shares-total={self.nodes}")
        meet = f"--introducer={furl}"
        web = f"--webport=tcp:{self._web}:interface={LOOPBACK}"
        jobs = {"client": ["create-client", meet, web, *shares]}
        for name in self._storage_names():
            jobs[name] = ["create-node", meet, "--webport=none", *self._listening()]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self._create, jobs, jobs.values()))

    def _create(self, name: str, arguments: Sequence[str]) -> None:
        command = [str(self._program), *arguments, str(self.folder / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=CREATE_DEADLINE)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        if self._foolscap and name != "introducer":
            path = self.folder / name / "tahoe.cfg"
            settings = configparser.ConfigParser(interpolation=None)
            settings.read(path)
            settings["client" if name == "client" else "storage"]["force_foolscap"] = "true"
            with path.open("w") as file:
                settings.write(file)

    def _listening(self) -> list[str]:
        port = self._ports.take()
        return [f"--port=tcp:{port}:interface={LOOPBACK}", f"--location=tcp:{LOOPBACK}:{port}"]

    def _storage_names(self) -> list[str]:
        return [f"storage-{number}" for number in range(1, self.nodes + 1)]

    def _furl(self) -> str:
        path = self.folder / "introducer" / "private" / "introducer.furl"
        ends = time.monotonic() + READY_DEADLINE
        while time.monotonic() < ends:
            with suppress(FileNotFoundError):
                if text := path.read_text("ascii").strip():
                    return text
            self._check()
            time.sleep(POLL)
        raise SystemExit("the introducer of Tahoe-LAFS did not start in time")

    # --- running -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all nodes; returns when the client is connected to every storage node.

        Raises:
            SystemExit: that did not happen in time; nothing is left running.
        """
        try:
            for name in ("introducer", *self._storage_names(), "client"):
                self._launch(name)
            self._await_all()
        except BaseException:
            self._end()
            raise

    def stop(self) -> None:
        """End all nodes; what they stored stays."""
        self._end()

    def close(self) -> None:
        """End all nodes and give their ports back."""
        self._end()
        self._ports.close()

    def groups(self) -> dict[str, list[int]]:
        """Process ids, for measuring: the client's and the storage nodes'."""
        return {
            "customer": [self._processes["client"].pid],
            "suppliers": [self._processes[name].pid for name in self._storage_names()],
        }

    def _launch(self, name: str) -> None:
        home = self.folder / name
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [self._program, "run", home],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def _await_all(self) -> None:
        ends = time.monotonic() + READY_DEADLINE
        connected = 0
        while time.monotonic() < ends:
            with suppress(OSError, ValueError, http.client.HTTPException):
                answer = json.loads(self._call("GET", "/?t=json"))
                states = [str(each["connection_status"]).lower() for each in answer["servers"]]
                connected = sum(state.startswith("connected") for state in states)
                if connected >= self.nodes:
                    return
            self._check()
            time.sleep(POLL)
        raise SystemExit(f"Tahoe-LAFS: {connected} of {self.nodes} storage nodes are connected")

    def _check(self) -> None:
        for name, process in self._processes.items():
            if process.poll() is not None:
                log = (self.folder / f"{name}.log").read_text("utf-8", "replace")
                raise SystemExit(f"Tahoe-LAFS: {name} ended by itself:\n{log[-2000:]}")

    def _end(self) -> None:
        for process in self._processes.values():
            process.terminate()
        ends = time.monotonic() + STOP_DEADLINE
        for process in self._processes.values():
            try:
                process.wait(max(ends - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdin.close()
        self._processes.clear()

    # --- storing and reading -------------------------------------------------------------------

    def put(self, path: Path) -> str:
        """Store one file; returns its capability."""
        with path.open("rb") as file:
            return self._call("PUT", "/uri", file, length=path.stat().st_size).decode("ascii")

    def get(self, capability: str, target: Path) -> None:
        """Bring one file back."""
        with target.open("wb") as file:
            self._call("GET", f"/uri/{quote(capability, safe='')}", into=file)

    def get_range(self, capability: str, at: int, size: int) -> bytes:
        """Bring a part of a file back."""
        span = {"Range": f"bytes={at}-{at + size - 1}"}
        return self._call("GET", f"/uri/{quote(capability, safe='')}", headers=span)

    def put_many(self, paths: Sequence[Path]) -> list[str]:
        """Store many files, several at a time; returns their capabilities."""
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return list(pool.map(self.put, paths))

    def get_many(self, capabilities: Sequence[str], targets: Sequence[Path]) -> None:
        """Bring many files back, several at a time."""
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(self.get, capabilities, targets))

    def _call(self, verb, route, body=None, *, length=None, headers=None, into=None) -> bytes:
        connection = http.client.HTTPConnection(LOOPBACK, self._web, timeout=CALL_DEADLINE)
        sent = dict(headers or {})
        if length is not None:
            sent["Content-Length"] = str(length)
        try:
            connection.request(verb, route, body, sent)
            answer = connection.getresponse()
            if answer.status >= 300:
                text = answer.read(2000).decode("utf-8", "replace")
                raise SystemExit(f"Tahoe-LAFS answered {verb} with {answer.status}: {text}")
            if into is None:
                return answer.read()
            while part := answer.read(PART):
                into.write(part)
            return b""
        finally:
            connection.close()
