"""Faults that only real processes show: stalls, floods of nonsense, full disks."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bitdust.errors import BitdustError, DiskFull

Eventually = Callable[..., Any]
GENEROUS = 60.0
"""Seconds an upload of some megabytes may take on a busy machine; a stalled supplier would hold it
for the two minutes that one fragment may take."""


def test_a_supplier_that_hangs_holds_nobody_up_and_is_completed_later(
    net: Any, tmp_path: Path, eventually: Eventually, noise: Callable[..., bytes]
) -> None:
    source = tmp_path / "source"
    source.write_bytes(noise(3, 60_000_000))
    hung = net.suppliers()[1]
    net.stall(hung)
    began = time.monotonic()
    result = net.upload(source, "hung")
    took = time.monotonic() - began
    assert (result["acks"], result["state"], result["may_vanish"]) == (3, "partial", 1)
    assert took < GENEROUS
    # and it is not needed for reading either
    began = time.monotonic()
    back = Path(net.download("hung", tmp_path / "back")["local_path"])
    assert time.monotonic() - began < GENEROUS
    assert back.read_bytes() == source.read_bytes()
    net.let_go()
    eventually(lambda: net.reliable("hung"))
    # the version is called stored once the caretaker has looked at all of it
    eventually(lambda: net.info("hung")["versions"][0]["state"] == "stored")
    # what was brought to it afterwards is worth as much as the rest
    for name in [name for name in net.suppliers() if name != hung][:2]:
        net.network.kill(name)
    again = Path(net.download("hung", tmp_path / "again")["local_path"])
    assert again.read_bytes() == source.read_bytes()


def test_a_supplier_that_hangs_in_the_middle_of_an_upload(
    net: Any, tmp_path: Path, eventually: Eventually, noise: Callable[..., bytes]
) -> None:
    source = tmp_path / "source"
    source.write_bytes(noise(4, 160_000_000))
    net.upload(source, "stalled", wait=False)
    eventually(
        lambda: any(e["block_number"] for e in net.customer.get("/file/upload/v1")["running"])
    )
    net.stall(net.suppliers()[2])
    eventually(net.idle, GENEROUS)
    [version] = net.info("stalled")["versions"]
    assert version["state"] == "partial"
    net.let_go()
    eventually(lambda: net.reliable("stalled"))


def raw(port: int) -> ssl.SSLSocket:
    """A TLS connection of somebody who is no node."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    try:
        return context.wrap_socket(plain)
    except BaseException:
        plain.close()
        raise


def nonsense() -> Iterator[bytes]:
    yield b""
    yield b"\0" * 100_000
    yield os.urandom(200_000)
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000
    # frames of every kind that announce far too much, or nothing
    for kind in range(16):
        yield struct.pack(">BBHI", kind, 0xFF, 0xFFFF, 0xFFFFFFFF) * 64
        yield bytes([kind]) * 70_000


def speak(port: int, data: bytes) -> None:
    """Send it all, and wait until the other side has had enough."""
    with contextlib.suppress(OSError), raw(port) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def healthy(api: Any) -> bool:
    return bool(api.call("GET", "/process/health/v1")["status"] == "OK")


def wrongs(stats: dict[str, Any]) -> int:
    return sum(stats["misbehaviours"].values()) + sum(stats["refused_connections"].values())


def test_floods_of_nonsense_are_dropped_and_counted(
    net: Any, tmp_path: Path, eventually: Eventually, noise: Callable[..., bytes]
) -> None:
    source = tmp_path / "source"
    source.write_bytes(noise(5, 10_000_000))
    supplier = net.network.member(net.suppliers()[0])
    customer = net.network.member(net.name)
    for member in (supplier, customer):
        before = wrongs(member.api.get("/packet/stats/v1"))
        for data in nonsense():
            speak(member.ports.tcp, data)
        with contextlib.ExitStack() as idle:
            # no TLS at all, and connections that are opened and left
            for number in range(150):
                with contextlib.suppress(OSError):
                    connection = idle.enter_context(
                        socket.create_connection(("127.0.0.1", member.ports.tcp), timeout=5)
                    )
                    connection.sendall(os.urandom(100) if number % 2 else b"")
            assert healthy(member.api)
            result = net.upload(source, f"under flood {member.name}")
            assert result["acks"] >= 3
        assert member.daemon.alive
        stats = member.api.get("/packet/stats/v1")
        assert wrongs(stats) >= before + 30, stats
    net.whole()
    back = Path(net.download(f"under flood {supplier.name}", tmp_path / "back")["local_path"])
    assert back.read_bytes() == source.read_bytes()


@contextlib.contextmanager
def small_disk(place: Path, size: int) -> Iterator[None]:
    """A file system of its own, of so many bytes, in a folder; needs root."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(place)], check=True
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def can_mount(place: Path) -> bool:
    """Whether this user may mount here; containers often forbid it even to root."""
    try:
        with small_disk(place, 1 << 20):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def test_a_download_onto_a_full_disk_says_so(
    net: Any, tmp_path: Path, noise: Callable[..., bytes]
) -> None:
    source = tmp_path / "source"
    source.write_bytes(noise(6, 12_000_000))
    net.upload(source, "too large")
    place = tmp_path / "small"
    if can_mount(place):
        with small_disk(place, 4 << 20):
            with pytest.raises(DiskFull) as caught:
                net.download("too large", place)
            assert caught.value.hint
            assert not (place / "too large").exists()
    back = Path(net.download("too large", tmp_path / "large enough")["local_path"])
    assert back.read_bytes() == source.read_bytes()


def test_a_supplier_whose_disk_is_full_refuses_and_the_rest_goes_on(
    net: Any, tmp_path: Path, eventually: Eventually, noise: Callable[..., bytes]
) -> None:
    source = tmp_path / "source"
    source.write_bytes(noise(7, 50_000_000))
    name = net.suppliers()[3]
    home = net.network.member(name).home
    if not can_mount(tmp_path / "probe"):
        # the same without a real disk is in test_node_damage.py
        assert net.upload(source, "no small disk")["acks"] == 4
        return
    net.network.halt(name)
    # what the supplier keeps free for itself, and a little more
    with small_disk(home / "customers", (64 << 20) + (16 << 20)):
        net.network.resume(name)
        net.whole()
        # it forgot its customers with its disk, and takes them again
        known = tmp_path / "known"
        known.write_bytes(b"known")
        eventually(lambda: net.upload(known, "known")["acks"] == 4)
        result = net.upload(source, "full")
        assert (result["acks"], result["state"]) == (3, "partial")
        assert healthy(net.network.member(name).api)
        back = Path(net.download("full", tmp_path / "back")["local_path"])
        assert back.read_bytes() == source.read_bytes()
        net.network.halt(name)
    net.network.resume(name)
    net.whole()
    # the old disk is back, with room: what is missing there is brought
    eventually(lambda: net.reliable("full"))


def test_a_path_that_cannot_be_read_or_written_is_an_error_and_no_crash(
    net: Any, tmp_path: Path
) -> None:
    with pytest.raises(BitdustError):
        net.upload(tmp_path / "not there", "nothing")
    (tmp_path / "file").write_bytes(b"x")
    net.upload(tmp_path / "file", "small")
    with pytest.raises(BitdustError):
        net.download("small", tmp_path / "file" / "below a file")
    assert healthy(net.customer)
