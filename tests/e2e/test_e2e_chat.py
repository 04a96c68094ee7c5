"""``bitdust chat`` over processes: pipes, JSON lines, groups, a restart, a real screen."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bitdust.cli.demo_people_cast import Cast, Person, people_plan
from bitdust.cli.testnet import Testnet

Eventually = Callable[..., Any]
PROGRAM = "import sys; from bitdust.cli.main import main; sys.argv[0] = 'bitdust'; main()"

pytestmark = pytest.mark.xdist_group("chat")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    folder = tmp_path_factory.mktemp("chat")
    cast = Cast(Testnet(folder, people_plan(suppliers=2, key_size=1024)), ("alice", "bob"))
    try:
        cast.start()
        alice, bob = cast.people
        alice.api.post("/friend/add/v1", trusted_user_id=bob.id, alias="Bobby")
        bob.api.post("/friend/add/v1", trusted_user_id=alice.id, alias="Al")
        yield cast
    finally:
        cast.network.stop()


def words(who: Person, *more: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, "--home", str(who.member.home), "chat", *more]


def chat(who: Person, *more: str, text: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        words(who, *more), input=text, capture_output=True, text=True, timeout=90, check=False
    )
    return done.returncode, done.stdout, done.stderr


@contextmanager
def listening(who: Person, *more: str, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A chat that goes on, with its output in a file."""
    with output.open("wb") as out:
        running = subprocess.Popen(
            words(who, *more, "--listen"), stdin=subprocess.PIPE, stdout=out, stderr=out
        )
        try:
            yield running
        finally:
            running.terminate()
            assert running.stdin is not None
            running.stdin.close()
            running.wait(20)


def presence_told(path: Path) -> bool:
    return '"presence"' in path.read_text()


def test_lines_go_in_and_come_out(pair: Cast, tmp_path: Path, eventually: Eventually) -> None:
    alice, bob = pair.people
    out = tmp_path / "bob.txt"
    with listening(bob, "Al", "--json", output=out):
        eventually(lambda: presence_told(out))
        hostile = "three \x1b[31mred\x1b]0;title\x07"
        code, said, err = chat(alice, "Bobby", text=f"one\ntwo\n\n{hostile}\n")
        assert (code, said) == (0, ""), err
        eventually(lambda: out.read_text().count('"message"') >= 6)
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    heard = [row for row in rows if row["type"] == "message"]
    assert [row["data"]["message"] for row in heard] == ["one", "two", hostile]
    assert {(row["sender"], row["direction"]) for row in heard} == {(alice.id, "in")}
    assert rows[0]["type"] == "presence"
    code, said, err = chat(bob, "Al", "--history", "10", text="back\n")
    assert code == 0, err
    lines = said.splitlines()
    assert [line.split(f"{alice.id}: ")[1] for line in lines] == ["one", "two", "three red"]
    assert "\x1b" not in said
    assert alice.heard(bob) == ["back"]


def test_one_message_and_what_is_wrong(pair: Cast) -> None:
    alice, bob = pair.people
    assert chat(alice, "send", "Bobby", "a word")[0] == 0
    assert bob.heard(alice)[-1] == "a word"
    code, _, err = chat(alice, "send", "Bobby")
    assert (code, "chat send" in err) == (2, True)
    host = alice.id.partition("@")[2]
    code, _, err = chat(alice, f"nobody@{host}", text="x\n")
    assert (code, "error: " in err, "hint: " in err) == (3, True, True), err
    code, _, err = chat(alice, f"group_1${alice.id}", text="x\n")
    assert (code, "no group" in err) == (3, True)
    code, _, err = chat(alice, alice.id, text="x\n")
    assert (code, "own address" in err) == (1, True)
    code, said, err = chat(alice, "Bobby", "--json", text='{"a": [1, 2]}\n[1]\n"text"\n')
    assert (code, "JSON object" in err) == (1, True)
    assert json.loads(said.splitlines()[-1])["type"] in ("message", "state", "presence")
    assert bob.talk(alice.id)[-2]["payload"]["data"]["a"] == [1, 2]
    assert bob.heard(alice)[-1] == "text"
    code, said, _ = chat(alice)
    assert (code, bob.id in said) == (0, True)


