"""Two people over processes: a code from hand to hand, presence, keys."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.testnet import Member, Plan, Testnet

Eventually = Callable[..., Any]
PROGRAM = "import sys; from bitdust.cli.main import main; sys.argv[0] = 'bitdust'; main()"

pytestmark = pytest.mark.xdist_group("people")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    folder = tmp_path_factory.mktemp("people")
    with Testnet(folder, Plan(suppliers=2, customers=0, key_size=1024)) as network:
        yield network


def people(pair: Testnet) -> tuple[Member, Member]:
    return pair.member("supplier-1"), pair.member("supplier-2")


def command(member: Member, *words: str, text: str = "") -> tuple[int, dict[str, Any], str]:
    """Run ``bitdust`` for one person, with something on standard input."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--home", str(member.home), "--json", *words],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def state(of: Member, seen_by: Member) -> str:
    rows = seen_by.api.get("/friend/list/v1") or []
    return next((row["contact_state"] for row in rows if row["global_id"] == of.global_id), "none")


def test_a_code_makes_two_friends(pair: Testnet, eventually: Eventually) -> None:
    alice, bob = people(pair)
    code, made, err = command(alice, "friend", "invite", "Bobby", "--hours", "1")
    assert code == 0, err
    text = made["result"]["code"]
    assert text.startswith(f"{alice.global_id}/")
    failed, _, err = command(bob, "friend", "accept", text=f"{text[:-1]}Z0\n")
    assert failed == 2
    assert text[-23:] not in err
    assert command(bob, "friend", "accept")[0] == 2
    code, taken, err = command(bob, "friend", "accept", "Al", text=f"{text.lower()}\n")
    assert code == 0, err
    assert taken["result"]["alias"] == "Al"
    assert taken["result"]["global_id"] == alice.global_id
    eventually(lambda: state(bob, alice) == state(alice, bob) == "CONNECTED")
    [row] = alice.api.get("/friend/list/v1")
    assert (row["alias"], row["contact_status"]) == ("Bobby", "online")
    # for a person: the code, and a picture of it
    shown = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--home", str(alice.home), "friend", "invite", "--qr"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert f"{alice.global_id}/" in shown
    assert shown.count("\u2588") > 100


def befriend(pair: Testnet, eventually: Eventually) -> tuple[Member, Member]:
    alice, bob = people(pair)
    for one, other in ((alice, bob), (bob, alice)):
        one.api.post("/friend/add/v1", trusted_user_id=other.global_id)
    eventually(lambda: state(bob, alice) == state(alice, bob) == "CONNECTED")
    return alice, bob


def count(member: Member, event_id: str) -> int:
    counts = member.api.get("/event/list/v1")
    return int(counts.get(event_id, 0))


@pytest.mark.slow
def test_comings_and_goings_are_told_within_seconds(pair: Testnet, eventually: Eventually) -> None:
    """Killed, back, hanging, alive again."""
    alice, bob = befriend(pair, eventually)
    gone, there = count(alice, "friend-disconnected"), count(alice, "friend-connected")
    pair.kill(bob.name)
    eventually(lambda: state(bob, alice) != "CONNECTED", 5.0)
    eventually(lambda: count(alice, "friend-disconnected") > gone, 5.0)
    pair.resume(bob.name)
    eventually(lambda: state(bob, alice) == "CONNECTED", 10.0)
    assert count(alice, "friend-connected") > there
    eventually(lambda: state(alice, bob) == "CONNECTED", 10.0)
    os.kill(bob.daemon.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        eventually(lambda: state(bob, alice) == "OFFLINE", 20.0)
        assert time.monotonic() - began < 15.0
        status = alice.api.get("/user/status/v1", user_id=bob.global_id)
        assert status["contact_status"] == "offline"
    finally:
        os.kill(bob.daemon.pid, signal.SIGCONT)
    eventually(lambda: state(bob, alice) == "CONNECTED", 20.0)
    ping = alice.api.get("/user/ping/v1", user_id=bob.global_id)
    assert ping["seconds"] < 15.0


def test_a_key_is_handed_over_and_audited(pair: Testnet, eventually: Eventually) -> None:
    alice, bob = befriend(pair, eventually)
    made = alice.api.post("/key/create/v1", key_alias="photos", label="Cats")
    key_id = made["key_id"]
    code, _, err = command(alice, "key", "audit", key_id, bob.global_id)
    assert (code, "does not hold" in err) == (3, True), err
    code, shared, err = command(alice, "key", "share", key_id, bob.global_id, "--include-private")
    assert code == 0, err
    assert shared["result"]["include_private"] is True
    [held] = [row for row in bob.api.get("/key/list/v1") if row["key_id"] == key_id]
    assert (held["label"], held["is_public"]) == ("Cats", False)
    assert count(bob, "key-registered") == 1
    for private in ("--is-private", ""):
        words = ("key", "audit", key_id, bob.global_id, *([private] if private else []))
        code, audited, err = command(alice, *words)
        assert code == 0, err
        assert audited["result"]["audited"] is True
    home: Path = bob.home
    for path in (home / "keys").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert command(alice, "key", "share", key_id, alice.global_id)[0] == 2
    assert command(alice, "key", "share", key_id, f"nobody@{alice.global_id.split('@')[1]}")[0] == 3
