"""``bitdust doctor``: looks at everything a node needs and says what to do."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from bitdust.api.envelope import success
from bitdust.cli.doctor_checks import (
    OK,
    PROBLEM,
    SKIPPED,
    Verdict,
    judge_clock,
    judge_dht,
    judge_disk,
    judge_identity,
    judge_network,
    judge_ports,
    judge_redundancy,
    judge_services,
    judge_suppliers,
)
from bitdust.cli.output import print_json
from bitdust.cli.runner import registry_of, shell_of, with_shared_options
from bitdust.client import Client
from bitdust.config import Settings
from bitdust.errors import BitdustError, DamagedSettings

T = TypeVar("T")

CALL_TIMEOUT = 60.0
SERVER_TIMEOUT = 3.0
"""Seconds for the clock of one identity server."""
MOST_SERVERS = 5
EXIT_PROBLEM = 1
_MARKS = {OK: ("ok", "green"), PROBLEM: ("PROBLEM", "red"), SKIPPED: ("-", "white")}


@click.command
@with_shared_options
@click.pass_context
def doctor(context: click.Context) -> None:
    """Look for what is wrong with the node, its network and its data.

    Ends with exit code 1 when there is a problem.
    """
    shell = shell_of(context)
    client = Client(shell.home, registry=registry_of(context), timeout=CALL_TIMEOUT)
    verdicts = examine(shell.home, shell.settings, client)
    bad = any(verdict.status == PROBLEM for verdict in verdicts)
    if shell.as_json:
        print_json(success([verdict.shown() for verdict in verdicts]))
    else:
        for verdict in verdicts:
            mark, color = _MARKS.get(verdict.status, ("warning", "yellow"))
            click.echo(f"{click.style(f'{mark:8}', fg=color)} {verdict.check}: {verdict.message}")
            if verdict.advice:
                click.echo(f"{'':8} -> {verdict.advice}")
    context.exit(EXIT_PROBLEM if bad else 0)


def examine(home: Path, settings: Settings, client: Client) -> list[Verdict]:
    """Look at everything.

    Args:
        home: the home folder.
        settings: of it.
        client: of the node that may run there.
    """
    try:
        settings.check()
    except DamagedSettings as exc:
        # without settings nothing else can be looked at
        return [Verdict("settings", PROBLEM, exc.message, exc.hint)]
    if not home.is_dir():
        missing = f"there is no home folder {home}"
        return [Verdict("home", PROBLEM, missing, "make it with `bitdust init`, or name another")]
    verdicts = [Verdict("settings", OK, f"all settings of {home} can be read")]
    servers = [
        server
        for name in ("preferred-servers", "known-servers")
        for server in settings.get_items(f"services/identity-propagate/{name}")
    ]
    if client.is_running():
        verdicts.append(Verdict("daemon", OK, f"it answers on port {client.port}"))
        identity = _ask(lambda: client.call("identity_get"))
        if identity is not None:
            servers += [urlsplit(source).netloc for source in identity.get("sources", ())]
        verdicts += _of_the_running(settings, client, identity)
    else:
        verdicts += _of_the_stopped(home, settings)
    found = (_skew(server) for server in list(dict.fromkeys(servers))[:MOST_SERVERS])
    verdicts.append(judge_clock([skew for skew in found if skew is not None]))
    return verdicts


def _of_the_stopped(home: Path, settings: Settings) -> list[Verdict]:
    holder = import_module("bitdust.daemon").holder(home)
    if holder is not None:
        daemon = Verdict(
            "daemon",
            PROBLEM,
            f"process {holder} runs and does not answer",
            f"see {home / 'logs'}; `kill {holder}` ends it",
        )
        return [daemon, _disk(home, 0, 0)]
    daemon = Verdict("daemon", PROBLEM, "no daemon is running", "start it with `bitdust daemon`")
    taken, count = _try_ports(settings)
    donates = settings.get_bool("services/supplier/enabled")
    donated = settings.get_int("services/supplier/donated-space") if donates else 0
    used = _size_of(home / "customers") if donates else 0
    return [daemon, judge_ports(taken, count), _disk(home, donated, used)]


def _disk(home: Path, donated: int, used: int) -> Verdict:
    folder = next(place for place in (home, *home.parents) if place.exists())
    return judge_disk(shutil.disk_usage(folder).free, donated, used)


def _size_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _of_the_running(
    settings: Settings, client: Client, identity: dict[str, Any] | None
) -> list[Verdict]:
    info: dict[str, Any] = _ask(lambda: client.call("network_info")) or {}
    donated = _ask(lambda: client.call("space_donated")) or {}
    wanted = settings.get_int("services/customer/suppliers-number")
    suppliers = _ask(lambda: client.call("suppliers_list"))
    if suppliers is not None:
        wanted = info.get("suppliers", {}).get("desired", wanted)
    verdicts = [
        judge_services(client.call("services_list")),
        judge_identity(identity),
        _disk(client.home, int(donated.get("donated", 0)), int(donated.get("real", 0))),
    ]
    if identity is not None:
        verdicts += [
            judge_dht(info.get("dht")),
            judge_network(_ask(lambda: client.call("connections_list"))),
            judge_suppliers(suppliers, wanted),
            judge_redundancy(_ask(lambda: client.call("files_list", recursive=True))),
        ]
    return verdicts


def _ask(call: Callable[[], T]) -> T | None:
    """The answer, None where that part of the node is off."""
    try:
        return call()
    except BitdustError:
        return None


def _try_ports(settings: Settings) -> tuple[dict[str, tuple[int, str]], int]:
    """Ports that cannot be had, by setting, and how many were tried."""
    wanted = [
        ("interface/api/rest-http-enabled", "interface/api/rest-http-port", socket.SOCK_STREAM),
        ("interface/api/web-socket-enabled", "interface/api/web-socket-port", socket.SOCK_STREAM),
        (
            "services/tcp-connections/enabled",
            "services/tcp-connections/tcp-port",
            socket.SOCK_STREAM,
        ),
        ("services/entangled-dht/enabled", "services/entangled-dht/udp-port", socket.SOCK_DGRAM),
        (
            "services/identity-server/enabled",
            "services/identity-server/web-port",
            socket.SOCK_STREAM,
        ),
    ]
    taken: dict[str, tuple[int, str]] = {}
    tried = [(key, kind) for enabled, key, kind in wanted if settings.get_bool(enabled)]
    for key, kind in tried:
        port = settings.get_int(key)
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as exc:
                taken[key] = (port, exc.strerror or "it cannot be used")
    return taken, len(tried)


def _skew(server: str) -> float | None:
    """Seconds by which this clock is ahead of an identity server's, None when it does not say."""
    from email.utils import parsedate_to_datetime
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(server, timeout=SERVER_TIMEOUT)
    try:
        connection.request("HEAD", "/")
        date = connection.getresponse().getheader("Date")
        return time.time() - parsedate_to_datetime(date).timestamp() if date else None
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