def test_a_group(pair: Cast, tmp_path: Path, eventually: Eventually) -> None:
    alice, bob = pair.people
    key_id = alice.api.post("/group/create/v1", label="two of us")["group_key_id"]
    alice.api.post("/group/join/v1", group_key_id=key_id)
    given = {"group_key_id": key_id, "trusted_user_id": bob.id}
    alice.api.result("PUT", "/group/share/v1", given)
    out = tmp_path / "bob.txt"
    with listening(bob, "two of us", "--json", output=out):
        eventually(lambda: presence_told(out))
        code, _, err = chat(alice, "two of us", text="".join(f"n{n}\n" for n in range(50)))
        assert code == 0, err
        eventually(lambda: '"n49"' in out.read_text())
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    heard = [row for row in rows if row["type"] == "message"]
    assert [row["data"]["message"] for row in heard] == [f"n{n}" for n in range(50)]
    assert [row["sequence"] for row in heard] == sorted(row["sequence"] for row in heard)
    assert chat(alice, "send", key_id, "one more")[0] == 0


@pytest.mark.slow
def test_the_node_restarts_in_the_middle(
    pair: Cast, tmp_path: Path, eventually: Eventually
) -> None:
    """What is entered while the node is away is sent when it is back, once, and what came is
    shown."""
    alice, bob = pair.people
    out = tmp_path / "alice.txt"
    with listening(alice, "Bobby", output=out) as running:
        assert running.stdin is not None
        running.stdin.write(b"before\n")
        running.stdin.flush()
        eventually(lambda: "before" in bob.heard(alice))
        alice.crash()
        eventually(lambda: "the node is away" in out.read_text())
        running.stdin.write(b"meanwhile\n")
        running.stdin.flush()
        bob.write(alice, "are you there?", patience=1)
        alice.return_()
        eventually(lambda: "meanwhile" in bob.heard(alice), 60.0)
        eventually(lambda: "are you there?" in out.read_text(), 60.0)
        bob.write(alice, "good")
        eventually(lambda: "good" in out.read_text(), 60.0)
    shown = out.read_text()
    assert shown.count("are you there?") == 1
    assert bob.heard(alice).count("meanwhile") == 1


def test_a_person_at_a_terminal(pair: Cast, eventually: Eventually) -> None:
    """The real screen on a real terminal: history, writing, the other's answer, leaving."""
    alice, bob = pair.people
    bob.write(alice, "written before")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    running = subprocess.Popen(
        words(alice, "Bobby"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""

    def read(deadline: float = 0.1) -> bytes:
        nonlocal seen
        ends = time.monotonic() + deadline
        while select.select([ours], [], [], max(0.0, ends - time.monotonic()))[0]:
            try:
                seen += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
        return seen

    try:
        eventually(lambda: b"written before" in read(), 60.0)
        eventually(lambda: b"online" in read(), 60.0)
        os.write(ours, b"typed by hand\r")
        eventually(lambda: read() and "typed by hand" in bob.heard(alice), 60.0)
        bob.write(alice, "seen by eye")
        eventually(lambda: b"seen by eye" in read(), 60.0)
        os.write(ours, b"\x04")
        eventually(lambda: read() and running.poll() is not None, 30.0)
        assert running.returncode == 0
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
        os.close(ours)


def test_without_textual_it_says_what_to_install(pair: Cast) -> None:
    alice, _ = pair.people
    program = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'textual' else find(name, *more)\n"
        "sys.stdin.isatty = sys.stdout.isatty = lambda: True\n" + PROGRAM
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--home", str(alice.member.home), "chat", "Bobby"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "pip install 'bitdust[tui]'" in done.stderr
    assert "--plain" in done.stderr
