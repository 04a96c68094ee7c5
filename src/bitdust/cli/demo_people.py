"""The demo of people: friends, messages, a shared folder and a group, over separate processes.

Everything happens through the public interface, and every promise is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bitdust.cli import demo_people_scenes as scenes
from bitdust.cli.demo_people_cast import Cast, Check, Checks
from bitdust.cli.demo_report import Screen
from bitdust.cli.testnet import Testnet

MESSAGES = 1500
MISSED = 200


class PeopleDemo:
    """One run of the demo.

    Args:
        network: not started yet; of ``people_plan``.
        work: an empty folder for files.
        screen: where to tell about it.
        messages: how many are sent in the group.
    """

    def __init__(
        self, network: Testnet, work: Path, screen: Screen, messages: int = MESSAGES
    ) -> None:
        self.cast = Cast(network)
        self.checks = Checks(tell=self._tell)
        self._work = work
        self._screen = screen
        self._messages = messages

    def run(self) -> bool:
        """Play everything; returns whether all promises were kept.

        Raises:
            BitdustError: a step failed.
        """
        self._screen.title("BitDust demo: three people share, write and lose a broker")
        self._step("network", self._start)
        alice, bob, carol = self.cast.people
        checks = self.checks
        self._step("friends", self._befriend)
        self._step("messages", lambda: scenes.write_both_ways(alice, bob, checks))
        self._step("asleep", lambda: scenes.write_to_sleeper(alice, bob, checks))
        self._step("mailbox", lambda: scenes.write_through_mailbox(alice, bob, checks))
        folder = self._folder()
        self._step("one name", lambda: scenes.write_one_name(alice, bob, folder, checks))
        self._step("third person", lambda: self._grant(folder))
        self._step(
            "owner away", lambda: scenes.read_without_owner(alice, carol, bob, folder, checks)
        )
        self._step("revoked", lambda: scenes.put_out(alice, carol, bob, folder, checks))
        talk = self._group()
        self._step(
            "broker killed", lambda: scenes.lose_a_broker(self.cast, talk, self._messages, checks)
        )
        self._step(
            "catching up", lambda: scenes.catch_up(carol, [alice, bob], talk, MISSED, checks)
        )
        self._step("removed", lambda: scenes.remove_member(alice, carol, bob, talk, checks))
        self._screen.table()
        return self._verdict()

    def report(self) -> dict[str, Any]:
        """Everything that was found out, for programs."""
        return {
            "kept": bool(self.checks.done) and not self.checks.broken,
            "steps": [step.as_json() for step in self._screen.steps],
            "checks": [
                {"what": check.what, "kept": check.kept, "found": check.found}
                for check in self.checks.done
            ],
        }

    # --- steps --------------------------------------------------------------------------------

    def _tell(self, check: Check) -> None:
        if check.kept:
            self._screen.line(f"✓ {check.what}")
        else:
            self._screen.line(f"✗ NOT SO: {check.what} ({check.found})")

    def _step(self, name: str, play: Callable[[], str]) -> None:
        with self._screen.step(name) as step:
            step.note = play()

    def _start(self) -> str:
        self.cast.start()
        people = " and ".join([", ".join(self.cast.names[:-1]), self.cast.names[-1]])
        members = self.cast.network.members
        return f"{len(members)} processes; {people} have a node each"

    def _befriend(self) -> str:
        alice, bob, carol = self.cast.people
        scenes.befriend(alice, bob, carol, self.checks)
        scenes.befriend(alice, carol, bob, self.checks)
        return "alice made two codes, bob and carol entered them"

    def _folder(self) -> scenes.Folder:
        alice, bob, _ = self.cast.people
        with self._screen.step("shared folder") as step:
            folder = scenes.share_a_folder(alice, bob, self._work, self.checks)
            step.note = "alice's, and bob is let in; both read and write"
        return folder

    def _grant(self, folder: scenes.Folder) -> str:
        alice, _, carol = self.cast.people
        scenes.let_in(alice, carol, folder, self.checks)
        found = carol.read(folder.remote("songs/one.ogg"), self._work)
        self.checks.that("carol reads what bob wrote before", len(found) == scenes.SIZE // 3)
        return "carol is let in, too"

    def _group(self) -> scenes.Talk:
        with self._screen.step("group") as step:
            talk = scenes.meet_in_group(self.cast.people, self.checks)
            brokers = self.cast.people[0].group(talk.key_id)["brokers"]
            step.note = f"of three, kept by {len(brokers)} brokers that cannot read it"
        return talk

    def _verdict(self) -> bool:
        broken = self.checks.broken
        if broken:
            self._screen.title(f"{len(broken)} of {len(self.checks.done)} promises were BROKEN:")
            for check in broken:
                self._screen.line(f"{check.what} ({check.found})")
        else:
            self._screen.title(f"All {len(self.checks.done)} promises were kept.")
        return not broken
